"""Whose a schedule is, and what happens to those that a file does not have any more."""

import pytest

from synccron.client import Client, Schedule
from synccron.errors import Refused
from synccron.events import Event


def made(name: str, owner: str | None = None, cron: str = "@daily") -> Schedule:
    return Schedule(id=name, cron=cron, run="true", owner=owner)


def ids(client: Client) -> list[str]:
    return [each.id for each in client.list()]


def test_what_another_owner_has_is_refused_and_nothing_is_written(client: Client) -> None:
    client.register(made("a", "web"), made("b"))
    with pytest.raises(Refused, match="the schedule a is web's") as caught:
        client.register(made("new", "ops"), made("a", "ops", "@hourly"))
    assert "--take-over" in (caught.value.hint or "")
    with pytest.raises(Refused):
        client.register(made("a", None, "@hourly"))
    assert ids(client) == ["a", "b"]
    assert client.get("a").cron == "@daily"


def test_all_owners_are_looked_at_before_the_first_piece_is_written(client: Client) -> None:
    client.register(made("z", "web"))
    many = [made(f"m{n}", "ops") for n in range(501)]
    with pytest.raises(Refused):
        client.register(*many, made("z", "ops"))
    assert ids(client) == ["z"]


def test_what_nobody_owns_is_taken_by_who_says_so(client: Client) -> None:
    client.register(made("a"))
    assert client.register(made("a", "web")).updated == ["a"]
    assert client.get("a").owner == "web"


def test_it_is_taken_over_where_that_is_said(client: Client) -> None:
    client.register(made("a", "web"))
    assert client.register(made("a", "ops"), take_over=True).updated == ["a"]
    assert client.get("a").owner == "ops"


def test_pruning_removes_the_same_owners_schedules_and_no_others(
    client: Client, told: list[Event]
) -> None:
    client.register(made("kept", "web"), made("stray", "web"), made("nobodys"), made("ops", "ops"))
    done = client.register(made("kept", "web"), prune={"web"})
    assert (done.unchanged, done.pruned) == (["kept"], ["stray"])
    assert ids(client) == ["kept", "nobodys", "ops"]
    assert [
        each.fields["schedule_id"] for each in told if each.event == "schedule_unregistered"
    ] == ["stray"]


def test_a_comparison_tells_what_registering_then_does(client: Client) -> None:
    client.register(made("same", "web"), made("stray", "web"), made("changed", "web"))
    wanted = [made("same", "web"), made("changed", "web", "@hourly"), made("new", "web")]
    before = {each.id: each.version for each in client.list()}
    found = {each.id: each.what for each in client.compare(*wanted, prune={"web"})}
    assert {each.id: each.version for each in client.list()} == before
    done = client.register(*wanted, prune={"web"})
    assert found == {"same": "unchanged", "changed": "updated", "new": "created", "stray": "pruned"}
    assert done.to_json() == {
        "created": ["new"],
        "updated": ["changed"],
        "unchanged": ["same"],
        "pruned": ["stray"],
    }


def test_a_comparison_refuses_what_registering_refuses(client: Client) -> None:
    client.register(made("a", "web"))
    with pytest.raises(Refused):
        list(client.compare(made("a", "ops")))
    assert [each.what for each in client.compare(made("a", "ops"), take_over=True)] == ["updated"]
