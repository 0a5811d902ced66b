"""Inputs that a handler refuses are refused where they are written, and nothing is changed."""

import json

import pytest

from synccron.client import Client, Schedule
from synccron.errors import InvalidInput

SHAPED = """
from dataclasses import dataclass

@dataclass
class Place:
    path: str
    days: int = 7

@dataclass
class Cleanup:
    places: list[Place]

def clean(ctx, input: Cleanup): pass
"""
FILE = """\
schedules:
  good:
    cron: "@daily"
    handler: shaped_jobs:clean
    input: {places: [{path: /tmp, days: 3}]}
  bad:
    cron: "@daily"
    handler: shaped_jobs:clean
    input:
      places:
        - path: /tmp
        - {path: /var, days: soon}
        - days: 1
  none:
    cron: "@daily"
    handler: shaped_jobs:clean
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shaped_jobs.py").write_text(SHAPED)
    path = tmp_path / "jobs.yaml"
    path.write_text(FILE)
    return path


@pytest.mark.parametrize("command", [("register", "-f"), ("validate",)])
def test_a_file_is_refused_with_the_place_of_each(cli, file, command):
    refused = cli(*command, str(file))
    assert refused.status == 2
    assert refused.err.splitlines() == [
        f'error: {file}:12:30: input.places.1.days: expected a whole number, got "soon"',
        f"error: {file}:13:11: input.places.2: path is missing",
        f"error: {file}:14:3: input: expected an object, got null",
    ]
    assert cli("ls").status == 4


def test_one_schedule_is_refused_too(cli, file):
    assert file.exists()
    words = ("register", "x", "--cron", "@daily", "--handler", "shaped_jobs:clean")
    refused = cli(*words, "--input", json.dumps({"places": [{"path": 1}]}))
    assert refused.status == 2
    assert "input.places.0.path: expected text, got 1" in refused.err
    assert cli(*words, "--input", json.dumps({"places": []})).status == 0


def test_a_client_refuses_it_too(store, file):
    assert file.exists()
    with Client(str(store), create=True) as client:
        wrong = Schedule(id="x", cron="@daily", handler="shaped_jobs:clean", input=3)
        with pytest.raises(InvalidInput, match="x: input: expected an object, got 3"):
            client.register(wrong)
        assert not list(client.list())
