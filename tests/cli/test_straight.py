"""The straight way to `ls` reads a line as the tree of commands does, or leaves it alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer._click.exceptions import ClickException

from synccron.cli import straight
from synccron.cli.tree import load

WORDS = [
    "backup-*",
    "",
    "ls",
    "-w",
    "--wide",
    "--json",
    "--no-color",
    "--debug",
    "--store",
    "--store=/a=b",
    "--store=",
    "--store-timeout",
    "--label",
    "--label=team=money",
    "team=money",
    "2s",
    "--wide=yes",
    "--help",
    "-h",
    "-wj",
    "--lab",
    "--",
    "-",
    "-x",
]


def of_the_tree(words):
    """What the tree gives the command's function; None: it refuses, or does something else."""
    try:
        context = load("ls").make_context("ls", list(words))
    except (ClickException, SystemExit, RuntimeError):
        return None
    given = {name: value for name, value in context.params.items() if name != "help"}
    return given | {"label": list(given["label"] or ()) or None}


@given(words=st.lists(st.sampled_from(WORDS), max_size=5))
def test_what_is_read_straight_is_what_the_tree_reads(words):
    read = straight.read(["ls", *words])
    if read is not None:
        assert read == of_the_tree(words)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["x*"],
        ["--wide", "x*", "--json"],
        ["--label", "team=money", "--label=a=b", "-w"],
        ["--store", "/tmp/x.db", "--store-timeout", "2s", "--no-color", "--debug"],
    ],
)
def test_a_plain_line_goes_straight(words):
    assert straight.read(["ls", *words]) == of_the_tree(words)


@pytest.mark.parametrize("store", ["/tmp/other.db", ""])
def test_the_variable_names_the_store_in_both_ways(monkeypatch, store):
    monkeypatch.setenv("SYNCCRON_STORE", store)
    assert straight.read(["ls"]) == of_the_tree([])


def test_every_option_of_a_listing_is_known_to_the_straight_way():
    options = [name for each in load("ls").params for name in each.opts if name.startswith("-")]
    texts = {"--store": "x", "--store-timeout": "1s", "--label": "a=b"}
    for name in set(options) - {"--help", "-h"}:
        line = ["ls", name, *([texts[name]] if name in texts else [])]
        assert straight.read(line) is not None, name


@pytest.mark.parametrize("line", [[], ["jobs"], ["ls", "--help"], ["ls", "a", "b"], ["ls", "--x"]])
def test_anything_else_is_left_to_the_tree(line):
    assert straight.read(line) is None
