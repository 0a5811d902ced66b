"""What a command pays before it begins: modules, not time, as machines differ."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    *("rich", "yaml", "croniter", "pydantic", "asyncio", "grpc", "synccron.engine"),
    *("http.server", "prometheus_client", "opentelemetry"),
)


def imported(*words: str) -> set[str]:
    code = (
        "import json, sys; from synccron.__main__ import main; status = main(sys.argv[1:]); "
        "sys.stderr.write(json.dumps([status, sorted(sys.modules)]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, check=True, timeout=30
    )
    status, modules = json.loads(ended.stderr.decode().splitlines()[-1])
    assert status == 0
    return set(modules)


def heavy(modules: set[str]) -> set[str]:
    return {
        name
        for name in modules
        if name in HEAVY or name.startswith(tuple(f"{one}." for one in HEAVY))
    }


@pytest.mark.parametrize("words", [("ls",), ("ls", "--json"), ("jobs",), ("status",), ("nodes",)])
def test_a_listing_into_a_pipe_loads_nothing_heavy(cli, words):
    cli("register", "x", "--cron", "@daily", "--", "true")
    modules = imported(*words)
    assert not heavy(modules)
    assert "sqlite3" in modules  # it did look


def test_a_listing_loads_neither_typer_nor_the_records_nor_what_writes(cli):
    cli("register", "x", "--cron", "@daily", "--label", "a=b", "--", "true")
    dear = {"typer", "dataclasses", "inspect", "subprocess", "logging", "hashlib", "asyncio"}
    own = {"synccron.client", "synccron.model.job", "synccron.store.sqlite.writer"}
    assert not (dear | own) & imported("ls")
    assert not (dear | own) & imported("ls", "x*", "--label", "a=b")


def test_the_version_costs_no_more_than_python():
    assert not {"typer", "sqlite3", "inspect", "synccron.errors"} & imported("--version")


def test_other_commands_are_not_loaded_with_one(cli):
    cli("register", "x", "--cron", "@daily", "--", "true")
    modules = imported("ls")
    assert {name for name in modules if name in ("synccron.cli.run", "synccron.cli.dlq")} == set()
