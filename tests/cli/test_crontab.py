"""A crontab becomes the same jobs: when, what, as whom, in which surroundings; the rest is said."""

import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from synccron.cli.crontab import Imported, divided, translate
from synccron.cli.files import read_files

HOMES = {"root": "/root", "alice": "/home/alice"}


def home(user: str | None) -> str | None:
    return HOMES.get(user or "")


def imported(text: str, *, system: bool = False, user: str | None = "alice") -> Imported:
    return translate(
        text, zone="Europe/Berlin", system=system, user=None if system else user, home=home
    )


def only(text: str, **how) -> dict[str, Any]:
    done = imported(text, **how)
    assert not [each for each in done.said if each.left_out]
    (entry,) = done.entries
    return dict(entry.fields)


def left_out(text: str, **how) -> str:
    done = imported(text, **how)
    assert done.entries == []
    (said,) = done.said
    assert said.left_out
    return said.message


def test_a_line_has_its_time_command_user_and_home():
    assert only("*/5  1-3\t* * mon-fri  /usr/bin/backup --all  # not a comment") == {
        "cron": "*/5 1-3 * * mon-fri",
        "run": "/usr/bin/backup --all  # not a comment",
        "cwd": "/home/alice",
        "user": "alice",
    }


def test_a_line_of_a_system_crontab_has_its_own_user():
    fields = only("17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly", system=True)
    assert (fields["user"], fields["cwd"]) == ("root", "/root")
    assert fields["run"] == "cd / && run-parts --report /etc/cron.hourly"


def test_a_user_of_another_host_has_no_home_here():
    assert "cwd" not in only("* * * * * bob true", system=True)


def test_settings_hold_for_the_lines_below_them():
    text = (
        "* * * * * first\n"
        "PATH = /opt/bin:/bin \n"
        "GREETING=' two  blanks '\n"
        '"ODD"="x = y"\n'
        "HOME=/srv\n"
        "CRON_TZ=America/New_York\n"
        "SHELL=/bin/bash\n"
        "* * * * * second\n"
    )
    first, second = (each.fields for each in imported(text).entries)
    assert set(first) == {"cron", "run", "cwd", "user"}
    assert second["env"] == {
        "PATH": "/opt/bin:/bin", "GREETING": " two  blanks ", "ODD": "x = y", "HOME": "/srv",
    }  # fmt: skip
    assert (second["tz"], second["cwd"]) == ("America/New_York", "/srv")
    assert second["run"] == ["/bin/bash", "-c", "second"]


def test_a_command_that_sets_a_variable_is_no_setting():
    assert only("* * * * * A=1 B=2 run")["run"] == "A=1 B=2 run"


def test_mailto_becomes_a_notice_of_failures_and_is_explained():
    done = imported('MAILTO=ops@example.com\n0 3 * * * backup\nMAILTO=""\n0 4 * * * other\n')
    first, second = done.entries
    assert first.fields["notify"] == [
        {"on": ["failure"], "command": ["mail", "-s", "backup: failed", "ops@example.com"]}
    ]
    assert "notify" not in second.fields
    (said,) = done.said
    assert (said.line, said.left_out) == (1, False)
    assert "ops@example.com is told of failures" in said.message


@pytest.mark.parametrize("macro", ["@daily", "@hourly", "@weekly", "@monthly", "@yearly"])
def test_macros_are_kept(macro):
    assert only(f"{macro} true")["cron"] == macro


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("@reboot /bin/x", "systemd unit"),
        ("* * * *", "expected five fields and a command"),
        ("* * * * *", "expected five fields and a command"),
        ("61 * * * * x", "cron: minute '61'"),
        ("0 0 30 2 * x", "never fires"),
        ("* * * * * %only input", "no command"),
        ("what is this", "expected five fields"),
        ("1BAD=x", "no name that a variable"),
        ("SYNCCRON_FENCE=1", "no name that a variable"),
        ("@fortnightly x", "cron: "),
    ],
)
def test_what_a_schedule_cannot_say_is_left_out_with_the_reason(line, message):
    assert message in left_out(line)


def test_a_system_line_without_a_command_is_left_out():
    assert "no command after the user" in left_out("* * * * * root", system=True)


def test_bad_lines_leave_the_others_alone_and_are_told_by_number():
    done = imported("@reboot a\n\n* * * * * b\n99 * * * * c\n* * * * * d\n")
    assert [each.id for each in done.entries] == ["b", "d"]
    assert [(each.line, each.left_out) for each in done.said] == [(1, True), (4, True)]


def test_names_tell_what_runs_and_stay_when_other_lines_are_added():
    lines = [
        "0 1 * * * /usr/local/bin/backup.sh --all >/dev/null 2>&1",
        "0 2 * * * cd /srv && nice ./report",
        "0 3 * * * /usr/local/bin/backup.sh --all",
        "0 4 * * * [ -x /usr/sbin/rotate ] && /usr/sbin/rotate",
        "0 5 * * * $HOME/x",
        "0 6 * * * 'é'",
    ]
    names = [each.id for each in imported("\n".join(lines)).entries]
    assert names[:2] == ["backup.sh-all", "srv-report"]
    assert names[2].startswith("backup.sh-all-")
    assert len(set(names)) == 6
    more = ["0 0 * * * new", *lines[:3], "0 7 * * * other", *lines[3:]]
    assert set(names) < {each.id for each in imported("\n".join(more)).entries}


def test_names_of_lines_that_run_nearly_the_same_tell_more():
    lines = "".join(
        f"{n} 6 * * * test -x /usr/sbin/anacron || run-parts --report /etc/cron.{name}\n"
        for n, name in enumerate(("daily", "weekly", "monthly"))
    )
    assert [each.id for each in imported(lines).entries] == [
        "anacron-run-parts-report",
        "anacron-run-parts-report-cron.weekly",
        "anacron-run-parts-report-cron.monthly",
    ]


def test_the_same_line_twice_is_two_schedules():
    names = [each.id for each in imported("* * * * * a\n* * * * * a\n* * * * * a\n").entries]
    assert len(set(names)) == 3


def test_comments_stay_above_their_line_and_others_above_all():
    done = imported("# The head\n# of it all\n\n# why\n#*/5 * * * * old\n0 1 * * * a\n# the end\n")
    assert done.comments == ["The head", "of it all", "the end"]
    assert done.entries[0].comments == ("why", "*/5 * * * * old")


def cron(line: str) -> tuple[str, str]:
    """What cron makes of a command line: as its manual says it, character by character."""
    command, given, rest = "", "", iter(line)
    for char in rest:
        if char == "%":
            break
        if char == "\\":
            following = next(rest, "")
            command += following if following and following in "%\\" else char + following
        else:
            command += char
    else:
        return command, ""
    held = ""
    for char in rest:
        if char == "%":
            given += char if held else "\n"
            held = ""
        else:
            given += held
            held = char if char == "\\" else ""
            given += "" if held else char
    given += held
    return command, given + ("\n" if given and not given.endswith("\n") else "")


@given(st.text(alphabet="ab%\\ '\"\n"[:-1], max_size=14))
def test_percents_are_read_as_cron_does(line):
    command, told = divided(line)
    assert (command, told or "") == cron(line)


TRICKY = [
    "cat%one%two",
    "cat % spaced %% twice ",
    r"cat%100\%%a\b\\c",
    r"echo \%Y \\n 'a\%b' \x",
    "cat%",
    "cat%END%$HOME `x` $(y)",
    "cat; cat%a",
    'read a; echo "got $a"%it\'s "quoted"',
    "printf '[%s]' \"\\%\"; cat%last",
    "tr a-z A-Z | cat%piped",
    "echo it\\'s; wc -l%1%2%3",
    "cat <<'X'%ignored",
]


@pytest.mark.parametrize("line", TRICKY)
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash", "/usr/bin/env"], ids=["sh", "bash", "x"])
def test_tricky_lines_print_what_they_print_under_cron(line, shell):
    """`/usr/bin/env -c` fails for both: it stands for a shell that is none of Bourne's."""
    command, fed = cron(line)
    expected = subprocess.run(
        [shell, "-c", command], input=fed.encode(), capture_output=True, check=False
    )
    run = only(f"SHELL={shell}\n* * * * * {line}")["run"]
    words = ["/bin/sh", "-c", run] if isinstance(run, str) else run
    got = subprocess.run(words, input=b"null\n", capture_output=True, check=False)
    if fed or "cat" not in command:
        assert (got.stdout, got.returncode) == (expected.stdout, expected.returncode)


CRONTAB = """\
# m h dom mon dow command
MAILTO=ops@example.com
PATH=/usr/local/bin:/usr/bin:/bin

# nightly
30 2 * * *   /usr/local/bin/backup --all
@reboot      /usr/local/bin/warm-up
*/10 * * * * date +\\%F%
CRON_TZ=America/New_York
0 9 * * 1-5  mail -s hi me%Dear all,%%so long%
"""


def test_the_command_prints_a_file_that_register_takes(cli, tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    path = tmp_path / "crontab"
    path.write_text(CRONTAB)
    told = cli("import-crontab", str(path))
    assert told.status == 1
    mail, reboot = told.err.splitlines()
    assert mail.startswith(
        f"{path}:2: MAILTO: output is kept with each job; ops@example.com is told"
    )
    assert reboot.startswith(f"{path}:7: left out: @reboot has no instant")
    assert "  # nightly\n  backup-all:\n" in told.out
    assert cli("register", "-f", "-", stdin=told.out).status == 0
    found = {each["id"]: each for each in cli("ls", "--json").json}
    assert found["backup-all"]["tz"] == "Europe/Berlin"
    assert found["mail-hi-me"]["tz"] == "America/New_York"
    assert found["date-F"]["run"] == "exec </dev/null\ndate +%F"
    assert found["mail-hi-me"]["run"].splitlines()[:2] == ["exec <<'END'", "Dear all,"]
    assert cli("register", "-f", "-", "--json", stdin=told.out).json["unchanged"] == sorted(found)


def test_the_command_gives_json_that_register_takes_too(cli):
    told = cli("import-crontab", "-", "--json", "--tz", "UTC", stdin="* * * * * a\n")
    assert told.json["schedules"]["a"]["run"] == "a"
    assert cli("register", "-f", "-", stdin=told.out).status == 0


def test_a_folder_of_system_crontabs_is_one_file_of_those_that_cron_reads(cli, tmp_path):
    for name, text in {
        "b": "* * * * * root run\n",
        "a": "A=1\n0 1 * * * root run\n@reboot root no\n",
        "c.dpkg-old": "* * * * * root old\n",
    }.items():
        (tmp_path / name).write_text(text)
    told = cli("import-crontab", str(tmp_path), "--system", "--tz", "UTC", "--json")
    first, second = told.json["schedules"].items()
    assert (first[0], first[1]["env"]) == ("run", {"A": "1"})
    assert second[0].startswith("run-")
    assert "env" not in second[1]
    assert told.err.startswith(f"{tmp_path}/a:3: left out")
    assert cli("import-crontab", str(tmp_path), "--tz", "UTC").status == 2


def test_a_crontab_without_jobs_is_a_file_without_schedules(cli):
    told = cli("import-crontab", "-", "--tz", "UTC", stdin="# nothing\n")
    assert told.status == 0
    assert yaml.safe_load(told.out)["schedules"] == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("import-crontab", "/no/such"), "cannot be read"),
        (("import-crontab", "-", "--system", "--user", "x"), "exclude each other"),
    ],
)
def test_bad_usage_is_said_in_a_line(cli, words, message):
    told = cli(*words)
    assert told.status == 2
    assert message in told.err.splitlines()[0]


@given(st.text(alphabet="*0159/,-@=%\\ \t'\"#abcMAILTO_\n", max_size=60))
def test_whatever_it_is_fed_it_makes_a_valid_file(text):
    import io

    from synccron.cli.text import HEAD, NOTHING, schedule_text

    done = imported(text)
    body = "".join(schedule_text(each.id, each.fields, each.comments) for each in done.entries)
    read = read_files(["-"], io.BytesIO((HEAD + body if body else NOTHING).encode()))
    assert [each.id for each in read] == [each.id for each in done.entries]


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x85", "\r", "\0", "\x1b[2J", "\ufeff"])
def test_a_comment_of_a_crontab_stays_one(cli, mark):
    evil = f"# harmless{mark}  evil: {{cron: '@daily', run: 'rm -rf /'}}\n0 5 * * * /bin/true\n"
    told = cli("import-crontab", "-", "--tz", "UTC", stdin=evil)
    assert told.status == 0
    assert cli("register", "-f", "-", "--json", stdin=told.out).json["created"] == ["true"]
