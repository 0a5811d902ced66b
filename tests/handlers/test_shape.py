"""The shape of an input: read as the handler declares it, or refused with all reasons."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints

import pytest
from pydantic import BaseModel

from synccron.handlers.inputs import ill_shaped
from synccron.handlers.shape import BadInput, read, shape_of


@dataclass
class Place:
    path: str
    depth: int | None = None


@dataclass
class Cleanup:
    scope: Literal["temp", "all"]
    places: list[Place] = field(default_factory=list)
    ages: dict[str, float] = field(default_factory=dict)
    force: bool = False

    def __post_init__(self) -> None:
        if self.force and self.scope == "all":
            raise ValueError("force is not for all")


class Model(BaseModel):
    days: int
    name: str = "x"


def problems(value: Any, shape: Any) -> list[tuple[Any, str]]:
    with pytest.raises(BadInput) as caught:
        read(value, shape)
    return caught.value.problems


def test_a_value_is_read_as_the_dataclass_says():
    given = {"scope": "temp", "places": [{"path": "/tmp"}], "ages": {"a": 1}}
    assert read(given, Cleanup) == Cleanup(scope="temp", places=[Place("/tmp")], ages={"a": 1.0})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, [((), "expected an object, got 3")]),
        ({}, [((), "scope is missing")]),
        ({"scope": "x"}, [(("scope",), 'expected "temp" or "all", got "x"')]),
        ({"scope": "all", "force": True}, [((), "force is not for all")]),
        (
            {"scope": "temp", "places": [{"path": 1}, {"paht": ""}], "forze": 1},
            [
                (("places", 0, "path"), "expected text, got 1"),
                (("places", 1, "paht"), "unknown field 'paht'"),
                (("places", 1), "path is missing"),
                (("forze",), "unknown field 'forze'"),
            ],
        ),
        ({"scope": "temp", "force": 1}, [(("force",), "expected true or false, got 1")]),
        (
            {"scope": "temp", "places": [{"path": "", "depth": True}]},
            [(("places", 0, "depth"), "expected a whole number or null, got true")],
        ),
        ({"scope": "temp", "ages": {"a": "b"}}, [(("ages", "a"), 'expected a number, got "b"')]),
    ],
)
def test_all_that_is_wrong_is_told_with_its_place(value, expected):
    assert problems(value, Cleanup) == expected


def test_a_model_of_pydantic_reads_itself():
    assert read({"days": 3}, Model) == Model(days=3)
    found = problems({"name": 3}, Model)
    assert [place for place, _ in found] == [("days",), ("name",)]


def test_what_a_handler_declares_is_its_second_parameter():
    def typed(ctx: "Unknown", input: Cleanup): ...  # type: ignore[name-defined]  # noqa: A002, F821

    def bare(ctx, given): ...

    def alone(ctx): ...

    def own(ctx, count=3): ...

    def named(ctx, *, count): ...

    class Called:
        def __call__(self, ctx, given: "list[int]"): ...

    functions: list[Callable[..., Any]] = [typed, bare, alone, own, named, Called(), print]
    found = [shape_of(each) for each in functions]
    assert found == [Cleanup, Any, None, None, None, list[int], None]
    assert get_type_hints(Place)["path"] is str


def test_an_annotation_that_no_json_has_is_the_handlers_error():
    def wrong(ctx, given: "set[int]"): ...

    with pytest.raises(TypeError, match="means nothing here"):
        shape_of(wrong)


SOURCE = """
from dataclasses import dataclass

@dataclass
class Shape:
    days: int

def f(ctx, input: Shape): return input.days + 1
async def g(ctx, given): return given
"""


def test_a_handler_gets_its_input_in_its_shape(workshop):
    (workshop.folder / "shaped.py").write_text(SOURCE)
    assert workshop.start(handler="shaped:f", input='{"days":1}').outcome().result == "2"
    assert workshop.start(handler="shaped:g", input="[1]").outcome().result == "[1]"


def test_a_bad_input_fails_for_good_and_never_reaches_the_handler(workshop):
    (workshop.folder / "shaped2.py").write_text(SOURCE)
    ended = workshop.start(handler="shaped2:f", input='{"days":"x"}').outcome()
    assert (ended.ending, ended.permanent) == ("failed", True)
    assert ended.error == 'input.days: expected a whole number, got "x"'


def test_inputs_are_asked_about_without_harm_from_what_imports_do(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "asked.py").write_text(SOURCE)
    (tmp_path / "crashing.py").write_text("import os\nos.abort()\n")
    (tmp_path / "leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "loud.py").write_text(f"print('x' * 200_000)\n{SOURCE}")
    answers = ill_shaped(
        [
            ("crashing:f", "1"),
            ("asked:f", '{"days":"x"}'),
            ("asked:f", '{"days":1}'),
            ("leaving:f", "1"),
            ("nowhere:f", "1"),
            ("not-installed", "1"),
            ("asked:g", "1"),
            ("loud:f", "1"),
        ]
    )
    wrong = [(("days",), 'expected a whole number, got "x"')]
    assert answers == [[], wrong, [], [], [], [], [], [((), "expected an object, got 1")]]


def test_an_import_that_hangs_is_waited_for_no_longer_than_is_bearable(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("synccron.handlers.inputs.PATIENCE", 1)
    (tmp_path / "hanging.py").write_text("import threading\nthreading.Event().wait()\n")
    assert ill_shaped([("hanging:f", "1")]) == [[]]
