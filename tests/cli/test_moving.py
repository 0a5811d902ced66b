"""Schedules on their way between files and stores: owners, dry runs, diff, export."""

import pytest

OWNED = """\
owner: web-team
schedules:
  backup: {cron: "30 2 * * *", tz: Europe/Berlin, run: ["/bin/backup", "--all"]}
  report: {cron: "0 6 * * MON", run: report, input: {"to": ["a", 1, null]}}
"""
FEWER = OWNED.replace("30 2", "45 3").split("  report")[0]


@pytest.fixture
def file(tmp_path):
    def write(text, name="jobs.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


def names(cli):
    return [each["id"] for each in cli("ls", "--json").json]


def test_a_files_owner_is_that_of_its_schedules(cli, file):
    text = OWNED + "  other: {cron: '@daily', run: x, owner: ops}\n"
    assert cli("register", "-f", file(text)).status == 0
    owners = {each["id"]: each["owner"] for each in cli("ls", "--json").json}
    assert owners == {"backup": "web-team", "report": "web-team", "other": "ops"}


def test_prune_removes_what_the_owner_has_no_more_and_says_so(cli, file):
    cli("register", "-f", file(OWNED))
    cli("register", "mine", "--cron", "@daily", "--", "true")
    told = cli("register", "-f", file(FEWER), "--prune")
    assert (told.status, told.out) == (
        0,
        "updated backup\npruned report\n0 created, 1 updated, 0 unchanged, 1 pruned\n",
    )
    assert names(cli) == ["backup", "mine"]


def test_a_file_without_schedules_prunes_all_of_its_owner(cli, file):
    cli("register", "-f", file(OWNED))
    told = cli("register", "-f", file("owner: web-team\nschedules: {}\n"), "--prune", "--json")
    assert told.json["pruned"] == ["backup", "report"]
    assert names(cli) == []


@pytest.mark.parametrize(
    "text",
    ["schedules: {}\n", "schedules:\n  a: {cron: '@daily', run: x}\n"],
    ids=["empty", "unowned"],
)
@pytest.mark.parametrize("command", ["register", "diff"])
def test_prune_without_an_owner_is_refused(cli, file, command, text):
    cli("register", "-f", file(OWNED))
    told = cli(command, "-f", file(text, "other.yaml"), "--prune")
    assert told.status == 2
    assert told.err.startswith("error: --prune needs an owner")
    assert names(cli) == ["backup", "report"]


def test_prune_is_for_files(cli):
    told = cli("register", "a", "--cron", "@daily", "--prune", "--", "true")
    assert (told.status, told.err.splitlines()[0]) == (2, "error: --prune is for files")


def test_what_another_owner_has_is_refused_unless_it_is_taken_over(cli, file):
    cli("register", "-f", file(OWNED))
    other = file(OWNED.replace("web-team", "ops"), "other.yaml")
    told = cli("register", "-f", other)
    assert told.status == 1
    assert told.err.splitlines()[:2] == [
        "error: the schedule backup is web-team's",
        "error: the schedule report is web-team's",
    ]
    assert cli("diff", "-f", other).status == 1
    assert cli("register", "-f", other, "--take-over").status == 0
    assert cli("ls", "--json").json[0]["owner"] == "ops"


def test_a_dry_run_says_what_would_be_done_and_does_nothing(cli, file, store):
    path = file(OWNED)
    first = cli("register", "-f", path, "--dry-run", "--json")
    assert first.json["created"] == ["backup", "report"]
    assert first.err == "nothing was changed\n"
    assert not store.exists()
    cli("register", "-f", path)
    told = cli("register", "-f", file(FEWER), "--dry-run", "--prune", "--json")
    assert told.json == {
        "created": [],
        "updated": ["backup"],
        "unchanged": [],
        "pruned": ["report"],
    }
    assert cli("diff", "-f", file(OWNED)).status == 0


def test_diff_tells_fields_and_runs_and_exits_with_1(cli, file):
    cli("register", "-f", file(OWNED))
    told = cli("diff", "-f", file(FEWER), "--prune")
    assert told.status == 1
    lines = told.out.splitlines()
    assert lines[:2] == ["updated backup", '  cron: "30 2 * * *" -> "45 3 * * *"']
    assert lines[2].startswith("  runs next: ")
    assert lines[3].startswith("  from then: ")
    assert "pruned report" in lines
    assert lines[-1] == "0 created, 1 updated, 0 unchanged, 1 pruned"


def test_diff_in_json_has_the_slots_before_and_after(cli, file):
    cli("register", "-f", file(OWNED))
    told = cli("diff", "-f", file(FEWER), "--json")
    assert (told.status, told.json["updated"], told.json["unchanged"]) == (1, ["backup"], [])
    (change,) = told.json["changes"]
    assert change["fields"] == {"cron": ["30 2 * * *", "45 3 * * *"]}
    assert len(change["next_before"]) == len(change["next_after"]) == 3
    assert list(change) == ["id", "what", "fields", "next_before", "next_after", "effects"]


def test_diff_of_what_stands_so_says_so_and_exits_with_0(cli, file):
    cli("register", "-f", file(OWNED))
    told = cli("diff", "-f", file(OWNED))
    assert (told.status, told.out) == (0, "0 created, 0 updated, 2 unchanged\n")


def test_diff_without_a_store_makes_none(cli, file, store):
    assert cli("diff", "-f", file(OWNED)).status == 4
    assert not store.exists()


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["yaml", "json"])
def test_what_is_exported_is_registered_as_unchanged(cli, file, form):
    cli("register", "-f", file(OWNED))
    cli("register", "mine", "--cron", "H * * * *", "--env", "A=no", "--", "sh", "-c", "a\nb")
    cli("pause", "mine")
    text = cli("export", *form).out
    told = cli("register", "-f", "-", "--json", stdin=text)
    assert told.json["unchanged"] == ["backup", "mine", "report"]
    assert told.json["created"] == told.json["updated"] == []


def test_a_store_without_schedules_is_exported_as_a_valid_file(cli, file):
    cli("register", "-f", file("schedules: {}\n"))
    assert cli("register", "-f", "-", stdin=cli("export").out).status == 0


def test_owners_of_other_kinds_are_refused_by_name(cli, file):
    told = cli("validate", file("owner: a b\nschedules: {}\n"))
    assert told.status == 2
    assert told.err.startswith(f"error: {file('', 'x.yaml')[:-6]}jobs.yaml:1:8: owner: expected")
