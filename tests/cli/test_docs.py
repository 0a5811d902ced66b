"""docs/cli.md and the committed completions against the commands themselves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from synccron.cli import man
from synccron.cli.completion import SHELLS, entries, script

ROOT = Path(__file__).parents[2]
EVERYWHERE = {"--store", "--store-timeout", "--json", "--no-color", "--debug", "--help", "-h"}


@pytest.fixture(scope="module")
def sections():
    """The parts of docs/cli.md by their heading; the options that each tells of."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    parts = re.split(r"^### (.+)$", text, flags=re.MULTILINE)
    found = {}
    for heading, body in zip(parts[1::2], parts[2::2], strict=True):
        rows = re.findall(r"^\| (`-.+?) \|", body, flags=re.MULTILINE)
        found[heading] = {name for row in rows for name in re.findall(r"`(--?[a-z-]+)", row)}
    return found


def test_the_page_tells_of_every_command_and_of_no_other(sections):
    commands = {" ".join(one.path) for one in entries() if one.path and not one.nested}
    assert set(sections) == commands


@pytest.mark.parametrize(
    "one",
    [one for one in entries() if one.path and not one.nested],
    ids=lambda one: " ".join(one.path),
)
def test_the_page_tells_of_every_option_and_of_no_other(sections, one):
    own = {name for names in one.options for name in names} - EVERYWHERE
    assert sections[" ".join(one.path)] == own


def test_a_synopsis_names_its_command_and_only_options_that_it_has():
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    known = {
        " ".join(one.path): {name for names in one.options for name in names} for one in entries()
    }
    found = re.findall(r"^### ([^\n]+)\n\n```\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert {heading for heading, _ in found} == set(
        re.findall(r"^### (.+)$", text, flags=re.MULTILINE)
    )
    for heading, synopsis in found:
        for line in synopsis.splitlines():
            assert f"{line} ".startswith(f"synccron {heading} "), line
            options = re.findall(r"(?<![\w-])--?[a-z][a-z-]*", line)
            assert set(options) <= known[heading], line


@pytest.mark.parametrize("shell", SHELLS)
def test_the_committed_completions_are_current(shell):
    committed = (ROOT / "completions" / SHELLS[shell]).read_text(encoding="utf-8")
    assert committed == script(shell), "run `make completions`"


def test_make_completions_writes_one_for_each_shell(tmp_path):
    subprocess.run([sys.executable, "-m", "synccron.cli.completion", str(tmp_path)], check=True)
    assert {one.name for one in tmp_path.iterdir()} == set(SHELLS.values())


def test_the_committed_man_page_is_current():
    committed = (ROOT / "man" / man.NAME).read_text(encoding="utf-8")
    assert committed == man.page(), "run `make man`"


def test_the_man_page_tells_of_every_command_and_option():
    page = man.page().replace("\\-", "-")
    for one in entries():
        if one.path and not one.nested:
            assert f".SS {' '.join(one.path)} " in page
            own = {name for names in one.options for name in names}
            assert all(f"\\fB{name}\\fR" in page for name in own - {"--help", "-h"})


def test_roff_takes_nothing_that_people_wrote_for_its_own():
    lines = man.page().splitlines()
    requests = {line.split(" ")[0] for line in lines if line.startswith((".", "'"))}
    assert requests <= {'.\\"', ".TH", ".SH", ".SS", ".TP", ".B"}
    assert man.page().isascii()


def complete(line: str, folder: Path) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    source = (ROOT / "completions" / "synccron.bash").as_posix()
    quoted = " ".join(f"'{word}'" for word in words)
    text = (
        f"source {source}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
        '_synccron; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    told = subprocess.run(
        ["bash", "-c", text], capture_output=True, check=True, env=env, cwd=folder
    )
    assert told.stderr == b""
    return told.stdout.decode().split()


def test_bash_completes_commands_options_and_ids(tmp_path):
    fake = tmp_path / "synccron"
    fake.write_text('#!/bin/sh\necho "ID WHEN"; echo "backup $*"; echo "billing x"\n')
    fake.chmod(0o755)
    assert complete("synccron re", tmp_path) == [
        *("register", "resume", "reset-cursor", "retry", "restore"),
    ]
    assert complete("synccron dlq re", tmp_path) == ["retry"]
    assert complete("synccron dlq purge --y", tmp_path) == ["--yes"]
    assert complete("synccron jobs --st", tmp_path) == ["--state", "--store", "--store-timeout"]
    assert complete("synccron show b", tmp_path) == ["backup", "billing"]
    assert complete("synccron completion z", tmp_path) == ["zsh"]
    (tmp_path / "jobs.yaml").touch()
    assert complete("synccron register -f jo", tmp_path) == ["jobs.yaml"]


def test_every_screenshot_is_shown_and_every_one_that_is_shown_is_there():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    shown = {
        (page.parent / path).resolve()
        for page in pages
        for path in re.findall(r"\]\(([^)]+\.svg)\)", page.read_text(encoding="utf-8"))
        if "shots" in path
    }
    assert shown == set((ROOT / "docs" / "shots").glob("*.svg"))


def test_screenshots_fetch_nothing_from_elsewhere():
    for image in (ROOT / "docs" / "shots").glob("*.svg"):
        assert "url(http" not in image.read_text(encoding="utf-8")
