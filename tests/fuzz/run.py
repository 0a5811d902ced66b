"""`make fuzz`: fuzz for so many minutes, with a seed of its own each round, and tell what was found.

    python -m tests.fuzz.run --minutes 60 [cron|file|crontab|lines|records|etcd …]

A round is some hundred examples; one that fails is shrunk and shown, and the run ends with 1.
"""

import argparse
import os
import secrets
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from synccron.clock import SystemClock
from synccron.model.time import MINUTE
from tests.etcd import Members
from tests.fuzz import targets
from tests.fuzz.corpus import (
    CRON_TOKENS,
    CRONS,
    CRONTAB_TOKENS,
    CRONTABS,
    FILE_TOKENS,
    FILES,
    spoilt,
)
from tests.fuzz.lines import lines, prepared
from tests.fuzz.records import EtcdPlace, Spoiling, SqlitePlace, records, spoilings

ROUND = 300  # examples


class _Count:
    """How many examples there were."""

    def __init__(self) -> None:
        self.examples = 0

    def __call__(self) -> None:
        self.examples += 1


def _cron(one: Callable[[], None]) -> None:
    @_long
    @given(spoilt(CRONS, CRON_TOKENS))
    def fuzz(text: str) -> None:
        one()
        targets.cron(text)

    fuzz()


def _file(one: Callable[[], None]) -> None:
    @_long
    @given(spoilt(FILES, FILE_TOKENS), st.binary(max_size=3))
    def fuzz(text: str, more: bytes) -> None:
        one()
        targets.schedule_file(text.encode(errors="surrogatepass") + more)

    fuzz()


def _crontab(one: Callable[[], None]) -> None:
    @_long
    @given(spoilt(CRONTABS, CRONTAB_TOKENS), st.booleans())
    def fuzz(text: str, system: bool) -> None:
        one()
        targets.crontab(text, system=system)

    fuzz()


def _lines(one: Callable[[], None]) -> None:
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        os.environ.update(targets.in_folder(Path(name)))
        try:
            prepared(Path(name))

            @_long
            @given(lines())
            def fuzz(words: list[str]) -> None:
                one()
                targets.command_line(words)

            fuzz()
        finally:
            os.chdir(before)


def _records(one: Callable[[], None]) -> None:
    @_long
    @given(spoilings())
    def fuzz(given: tuple[int, Spoiling]) -> None:
        one()
        with tempfile.TemporaryDirectory() as name:
            _within(Path(name), lambda: records(SqlitePlace(Path(name)), *given))

    fuzz()


def _etcd(one: Callable[[], None]) -> None:
    members = Members()
    members.start()
    try:

        @_long
        @given(spoilings())
        def fuzz(given: tuple[int, Spoiling]) -> None:
            one()
            place = EtcdPlace(members.url(f"fuzz/{secrets.token_hex(8)}"))
            with tempfile.TemporaryDirectory() as name:
                _within(Path(name), lambda: records(place, *given))

        fuzz()
    finally:
        members.close()


def _within(folder: Path, do: Callable[[], None]) -> None:
    before = Path.cwd()
    os.chdir(folder)
    try:
        do()
    finally:
        os.chdir(before)


def _long(test: Callable[..., None]) -> Callable[..., None]:
    """Take a seed of its own, and many examples."""
    number = SystemRandom().randrange(1 << 32)
    many = settings(
        max_examples=ROUND,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    return seed(number)(many(test))


TARGETS: dict[str, Callable[[Callable[[], None]], None]] = {
    "cron": _cron,
    "file": _file,
    "crontab": _crontab,
    "lines": _lines,
    "records": _records,
    "etcd": _etcd,
}


def main() -> int:
    """Fuzz each target for its part of the time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("targets", nargs="*", help=" ".join(TARGETS))
    asked = parser.parse_args()
    clock, names, failed = SystemClock(), asked.targets or list(TARGETS), False
    for name in names:
        count, start = _Count(), clock.monotonic()
        until = start + asked.minutes * MINUTE / len(names)
        found = ""
        while clock.monotonic() < until and not found:
            try:
                TARGETS[name](count)
            except Exception:  # noqa: BLE001 - whatever it found is shown
                found, failed = traceback.format_exc(), True
        took = (clock.monotonic() - start) / MINUTE
        print(
            f"{name}: {took:.1f} min, {count.examples} examples, {'FAILED' if found else 'nothing found'}"
        )
        print(found, end="", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
