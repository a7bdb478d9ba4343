"""`python -m api`."""

import sys

from shared import garbage

with garbage.uncollected():
    from api.main import main

if __name__ == "__main__":
    sys.exit(main())
