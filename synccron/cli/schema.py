"""The JSON Schema of schedule files, made of the table that the checker itself uses."""

import json
from typing import Any

from synccron.model.definition import DEFAULTS, FIELDS


def schema_text() -> str:
    """Write the schema as a JSON document."""
    return json.dumps(schema(), indent=2) + "\n"


def schema() -> dict[str, Any]:
    """Give the schema."""
    fields = {
        name: {
            **field.schema,
            "description": field.doc,
            **({"default": DEFAULTS[name]} if _simple(DEFAULTS.get(name)) else {}),
        }
        for name, field in FIELDS.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "synccron schedule file",
        "type": "object",
        "additionalProperties": False,
        "required": ["schedules"],
        "properties": {
            "owner": fields["owner"],
            "defaults": {"$ref": "#/$defs/fields"},
            "schedules": {
                "type": "object",
                "propertyNames": {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
                "additionalProperties": {"$ref": "#/$defs/fields"},
            },
        },
        "$defs": {
            "fields": {"type": "object", "additionalProperties": False, "properties": fields}
        },
    }


def _simple(default: Any) -> bool:
    """Tell whether a default reads the same in a file: a text or a flag (durations are ms here)."""
    return isinstance(default, bool) or (isinstance(default, str) and default != "null")
