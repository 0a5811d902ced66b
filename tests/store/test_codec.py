"""What stores keep as text is read back as it was, or refused in words."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.job import Attempt, Job, Output
from synccron.model.lease import Node
from synccron.model.schedule import Definition, Revision
from synccron.store.codec import decode, encode
from tests.make import definition


@given(st.from_type(Definition) | st.from_type(Revision) | st.from_type(Node) | st.from_type(Job))
def test_a_value_is_read_back_as_it_was(value):
    assert decode(type(value), encode(value)) == value


@given(st.binary(max_size=50), st.booleans())
def test_bytes_survive(tail, truncated):
    output = Output(job_id="j", tail=tail, truncated=truncated)
    assert decode(Output, encode(output)) == output


def test_every_field_is_written_so_that_a_later_default_changes_nothing():
    written = json.loads(encode(definition()))
    assert written["misfire"] == "skip"
    assert written.keys() >= {"timeout", "retry", "labels", "input"}


def test_a_field_that_was_added_since_has_its_default():
    old = json.loads(encode(definition(timeout=5)))
    del old["timeout"]
    assert decode(Definition, json.dumps(old)) == replace(definition(), timeout=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"misfire": "never"}, "never"),
        ({"timeout": "5s"}, "5s"),
        ({"timeout": True}, "true"),
        ({"enabled": 1}, "1 is no bool"),
        ({"retry": []}, "Retry"),
        ({"labels": [1]}, "no object"),
        ({"run": 3}, "none of"),
    ],
)
def test_what_the_model_does_not_know_is_refused_by_name(change, words):
    text = json.dumps({**json.loads(encode(definition())), **change})
    with pytest.raises(StoreDamaged, match=words) as caught:
        decode(Definition, text)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("change", [{"later": 1}, {"retry": {"max_attempts": 1, "later": 1}}])
def test_a_field_that_only_a_later_version_knows_is_refused_as_such(change):
    text = json.dumps({**json.loads(encode(definition())), **change})
    with pytest.raises(StoreNewer, match="has later") as caught:
        decode(Definition, text)
    assert caught.value.hint == "install the newer version here too"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"id": "a"}', "[" * 100_000])
def test_what_is_no_such_value_at_all_is_refused(text):
    with pytest.raises(StoreDamaged):
        decode(Definition, text)


def test_attempts_are_a_list_in_their_order():
    attempts = tuple(Attempt(attempt=n, node="n", fence=n, started_at=0) for n in (1, 2))
    assert decode(tuple[Attempt, ...], encode(attempts)) == attempts
