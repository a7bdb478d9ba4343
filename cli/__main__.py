"""`python -m cli`: the same as the command `snapfleet`."""

import sys

from cli.main import main

sys.exit(main())
