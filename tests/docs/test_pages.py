"""Every fenced block of the docs is run or read, page by page; what a page says it prints, it does.

A page is one session in a home of its own. In `console` blocks `$ ` begins a command, `> ` goes on
with it, all else is its output, where `…` stands for any text and, on a line of its own, for any
lines. In `sh` blocks each command ends with 0, or goes on until it is told to stop. Python runs,
YAML and TOML are read by those who read them. A block whose first line names a file is that file.
"""

import re
import secrets
import shutil
import tempfile
import threading
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synccron.clock import SystemClock
from synccron.model.time import SECOND
from tests.certificates import certificates
from tests.docs.blocks import FENCE, PAGES, ROOT, Block, Step, blocks, steps
from tests.docs.session import Session
from tests.etcd import Members, needed

ENOUGH = 300  # seconds, for a page on a busy machine
PATIENCE = 60 * SECOND  # for one thing of it

# What a page's commands cannot be run with here, and why.
EXCUSED = {
    r"pip install ": "from an index on the network; the names of extras are tested below",
    r"sudo systemd-sysusers|systemctl": "speaks to this host's systemd; start and stop are done",
    r"journalctl": "reads this host's journal",
    r"make test": "it is what runs this",
}
# What is no command, and why it stands there.
PICTURES = {
    "architecture.md": "the way of the data, drawn",
    "cli.md": "synopses: tests/cli/test_docs.py holds them to the code",
}
GOES_ON = re.compile(r"etcd --name|(PYTHONPATH=\S+ )?synccron run\b")
WATCHES = re.compile(r"synccron \w+ .*--watch")
# What a page takes for granted, by the heading under which it does.
GRANTED = {
    ("cluster.md", "In five minutes"): ["synccron example > jobs.yaml"],
    ("cluster.md", "From SQLite to etcd"): [
        "etcdctl --endpoints 10.0.0.1:2379 del --prefix ''",
        "synccron register -f jobs.yaml --store /var/lib/synccron/synccron.db",
    ],
    ("cluster.md", "With certificates"): [
        "sudo systemctl stop synccron",
        "sudo systemctl stop etcd",
        "rm -r /var/lib/etcd",
    ],
    ("operations.md", "The files"): ["synccron run"],
    ("python.md", "The client"): [
        "synccron register old --cron @daily -- true",
        "PYTHONPATH=. synccron run",
    ],
}
MACHINES = 3
HEALTHY = "etcdctl --endpoints 10.0.0.1:2379,10.0.0.2:2379 endpoint health"
HEALTHY_TLS = (
    "etcdctl --endpoints https://10.0.0.1:2379 --cacert /etc/etcd/ca.pem"
    " --cert /etc/synccron/client.pem --key /etc/synccron/client.key endpoint health"
)


def pattern(expected: list[str]) -> re.Pattern[str]:
    lines = [
        r"(?:.*\n)*" if each == "…" else re.escape(each).replace("…", ".*") + r"\n"
        for each in expected
    ]
    return re.compile("".join(lines))


def until(holds: Callable[[], bool], what: str) -> None:
    clock = SystemClock()
    end = clock.monotonic() + PATIENCE
    while not holds():
        if clock.monotonic() > end:
            pytest.fail(f"waited in vain: {what}")
        threading.Event().wait(0.05)


@pytest.fixture
def session(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A session for a page, with the members of etcd that it names on loopback."""
    text = page.read_text(encoding="utf-8")
    places: dict[str, str] = {}
    prefix = f"docs-{secrets.token_hex(4)}"
    if "etcd --name" in text:
        needed()
        net = f"127.{secrets.randbelow(200) + 10}.{secrets.randbelow(200) + 10}"
        places |= {
            "10.0.0.3:2379": f"{net}.3:2379/{prefix}",
            "10.0.0.1:2379?": f"{net}.1:2379/{prefix}?",
            "10.0.0.": f"{net}.",
        }
    elif "etcd://10.0.0.1:2379" in text:
        members: Members = request.getfixturevalue("etcd")
        places["etcd://10.0.0.1:2379"] = members.url(prefix)
    made = Session(tmp_path, places)
    memory = Path(tempfile.mkdtemp(prefix="synccron-docs-", dir=_memory()))
    places[made.here("/var/lib/etcd")] = str(memory)
    if "etcds://10.0.0.1" in text:
        issue(made)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(memory, ignore_errors=True)
        # where nodes of root keep what their jobs wrote
        shutil.rmtree(f"/var/lib/synccron/etcd-{prefix}.logs", ignore_errors=True)


def issue(session: Session) -> None:
    """Give the hosts of a page their certificates."""
    folder = Path(session.here("/etc/synccron"))
    folder.mkdir(parents=True)
    certificates(folder, session.here("10.0.0.1"))
    shutil.copytree(folder, session.here("/etc/etcd"))


def _memory() -> Path | None:
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


@pytest.mark.timeout(ENOUGH)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_says_is_so(page, session):
    found = list(blocks(page))
    for block in found:
        if block.file is not None:
            path = session.home / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(session.here(block.text), encoding="utf-8")
        if block.language == "toml":
            read_toml(session, block)
    under = None
    for block in found:
        if block.under != under:
            under = block.under
            granted = GRANTED.get((page.name, under), [])
            if granted:
                session.stop("synccron")
            for command in granted:
                shell(session, Step(block.line, command), page.name)
        READERS[block.language](session, block)
    session.stop("synccron")
    session.stop()


def read_shell(session: Session, block: Block) -> None:
    for n in range(1, MACHINES + 1 if "\nme=" in f"\n{block.text}" else 2):
        for step in steps(block):
            command = re.sub(r"^me=1\b", f"me={n}", step.command)
            command = command.replace("/var/lib/etcd", f"/var/lib/etcd/{n}")
            shell(session, Step(step.line, command, step.expected), block.page)
    # a member alone is no cluster: all must have begun before the first can answer
    if "etcd --name" in block.text:
        asked = HEALTHY_TLS if "https:" in block.text else HEALTHY
        until(lambda: session.run(asked)[0] == 0, "etcd's members")


def shell(session: Session, step: Step, page: str) -> None:
    service = re.fullmatch(r"sudo systemctl (stop|start) (synccron|etcd)", step.command)
    if service and service[1] == "stop":
        session.stop(service[2])
        return
    if service:
        step = Step(step.line, f"{service[2]} run")
    if any(re.match(each, step.command) for each in EXCUSED):
        return
    if step.expected is None and GOES_ON.match(step.command):
        before = nodes(session)
        printed = session.go_on(step.command)
        if "synccron" in step.command:
            until(lambda: nodes(session) > before or not session.goes_on(), step.command)
        assert session.goes_on(), f"{page}:{step.line}: {step.command}\n{printed.read_text()}"
        return
    if step.expected is None and WATCHES.match(step.command):
        printed = session.go_on(step.command)
        until(lambda: bool(printed.read_text()), step.command)
        session.interrupt()
        return
    status, printed_text = session.run(step.command)
    if step.expected is None:
        assert status == 0, f"{page}:{step.line}: {step.command}: {status}\n{printed_text}"
        return
    assert pattern(step.expected).fullmatch(printed_text), (
        f"{page}:{step.line}: $ {step.command}\n"
        f"--- the page\n{chr(10).join(step.expected)}\n--- the program\n{printed_text}"
    )


def nodes(session: Session) -> int:
    status, printed = session.run("synccron nodes --json 2>&-")
    return printed.count('"session":') if status == 0 else 0


def read_python(session: Session, block: Block) -> None:
    script = session.home / (block.file or "block.py")
    script.write_text(session.here(block.text), encoding="utf-8")
    status, printed = session.run(f"python {script}")
    assert status == 0, f"{block.page}:{block.line}\n{printed}"


def read_yaml(session: Session, block: Block) -> None:
    """A file, the `defaults` of one, or a field of a schedule."""
    text = block.text
    if not re.search(r"^(schedules|defaults):", text, flags=re.MULTILINE):
        text = "defaults:\n" + re.sub("^", "  ", text, flags=re.MULTILINE)
    if not re.search(r"^schedules:", text, flags=re.MULTILINE):
        text += "\nschedules:\n  example: {cron: '@daily', run: 'true'}\n"
    (session.home / "block.yaml").write_text(text, encoding="utf-8")
    status, printed = session.run("synccron validate block.yaml")
    assert status == 0, f"{block.page}:{block.line}\n{printed}"


def read_toml(session: Session, block: Block) -> None:
    """Install the entry points of a package, as pip does it."""
    project = tomllib.loads(block.text)["project"]
    installed = session.home / "mypackage-1.dist-info"
    installed.mkdir(exist_ok=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1\n")
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (installed / "entry_points.txt").write_text("\n".join(lines))


def read_picture(_: Session, block: Block) -> None:
    assert block.page in PICTURES, f"{block.page}:{block.line}: neither run nor excused"


READERS: dict[str, Callable[[Session, Block], None]] = {
    "": read_picture,
    "console": read_shell,
    "python": read_python,
    "sh": read_shell,
    "toml": read_toml,
    "yaml": read_yaml,
}


INLINE = re.compile(r"`(synccron [a-z][^`]*)`")
# What stands in the text for what one has in mind; jobs and dead letters are made for a command.
WORDS = {"ID": "flaky", "FILE": "inline.yaml", "greet": "flaky", "/etc/crontab": "crontab"}
MADE = {
    "JOB": 'synccron trigger flaky --json | sed \'s/.*"id":"\\([^"]*\\).*/\\1/\'',
    "D": "synccron trigger flaky --wait >&2; "
    'synccron dlq ls --json | sed \'s/.*"id":"\\([^"]*\\)","kind.*/\\1/\'',
}


@pytest.mark.timeout(ENOUGH)
@pytest.mark.parametrize("page", [ROOT / "README.md"], ids=["all pages"])
def test_the_commands_in_the_text_do_something(session):
    """They are well spelt, and end with an answer: 0 or 1."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    plain = FENCE.sub("", text).replace("\\|", "|").replace("…", "")
    for granted in (
        "synccron example > inline.yaml",
        "echo '0 6 * * * root true' > crontab",
        "synccron register -f inline.yaml",
        "synccron register flaky --cron @daily -- false",
        "synccron run",
        "synccron trigger flaky --wait || true",
    ):
        shell(session, Step(0, granted), "the text")
    for found in dict.fromkeys(INLINE.findall(plain)):
        words = found.split()
        if words[1] in {"backup", "restore"}:
            words = ["copy" if word == "FILE" else word for word in words]
        for name in set(words) & set(MADE):
            printed = session.run(f"({MADE[name]}) 2>&-")[1]
            words[words.index(name)] = printed.splitlines()[-1]
        command = " ".join(WORDS.get(word, word) for word in words)
        if GOES_ON.match(command) or WATCHES.match(command):
            shell(session, Step(0, command), "the text")
            continue
        status, printed = session.run(command)
        named = len(words) == 2 and status == 2  # the name of a command that wants to know more
        assert named or status in {0, 1}, f"{command}: {status}\n{printed}"


@pytest.mark.parametrize("excuse", EXCUSED)
def test_nothing_is_excused_that_no_page_has(excuse):
    commands = [
        step.command
        for page in PAGES
        for block in blocks(page)
        if block.language in {"sh", "console"}
        for step in steps(block)
    ]
    assert any(re.match(excuse, each) for each in commands)


def test_the_extras_and_targets_that_pages_name_exist():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = re.findall(r"synccron\[([\w,]+)\]", text)
    extras = {extra for each in named for extra in each.split(",")}
    assert extras <= set(project["optional-dependencies"])
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE)) <= targets
