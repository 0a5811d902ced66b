"""Schedule files: what YAML may say, where errors stand, and that nothing breaks the reader."""

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synccron.cli import stream
from synccron.cli.example import EXAMPLE
from synccron.cli.files import read_files, warnings
from synccron.cli.schema import schema
from synccron.errors import InvalidInput
from synccron.model.definition import DEFAULTS, FIELDS, RETRY_FIELDS
from synccron.model.schedule import Definition, Notify, Retry


def read(text: str | bytes) -> list[Definition]:
    content = text.encode() if isinstance(text, str) else text
    with read_files(["-"], io.BytesIO(content)) as spool:
        return list(spool)


def errors(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidInput) as refused:
        read(text)
    return str(refused.value).splitlines()


def one(fields: str) -> Definition:
    (definition,) = read(f"schedules:\n  job:\n    cron: '@daily'\n    run: x\n{fields}")
    return definition


def test_the_example_is_valid_and_warns_of_nothing_but_its_missing_timeout():
    definitions = read(EXAMPLE)
    assert [each.id for each in definitions] == ["backup", "cleanup-hourly", "invoices"]
    assert [text.partition(":")[0] for text in warnings(definitions)] == ["invoices"]


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.yaml")), ids=str)
def test_the_examples_are_valid(path):
    with read_files([str(path)]) as spool:
        assert len(spool)


def test_scalars_stay_text_and_the_field_says_how_they_are_read():
    made = one(
        "    timeout: 90\n    max_catch_up_runs: '7'\n    enabled: false\n"
        "    labels: {a: no, b: 012}\n    tz: null\n"
    )
    assert (made.timeout, made.max_catch_up_runs, made.enabled) == (90_000, 7, False)
    assert made.labels == {"a": "no", "b": "012"}
    assert made.tz == "UTC"


def test_below_input_plain_scalars_have_the_types_of_json():
    made = one("    input: {a: yes, b: 012, c: 1.5e3, d: [true, null, '1'], e: 12:30, f: }\n")
    assert json.loads(made.input) == {
        "a": "yes",
        "b": "012",
        "c": 1500.0,
        "d": [True, None, "1"],
        "e": "12:30",
        "f": None,
    }


def test_defaults_are_for_all_and_a_schedule_may_have_its_own():
    text = """
defaults: {tz: Europe/Berlin, run: x, retry: {max_attempts: 3}}
schedules:
  a: {cron: "@daily"}
  b: {cron: "@daily", tz: UTC, handler: "m:f"}
"""
    a, b = read(text)
    assert (a.tz, a.run, a.retry.max_attempts) == ("Europe/Berlin", "x", 3)
    assert (b.tz, b.run, b.handler) == ("UTC", None, "m:f")


def test_a_wrong_default_is_told_once_and_where_it_stands():
    each = '{cron: "@daily", run: x}'
    text = f"defaults:\n  tz: Mars\nschedules:\n  a: {each}\n  b: {each}\n"
    (error,) = errors(text)
    assert error.startswith("<stdin>:2:7: tz: unknown time zone 'Mars'")


def test_files_folders_and_standard_input_are_read_together(tmp_path):
    (tmp_path / "b.yaml").write_text('schedules: {b: {cron: "@daily", run: x}}')
    (tmp_path / "a.yml").write_text('schedules: {a: {cron: "@daily", run: x}}')
    (tmp_path / "ignored.txt").write_text("no: yaml: at: all")
    stdin = io.BytesIO(b'schedules: {c: {cron: "@daily", run: x}}')
    with read_files([str(tmp_path), "-"], stdin) as spool:
        assert [each.id for each in spool] == ["a", "b", "c"]


def test_an_id_in_two_files_is_refused_with_both_places(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text('schedules:\n  job: {cron: "@daily", run: x}\n')
    with pytest.raises(InvalidInput, match=r"b.yaml:2:3: the schedule 'job' stands at .*a.yaml:2"):
        read_files([str(tmp_path)])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "empty"),
        ("# nothing\n", "empty"),
        ("[]", "expected a mapping"),
        ("schedules: []", "expected a mapping of ids"),
        ("schedules: {a: 1}", "expected the fields"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("schedules:\n  a: &x {cron: '@daily', run: x}\n", "anchor &x"),
        ("schedules:\n  a:\n    <<: {run: x}\n    cron: '@daily'\n", "merge key"),
        ("schedules:\n\ta: 1\n", "a tab"),
        ("schedules:\n  a: b: c\n", "a colon here"),
        ("schedules:\n  a:\n    cron: @daily\n", "begins with @"),
        ("a: " + "[" * 100 + "]" * 100, "deeper than 80"),
        ("schedules: {'../x': {cron: '@daily', run: x}}", "expected 1 to 128"),
        (b"\xff\xfe", "no UTF-8"),
        ("owner: [me]\nschedules: {}", "owner: expected text"),
        ("schedule: {}", "did you mean 'schedules'"),
    ],
)
def test_what_yaml_allows_and_we_do_not_is_explained(text, error):
    assert any(error in line for line in errors(text)), errors(text)


def test_a_bomb_of_aliases_is_refused_before_anything_is_built():
    bomb = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(50))
    assert "anchor &a" in errors(bomb)[0]


def test_a_byte_order_mark_is_no_error():
    assert read(b"\xef\xbb\xbfschedules: {a: {cron: '@daily', run: x}}")


def test_two_thousand_schedules_are_read():
    text = "schedules:\n" + "".join(
        f"  job-{n}: {{cron: '{n % 60} 3 * * *', run: [x, '{n}']}}\n" for n in range(2000)
    )
    assert len(read(text)) == 2000


def test_schedules_are_checked_while_the_file_is_still_read():
    text = "schedules:\n" + "".join(
        f"  job-{n}: {{cron: '@daily', run: [x, '{n}']}}\n" for n in range(20_000)
    )
    source, places = io.BytesIO(text.encode()), []
    with read_files(["-"], source, lambda _: places.append(source.tell())) as spool:
        assert len(spool) == len(places) == 20_000
    assert places[0] < len(text) / 10
    assert places[10_000] < len(text) * 0.6


def test_what_comes_by_a_pipe_is_read_like_a_file():
    reading, writing = os.pipe()
    os.write(writing, b'schedules: {a: {cron: "@daily"}}\ndefaults: {run: x}\n')
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe, read_files(["-"], pipe) as spool:
        assert [each.run for each in spool] == ["x"]


def test_defaults_that_stand_last_are_for_all_and_told_once():
    text = """schedules: {a: {cron: "@daily"}, b: {cron: "@daily", run: y, tz: UTC}}
defaults: {run: x, tz: Mars}
"""
    (error,) = errors(text)
    assert error.startswith("<stdin>:2:24: tz: unknown time zone 'Mars'")
    a, b = read(text.replace("Mars", "Europe/Berlin"))
    assert (a.run, a.tz, b.run, b.tz) == ("x", "Europe/Berlin", "y", "UTC")


def test_an_id_that_is_given_twice_in_a_file_is_told_with_the_first_place():
    (error,) = errors("schedules:\n  a: {cron: '@daily', run: x}\n  a: {cron: nonsense}\n")
    assert error == "<stdin>:3:3: 'a' is given twice, first in line 2"


def test_of_endless_errors_the_first_thousand_are_told():
    wrong = "".join(f"  a{n}: {{cron: x, run: x}}\n" for n in range(1200))
    told = errors(f"schedules:\n{wrong}")
    assert len(told) == 1001
    assert told[-1].endswith("and more: the first 1000 errors are shown")


def test_a_schedule_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(stream, "LARGEST_NODE", 100_000)
    run = ", ".join(f"'{n}'" for n in range(30_000))
    (error,) = errors(f"schedules:\n  a: {{cron: '@daily', run: [{run}]}}\n")
    assert "larger than 100000 characters" in error
    (error,) = errors(f"schedules:\n  a: {{cron: '@daily', run: {'x' * 400_000}}}\n")
    assert "a value larger than 100000 bytes" in error


@settings(deadline=None, derandomize=True, max_examples=300)
@given(
    st.binary(max_size=60)
    | st.text(max_size=80)
    | st.text(alphabet="schedul:{}[]&*!\n -'\"@%#<>|cronru=\t,", max_size=120).map(
        lambda text: f"schedules:\n  a: {text}"
    )
)
def test_whatever_comes_is_read_or_refused(content):
    try:
        read(content)
    except InvalidInput as refused:
        assert refused.details  # noqa: PT017 - either way is right, another error is not


def test_the_schema_has_every_field_and_its_default():
    made = schema()["$defs"]["fields"]["properties"]
    assert list(made) == list(FIELDS)
    texts = {"env", "labels", "node_labels"}
    assert set(FIELDS) - {"cron"} == set(DEFAULTS) | {"retry", "limits"} | texts
    assert set(RETRY_FIELDS) == set(Retry.__slots__)
    assert made["misfire"]["enum"] == ["skip", "catch_up_one", "catch_up_all"]
    assert made["enabled"]["default"] is True


def test_the_page_of_the_schedule_file_has_every_field():
    page = Path("docs/schedule-file.md").read_text()
    for name in FIELDS:
        assert f"| `{name}` |" in page


def test_an_error_in_a_list_names_the_place_of_its_element():
    (line,) = errors(
        "schedules:\n  job:\n    cron: '@daily'\n    run: x\n    notify:\n"
        "      - command: y\n      - webhook: nowhere\n        on: failure\n"
    )
    assert line.startswith("<stdin>:7:18: notify.1.webhook: expected http://")


def test_who_is_told_comes_from_the_defaults_unless_a_schedule_says_otherwise():
    text = (
        "defaults:\n  notify: [{on: failure, command: page}]\n"
        "schedules:\n  a: {cron: '@daily', run: x}\n  b: {cron: '@daily', run: x, notify: []}\n"
        "  c: {cron: '@daily', run: x, notify: [{webhook: 'https://chat.example/'}]}\n"
    )
    a, b, c = read(text)
    assert a.notify == (Notify(on=("failure",), command="page"),)
    assert b.notify == ()
    assert c.notify == (Notify(webhook="https://chat.example/"),)
