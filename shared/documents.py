"""YAML for the documents that are made from code, without a library that production would have to carry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def yaml(value: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """The lines: mappings as blocks, everything else as JSON has it, which YAML takes for what it is."""
    for name, each in value.items():
        key = " " * indent + (name if name.replace("_", "").isalpha() else json.dumps(name)) + ":"
        if isinstance(each, Mapping) and each:
            yield key
            yield from yaml(each, indent + 2)
        else:
            yield f"{key} {json.dumps(each, ensure_ascii=False)}"
