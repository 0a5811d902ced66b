"""A definition as a person writes it: the fields of a schedule file, without the defaults.

The inverse of `definition.define`, made of the same table: whatever field there is comes along.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from synccron.model.definition import FIELDS
from synccron.model.schedule import Definition
from synccron.model.time import format_duration

_DURATION = FIELDS["timeout"].schema  # what all durations have


def written(made: Definition) -> dict[str, Any]:
    """Give the fields of a schedule file that say this definition, without its id."""
    plain = Definition(id=made.id, cron="")
    given: dict[str, Any] = {}
    for name, field in FIELDS.items():
        value = getattr(made, name)
        if value != getattr(plain, name):
            given[name] = json.loads(value) if name == "input" else _said(value, field.schema)
    return given


def _said(value: Any, schema: Mapping[str, Any]) -> Any:
    """Write one value as the schema of its field has it."""
    if schema == _DURATION and isinstance(value, int):
        return format_duration(value)
    if is_dataclass(value) and not isinstance(value, type):
        inner = schema.get("properties", {})
        said = ((each, getattr(value, each.name)) for each in fields(value))
        return {
            each.name: _said(given, inner.get(each.name, {}))
            for each, given in said
            if given != _default(each)
        }
    if isinstance(value, Mapping):
        return {str(key): _said(each, {}) for key, each in value.items()}
    if isinstance(value, tuple | list | frozenset):
        return [_said(each, schema.get("items", {})) for each in value]
    return value


def _default(each: "Field[Any]") -> Any:
    return each.default if each.default_factory is MISSING else each.default_factory()
