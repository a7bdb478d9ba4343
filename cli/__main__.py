"""`python -m cli`, and the command `snapfleet`."""

import sys

from shared import garbage

with garbage.uncollected():
    from cli.main import main

if __name__ == "__main__":
    sys.exit(main())
