"""What a job wrote, on its way to a terminal, a pipe, or JSON."""

import io
import json

import pytest

from synccron.cli.sheet import Gathered, JsonLines, Sheet
from synccron.model.chunk import Chunk

SECOND = 1_795_000_000_000
TIMES = ((0, SECOND), (4, SECOND + 5), (8, SECOND + 1500))
FIRST, SECOND_LINE, THIRD = (
    "2026-11-18T11:06:40.000Z",
    "2026-11-18T11:06:40.005Z",
    "2026-11-18T11:06:41.500Z",
)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[io.TextIOWrapper, Terminal], ids=["pipe", "terminal"])
def stream(request):
    return request.param(io.BytesIO(), encoding="utf-8", newline="\n")


def chunks(*data, at=0, attempt=1, times=TIMES):
    for each in data:
        yield Chunk(job_id="j", attempt=attempt, at=at, data=each, times=times)
        at += len(each)


def written(stream, *given, **options):
    sheet = Sheet(stream, **options)
    for each in given:
        sheet.write(each)
    sheet.close()
    return stream.buffer.getvalue()


def test_a_character_that_comes_in_two_pieces_is_whole(stream):
    euro = "€".encode()
    assert written(stream, *chunks(euro[:1], euro[1:], b"!\n")) == "€!\n".encode()


def test_what_is_no_text_is_escaped_on_a_terminal_and_kept_in_a_pipe(stream):
    bad = b"\xff\x1b[2J\xe2\x82"
    shown = b"\\xff\\x1b[2J\\xe2\\x82" if stream.isatty() else bad
    assert written(stream, *chunks(bad[:3], bad[3:])) == shown


def test_raw_is_byte_for_byte_wherever_it_goes(stream):
    bad = b"\xff\x1b[2J\xe2\x82"
    assert written(stream, *chunks(bad), raw=True) == bad


def test_each_line_has_the_time_at_which_it_began(stream):
    given = chunks(b"one\nt", b"wo\nthree", b" and more\n")
    assert written(stream, *given, timestamps=True).decode().splitlines() == [
        f"{FIRST} one",
        f"{SECOND_LINE} two",
        f"{THIRD} three and more",
    ]


def test_a_line_whose_time_is_not_known_says_so(stream):
    (line,) = written(stream, *chunks(b"x\n", times=()), timestamps=True).decode().splitlines()
    assert line == "-" * 24 + " x"


def test_what_was_left_out_is_told_apart_from_the_output(stream, capsys):
    given = [*chunks(b"a\n"), *chunks(b"b\n", at=100), *chunks(b"c\n", attempt=2)]
    assert written(stream, *given) == b"a\nb\nc\n"
    assert capsys.readouterr().err == "... 98 bytes left out ...\n"


def test_json_lines_have_attempt_and_time():
    stream = io.StringIO()
    sheet = JsonLines(stream, "job:1")
    for each in chunks(b"one\ntwo\n", b"\xe2\x82", b"\xac\xff"):
        sheet.write(each)
    sheet.close()
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"id": "job:1", "attempt": 1, "ts": FIRST, "output": "one\n"},
        {"id": "job:1", "attempt": 1, "ts": SECOND_LINE, "output": "two\n"},
        {"id": "job:1", "attempt": 1, "ts": THIRD, "output": "€\\xff"},
    ]


def test_a_document_has_the_text_whole_and_knows_what_was_left_out():
    sheet = Gathered()
    for each in [*chunks(b"one\n"), *chunks(b"x", at=50)]:
        sheet.write(each)
    sheet.close()
    assert (sheet.text, sheet.size, sheet.left_out) == ("one\nx", 5, True)
    assert [each["ts"] for each in sheet.chunks] == [FIRST, THIRD]
