"""A short and seeded form of the fuzzing: `make fuzz` goes on for as long as it is told to."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

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

short = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@short
@given(spoilt(CRONS, CRON_TOKENS))
def test_no_expression_breaks_the_parser(text: str) -> None:
    targets.cron(text)


@short
@given(spoilt(FILES, FILE_TOKENS), st.binary(max_size=3))
def test_no_file_breaks_the_checker(text: str, more: bytes) -> None:
    targets.schedule_file(text.encode(errors="surrogatepass") + more)


@short
@given(spoilt(CRONTABS, CRONTAB_TOKENS), st.booleans())
def test_no_crontab_breaks_its_import(text: str, system: bool) -> None:
    targets.crontab(text, system=system)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in targets.in_folder(tmp_path).items():
        monkeypatch.setenv(name, value)
    prepared(tmp_path)
    return tmp_path


@short
@given(lines())
@pytest.mark.usefixtures("folder")
def test_no_command_line_ends_otherwise_than_the_contract_says(words: list[str]) -> None:
    targets.command_line(words)
