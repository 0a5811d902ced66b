"""What is broken, and the table of what was tried."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.etcd import Members, needed
from tests.faults.field import TRIED
from tests.faults.table import lines


@pytest.fixture
def members() -> Iterator[Members]:
    """Three members of their own, to be broken."""
    needed()
    made = Members(3)
    try:
        made.start()
        yield made
    finally:
        made.close()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say of each fault how often it was tried, on how many slots, and which laws broke."""
    if not TRIED:
        return
    terminalreporter.section("faults")
    for line in lines(TRIED):
        terminalreporter.write_line(line)
    told = os.environ.get("SYNCCRON_TRIED")
    if told is not None:  # `make faults AMOUNT=release` collects what its pieces have tried
        with Path(told).open("a") as file:
            file.writelines(json.dumps(asdict(each)) + "\n" for each in TRIED)
