import io

import pytest

from synccron.cli.paper import (
    Paper,
    paper_for,
    relative,
    visible,
    visible_text,
    write_text,
)
from synccron.model.time import to_datetime

NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain-name.2", "plain-name.2"),
        ("Grüße 日本 🎉", "Grüße 日本 🎉"),
        ("\x1b]52;c;evil\x07", "\\x1b]52;c;evil\\x07"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\u2066b\u200fc", "a\\u2066b\\u200fc"),
        ("one\rtwo", "one\\rtwo"),
        ("one\ntwo\tthree", "one\\ntwo\\tthree"),
        ("line\u2028break\x85", "line\\u2028break\\x85"),
        ("lone \udcff", "lone \\udcff"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\x00\x7f", "\\x00\\x7f"),
    ],
)
def test_a_name_cannot_act_on_a_terminal_nor_forge_a_line(text, shown):
    assert visible(text) == shown


def test_output_keeps_lines_and_tabs_and_shows_everything_else_as_it_came():
    output = "ok\tfine\n\x1b]52;c;x\x07\r\x9b \u202e end\n"
    assert visible_text(output) == ("ok\tfine\n\\x1b]52;c;x\\x07\\r\\x9b \\u202e end\n")


def test_a_pipe_gets_the_output_byte_for_byte():
    pipe = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    write_text(pipe, b"\x1b[2J\xff\r\n")
    assert pipe.buffer.getvalue() == b"\x1b[2J\xff\r\n"


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "now"),
        (999, "now"),
        (4_000, "in 4s"),
        (59_400, "in 59s"),
        (59_700, "in 1m"),
        (239_700, "in 4m"),
        (-7_200_000, "2h ago"),
        (47 * 3_600_000, "in 47h"),
        (-72 * 3_600_000, "3d ago"),
    ],
)
def test_a_distance_is_told_in_its_largest_unit(ms, told):
    assert relative(NOW + ms, NOW) == told


def test_a_pipe_gets_absolute_times_and_a_terminal_relative_ones():
    moment = to_datetime(NOW + 240_000)
    assert Paper(now=NOW).when(moment) == "2026-11-18T11:10:40Z"
    assert Paper(now=NOW, width=80).when(moment) == "in 4m"
    assert Paper(now=NOW).when(None) == "-"


def test_columns_are_aligned_and_whole_in_a_pipe():
    lines = Paper(now=NOW).columns(
        ("ID", "STATE", "ERROR"), [("a", "ok", "x" * 300), ("bcd", "late", "-")]
    )
    assert list(lines) == ["ID   STATE  ERROR", "a    ok     " + "x" * 300, "bcd  late   -"]


def test_on_a_terminal_the_last_column_yields_and_names_stay_whole():
    paper = Paper(now=NOW, width=30)
    lines = list(paper.columns(("ID", "ERROR"), [("a-long-name", "y" * 50)]))
    assert lines[1] == "a-long-name  " + "y" * 16 + "…"


def test_colour_only_repeats_what_a_word_says():
    paper = Paper(now=NOW, width=80, coloured=True)
    (_, line) = paper.columns(("ID", "STATE"), [("a", "failed")])
    assert line == "a   \x1b[31mfailed\x1b[0m"


class Screen(io.StringIO):
    def isatty(self):
        return True

    def fileno(self):
        raise OSError("no file")


@pytest.mark.parametrize(
    ("variables", "colour", "coloured"),
    [
        ({}, True, True),
        ({"NO_COLOR": ""}, True, True),  # the convention: empty is not set
        ({"NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({}, False, False),
    ],
)
def test_colour_is_for_terminals_that_can_and_people_who_want_it(
    monkeypatch, variables, colour, coloured
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert paper_for(Screen(), NOW, colour=colour).coloured is coloured
    assert paper_for(io.StringIO(), NOW, colour=colour).coloured is False
