"""What pages point to is there: links and their headings, files, rooms, dependencies."""

import inspect
import re
import tomllib

import pytest

from synccron import Client
from tests.docs.blocks import FENCE, PAGES, ROOT

LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`([\w./-]+\.(?:py|toml|txt|yaml|yml|json|service))`")
TREE = [path.relative_to(ROOT).as_posix() for path in ROOT.glob("[!.]*/**/*") if path.is_file()]
TREE += [path.name for path in ROOT.iterdir() if path.is_file()]


def anchors(text: str) -> set[str]:
    """The names that a reader's program gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", ["architecture.md", "store-layout.md", "sharding.md"])
def test_a_file_of_the_code_that_a_page_names_is_there(name):
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    for file in FILE.findall(text):
        assert any(f"/{each}".endswith(f"/{file}") for each in TREE), file


def section(heading: str) -> str:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def test_the_architecture_names_every_room_and_no_other():
    rooms = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "synccron").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    first = re.findall(r"^\| (.+?) \|", section("Rooms"), flags=re.MULTILINE)
    assert {name for cell in first for name in re.findall(r"`([^`]+)`", cell)} == rooms


def test_the_architecture_has_a_reason_for_every_dependency_and_for_no_other():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(each for extra in extras for each in extra)]
    names = {re.split(r"[<>=!~;\[ ]", each)[0].lower() for each in wanted}
    text = section("Dependencies, each with its reason")
    cells = re.findall(r"^\| (?!package|---)(.+?) \|", text, flags=re.MULTILINE)
    told = {re.sub(r" .*", "", name).lower() for cell in cells for name in cell.split(", ")}
    assert told == names


def test_the_architecture_names_every_loop_of_a_node_and_no_other():
    node = (ROOT / "synccron" / "engine" / "node.py").read_text(encoding="utf-8")
    loops = set(re.findall(r"\(\"([a-z]+)\", [\w.]+, [\w.]+(?:\(clock\))?, \w+\)", node))
    loops |= set(re.findall(r"\(\"([a-z]+)\", Auditor", node))
    told = re.findall(r"^\| (?!loop|---)(\w+) \|", section("A node"), flags=re.MULTILINE)
    assert set(told) == loops


WITHIN = {"close", "register_checked"}  # what `with` calls; what takes a file of any size


def test_the_page_of_the_python_api_has_every_call_with_its_parameters():
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    calls = re.findall(r"^\| (`\w+\(.*?`) \|", text, flags=re.MULTILINE)
    told = {
        name: {re.sub(r"=.*", "", each).strip("* ") for each in given.split(",")} - {""}
        for cell in calls
        for name, given in re.findall(r"`(\w+)\((.*?)\)`", cell)
        if not name.startswith("ctx")
    }
    public = {name for name, _ in inspect.getmembers(Client, callable) if name[0] != "_"}
    assert set(told) == public - WITHIN
    for name, given in told.items():
        known = set(inspect.signature(getattr(Client, name)).parameters) - {"self"}
        assert given == known, name
