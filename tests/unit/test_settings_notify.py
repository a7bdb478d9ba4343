"""Whom to tell: hooks as the configuration declares them."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.notice import DEFAULT, NOTABLE
from shared.errors import Misconfigured
from tests.unit.given_settings import TOML, load

HOOK = TOML + '[[notify]]\nname = "on-call"\nurl_env = "PAGER_URL"\n'
URL = "json://user:hush@pager.example/hook"


def test_a_hook_is_told_of_what_is_bad_unless_it_says_otherwise(tmp_path: Path) -> None:
    settings = load(tmp_path, HOOK, PAGER_URL=URL)
    (hook,) = settings.hooks
    assert (hook.name, hook.url, hook.events) == ("on-call", URL, frozenset(DEFAULT))
    assert "hush" not in repr(settings)
    chosen = load(tmp_path, HOOK + 'events = ["restore.succeeded"]\n', PAGER_URL=URL)
    assert chosen.hooks[0].events == {"restore.succeeded"}
    assert set(DEFAULT) <= NOTABLE


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        (HOOK + 'events = ["snapshot.fail"]\n', "snapshot.fail"),
        (HOOK + 'events = ["snapshot.progress"]\n', "snapshot.progress"),
        (HOOK + HOOK.removeprefix(TOML), "twice"),
        (TOML + '[[notify]]\nname = "on-call"\n', "url_file"),
        (HOOK.replace("PAGER_URL", "PAGER_URL_2"), "PAGER_URL_2"),
    ],
)
def test_a_hook_that_cannot_be_is_refused_by_name(tmp_path: Path, toml: str, says: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path, toml, PAGER_URL=URL)
    assert says in refused.value.message
    assert refused.value.message.startswith("notify")
    assert "hush" not in refused.value.message
