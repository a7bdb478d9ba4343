"""`python -m beat`: rings the tick and the housekeeping. Run one or two; twice does no harm."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from shared import logs
from shared.broker.app import make_app
from shared.broker.timetable import TIMETABLE
from shared.errors import SnapfleetError
from shared.settings import Settings


def main() -> int:
    """Run until told to stop; 1 with a clear line when it cannot start."""
    try:
        settings = Settings.from_environment()
    except SnapfleetError as exc:
        sys.stderr.write(f"error: {exc.message}\n" + (f"hint: {exc.hint}\n" if exc.hint else ""))
        return 1
    logs.configure(level=settings.log_level, style=settings.log_format)
    app = make_app(settings.redis_url.get_secret_value())
    app.conf.beat_schedule = TIMETABLE
    # Beat's own memory is worth nothing here: slots are rows. So it starts fresh each time.
    with tempfile.TemporaryDirectory(prefix="snapfleet-beat-") as folder:
        beat = app.Beat(schedule=str(Path(folder) / "schedule"), loglevel=settings.log_level.upper())
        beat.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
