"""What synccron is made of: bounds, hashes, a bill of materials; and nothing runs data as code."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements-dev.lock").read_text()
LOCKED = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))

# What turns bytes into objects or code.
FORBIDDEN_MODULES = {
    "pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "jsonpickle",
    "pdb",
    "code",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.unsafe_load_all"),
    *("os.system", "os.popen", "pty.spawn", "runpy.run_path", "runpy.run_module"),
}


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    files = sorted((ROOT / "synccron").rglob("*.py"))
    assert len(files) > 100
    return [(file, ast.parse(file.read_text())) for file in files]


def test_nothing_of_the_program_reads_pickles_or_evaluates_text():
    found = []
    for file, tree in trees():
        for node in ast.walk(tree):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [
                (file.name, name) for name in names if name.split(".")[0] in FORBIDDEN_MODULES
            ]
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in FORBIDDEN_CALLS | FORBIDDEN_ATTRIBUTES:
                    found.append((file.name, called))
                if any(each.arg == "shell" for each in node.keywords):
                    found.append((file.name, f"{called}(shell=)"))
    assert found == []


def test_modules_are_imported_by_name_only_where_handlers_and_commands_are():
    found = {
        file.relative_to(ROOT / "synccron").as_posix()
        for file, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
    }
    # Commands by their name in a table; public names by theirs; a handler, in its own child.
    assert found <= {
        "__init__.py",
        "cli/tree.py",
        "handlers/child.py",
        "handlers/inputs.py",
        "handlers/warm.py",
    }


def test_every_dependency_has_a_lower_bound_and_those_of_the_store_an_upper_one():
    groups = [
        PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"].values(),
    ]
    wanted = [each for group in groups for each in group]
    assert len(wanted) > 8
    assert [each for each in wanted if not re.search(r"[>=]=", each)] == []
    # Newer is the point of the one, and the other has no next major version.
    open_ended = {re.match(r"[\w-]+", each)[0] for each in wanted if not re.search(r"<|==", each)}  # type: ignore[index]
    assert open_ended <= {"tzdata", "six"}


def test_every_file_of_the_lock_has_a_hash():
    pins = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(pins) == len(LOCKED) > 30
    assert [each.split("==")[0] for each in pins if "--hash=sha256:" not in each] == []


def test_the_bill_of_materials_is_that_of_the_lock(tmp_path):
    fresh = tmp_path / "fresh.json"
    subprocess.run([sys.executable, str(ROOT / ".ci" / "sbom"), str(fresh)], check=True)
    committed = (ROOT / "sbom.cdx.json").read_text()
    assert committed == fresh.read_text(), "write it anew: make sbom"
    bill = json.loads(committed)
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {each["name"]: each for each in bill["components"]}
    assert {name: each["version"] for name, each in components.items()} == LOCKED
    assert all(each["hashes"] for each in components.values())
    scopes = {each["scope"] for each in components.values()}
    assert scopes == {"required", "optional", "excluded"}
    direct = [re.match(r"[\w-]+", each)[0].lower() for each in PROJECT["project"]["dependencies"]]  # type: ignore[index]
    assert {components[name]["scope"] for name in direct} == {"required"}
    references = {each["bom-ref"] for each in components.values()}
    for each in bill["dependencies"]:
        assert set(each["dependsOn"]) <= references


def test_every_test_that_the_page_on_security_names_is_there():
    page = (ROOT / "docs" / "security.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 40
    there = set()
    for file in (ROOT / "tests").rglob("test_*.py"):
        there |= set(re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE))
    assert sorted(named - there) == []
