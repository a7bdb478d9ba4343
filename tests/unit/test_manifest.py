"""The manifest as bytes: read back as it was, and anything else refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import manifest
from shared.domain.manifest import (
    Chunk,
    Grant,
    Manifest,
    Part,
    Properties,
    SequencePosition,
    Setting,
    Source,
    TableCount,
)
from shared.domain.parts import CopyFormat, PartSpec
from shared.errors import Damaged

ODD = "q\"u'o\\te\n\t.,;%s{x} ünï \U0001d11e"


def chunk(content: bytes, *, raw_bytes: int = 10) -> Chunk:
    digest = hashlib.sha256(content).hexdigest()
    return Chunk(sha256=digest, raw_bytes=raw_bytes, stored_bytes=5, stored_sha256=digest)


EXAMPLE = Manifest(
    format=1,
    id="20261122T195500Z-3f9a2c",
    database="orders",
    taken_at=datetime(2026, 11, 22, 19, 55, 0, 123456, tzinfo=UTC),
    source=Source(
        system_identifier="7439461937463",
        dbname=ODD,
        server_version="18.6",
        server_version_num=180006,
        tool_version="18.6",
        encoding="UTF8",
        locale_provider="b",
        collate="C",
        ctype="C",
        locale="C.UTF-8",
        collation_version=None,
    ),
    properties=Properties(
        owner=ODD,
        comment=None,
        connection_limit=-1,
        grants=(Grant(grantee="", privilege="CONNECT", grantable=False),),
        settings=(Setting(role=None, name="search_path", value=ODD),),
    ),
    roles=(ODD,),
    extensions=("plpgsql 1.0",),
    archive=(chunk(b"a"), chunk(b"b")),
    parts=(
        Part(
            spec=PartSpec(
                number=1,
                schema=ODD,
                table=ODD,
                columns=(ODD,),
                format=CopyFormat.BINARY,
                first_page=0,
                end_page=None,
            ),
            row_count=3,
            chunks=(chunk(b"b"), chunk(b"c", raw_bytes=7)),
        ),
    ),
    tables=(TableCount(schema=ODD, name=ODD, row_count=3), TableCount(schema="s", name="t", row_count=4)),
    sequences=(SequencePosition(schema="s", name=ODD, last_value=-(2**63), is_called=True),),
)
BODY = manifest.encode(EXAMPLE)
SHA256 = hashlib.sha256(BODY).hexdigest()


def test_it_is_read_back_as_it_was() -> None:
    manifest.refuse_other(BODY, sha256=SHA256)
    assert manifest.decode(BODY) == EXAMPLE
    assert manifest.encode(manifest.decode(BODY)) == BODY


def test_whoever_reads_it_by_hand_finds_lines_and_plain_characters() -> None:
    assert "ünï" in BODY.decode()
    assert BODY.count(b"\n") > 50
    assert BODY.endswith(b"}\n")


@given(position=st.integers(0, len(BODY) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_is_overlooked(position: int, bit: int) -> None:
    changed = bytearray(BODY)
    changed[position] ^= 1 << bit
    with pytest.raises(Damaged) as damaged:
        manifest.refuse_other(bytes(changed), sha256=SHA256)
    assert (damaged.value.code, bool(damaged.value.hint)) == ("manifest_damaged", True)


@given(length=st.integers(0, len(BODY) - 2))
def test_a_manifest_cut_short_is_none_even_where_its_hash_is_not_known(length: int) -> None:
    with pytest.raises(Damaged) as damaged:
        manifest.decode(BODY[:length])
    assert (damaged.value.code, bool(damaged.value.hint)) == ("manifest_damaged", True)


@pytest.mark.parametrize("field", sorted(json.loads(BODY).keys() - {"evidence"}))
def test_a_manifest_that_lacks_a_field_is_none(field: str) -> None:
    found = json.loads(BODY)
    del found[field]
    with pytest.raises(Damaged) as damaged:
        manifest.decode(json.dumps(found).encode())
    assert damaged.value.code == "manifest_damaged"


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b'{"format": "x"}', b"\xff\xfe", b"1"])
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(Damaged) as damaged:
        manifest.decode(body)
    assert damaged.value.code == "manifest_damaged"


def test_a_later_format_is_told_from_damage_whatever_else_it_holds() -> None:
    for body in (manifest.encode(replace(EXAMPLE, format=2)), b'{"format": 3, "all_else": "is new"}'):
        with pytest.raises(Damaged, match="reads up to 1") as refused:
            manifest.decode(body)
        assert (refused.value.code, refused.value.hint) == ("manifest_too_new", "upgrade snapfleet")


def test_a_field_that_a_later_release_adds_within_the_format_is_passed_over() -> None:
    more = json.loads(BODY) | {"new": 1}
    assert manifest.decode(json.dumps(more).encode()) == EXAMPLE


def test_a_manifest_from_before_there_were_digests_and_evidence_is_read() -> None:
    former = json.loads(BODY)
    del former["evidence"]
    for described in (*former["parts"], *former["tables"]):
        del described["digest"]
    assert manifest.decode(json.dumps(former).encode()) == EXAMPLE


def test_a_chunk_used_twice_is_read_twice_and_stored_once() -> None:
    assert [c.sha256 for c in EXAMPLE.chunks] == [chunk(x).sha256 for x in (b"a", b"b", b"b", b"c")]
    assert len(EXAMPLE.distinct_chunks) == 3
    assert (EXAMPLE.raw_bytes, EXAMPLE.stored_bytes, EXAMPLE.row_count) == (37, 15, 7)


def test_values_survive_a_row_of_the_catalog() -> None:
    for value, kind in ((EXAMPLE.parts[0], Part), (EXAMPLE.source, Source), (EXAMPLE.properties, Properties)):
        stored = json.loads(json.dumps(manifest.plain(value, kind)))
        assert manifest.parse(stored, kind) == value
