"""How a setting is declared: its default, its meaning and what would be right, all in one place.

The models of the environment and of the file are made of these. The errors and the documentation are
made from the models, so that neither can say something else than the code does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from shared.errors import Misconfigured

IN_TOMLS_WORDS = {"model_type": "should be a table", "tuple_type": "should be an array of tables"}


class Declared(BaseModel):
    """Settings from one source. An error of pydantic's never shows what was given: it may be a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)


def setting(
    default: object, *, meaning: str, right: str, otherwise: str = "none", secret: bool = False, **limits: int
) -> Any:
    """A field. `right` completes "give …"; `otherwise` says what None stands for; a secret is never shown."""
    about = {"right": right, "otherwise": otherwise, "secret": secret}
    return Field(default, description=meaning, json_schema_extra=about, **limits)  # type: ignore[call-overload] # limits are ge and le


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a field says of itself."""

    name: str
    default: object
    required: bool
    meaning: str
    right: str
    otherwise: str
    secret: bool


def about(name: str, field: FieldInfo) -> About:
    extra = cast("Mapping[str, Any]", field.json_schema_extra)
    return About(
        name=field.alias or name,
        default=field.default,
        required=field.is_required(),
        meaning=field.description or "",
        **extra,
    )


def fields_of(model: type[Declared]) -> Iterator[tuple[About, type[Declared] | None]]:
    """Each field, with the model of the table that stands under it, if one does."""
    for name, field in model.model_fields.items():
        yield about(name, field), _table(field)


def misconfigurations(
    error: ValidationError, model: type[Declared], given: Mapping[str, Any]
) -> list[Misconfigured]:
    """Pydantic's findings as ours: each names the setting, its value unless secret, and what is right."""
    return [_misconfigured(found, model, given) for found in error.errors(include_url=False)]


def secret_fault(error: ValidationError) -> str:
    """What is wrong with one secret value, in words that do not hold it."""
    found = error.errors(include_url=False, include_input=False)[0]
    return str(found["ctx"]["error"])


def first_of(problems: Sequence[Misconfigured]) -> Misconfigured:
    """One error for all of them: the first, and how many others there are."""
    first, others = problems[0], len(problems) - 1
    more = f" (and {others} more {'setting is' if others == 1 else 'settings are'} wrong)" if others else ""
    return Misconfigured(f"{first.message}{more}", code=first.code, hint=first.hint)


def _misconfigured(found: ErrorDetails, model: type[Declared], given: Mapping[str, Any]) -> Misconfigured:
    name = _name(found["loc"], given)
    known, described = _follow(found["loc"], model)
    if found["type"] == "extra_forbidden":
        return _unknown(name, str(found["loc"][-1]), known)
    hint = f"give {described.right}" if described else None
    if found["type"] == "missing":
        return Misconfigured(f"{name}: is required", hint=hint)
    if found["type"] == "value_error":
        return Misconfigured(f"{name}: {found['ctx']['error']}", hint=hint)
    value = "what is given" if described is None or described.secret else repr(found["input"])
    fault = IN_TOMLS_WORDS.get(found["type"], found["msg"].removeprefix("Input "))
    return Misconfigured(f"{name}: {value} {fault}", hint=hint)


def _unknown(name: str, leaf: str, known: list[str]) -> Misconfigured:
    if f"{leaf}_env" in known:
        return Misconfigured(
            f"{name}: a URL must not stand in the file, it carries a password",
            code="literal_url",
            hint=f"name an environment variable in {leaf}_env, or a file that holds the URL in {leaf}_file",
        )
    close = get_close_matches(leaf, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return Misconfigured(f"{name}: there is no such setting", code="unknown_setting", hint=hint)


def _name(loc: tuple[int | str, ...], given: Mapping[str, Any]) -> str:
    """`databases.orders.every`, or `databases.2.every` (counted from 1) where the second has no name."""
    parts: list[str] = []
    here: Any = given
    for part in loc:
        here = here[part] if isinstance(part, int) else here.get(part) if isinstance(here, Mapping) else None
        named = here.get("name") if isinstance(part, int) and isinstance(here, Mapping) else None
        parts.append(
            str(part) if isinstance(part, str) else named if isinstance(named, str) else str(part + 1)
        )
    return ".".join(parts)


def _follow(loc: tuple[int | str, ...], model: type[Declared]) -> tuple[list[str], About | None]:
    """The names known where `loc` ends, and what the last of its parts says of itself."""
    described: About | None = None
    table: type[Declared] | None = model
    for part in loc:
        if isinstance(part, str) and table is not None:
            model = table
            described, table = next(
                ((each, below) for each, below in fields_of(model) if each.name == part), (None, None)
            )
    return [each.name for each, _ in fields_of(model)], described


def _table(field: FieldInfo) -> type[Declared] | None:
    kinds = (field.annotation, *get_args(field.annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Declared)), None)
