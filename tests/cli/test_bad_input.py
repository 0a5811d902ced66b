"""The table of bad input in docs/schedule-file.md, row by row: exit status, message, no change."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "schedule-file.md"
ROW = re.compile(r"\| (.+?) \| (\d) \| (.+) \|")
ROWS = [
    match.groups()
    for line in PAGE.read_text().partition("## Bad input")[2].splitlines()
    if (match := ROW.fullmatch(line))
]
SHOWN = [row for row in ROWS if row[1] == "2" and row[0].startswith("`")]
FILES = {
    "an id that is given twice": (
        "schedules:\n  job: {cron: '@daily', run: x}\n  job: {cron: '@daily', run: y}\n"
    ),
    "an input of more than 256 KiB": (
        f"schedules:\n  job: {{cron: '@daily', run: x, input: {'y' * 300_000}}}\n"
    ),
    "a file without `schedules`": "defaults: {tz: UTC}\n",
}


def test_the_table_is_read():
    assert len(SHOWN) >= 18
    assert {row[0] for row in ROWS} >= set(FILES)


@pytest.mark.parametrize(("given", "status", "message"), SHOWN, ids=lambda text: str(text)[:40])
def test_a_field_that_is_wrong_gets_its_message_and_changes_nothing(
    cli, tmp_path, given, status, message
):
    field = given.strip("`")
    name = field.partition(":")[0]
    others = {"cron": 'cron: "@daily"', "run": "run: x"}
    others.pop(name, None)
    lines = "".join(f"    {line}\n" for line in [*others.values(), field])
    check(cli, tmp_path, f"schedules:\n  job:\n{lines}", status, message)


@pytest.mark.parametrize("given", sorted(FILES))
def test_a_file_that_is_wrong_gets_its_message_and_changes_nothing(cli, tmp_path, given):
    status, message = next((row[1], row[2]) for row in ROWS if row[0] == given)
    check(cli, tmp_path, FILES[given], status, message)


def check(cli, tmp_path, text, status, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    cli("register", "kept", "--cron", "@daily", "--", "true")
    answer = cli("register", "-f", str(path))
    assert answer.status == int(status)
    lines = [line for line in answer.err.splitlines() if not line.startswith("hint: ")]
    assert len(lines) == 1, answer.err
    assert re.match(rf"error: {re.escape(str(path))}:\d+:\d+: ", lines[0]), lines
    assert lines[0].endswith(message.strip("`"))
    assert [each["id"] for each in cli("ls", "--json").json] == ["kept"]


def test_a_file_that_is_not_there_is_named(cli, tmp_path):
    answer = cli("register", "-f", str(tmp_path / "none.yaml"))
    assert answer.status == 2
    assert "none.yaml: cannot be read: No such file or directory" in answer.err


def test_all_errors_of_all_files_come_at_once(cli, tmp_path):
    (tmp_path / "a.yaml").write_text("schedules:\n  a: {cron: '@daily', run: x, tz: Mars}\n")
    (tmp_path / "b.yaml").write_text(
        "schedules:\n  b: {cron: '* * *', run: x}\n  c: {cron: '@daily', rum: x}\n"
    )
    answer = cli("register", "-f", str(tmp_path))
    assert answer.status == 2
    assert len([line for line in answer.err.splitlines() if line.startswith("error: ")]) == 4
    details = cli("register", "-f", str(tmp_path), "--json").error["details"]
    assert [list(each) for each in details] == [["file", "line", "column", "message"]] * 4
    assert [(Path(each["file"]).name, each["line"]) for each in details] == [
        ("a.yaml", 2),
        ("b.yaml", 2),
        ("b.yaml", 3),
        ("b.yaml", 3),
    ]
