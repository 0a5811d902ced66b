"""What is written of a definition says the same definition again, whatever fields there are."""

from hypothesis import given, settings

from synccron.model.definition import FIELDS, define
from synccron.model.schedule import Definition
from synccron.model.written import written
from tests.definitions import definitions
from tests.make import definition


@settings(deadline=None, derandomize=True)
@given(definitions())
def test_a_definition_that_is_written_and_read_again_is_the_same(made: Definition) -> None:
    again, problems = define(made.id, written(made))
    assert problems == []
    assert again == made


def test_defaults_are_not_written() -> None:
    assert written(definition(cron="@daily", run="true")) == {"cron": "@daily", "run": "true"}


def test_durations_are_written_as_people_do() -> None:
    made, _ = define(
        "a",
        {
            "cron": "@daily",
            "run": ["x", "y"],
            "timeout": "90m",
            "retry": {"max_attempts": 3, "delay": "10s"},
            "input": {"a": [1, None]},
        },
    )
    assert made is not None
    assert written(made) == {
        "cron": "@daily",
        "run": ["x", "y"],
        "timeout": "1h30m",
        "retry": {"max_attempts": 3, "delay": "10s"},
        "input": {"a": [1, None]},
    }


def test_each_field_is_one_of_the_definition() -> None:
    assert all(hasattr(definition(), name) for name in FIELDS)
