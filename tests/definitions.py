"""Definitions of every kind, made of the fields' own schemas: what is added there is drawn too."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from synccron.model.definition import FIELDS, define
from synccron.model.schedule import Definition

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NAMES = st.text("abcXYZ019", min_size=1, max_size=8).map("n".__add__)
DURATION = FIELDS["timeout"].schema
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | TEXT
    | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["012", "1e5", "no", "~"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
# Texts that not every text is good for, and what no schema tells.
OWN = {
    "cron": st.sampled_from(["* * * * *", "30 2 * * *", "@daily", "@every 90s", "H H * * MON#2"]),
    "tz": st.sampled_from(["UTC", "Europe/Berlin", "Etc/GMT+1"]),
    "run": TEXT.filter(str.strip) | st.lists(TEXT.filter(bool), min_size=1, max_size=4),
    "handler": st.sampled_from(["billing:invoice", "cleanup"]),
    "input": JSON,
    "env": st.dictionaries(NAMES, TEXT, max_size=3),
    "labels": st.dictionaries(NAMES, TEXT, max_size=3),
    "notify": st.lists(
        st.fixed_dictionaries(
            {"webhook": st.sampled_from(["https://example.com/a?b=c", "http://[::1]:80/"])},
            optional={
                "on": st.sampled_from([["failure"], ["recovery", "missed"]]),
                "headers": st.dictionaries(NAMES, NAMES, max_size=2),
                "timeout": st.sampled_from(["1s", "2500ms"]),
            },
        )
        | st.fixed_dictionaries({"command": NAMES | st.lists(NAMES, min_size=1, max_size=3)}),
        max_size=3,
    ),
    "cwd": TEXT.map("/".__add__),
    "user": NAMES,
    "owner": NAMES,
}


def values(name: str, schema: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one for each kind
    """Values that a field's schema allows."""
    if name in OWN:
        return OWN[name]
    if schema == DURATION:
        return st.integers(1_000, 86_400_000).map(lambda ms: f"{ms}ms")
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "oneOf" in schema:
        return st.one_of([values(name, each) for each in schema["oneOf"]])
    match schema.get("type"):
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema.get("minimum", 0), schema.get("maximum", 1000))
        case "object" if "properties" in schema:
            inner = {key: values(key, each) for key, each in schema["properties"].items()}
            return st.fixed_dictionaries({}, optional=inner)
        case "object":
            return st.dictionaries(NAMES, NAMES, max_size=3)
        case "array":
            return st.lists(values(name, schema.get("items", {})), max_size=3)
        case _:
            return NAMES


@st.composite
def definitions(draw: st.DrawFn) -> Definition:
    """Any definition that is acceptable."""
    said = draw(st.sampled_from(["run", "handler"]))
    optional = {name: values(name, field.schema) for name, field in FIELDS.items()}
    left_out = {"cron", "run", "handler"} | ({"cwd", "user"} if said == "handler" else set())
    given = draw(
        st.fixed_dictionaries(
            {"cron": OWN["cron"], said: OWN[said]},
            optional={name: each for name, each in optional.items() if name not in left_out},
        )
    )
    made, problems = define(draw(NAMES), given)
    assert made is not None or problems
    assume(made is not None and not problems)
    assert made is not None
    return made
