"""The unit, written for a host and judged by systemd's tools; the file that names the store."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from synccron.cli import place, unit
from synccron.cli.place import file_of, place_of
from synccron.errors import InvalidInput
from synccron.store import default_store_url

ROOT = Path(__file__).parents[2]
UNIT = "etc/systemd/system/synccron.service"


@pytest.fixture(scope="session")
def analyze():
    """systemd's judge of units; it needs no systemd that runs."""
    if shutil.which("systemd-analyze") is None:
        if os.environ.get("SYNCCRON_REQUIRE_SYSTEMD"):
            pytest.fail("systemd-analyze is not there: .ci/systemd fetches it", pytrace=False)
        pytest.skip("systemd-analyze is not installed")

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=30
        )

    return call


def units(folder: Path, **options) -> list[Path]:
    """Units with a program that is there, as systemd looks for it."""
    program = str(Path(sys.executable).with_name("synccron"))
    paths = []
    for name, template in (("synccron.service", False), ("synccron@web.service", True)):
        paths.append(folder / name)
        text = unit.Service(program=program, template=template, **options).unit()
        paths[-1].write_text(text)
    return paths


@pytest.mark.parametrize("user", ["synccron", "root"])
def test_systemd_has_nothing_to_say_of_the_units(analyze, tmp_path, user):
    for path in units(tmp_path, user=user, options=["--drain", "2m", "--label", 'a=b "$c" 50%']):
        told = analyze("verify", "--man=no", str(path))
        assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_systemd_would_say_so_of_a_key_that_it_does_not_know(analyze, tmp_path):
    path = tmp_path / "synccron.service"
    path.write_text(unit.Service(program="/bin/true").unit().replace("KillMode", "KilMode"))
    assert "KilMode" in analyze("verify", "--man=no", str(path)).stderr


def test_systemd_reads_the_drop_in_for_reloads_but_for_a_type_that_it_may_be_too_old_for(
    analyze, tmp_path
):
    units(tmp_path)
    name = "synccron.service.d/notify-reload.conf"
    (tmp_path / name).parent.mkdir()
    shutil.copy(ROOT / "deploy" / name, tmp_path / name)
    told = analyze("verify", "--man=no", str(tmp_path / "synccron.service"))
    version = int(analyze("--version").stdout.split()[1])
    unknown = f"{tmp_path / name}:3: Failed to parse service type, ignoring: notify-reload\n"
    assert told.returncode == 0
    assert told.stderr == (unknown if version < unit.RELOAD_SINCE else "")


def test_the_units_are_exposed_by_3_at_most(analyze, tmp_path):
    for path in units(tmp_path):
        told = analyze("security", "--offline=true", "--threshold=30", str(path))
        assert told.returncode == 0, told.stdout
        assert float(re.findall(r"exposure level for .*: ([0-9.]+)", told.stdout)[0]) <= 3.0


@pytest.mark.parametrize(
    ("drain", "stop"), [([], 60), (["--drain", "2m"], 150), (["--drain=90s"], 120)]
)
def test_the_time_to_stop_is_above_the_drain(drain, stop):
    text = unit.Service(program="/x", options=drain).unit()
    assert unit.value_of(text, "TimeoutStopSec") == str(stop)
    assert unit.options_of(text) == ["--log", "json", *drain]


def test_the_examples_are_current(tmp_path):
    subprocess.run([sys.executable, "-m", "synccron.cli.unit", str(tmp_path)], check=True)
    for name in unit.examples():
        made, committed = tmp_path / name, ROOT / "deploy" / name
        assert committed.read_text() == made.read_text(), "run `make deploy`"


def test_a_service_is_installed_as_often_as_one_likes(cli, tmp_path):
    first = cli("install-service", "--root", str(tmp_path), "--json", "--", "--drain", "1m").json
    assert {each["what"] for each in first["files"]} == {"written"}
    assert first["next"][-1] == "systemctl enable --now synccron"
    text = (tmp_path / UNIT).read_text()
    assert "run --log json --drain 1m\n" in text
    again = cli("install-service", "--root", str(tmp_path), "--json", "--", "--drain", "1m").json
    assert {each["what"] for each in again["files"]} == {"unchanged"}
    other = cli("install-service", "--root", str(tmp_path), "--json").json
    assert [each["what"] for each in other["files"]] == ["changed", "unchanged", "unchanged"]
    assert other["next"][-1] == "systemctl restart synccron"
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_dry_run_prints_everything_and_writes_nothing(cli, tmp_path):
    answer = cli("install-service", "--root", str(tmp_path), "--dry-run")
    assert answer.status == 0
    assert f"# {tmp_path / UNIT}\n" in answer.out
    assert "Type=notify\n" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_what_the_file_says_stays_unless_it_is_given_anew(cli, tmp_path):
    call = ("install-service", "--root", str(tmp_path))
    cli(*call, "--store", "etcd://one")
    path = tmp_path / "etc/synccron/synccron.env"
    path.write_text(path.read_text() + "HTTP_PROXY=x\n")
    cli(*call)
    assert "SYNCCRON_STORE=etcd://one\nHTTP_PROXY=x\n" in path.read_text()
    cli(*call, "--store", "etcd://two")
    assert "SYNCCRON_STORE=etcd://two\nHTTP_PROXY=x\n" in path.read_text()


def test_one_of_several_stores_has_a_file_of_its_own_and_the_password_is_handed_over(cli, tmp_path):
    answer = cli(
        *("install-service", "--root", str(tmp_path), "--instance", "web", "--store", "etcds://e"),
        *("--etcd-user", "jobs", "--etcd-password-file", "/etc/synccron/password"),
    )
    assert answer.status == 0
    assert (
        "EnvironmentFile=/etc/synccron/%i.env"
        in (tmp_path / "etc/systemd/system/synccron@.service").read_text()
    )
    dropped = tmp_path / "etc/systemd/system/synccron@web.service.d/etcd-password.conf"
    assert "LoadCredential=etcd-password:/etc/synccron/password\n" in dropped.read_text()
    assert "SYNCCRON_ETCD_USER=jobs\n" in (tmp_path / "etc/synccron/web.env").read_text()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--", "--drian", "2m"], "no such option: --drian"),
        (["--", "--drain", "soon"], "--drain: "),
        (["--", "--store", "x"], "--store is no option for a unit"),
        (["--store", "relative.db"], "--store: 'relative.db' means something else"),
        (["--store", "sqlite://x"], "the store's URL has no absolute path"),
        (["--store", "etcd://me:pw@x"], "the store's URL has a user or a password"),
        (["--instance", "../x"], "'@../x' names no store of this host"),
        (["--user", "a b"], "--user: 'a b' is no name"),
        (["--etcd-user", "x"], "--etcd-user and --etcd-password-file are given together"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(cli, tmp_path, words, error):
    answer = cli("install-service", "--root", str(tmp_path), *words)
    assert answer.status == 2
    assert answer.err.startswith(f"error: {error}")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(cli, tmp_path):
    (tmp_path / "etc").write_text("a file")
    answer = cli("install-service", "--root", str(tmp_path))
    assert answer.status == 2
    assert UNIT in answer.err


# Which store a command is for.


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.env"
    path.write_text(text)
    path.chmod(0o644)
    return path


def test_an_option_or_variable_goes_before_the_file_and_the_file_before_the_default(tmp_path):
    assert place_of(None, {}, tmp_path) == default_store_url()
    write(tmp_path, "synccron", "# x\nSYNCCRON_STORE=etcd://here\n")
    assert place_of(None, {}, tmp_path) == "etcd://here"
    assert place_of("/given.db", {}, tmp_path) == "/given.db"


def test_a_name_stands_for_the_file_of_one_of_several_stores(tmp_path):
    write(tmp_path, "web", "SYNCCRON_STORE='etcd://web/x'\nSYNCCRON_ETCD_USER=jobs\nOTHER=1\n")
    environment: dict[str, str] = {}
    assert place_of("@web", environment, tmp_path) == "etcd://web/x"
    assert environment == {"SYNCCRON_ETCD_USER": "jobs"}
    environment = {"SYNCCRON_ETCD_USER": "me"}
    place_of("@web", environment, tmp_path)
    assert environment == {"SYNCCRON_ETCD_USER": "me"}
    with pytest.raises(InvalidInput) as told:
        place_of("@wbe", {}, tmp_path)
    assert told.value.hint == f"{tmp_path} has: @web"


@pytest.mark.parametrize("text", ["", "STORE=x\n", "SYNCCRON_STORE=a b\n", 'SYNCCRON_STORE="a\n'])
def test_a_file_that_names_no_store_is_refused_by_its_name(tmp_path, text):
    path = write(tmp_path, "synccron", text)
    with pytest.raises(InvalidInput, match=re.escape(str(path))):
        place_of(None, {}, tmp_path)


def test_a_file_that_others_may_write_is_refused(tmp_path):
    path = write(tmp_path, "synccron", "SYNCCRON_STORE=/x\n")
    path.chmod(0o666)
    with pytest.raises(InvalidInput, match="could be written by others"):
        place_of(None, {}, tmp_path)


def test_names_have_no_paths_in_them(tmp_path):
    for name in ("../x", "a/b", "", ".x"):
        with pytest.raises(InvalidInput):
            file_of(name, tmp_path)


def test_a_service_has_its_store_in_the_state_directory_that_it_was_given(monkeypatch, tmp_path):
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/other")
    assert default_store_url() == f"sqlite://{tmp_path}/synccron.db"


def test_commands_ask_the_file_where_nothing_else_is_said(cli, store, tmp_path, monkeypatch):
    monkeypatch.delenv("SYNCCRON_STORE")
    monkeypatch.setattr(place, "FOLDER", tmp_path)
    monkeypatch.setattr(place_of, "__defaults__", (os.environ, tmp_path))
    write(tmp_path, "web", f"SYNCCRON_STORE={store}\n")
    assert cli("register", "x", "--cron", "@daily", "--store", "@web", "--", "true").status == 0
    assert store.exists()


def others_may_read(path: str) -> bool:
    found = Path(path)
    return all(each.stat().st_mode & 0o001 for each in found.parents) and bool(
        found.stat().st_mode & 0o004
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
@pytest.mark.skipif(not others_may_read(os.__file__), reason="this Python is root's alone")
def test_root_acts_as_the_owner_of_a_store(program, owned):
    assert program("register", "x", "--cron", "@daily", "--", "true").status == 0
    assert program("trigger", "x").status == 0
    assert {path.stat().st_uid for path in owned.rglob("*")} == {12345}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
@pytest.mark.skipif(others_may_read(os.__file__), reason="this Python is everybody's")
@pytest.mark.usefixtures("owned")
def test_root_is_told_whom_to_act_as_where_the_owner_cannot_read_the_program(program):
    answer = program("register", "x", "--cron", "@daily", "--", "true")
    assert answer.status == 4
    assert "belongs to another user (uid 12345)" in answer.err


@pytest.fixture
def owned(store):
    """The folder of a store that belongs to another user, who can reach it."""
    store.parent.mkdir(mode=0o700)
    os.chown(store.parent, 12345, 12345)
    outer = [each for each in store.parents if "pytest" in str(each)][1:]
    for each in outer:
        each.chmod(0o711)
    return store.parent
