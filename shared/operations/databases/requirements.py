"""What a snapshot needs of the server that is to take it back: extensions, locales, tools, room."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from shared.domain.manifest import Manifest
from shared.domain.restore_plan import Remark
from shared.errors import Refused
from shared.postgres import inspection, offers
from shared.postgres.session import Session
from shared.postgres.tools import Tools

ARCHIVE_FORMATS = ((17, 3), (16, 2))
"""By major version of pg_dump, from it on: which of the archive's formats it writes. An older pg_restore reads
no newer one."""

ROOM_FOR_INDEXES = 1.5
"""Rows come without their indexes and are bigger in a table; this much of both has to fit."""


def refuse_older_tools(tools: Tools, manifest: Manifest) -> None:
    written_by = major_of(manifest.source.tool_version)
    if archive_format(tools.major) < archive_format(written_by):
        raise Refused(
            f"the archive was written by pg_dump {manifest.source.tool_version}, which pg_restore"
            f" {tools.version} cannot read",
            code="tools_older",
            hint=f"install postgresql-client-{written_by} where the workers run",
        )


def major_of(version: str) -> int:
    """Of 18.6, and of 19beta1."""
    return int("".join(takewhile(str.isdigit, version)))


def archive_format(major: int) -> int:
    return next((number for first, number in ARCHIVE_FORMATS if major >= first), 1)


def wanted_extensions(manifest: Manifest) -> dict[str, str]:
    """Versions by name."""
    pairs = (extension.rpartition(" ") for extension in manifest.extensions)
    return {name: version for name, _, version in pairs}


def refuse_missing_extensions(session: Session, manifest: Manifest) -> None:
    wanted = wanted_extensions(manifest)
    missing = sorted(wanted.keys() - offers.extensions(session, wanted).keys())
    if missing:
        raise Refused(
            f"extensions of the snapshot are not installed on the server: {', '.join(missing)}",
            code="extensions_missing",
            hint="install the packages that bring them where the server runs",
        )


def extension_remarks(session: Session, manifest: Manifest) -> Iterator[Remark]:
    wanted = wanted_extensions(manifest)
    is_superuser = inspection.is_superuser(session)
    for name, offered in offers.extensions(session, wanted).items():
        if offered.default_version != wanted[name]:
            yield Remark(
                code="extension_version",
                message=f"extension {name} will have version {offered.default_version} instead of {wanted[name]}",
            )
        if offered.needs_superuser and not is_superuser and name != "plpgsql":
            yield Remark(
                code="extension_rights",
                message=f"extension {name} may be created by superusers only, unless your server says otherwise",
            )


def refuse_missing_locale(session: Session, manifest: Manifest) -> None:
    source = manifest.source
    missing = sorted(
        {name for name in (source.collate, source.ctype) if not offers.has_locale(session, name)}
    )
    if missing:
        raise Refused(
            f"the server's operating system does not know the snapshot's locale: {', '.join(missing)}",
            code="locale_missing",
            hint="install that locale where the server runs (locale-gen, glibc-langpack-…), and restart it",
        )
    if not offers.has_provider(session, source.locale_provider):
        raise Refused(
            f"the server cannot sort as the snapshot does: it lacks the locale provider {source.locale_provider!r}",
            code="locale_missing",
            hint="restore into a server that is built with it",
        )


def locale_remarks(session: Session, manifest: Manifest, target: str) -> Iterator[Remark]:
    source = manifest.source
    here = offers.collation_version(session, source)
    if source.collation_version is not None and here is not None and here != source.collation_version:
        yield Remark(
            code="collation_version",
            message=f"the server sorts by version {here} of the locale, the snapshot's did by"
            f" {source.collation_version}: indexes are built anew, and some texts may sort otherwise",
        )
    live = inspection.locale_of(session, target)
    if live is not None and live != (source.encoding, source.locale_provider, source.collate, source.ctype):
        yield Remark(
            code="locale_differs",
            message=f"the live database has encoding {live[0]} and locale {live[2]}; it will have those of the"
            f" snapshot, {source.encoding} and {source.collate}",
        )


def needed_bytes(manifest: Manifest, *, live_bytes: int | None) -> int:
    """A guess at what the side database takes, by the snapshot's rows and by what lies there now."""
    return int(max(manifest.raw_bytes, live_bytes or 0) * ROOM_FOR_INDEXES)


def refuse_no_room(free_bytes: int | None, manifest: Manifest) -> None:
    if free_bytes is not None and free_bytes < manifest.raw_bytes:
        raise Refused(
            f"the server's disk has {free_bytes} bytes free, and the rows of the snapshot alone are"
            f" {manifest.raw_bytes}",
            code="no_room",
            hint="make room there, such as by dropping databases that are parked and not needed any more",
        )


def room_remarks(free_bytes: int | None, needed: int) -> Iterator[Remark]:
    if free_bytes is None:
        yield Remark(
            code="room_unknown",
            message="whether the server's disk has room is not checked: only a superuser or a member of"
            " pg_execute_server_program may ask for it",
        )
    elif free_bytes < needed:
        yield Remark(
            code="room_scarce",
            message=f"the server's disk has {free_bytes} bytes free; the side database may take {needed}",
        )
