"""What a definition may say: read from Python values and from texts, all problems at once."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.errors import InvalidInput
from synccron.model.definition import (
    check_handler,
    check_id,
    check_key,
    define,
    json_text,
)
from synccron.model.schedule import Limits, Notify, Retry
from synccron.model.told import fill, places

VALID: dict[str, Any] = {"cron": "30 2 * * *", "run": "true"}


def problems(**fields: Any) -> list[str]:
    made, found = define("job", {**VALID, **fields})
    assert (made is None) == bool(found)
    return [str(each) for each in found]


def test_values_of_python_and_their_texts_are_read_alike() -> None:
    python, none = define(
        "job",
        {**VALID, "timeout": timedelta(minutes=90), "enabled": True, "max_catch_up_runs": 5},
    )
    texts, no = define(
        "job", {**VALID, "timeout": "1h30m", "enabled": "true", "max_catch_up_runs": "5"}
    )
    assert python == texts
    assert none == no == []


def test_all_problems_come_at_once() -> None:
    found = problems(cron="x", tz="Mars", misfire="no", retry={"max_attempts": 0, "dely": 1})
    assert len(found) == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"run": None}, "neither run nor handler"),
        ({"cron": None}, "cron is missing"),
        ({"handler": "m:f"}, "both run and handler"),
        ({"run": None, "handler": "a b"}, "expected the name of an entry point"),
        ({"run": None, "handler": "m:f", "user": "bob"}, "user is for run"),
        ({"run": ["", "x"]}, "expected a program"),
        ({"run": ["x", 3]}, "expected text, got 3"),
        ({"run": "a\0b"}, "NUL"),
        ({"overlap": "skip", "max_running": 2}, "max_running is for overlap: allow"),
        ({"start_within": "soon"}, "is no duration"),
        ({"node_labels": {"a b": "c"}}, "is no name of a label"),
        ({"max_catch_up_runs": 10_001}, "from 1 to 10000"),
        ({"max_catch_up_runs": True}, "whole number"),
        ({"misfire_grace": "500ms"}, "from 1s to 366d"),
        ({"timeout": -1}, "expected a duration"),
        ({"timeout": float("inf")}, "expected a duration"),
        ({"enabled": 1}, "expected true or false"),
        ({"env": {"A B": "x"}}, "no name of a variable"),
        ({"env": {"A": 1}}, "expected text, got 1"),
        ({"env": {"A": "x" * 70_000}}, "at most 65536"),
        ({"cwd": "relative"}, "absolute path"),
        ({"user": "a;b"}, "name of a user"),
        ({"labels": {"-": "x"}}, "no name of a label"),
        ({"input": {1: 2}}, "expected texts as keys"),
        ({"input": float("nan")}, "expected a JSON value"),
        ({"input": "\ud800"}, "surrogate"),
        ({"retry": 3}, "expected a mapping"),
        ({"notify": {"command": "x"}}, "expected a list"),
        ({"notify": [3]}, "notify.0: expected a mapping, as in {on: failure"),
        ({"notify": [{"command": "x"}] * 17}, "at most 16"),
        ({"notify": [{"command": "x", "on": []}]}, "at least one of failure, recovery"),
        ({"notify": [{"command": "x", "webhook": "http://a/"}]}, "both command and webhook"),
        ({"notify": [{"command": "x", "headers": {"A": "b"}}]}, "headers are for webhook"),
        ({"notify": [{"webhook": "http://u:p@a/"}]}, "put it into a header"),
        ({"notify": [{"webhook": "http:///x"}]}, "expected http://... or https://..."),
        ({"notify": [{"webhook": "http://a/ b"}]}, "plain ASCII"),
        ({"notify": [{"webhook": "http://[a/"}]}, "expected a URL"),
        ({"notify": [{"webhook": "${A B}"}]}, "no name of a variable"),
        ({"notify": [{"webhook": "http://a", "headers": {"X": "${SYNCCRON_X}"}}]}, "own"),
        ({"notify": [{"webhook": "http://a", "headers": {"Host": "b"}}]}, "'Host' is synccron's"),
        ({"notify": [{"webhook": "http://a", "headers": {"X": "a\nb"}}]}, "on one line"),
        ({"notify": [{"webhook": "http://a", "headers": {"X": "a" * 9000}}]}, "8192"),
        ({"notify": [{"command": "x", "timeout": "2h"}]}, "from 1s to 1h"),
        ({"notify": [{"command": "x", "tmeout": "2s"}]}, "did you mean 'timeout'"),
        ({"limits": {"memory": "lots"}}, "a size such as 512M or 2G"),
        ({"limits": {"memory": "512"}}, "at least 1M"),
        ({"limits": {"memory": True}}, "a size such as"),
        ({"limits": {"cpu": 0}}, "from 1 to"),
        ({"limits": {"file": 10}}, "did you mean 'files'"),
        ({"limits": 3}, "expected a mapping"),
        ({"limits": {"processes": 9}, "user": "root"}, "root may start any number"),
        ({"command": "x"}, "did you mean 'run'"),
    ],
)
def test_a_problem_says_what_was_expected(fields: dict[str, Any], message: str) -> None:
    found = problems(**fields)
    assert len(found) == 1, found
    assert message in found[0]
    assert "\n" not in found[0]


def test_deep_input_is_refused_without_overflowing() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert "at most 64 levels" in problems(input=deep)[0]


@pytest.mark.parametrize("bad", ["", "-x", "a/b", "../x", "a" * 129, "a b", "ä", "x\n", "a\0"])
def test_ids_that_could_be_mistaken_are_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        check_id(bad)
    assert check_id("a.b_c-1") == "a.b_c-1"


@pytest.mark.parametrize("bad", ["", "a b", "a" * 201, "ä", "a\n", "a'b"])
def test_keys_are_bounded(bad: str) -> None:
    with pytest.raises(InvalidInput):
        check_key(bad)
    assert check_key("deploy:42/a@b+c=d") == "deploy:42/a@b+c=d"


@pytest.mark.parametrize("bad", ["", "run", "a:", ":f", "a:b:c", "a b", "a/b", "1:f"])
def test_handlers_have_a_spelling(bad: str) -> None:
    with pytest.raises(InvalidInput):
        check_handler(bad)
    assert check_handler("package.module:function") == "package.module:function"


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=10,
)


@settings(deadline=None, derandomize=True)
@given(json_values)
def test_canonical_json_gives_the_value_back_and_is_stable(value: Any) -> None:
    text = json_text(value)
    assert json.loads(text) == value
    assert json_text(json.loads(text)) == text
    assert text.isascii()


def test_who_is_told_is_read_with_its_defaults_and_in_one_order_of_occasions() -> None:
    given = [
        {"webhook": "https://a/${TOKEN}", "on": ["missed", "failure", "missed"]},
        {"command": ["page"], "timeout": "1m"},
    ]
    made, found = define("job", {**VALID, "notify": given})
    assert found == []
    assert made is not None
    assert made.notify == (
        Notify(on=("failure", "missed"), webhook="https://a/${TOKEN}"),
        Notify(command=("page",), timeout=60_000),
    )


def test_the_variables_of_a_webhook_are_filled_in_and_nothing_else_is() -> None:
    text = "https://${HOST}/$PATH?x=$${HOST}%20"
    assert places(text) == ("HOST", "HOST")
    assert fill(text, {"HOST": "a"}) == "https://a/$PATH?x=$a%20"
    with pytest.raises(KeyError):
        fill(text, {})


@pytest.mark.parametrize(
    ("given", "size"),
    [
        ("512M", 512 << 20),
        ("1.5g", 3 << 29),
        ("2GiB", 2 << 30),
        ("1048576", 1 << 20),
        (1 << 21,) * 2,
    ],
)
def test_sizes_are_bytes_with_units_of_1024(given: Any, size: int) -> None:
    made, found = define("job", {**VALID, "limits": {"memory": given, "cpu": "60"}})
    assert not found
    assert made is not None
    assert made.limits == Limits(memory=size, cpu=60)


def test_a_retry_may_be_given_as_a_value() -> None:
    made, found = define("job", {**VALID, "retry": Retry(max_attempts=3)})
    assert found == []
    assert made is not None
    assert made.retry.max_attempts == 3


@settings(deadline=None, derandomize=True, max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(["cron", "tz", "run", "handler", "input", "retry", "env", "timeout", "x"]),
        json_values,
        max_size=6,
    )
)
def test_whatever_is_given_is_a_definition_or_its_problems(fields: dict[str, Any]) -> None:
    made, found = define("job", fields)
    assert (made is None) == bool(found)
