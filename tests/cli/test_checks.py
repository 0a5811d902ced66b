"""Commands that need no store, and how what nobody expected is told."""

import json

from synccron.cli import checks


def test_the_example_is_valid_and_its_warnings_go_to_stderr(cli, tmp_path):
    path = tmp_path / "jobs.yaml"
    path.write_text(cli("example").out)
    answer = cli("validate", str(path))
    assert answer.status == 0
    assert answer.out.startswith("ok: ")
    assert all(line.startswith("warning: ") for line in answer.err.splitlines())
    told = cli("validate", str(path), "--json").json
    assert told["schedules"]
    assert [f"warning: {one}" for one in told["warnings"]] == answer.err.splitlines()


def test_validate_tells_all_errors_of_all_files_and_needs_no_store(cli, tmp_path, store):
    for name in ("a", "b"):
        path = tmp_path / f"{name}.yaml"
        path.write_text('schedules:\n  x:\n    cron: "@daily"\n    timezone: UTC\n')
    answer = cli("validate", str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml"))
    assert answer.status == 2
    assert answer.out == ""
    for name in ("a", "b"):
        assert f"error: {tmp_path}/{name}.yaml:4:5: unknown field 'timezone'" in answer.err
    assert not store.exists()


def test_the_schema_is_json(cli):
    assert json.loads(cli("schema").out)["type"] == "object"


def test_a_defect_is_one_line_with_a_hint_and_a_traceback_only_with_debug(cli, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("it\nbroke")

    monkeypatch.setattr(checks, "print", broken, raising=False)
    answer = cli("example")
    assert answer.status == 1
    assert answer.err.splitlines()[0] == "error: internal: RuntimeError: it broke"
    assert "--debug" in answer.err.splitlines()[1]
    assert "Traceback" not in answer.err
    assert "Traceback" in cli("example", "--debug").err


def test_debug_shows_where_an_error_came_from_and_keeps_its_status(cli):
    answer = cli("ls", "--debug")
    assert answer.status == 4
    assert "Traceback" in answer.err
    assert "error: " in answer.err
