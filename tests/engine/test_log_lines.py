"""One event is one line, whatever is in it: nobody can forge a line or act on a terminal."""

import json

import pytest

from synccron.events import Event, json_line, text_line

EVIL = 'x"\n2026-11-23T22:00:00Z error job_lost job_id=y\r\x1b[2J\x9b\u202e\u2028\udcff=\\ \x00'


def event(**fields) -> Event:
    return Event(ts=1_767_225_600_000, level="warning", event="tick_error", fields=fields)


def test_a_line_of_json_is_one_line_of_plain_text_and_gives_back_what_was_put_in():
    line = json_line(event(error=EVIL, deep={"a": [EVIL]}, number=3, nothing=None))
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert list(read)[:3] == ["ts", "level", "event"]
    assert read["ts"] == "2026-01-01T00:00:00Z"
    assert read["error"] == EVIL
    assert read["deep"] == {"a": [EVIL]}
    assert read["nothing"] is None


@pytest.mark.parametrize("value", [EVIL, {"a": EVIL}, [EVIL], "", "a b", "a=b"])
def test_a_line_of_text_is_one_line_with_its_words_told_apart(value):
    line = text_line(event(error=value, next="y"))
    assert line.isascii()
    assert line.isprintable()
    assert line.startswith("2026-01-01T00:00:00Z warning tick_error error=")
    assert line.endswith(" next=y")
