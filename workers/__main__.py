"""`python -m workers`."""

import sys

from shared import garbage

with garbage.uncollected():
    from workers.main import main

if __name__ == "__main__":
    sys.exit(main())
