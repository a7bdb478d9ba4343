"""Print the page about configuration: `python -m shared.settings > docs/configuration.md`."""

import sys

from shared.settings.document import render

sys.stdout.write(render())
