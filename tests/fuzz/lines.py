"""Command lines: every command and option, with values that are right, almost right, or nonsense."""

from pathlib import Path

from hypothesis import strategies as st

from synccron.cli.completion import Entry, entries
from tests.fuzz.corpus import CRON_TOKENS, CRONS, FILES, spoilt
from tests.fuzz.targets import command_line

# What goes on until somebody ends it, and what writes where a host is set up.
_ENDLESS = ("--watch", "--follow", "-f", "--wait", "-w")
_NOT_CALLED = ("install-service",)
_VALUES = (
    *("", " ", "-", "--", "-1", "0", "1", "99999999999999999999", "1e999", "nan", "a", "a=b", "=", "a="),
    *("5s", "0s", "-5s", "7d", "1h30m", "999999999d", "1ms", "soon", "2026-11-23T22:00:00Z"),
    *("2026-13-45T99:99:99Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "UTC", "Nowhere/At"),
    *("../../etc/passwd", "backup", "nope", "manual:backup:k", "@daily", "* * * * *", "{}", "[", '"x"'),
    *("null", '{"a": NaN}', "\x1b[2J", "\x9b31m", "\u202e", "\udcff", "\0", "\n", "x" * 5000, "[a", "*"),
    *("file.yaml", "copy", "spoilt.yaml", "folder", "missing/file", "queued", "running", "text", "json"),
    *("etcd://127.0.0.1:1/x", "sqlite://x", "postgres://x", "@", "@a/b", "skip", "fixed", "A=\x1b"),
)  # fmt: skip


def lines() -> st.SearchStrategy[list[str]]:
    """Give command lines that end by themselves, and write in the folder that they are called in."""
    called = [each for each in entries() if each.path and each.path[0] not in _NOT_CALLED]
    return st.sampled_from(called).flatmap(_of)


def _of(entry: Entry) -> st.SearchStrategy[list[str]]:
    names = [name for group in entry.options for name in group if name != "--debug"]
    value = st.one_of(st.sampled_from(_VALUES), spoilt(CRONS, CRON_TOKENS), st.text(max_size=10))
    option = st.sampled_from(names or ["--help"]).flatmap(
        lambda name: (
            st.tuples(st.just(name)) if name in entry.flags else st.tuples(st.just(name), value)
        )
    )
    part = st.one_of(
        option, option, st.tuples(value), st.tuples(st.sampled_from(["backup", "file.yaml"]))
    )
    return st.lists(part, max_size=5).map(lambda parts: _line(entry, parts))


def _line(entry: Entry, parts: list[tuple[str, ...]]) -> list[str]:
    node = entry.path == ("run",)
    words = [word for part in parts for word in part if word not in _ENDLESS]
    if node:  # one that would start is refused for this; nothing ends its options before it,
        # and an option without its value takes one of the two for that
        words = [*(word for word in words if word != "--"), "--lease=0s", "--lease=0s"]
    words = [word.replace("\0", "") for word in words]  # no process is given one
    away = ["--store-timeout=50ms"] if any("etcd" in word for word in words) else []
    return [*entry.path, *away, *words]


def prepared(folder: Path) -> None:
    """Make a store with a schedule and a job, and files, in the folder where lines are called."""
    (folder / "folder").mkdir()
    (folder / "file.yaml").write_text(FILES[1])
    (folder / "spoilt.yaml").write_text(FILES[0].replace("cron", "corn"))
    command_line(["register", "backup", "--cron", "@daily", "--", "true"])
    command_line(["trigger", "backup", "--key", "k"])
