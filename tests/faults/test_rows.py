"""The plan of faults is whole: each number has its tests, and each has its line on the page."""

import re
from pathlib import Path

import pytest

from tests.faults.rows import ROWS

PAGE = Path("docs/reliability.md")


def test_every_fault_of_the_plan_has_a_row() -> None:
    assert [row.number for row in ROWS] == [f"F{number}" for number in range(1, 36)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_the_tests_of_a_row_are_there(row) -> None:
    for each in row.tests:
        file, _, name = each.partition("::")
        assert not name or re.search(rf"^def {name}\(", Path(file).read_text(), re.MULTILINE), each


def test_the_page_names_every_fault() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| F\d+ \|", line)]
    assert {line.split("|")[1].strip() for line in lines} == {row.number for row in ROWS}
