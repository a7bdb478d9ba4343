"""One is one."""

from __future__ import annotations

import pytest

from shared.domain.wording import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 chunks"), (1, "1 chunk"), (2, "2 chunks"), (12345, "12,345 chunks")]
)
def test_only_one_is_told_without_an_s(count: int, said: str) -> None:
    assert counted(count, "chunk") == said
