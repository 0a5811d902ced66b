"""What has a bound: up to it all is well, and one more is refused by name; nothing is changed."""

import json
from typing import Any

import pytest

from synccron.client import Client, Schedule
from synccron.errors import InvalidInput


def nested(levels: int) -> Any:
    return json.loads("[" * levels + "]" * levels)


def many(count: int) -> dict[str, str]:
    return {f"k{n}": "" for n in range(count)}


FIELDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("id", {"id": "a" * 128}, {"id": "a" * 129}),
    (
        "cron",
        {"cron": ",".join(["0"] * 508) + " * * * *"},  # 1023 characters
        {"cron": ",".join(["0"] * 509) + "0 * * * *"},
    ),
    ("input", {"input": "x" * (256 * 1024 - 2)}, {"input": "x" * (256 * 1024 - 1)}),
    ("input", {"input": nested(63)}, {"input": nested(65)}),
    ("env", {"env": {"A": "x" * (64 * 1024 - 3)}}, {"env": {"A": "x" * (64 * 1024 - 2)}}),
    ("labels", {"labels": many(64)}, {"labels": many(65)}),
    ("labels", {"labels": {"k": "x" * 255}}, {"labels": {"k": "x" * 256}}),
    ("owner", {"owner": "a" * 128}, {"owner": "a" * 129}),
    ("max_catch_up_runs", {"max_catch_up_runs": 10_000}, {"max_catch_up_runs": 10_001}),
    ("max_dispatch_failures", {"max_dispatch_failures": 100}, {"max_dispatch_failures": 101}),
    ("timeout", {"timeout": "366d"}, {"timeout": "366d1s"}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "most", "more"), FIELDS)
def test_a_field_has_its_bound(
    client: Client, field: str, most: dict[str, Any], more: dict[str, Any]
) -> None:
    whole: dict[str, Any] = {"id": "a", "cron": "@daily", "run": "true"}
    client.register(Schedule(**{**whole, **most}))
    before = [each.version for each in client.list()]
    with pytest.raises(InvalidInput) as caught:
        client.register(Schedule(**{**whole, **more}))
    assert field in caught.value.message or "expression" in caught.value.message
    assert [each.version for each in client.list()] == before


def test_keys_and_inputs_of_a_trigger_have_theirs(client: Client) -> None:
    client.register(Schedule(id="a", cron="@daily", run="true"))
    client.trigger("a", key="k" * 200)
    client.trigger("a", key="i", input="x" * (256 * 1024 - 2))
    with pytest.raises(InvalidInput, match="200"):
        client.trigger("a", key="k" * 201)
    with pytest.raises(InvalidInput, match="262144"):
        client.trigger("a", key="j", input="x" * (256 * 1024 - 1))
    assert len(client.jobs()) == 2
