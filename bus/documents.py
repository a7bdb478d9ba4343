"""The documents about the bus, made from its models: `python -m bus.documents docs`.

docs/asyncapi.yaml        AsyncAPI 3: channels, operations, every type of message
docs/schemas/*.json       JSON Schema of each request, and of each shape of event
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import BaseModel, create_model

from bus.announcements import SHAPES, Announcement, Shape
from bus.requests import DATA, LARGEST_BYTES, Envelope
from shared.documents import yaml
from shared.domain.events import Ask
from shared.streams.base import BODY, EVENTS, REQUESTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "1.0.0"
ABOUT = f"""\
Ask Snapfleet for snapshots and restores, and hear what became of them, over two Redis streams. An entry has
one field, `{BODY}`, which holds a CloudEvent 1.0 as structured JSON. docs/event-bus.md explains it.
"""


def documents() -> dict[str, str]:
    """The text of each file by its path."""
    made = {
        f"schemas/{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    header = "# Made by `python -m bus.documents docs`. Do not edit by hand.\n"
    return {"asyncapi.yaml": header + "\n".join(yaml(asyncapi())) + "\n"} | made


def schemas() -> dict[str, dict[str, Any]]:
    return {name: schema_of(model, name) for name, model in models().items()}


def models() -> dict[str, type[BaseModel]]:
    """A model of the whole event for each request, and for each shape of event."""
    found: dict[str, type[BaseModel]] = {}
    for ask in Ask:
        required = any(field.is_required() for field in DATA[ask].model_fields.values())
        data: Any = (DATA[ask], ... if required else {})
        name, its_type = f"{ask}-requested", cast("Any", (Literal[ask.type], ...))
        found[name] = create_model(
            name, __base__=Envelope, __doc__=DATA[ask].__doc__, type=its_type, data=data
        )
    for shape, types in types_of().items():
        name = name_of(shape)
        one_of: Any = (Literal[tuple(types)], ...)
        found[name] = create_model(
            name, __base__=Announcement, __doc__=shape.__doc__, type=one_of, data=(shape, ...)
        )
    return found


def types_of() -> dict[type[Shape], list[str]]:
    found: dict[type[Shape], list[str]] = {}
    for type_, shape in SHAPES.items():
        found.setdefault(shape, []).append(type_)
    return found


def name_of(shape: type[Shape]) -> str:
    return f"event-{shape.__name__.lower()}"


def schema_of(model: type[BaseModel], name: str) -> dict[str, Any]:
    return {"$schema": DIALECT} | model.model_json_schema() | {"title": name}


def asyncapi() -> dict[str, Any]:
    requests = {ask.type: message(ask.type, f"{ask}-requested", DATA[ask].__doc__) for ask in Ask}
    events = {type_: message(type_, name_of(shape), shape.__doc__) for type_, shape in SHAPES.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Snapfleet's event bus", "version": VERSION, "description": ABOUT},
        "defaultContentType": "application/json",
        "channels": {
            "requests": channel(
                REQUESTS, f"Append yours here: XADD, at most {LARGEST_BYTES} bytes.", requests
            ),
            "events": channel(EVENTS, "Read these, alone (XREAD) or as a group (XREADGROUP).", events),
        },
        "operations": {
            "grant": {"action": "receive", "channel": {"$ref": "#/channels/requests"}},
            "tell": {"action": "send", "channel": {"$ref": "#/channels/events"}},
        },
        "components": {"messages": requests | events},
    }


def channel(address: str, about: str, messages: Mapping[str, Any]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    return {"address": address, "description": about, "messages": references}


def message(type_: str, schema: str, about: str | None) -> dict[str, Any]:
    return {"name": type_, "summary": about or "", "payload": {"$ref": f"./schemas/{schema}.json"}}


def write(folder: Path) -> None:
    """Write them all, and remove what is none of them any more."""
    made = documents()
    (folder / "schemas").mkdir(exist_ok=True)
    for old in (folder / "schemas").glob("*.json"):
        if f"schemas/{old.name}" not in made:
            old.unlink()
    for path, content in made.items():
        (folder / path).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
