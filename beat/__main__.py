"""`python -m beat`."""

import sys

from shared import garbage

with garbage.uncollected():
    from beat.main import main

if __name__ == "__main__":
    sys.exit(main())
