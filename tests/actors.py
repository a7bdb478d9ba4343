"""Who asks for things in the tests."""

from __future__ import annotations

from shared.domain.access import Actor

TESTER = Actor(name="tester", origin="test")
