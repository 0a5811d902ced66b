"""Shell commands as attempts: what they get, how they end, and that nothing is left of them."""

import os
import signal
import threading
from pathlib import Path

import pytest

from synccron.clock import SystemClock
from synccron.handlers import kernel
from synccron.handlers.log import HEAD, RING, LogReader
from synccron.model.job import Outcome

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may run as others")


def test_a_command_gets_its_input_on_stdin_and_in_a_file_that_is_gone_afterwards(workshop):
    ended = workshop.end_of(
        'cat; echo; cat "$SYNCCRON_INPUT_FILE"; echo; echo "$SYNCCRON_INPUT_FILE"'
    )
    assert ended.ending == "completed"
    first, second, path = ended.tail.decode().splitlines()
    assert first == second == '{"a":1}'
    assert not Path(path).exists()


def test_a_large_input_arrives_whole_though_nobody_reads_it(workshop):
    large = '"' + "x" * 250_000 + '"'
    assert workshop.end_of("true", input=large).ending == "completed"
    assert workshop.end_of("wc -c", input=large).tail.split() == [b"250002"]


def test_the_environment_is_an_allow_list_and_holds_no_credentials(workshop):
    told = dict(
        line.split("=", 1)
        for line in workshop.end_of(("env",), env={"MINE": "1"}).tail.decode().splitlines()
    )
    assert told["SYNCCRON_SLOT"] == "2026-01-01T00:00:00Z"
    assert told["SYNCCRON_ATTEMPT"] == "1"
    assert told["SYNCCRON_FENCE"].isdigit()
    assert (told["MINE"], told["PASSED"], told["MORE_OF_IT"]) == ("1", "yes", "too")
    allowed = {"PATH", "HOME", "USER", "LANG", "TZ", "MINE", "PASSED", "MORE_OF_IT"}
    assert {n for n in told if not n.startswith(("SYNCCRON_", "LC_"))} <= allowed
    assert not [name for name in told if "ETCD" in name or "STORE" in name]


def test_credentials_are_not_in_the_guardians_environment_either(workshop):
    assert "canary" not in workshop.end_of("cat /proc/$PPID/environ").tail.decode()


@pytest.mark.parametrize(
    "text", ["$(touch X)", "`touch X`", "; touch X", "a\nb", "{{x}} %s", "'\""]
)
def test_arguments_and_input_are_never_interpreted(workshop, text):
    ended = workshop.end_of(("printf", "%s", text), cwd=str(workshop.folder))
    assert ended.tail.decode() == text
    assert not (workshop.folder / "X").exists()


@pytest.mark.parametrize(
    ("run", "code", "error"),
    [
        ("exit 0", 0, None),
        ("exit 3", 3, "exit status 3"),
        ("kill -SEGV $$", 139, "killed by SIGSEGV"),
        ("kill -KILL $$", 137, "killed by SIGKILL"),
    ],
)
def test_an_end_is_told_exactly(workshop, run, code, error):
    ended = workshop.end_of(run)
    assert (ended.exit_code, ended.error) == (code, error)
    assert ended.ending == ("completed" if code == 0 else "failed")
    assert not ended.permanent


def test_what_cannot_start_says_why_and_is_permanent(workshop, tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program")
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    for run, fields, code, error in (
        (("/no/such",), {}, 127, "no such command: '/no/such'"),
        (("no-such-command",), {}, 127, "no such command: 'no-such-command'"),
        ((str(plain),), {}, 126, f"not executable: {str(plain)!r}"),
        ((str(script),), {}, 127, f"its interpreter is missing: {str(script)!r}"),
        ("true", {"cwd": "/no/such"}, 127, "cwd '/no/such': No such file or directory"),
        ("true", {"user": "no-such-user"}, 127, "unknown user 'no-such-user'"),
    ):
        ended = workshop.end_of(run, **fields)
        assert (ended.ending, ended.exit_code, ended.error) == ("failed", code, error)
        assert ended.permanent


@needs_root
def test_a_user_runs_with_that_users_rights_alone(workshop):
    workshop.folder.chmod(0o755)
    ended = workshop.end_of(
        'id -un; id -Gn; echo "$HOME $USER"; cat "$SYNCCRON_INPUT_FILE"; echo;'
        " grep NoNew /proc/self/status",
        user="nobody",
    )
    assert ended.ending == "completed", ended
    name, groups, home, given, privileges = ended.tail.decode().splitlines()
    assert (name, groups, given) == ("nobody", "nogroup", '{"a":1}')
    assert home.endswith(" nobody")
    assert privileges.split() == ["NoNewPrivs:", "1"]


def test_no_descriptor_but_the_standard_ones_is_handed_down(workshop):
    assert workshop.end_of("ls /proc/self/fd").tail.split() == [b"0", b"1", b"2", b"3"]


def test_a_timeout_ends_with_term_and_what_ignores_it_with_kill(workshop):
    polite = workshop.end_of("trap 'echo bye; exit 0' TERM; sleep 60 & wait", timeout=200)
    assert (polite.ending, polite.tail) == ("timed_out", b"bye\n")
    deaf = workshop.end_of("trap '' TERM; sleep 60", timeout=100)
    assert (deaf.ending, deaf.exit_code) == ("timed_out", 137)


def test_the_first_reason_to_stop_stays(workshop, until):
    started = workshop.start(run="echo up; sleep 60")
    until(lambda: any(workshop.folder.glob("*.log")))
    started.stop("cancelled")
    started.stop("given_back")
    assert started.outcome().ending == "cancelled"


def test_what_ended_by_itself_keeps_its_own_ending(workshop):
    started = workshop.start(run="exit 4")
    ended = started.outcome()
    started.stop("cancelled")
    assert (ended.ending, ended.exit_code) == ("failed", 4)


@pytest.mark.parametrize(
    "leave",
    [
        "sleep 600 & echo $!",
        "setsid sleep 600 & echo $!",
        "(setsid sh -c 'echo $$; exec sleep 600' &)",
        "(setsid sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 600\" &' &)",
        "trap '' TERM HUP; nohup sleep 600 & echo $!",
    ],
)
def test_no_process_of_an_attempt_outlives_it(workshop, alive, until, leave):
    pids = workshop.folder / "pids"
    ended = workshop.end_of(f"{{ {leave}; }} > {pids}; until [ -s {pids} ]; do :; done; echo done")
    assert (ended.ending, ended.tail) == ("completed", b"done\n")
    pid = int(pids.read_text())
    until(lambda: not alive(pid))


def test_a_grandchild_that_holds_the_pipe_open_does_not_hold_up_the_end(workshop):
    ended = workshop.end_of("setsid sleep 600 & exit 5")
    assert ended.exit_code == 5


def test_output_is_kept_in_order_and_its_end_only(workshop):
    ended = workshop.end_of("echo one; echo two >&2; echo three")
    assert ended.tail == b"one\ntwo\nthree\n"
    assert not ended.truncated
    long = workshop.end_of("seq 100000")
    assert len(long.tail) == 16 * 1024
    assert long.tail.endswith(b"\n99999\n100000\n")
    assert long.truncated


def test_a_flood_is_bounded_on_disk_and_keeps_its_head_and_its_tail(workshop):
    invocation = workshop.invocation(
        run="head -c 40000000 /dev/zero | tr '\\0' 'x'; echo; echo the end"
    )
    done = threading.Event()
    workshop.handlers.start(invocation, lambda _: done.set())
    assert done.wait(50)
    assert Path(invocation.log).stat().st_size == HEAD + RING
    pieces = list(LogReader(Path(invocation.log)).read())
    assert pieces[0][1].startswith(b"x" * 1000)
    assert pieces[-1][1].endswith(b"x\nthe end\n")
    assert pieces[-1][0] + len(pieces[-1][1]) == 40_000_000 + len("\nthe end\n")
    assert sum(len(piece) for _, piece in pieces) == HEAD + RING


def test_output_has_the_time_at_which_it_came(workshop):
    began = SystemClock().now()
    invocation = workshop.invocation(run="echo one; read line < /dev/stdin; echo two")
    done = threading.Event()
    workshop.handlers.start(invocation, lambda _: done.set())
    assert done.wait(50)
    times = LogReader(Path(invocation.log)).times()
    assert times[0][0] == 0
    assert began <= times[0][1] <= SystemClock().now()


def test_binary_output_is_kept_as_it_is_and_logs_are_private(workshop):
    previous = os.umask(0)
    try:
        invocation = workshop.invocation(run=r"printf '\000\377\033[2J'")
        done = threading.Event()
        workshop.handlers.start(invocation, lambda _: done.set())
        assert done.wait(50)
    finally:
        os.umask(previous)
    assert Path(invocation.log).read_bytes() == b"\x00\xff\x1b[2J"
    assert Path(invocation.log).stat().st_mode & 0o777 == 0o600


def test_no_log_is_made_of_nothing_and_none_is_written_through_a_link(workshop, tmp_path):
    workshop.end_of("true", log=str(tmp_path / "none.log"))
    assert not (tmp_path / "none.log").exists()
    canary = tmp_path / "canary"
    canary.write_text("unchanged")
    (tmp_path / "link.log").symlink_to(canary)
    ended = workshop.end_of("echo bad", log=str(tmp_path / "link.log"))
    assert (ended.ending, ended.tail) == ("completed", b"bad\n")
    assert canary.read_text() == "unchanged"


def test_a_closed_stdout_and_a_deleted_folder_are_the_handlers_own(workshop, tmp_path):
    assert workshop.end_of("exec >&- 2>&-; exit 3").exit_code == 3
    (tmp_path / "doomed").mkdir()
    ended = workshop.end_of("rmdir ../doomed; exit 0", cwd=str(tmp_path / "doomed"))
    assert ended.ending == "completed"


def guardians():
    """The guardians among the children of this process: other tests have children, too."""
    return [
        pid for pid in kernel.children() if b".heir" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def test_hundreds_of_attempts_leave_descriptors_and_processes_as_they_were(workshop):
    workshop.end_of("true")  # by then the guardian is one: a process begins under another name
    (guardian,) = guardians()
    before = len(list(Path(f"/proc/{guardian}/fd").iterdir()))
    started = [workshop.start(run=("true",)) for _ in range(300)]
    assert {each.outcome().ending for each in started} == {"completed"}
    assert len(list(Path(f"/proc/{guardian}/fd").iterdir())) == before
    assert guardians() == [guardian]


@pytest.mark.parametrize("killed", ["heir", "guardian"])
def test_a_guardian_or_heir_that_is_killed_takes_its_attempts_with_it_and_is_replaced(
    workshop, alive, until, killed
):
    pids = workshop.folder / "pids"
    started = workshop.start(
        run=f"(env -i setsid sleep 600 & echo $!) > {pids}; echo $$ >> {pids}; sleep 600"
    )
    until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    (heir,) = guardians()
    below = Path(f"/proc/{heir}/task/{heir}/children").read_text()
    os.kill(heir if killed == "heir" else int(below), signal.SIGKILL)
    assert (started.outcome().ending, started.outcome().error) == ("lost", "its guardian died")
    for pid in map(int, pids.read_text().split()):
        until(lambda pid=pid: not alive(pid))
    assert workshop.end_of("echo again").tail == b"again\n"


@pytest.mark.parametrize("killed", [(0,), (1,), (0, 1)])
def test_what_attempts_were_given_goes_with_their_guardian_however_it_ends(workshop, until, killed):
    given = workshop.folder / "given"
    started = workshop.start(run=f"echo $SYNCCRON_INPUT_FILE > {given}; exec sleep 600")
    until(lambda: given.exists() and given.read_text().strip() != "")
    folder = Path(given.read_text().strip()).parent
    assert f".{os.getpid()}." in folder.name
    (heir,) = guardians()
    pids = [heir, int(Path(f"/proc/{heir}/task/{heir}/children").read_text())]
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for each in killed:
            os.kill(pids[each], number)
    assert started.outcome().ending == "lost"
    until(lambda: not folder.exists())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_guardian_that_nobody_can_hear_any_more_is_replaced(workshop, until):
    left = workshop.start(run="sleep 600")

    def fails(_: Outcome) -> None:
        raise LookupError

    workshop.handlers.start(workshop.invocation(run="true"), fails)
    assert (left.outcome().ending, left.outcome().error) == ("lost", "its guardian died")
    assert workshop.end_of("echo again").tail == b"again\n"
    until(lambda: len(guardians()) == 1)


def test_what_hides_its_origin_goes_with_the_attempts_that_ran_when_it_was_left(
    workshop, alive, until
):
    pids = workshop.folder / "pids"
    hide = (
        f"env -i setsid sh -c 'echo $$ > {pids}; exec sleep 600' & until [ -s {pids} ]; do :; done"
    )
    assert workshop.end_of(f"{{ {hide}; }} >&- 2>&-").ending == "completed"
    later = workshop.start(run="sleep 600")
    pid = int(pids.read_text())
    until(lambda: not alive(pid))
    later.stop("cancelled")
    assert later.outcome().ending == "cancelled"


def test_closing_ends_what_runs_and_gives_it_back(workshop, alive, until):
    pids = workshop.folder / "pids"
    started = workshop.start(run=f"echo $$ > {pids}; trap '' TERM; sleep 600")
    until(lambda: pids.exists() and pids.read_text() != "")
    workshop.handlers.close()
    assert started.outcome().ending == "given_back"
    assert not alive(int(pids.read_text()))


def test_what_must_stop_does_not_begin_where_its_claim_cannot_be_relied_on(workshop):
    begun = workshop.folder / "begun"
    workshop.handlers.rely(0, 0)
    ended = workshop.end_of(f"touch {begun}", stops=True)
    assert (ended.ending, ended.exit_code, begun.exists()) == ("lost", None, False)
    assert workshop.end_of("true", stops=False).ending == "completed"
    workshop.handlers.rely(1 << 60, 1 << 60)
    assert workshop.end_of("true", stops=True).ending == "completed"


def test_claims_that_stand_anew_save_nothing_that_ran_under_the_old_ones(workshop):
    started = workshop.start(run="sleep 600", stops=True)
    workshop.handlers.rely(0, 0)
    workshop.handlers.rely(1 << 60, 1 << 60)
    assert started.outcome().ending == "lost"


def test_a_stop_that_comes_before_the_child_is_set_up_is_not_lost(workshop):
    started = [workshop.start(run=("sleep", "600"), kill_after=3_600_000) for _ in range(50)]
    for each in started:
        each.stop("cancelled")
    assert {each.outcome().ending for each in started} == {"cancelled"}


def test_signals_are_as_a_program_expects_them(workshop):
    ended = workshop.end_of("grep -E 'Sig(Blk|Ign)' /proc/self/status")
    masks = [int(line.split()[1], 16) for line in ended.tail.decode().splitlines()]
    assert [mask & 0x7FFF_FFFF for mask in masks] == [0, 0]  # beyond are the C library's own
