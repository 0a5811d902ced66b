"""Python handlers as attempts."""

import pytest

from synccron.handlers.resolve import findable, offers


def test_a_handler_gets_its_job_and_gives_a_result(workshop):
    ended = workshop.end_of_handler(
        "def f(ctx):\n"
        "    ctx.log.info('slot %s', ctx.slot.isoformat())\n"
        "    print('in', ctx.input, ctx.attempt, ctx.schedule_id)\n"
        "    return {'fence': ctx.fence}\n"
    )
    assert (ended.ending, ended.error) == ("completed", None)
    assert ended.result is not None
    assert ended.result.startswith('{"fence":')
    assert b"INFO slot 2026-01-01T00:00:00+00:00\n" in ended.tail
    assert b"in {'a': 1} 1 backup\n" in ended.tail


def test_an_async_handler_is_awaited(workshop):
    ended = workshop.end_of_handler(
        "import asyncio\nasync def f(ctx):\n    await asyncio.sleep(0)\n    return 1\n"
    )
    assert ended.result == "1"


def test_an_exception_is_a_failure_with_the_end_of_its_traceback(workshop):
    ended = workshop.end_of_handler("def f(ctx):\n    raise ValueError('x' * 9000)\n")
    assert (ended.ending, ended.exit_code, ended.permanent) == ("failed", 1, False)
    assert ended.error is not None
    assert len(ended.error) <= 4096
    assert ended.error.endswith("xxx")
    assert b"Traceback (most recent call last)" in ended.tail


@pytest.mark.parametrize(
    ("source", "code", "error"),
    [
        ("import os\ndef f(ctx): os._exit(0)", 0, "ended before the handler returned"),
        ("import os\ndef f(ctx): os._exit(7)", 7, "exit status 7"),
        ("import ctypes\ndef f(ctx): ctypes.string_at(0)", 139, "killed by SIGSEGV"),
        ("import sys\ndef f(ctx): sys.exit(3)", 3, "exit status 3"),
        ("import sys\ndef f(ctx): sys.exit('no')", 1, "no"),
        ("def f(ctx): return object()", 1, "the result is no JSON value"),
        ("def f(ctx): return 'x' * 70000", 1, "at most 65536 are kept"),
        ("def f(): pass", 1, "takes 0 positional arguments"),
    ],
)
def test_an_end_that_is_none_is_told_apart(workshop, source, code, error):
    ended = workshop.end_of_handler(source)
    assert (ended.ending, ended.exit_code) == ("failed", code)
    assert error in (ended.error or "")


def test_leaving_with_zero_completes(workshop):
    assert workshop.end_of_handler("import sys\ndef f(ctx): sys.exit()").ending == "completed"


@pytest.mark.parametrize(
    "source", ["import nothing_there", "def g(ctx): pass", "1 / 0", "f = 3", "def f(:"]
)
def test_what_cannot_be_imported_fails_for_good_and_harms_nobody_else(workshop, source):
    ended = workshop.end_of_handler(source)
    assert (ended.ending, ended.permanent) == ("failed", True)
    assert "cannot be imported" in (ended.error or "")
    assert workshop.end_of_handler("def f(ctx): return 1").result == "1"


def test_an_entry_point_that_is_not_installed_is_named(workshop):
    ended = workshop.start(handler="nowhere").outcome()
    assert ended.error == "there is no entry point 'nowhere' on this node"


def test_children_keep_the_nodes_path_and_nothing_of_each_other(workshop):
    source = (
        "import sys\ncount = 0\n"
        "def f(ctx):\n    global count\n    count += 1\n    return [count, sys.path[0]]\n"
    )
    first = workshop.end_of_handler(source)
    assert first.result == f'[1,"{workshop.folder}"]'
    assert workshop.end_of_handler(source).result == first.result


def test_standard_input_has_the_input_too(workshop):
    assert workshop.end_of_handler("def f(ctx): return input()").result == '"{\\"a\\":1}"'


def test_a_step_that_was_completed_is_not_done_again(workshop):
    kept: dict[str, str] = {"before": '"kept"'}

    def remember(key: str, value: str) -> str:
        return kept.setdefault(key, value)

    source = "def f(ctx): return [ctx.step('before', lambda: 1 / 0), ctx.step('new', lambda: 2)]"
    ended = workshop.end_of_handler(source, steps=dict(kept), remember=remember)
    assert (ended.result, kept["new"]) == ('["kept",2]', "2")


def test_a_step_of_a_job_that_another_has_by_now_ends_the_attempt(workshop):
    ended = workshop.end_of_handler(
        "def f(ctx):\n    ctx.step('a', lambda: 1)\n    return 'never'",
        remember=lambda _key, _value: None,
    )
    assert ended.ending == "failed"
    assert "taken up by another attempt" in (ended.error or "")


def test_a_handler_that_never_asks_is_interrupted_and_cleans_up(workshop):
    ended = workshop.end_of_handler(
        "import time\n"
        "def f(ctx):\n"
        "    try:\n        time.sleep(600)\n"
        "    except Exception:\n        print('swallowed')\n"
        "    finally:\n        print('cleaned', flush=True)\n",
        timeout=500,
        kill_after=20_000,
    )
    assert (ended.ending, ended.tail) == ("timed_out", b"cleaned\n")


def test_a_handler_that_asks_ends_by_itself(workshop):
    ended = workshop.end_of_handler(
        "import time\n"
        "def f(ctx):\n"
        "    while not ctx.cancelled:\n        time.sleep(0.01)\n"
        "    print('saw it')\n",
        timeout=500,
        kill_after=20_000,
    )
    assert (ended.ending, ended.tail) == ("timed_out", b"saw it\n")


def test_nothing_is_imported_to_know_what_is_offered(tmp_path, monkeypatch):
    package = tmp_path / "loud"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "inner.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    needed = frozenset({"loud.inner:f", "loud:f", "loud.none:f", "silent:f", "run", "a-name"})
    assert offers(needed) >= {"run", "loud.inner:f", "loud:f"}
    assert not offers(needed) & {"loud.none:f", "silent:f"}
    assert findable("json:dumps")
    assert findable("sys:exit")
    assert not findable("os.path.nothing:f")
