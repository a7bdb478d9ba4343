"""`python -m bus`."""

import sys

from shared import garbage

with garbage.uncollected():
    from bus.main import main

if __name__ == "__main__":
    sys.exit(main())
