import pytest

from synccron import __version__


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["lz"], "there is no command 'lz'", "did you mean 'ls'?"),
        (["ls", "--jsn"], "no such option: --jsn", "did you mean --json?"),
        (["--store", "x", "ls"], "no such option: --store", "options stand after the command"),
        (["run", "--http", "here"], "--http: 'here' is no address", "write :9180"),
        (["frobnicate", "x"], "there is no command 'frobnicate'", "'synccron --help'"),
        (["show"], "missing argument 'ID'", "'synccron show --help'"),
        (["show", "a", "b"], "got unexpected extra argument", "'synccron show --help'"),
        (["jobs", "-n", "0"], "invalid value for '-n' / '--limit'", "'synccron jobs --help'"),
        (["jobs", "--state", "sleeping"], "'sleeping' is no state of a job", "one of scheduled"),
        (["jobs", "--since", "yesterday"], "--since: 'yesterday' is no instant", None),
        (["dlq"], "missing command", "'synccron dlq --help'"),
        (["dlq", "lst"], "no such command 'lst'", "did you mean 'ls'?"),
        (["dlq", "purge"], "this removes every dead letter", "dlq purge --yes"),
        (["dlq", "retry"], "give the ids of dead letters, or --all", None),
        (["dlq", "retry", "x", "--all"], "give the ids of dead letters, or --all", None),
        (["register"], "nothing to register", "register -f FILE"),
        (["register", "-f", "a.yaml", "b.yaml"], "-f and 'b.yaml' exclude", "its own -f"),
        (["register", "x", "--", "true"], "'x' needs --cron", None),
        (["register", "x", "--cron", "@daily"], "'x' has nothing to run", "after --"),
        (
            ["register", "x", "--cron", "@daily", "--handler", "h", "--", "true"],
            "a command and --handler exclude each other",
            None,
        ),
        (
            ["register", "x", "--cron", "@daily", "--input", "{a", "--", "true"],
            "--input: ",
            "it must be JSON",
        ),
        (
            ["register", "x", "--cron", "@daily", "--label", "web", "--", "true"],
            "--label: 'web' is no pair: write key=value",
            None,
        ),
        (["trigger", "x", "--wait-timeout", "soon"], "--wait-timeout: 'soon' is no duration", None),
        (["ls", "--store-timeout", "x"], "--store-timeout: 'x' is no duration", None),
        (["completion", "tcsh"], "there is no completion for 'tcsh'", "bash, zsh, fish"),
        (["run", "--log", "xml"], "--log: 'xml' is neither text nor json", None),
    ],
)
def test_bad_usage_ends_with_2_and_one_line_that_says_what_to_do(cli, words, error, hint):
    answer = cli(*words)
    assert answer.status == 2
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert lines[0].startswith(f"error: {error}")
    if hint is not None:
        assert lines[1].startswith("hint: ")
        assert hint in lines[1]
    assert len(lines) <= 2


def test_with_json_bad_usage_is_a_document_on_stderr(cli):
    answer = cli("ls", "--jsn", "--json")
    assert answer.status == 2
    assert answer.out == ""
    assert answer.error == {
        "code": "usage",
        "message": "no such option: --jsn",
        "hint": "did you mean --json?",
        "details": [],
    }


def test_an_option_after_the_double_dash_is_the_commands_own(cli):
    answer = cli("register", "x", "--", "echo", "--json")
    assert answer.err.startswith("error: 'x' needs --cron")


def test_the_version_is_told_on_stdout(cli):
    assert cli("--version").out == f"synccron {__version__}\n"


def test_help_is_told_on_stdout_also_when_nothing_is_asked(cli):
    assert cli().out == cli("--help").out == cli("-h").out
    assert "  ls " in cli().out
    assert "  rm " not in cli().out  # the alias is hidden


@pytest.mark.parametrize("words", [("ls",), ("logs",), ("jobs", "--schedule")])
def test_an_argument_that_is_no_text_is_refused(cli, words):
    cli("register", "x", "--cron", "@daily", "--", "true")
    answer = cli(*words, "\udcff")
    assert (answer.status, answer.err) == (2, "error: the argument '\\udcff' is not UTF-8\n")


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (("backup",), "written"),
        (("restore",), "read"),
        (("import-crontab",), "read"),
        (("register", "-f"), "read"),
        (("diff", "-f"), "read"),
    ],
)
def test_a_file_whose_name_is_too_long_is_named(cli, words, done):
    cli("register", "x", "--cron", "@daily", "--", "true")
    answer = cli(*words, "x" * 5000)
    assert answer.status == 2
    assert answer.err.startswith(f"error: {'x' * 5000}")
    assert f"cannot be {done}: File name too long" in answer.err


def test_a_name_in_an_error_cannot_act_on_the_terminal(cli):
    answer = cli("ls\x1b[2J\n\u202e")
    assert answer.err.startswith("error: there is no command 'ls\\x1b[2J\\n\\u202e'\n")
