"""Tokens and the audit from the command line: the secret once, who did what, and whether all of that is whole."""

from __future__ import annotations

import getpass
import socket

from shared.domain import tokens
from tests.e2e.site import Site


def test_an_operator_makes_a_token_sees_who_did_what_and_revokes_it(site: Site) -> None:
    made = site.done(
        "token", "create", "deploy", "--role", "operate", "--database", site.name, "--expires", "90d"
    )
    secret = made.out.strip()
    assert tokens.looks_right(secret)
    assert secret not in made.err
    assert f"token deploy may operate on {site.name}, until 20" in made.err

    again = site.run("token", "create", "deploy", "--role", "admin")
    assert (again.status, again.out) == (3, "")
    listed = site.done("token", "list", "--json").json
    assert [(t["name"], t["role"], t["databases"], t["state"]) for t in listed] == [
        ("deploy", "operate", [site.name], "valid")
    ]
    assert secret not in site.done("token", "list").out

    site.done("prune", "--wait")
    assert site.done("token", "revoke", "deploy").out == "token deploy is revoked\n"
    assert site.done("token", "list", "--json").json[0]["state"] == "revoked"

    entries = site.done("audit", "list", "--json").json
    here = (getpass.getuser(), f"cli:{socket.gethostname()}")
    told = [(e["action"], e["outcome"]) for e in entries if (e["actor"], e["origin"]) == here]
    assert told[0] == ("token.revoked", "done")
    assert ("prune.requested", "accepted") in told
    assert ("token.created", "done") in told
    ends = [e for e in entries if e["action"] == "prune.ended"]
    assert ends[0]["outcome"] == "succeeded"
    assert ends[0]["origin"].startswith("worker:")
    assert secret[10:] not in str(entries)
    shown = site.done("audit", "list", site.name, "--action", "prune.ended").out
    assert "prune.ended" in shown
    assert "token.created" not in shown


def test_the_audit_is_examined_and_a_head_that_was_kept_must_be_in_it(site: Site) -> None:
    site.done("prune", "--wait")
    seen = site.done("audit", "verify", "--json").json
    assert seen["findings"] == []
    head = f"{seen['head']['seq']}:{seen['head']['hash']}"
    site.done("prune", "--wait")
    assert "the audit is whole" in site.done("audit", "verify", "--kept", head).out
    other = site.run("audit", "verify", "--kept", f"{seen['head']['seq']}:{'0' * 64}")
    assert other.status == 10
    assert "is not the one whose hash was kept" in other.err
    assert site.run("audit", "verify", "--kept", "nonsense").status == 2
