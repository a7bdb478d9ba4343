"""What `make test` leaves to `make test-whole`: variants of what another test tries, and what `make faults` does too."""

from __future__ import annotations

import pytest

WHOLE = pytest.mark.whole
