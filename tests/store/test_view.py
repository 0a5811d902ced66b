"""What etcd holds under `watched/`, in memory: a value that is none holds up no other."""

import json
from typing import Any

import pytest

from synccron.store.etcd.layout import Layout, Pair, job_text
from synccron.store.etcd.view import View
from tests.make import job

ROOT = "x"
SOUND: dict[str, Any] = json.loads(job_text(job()))


WRONG: tuple[Any, ...] = (None, {}, [], "x", 1.5, -1)


def spoilt() -> list[bytes]:
    lacking = [{name: SOUND[name] for name in SOUND if name != gone} for gone in SOUND]
    wrong = [{**SOUND, name: value} for name in SOUND for value in WRONG]
    texts = [json.dumps(each).encode() for each in (*lacking, *wrong)]
    return [*texts, b"", b"{", b"[]", b"null", b"\xff", b'{"a":' * 5000]


@pytest.mark.parametrize("kind", ["due", "run", "sched", "cursor", "node", "history", "cancel"])
def test_a_value_that_is_none_is_passed_over_and_may_come_again(kind: str) -> None:
    layout = Layout(ROOT)
    view = View(layout, 0)
    key = layout.watched(kind, "job", "1", "job:1")
    for mark, value in enumerate(spoilt(), start=1):
        view.set(Pair(key, value, 1, mark))
        view.waits()
        view.needs()
    view.remove(key)
    assert view.waits() == []
    assert not view.running
