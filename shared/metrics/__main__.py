"""Print the page about metrics: `python -m shared.metrics > docs/metrics.md`."""

import sys

from shared.metrics.page import render

sys.stdout.write(render())
