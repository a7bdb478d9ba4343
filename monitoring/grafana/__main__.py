"""Print the dashboard: `python -m monitoring.grafana > monitoring/grafana/dashboards/snapfleet.json`."""

import sys

from monitoring.grafana.dashboard import render

sys.stdout.write(render())
