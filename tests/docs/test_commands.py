"""Every command that the docs name exists, with the options that they give it."""

import re
import shlex
from pathlib import Path

import pytest

from synccron.cli.completion import Entry, entries
from tests.docs.blocks import PAGES

BLOCK = re.compile(r"^ *```(?:sh|console)[^\n]*\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(synccron [^`]+)`")
COMMAND = re.compile(r"(?:^|[|;&(]|\bsudo )\s*(synccron\b.*?)(?=$|[|;&)>])")
EVERYWHERE = {"--help", "-h", "--version"}


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, ...], Entry]:
    return {each.path: each for each in entries()}


def named(text: str) -> list[str]:
    """The commands of a page: in its blocks line by line, and in its text."""
    found = [each.replace("\\|", "|") for each in INLINE.findall(BLOCK.sub("", text))]
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if not line.startswith(">"):
                plain = re.sub(r"\$\([^)]*\)", "x", line.strip().removeprefix("$ "))
                found += COMMAND.findall(plain)
    return found


def words_of(command: str) -> list[str]:
    """The words up to what is another's: a comment, a pipe, a redirection, what follows `--`."""
    try:
        words = shlex.split(command.replace("…", ""), comments=True)
    except ValueError:  # a quote that ends in the next line
        words = command.split()
    ends = [n for n, word in enumerate(words) if word in {"|", ">", "2>", "&", "--"}]
    return words[1 : ends[0] if ends else None]


def test_a_command_is_found_wherever_it_stands() -> None:
    text = "`synccron ls`\n```sh\nsudo synccron run  # x\na | synccron jobs --limit 3\n```\n"
    assert [words_of(each)[0] for each in named(text)] == ["ls", "run", "jobs"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path, known: dict[tuple[str, ...], Entry]) -> None:
    for command in named(page.read_text(encoding="utf-8")):
        words = words_of(command)
        if not words or words[0].startswith("-") or words[0].isupper():
            continue  # the program itself, or a form of speech
        path = tuple(words[:2]) if tuple(words[:2]) in known else tuple(words[:1])
        assert path in known, f"{page.name}: {command}"
        options = {name for names in known[path].options for name in names} | EVERYWHERE
        given = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert given <= options, f"{page.name}: {command}: {given - options}"
