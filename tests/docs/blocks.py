"""The fenced blocks of a page of the docs, and the commands in them."""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted((*ROOT.glob("docs/*.md"), ROOT / "README.md"))
FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"# ([\w/.-]+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """What stands between two fences; `line` is that of its first line, `under` the heading."""

    page: str
    line: int
    under: str
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is, where its first line says so: `# jobs.yaml`."""
        named = NAME.match(self.text)
        return named[1] if named and self.language not in {"sh", "console"} else None


@dataclass
class Step:
    """A command, and what the page says that it prints (None: nothing is said)."""

    line: int
    command: str
    expected: list[str] | None = None


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for fence in FENCE.finditer(text):
        before = text[: fence.start()]
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", before), flags=re.MULTILINE)
        yield Block(
            page.name,
            before.count("\n") + 2,
            headings[-1] if headings else "",
            fence[2],
            textwrap.dedent(fence[3]),
        )


def steps(block: Block) -> list[Step]:
    return list(_console(block) if block.language == "console" else _shell(block))


def _shell(block: Block) -> Iterator[Step]:
    """A command a line; `\\` at its end goes on with it."""
    begun: list[str] = []
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        begun.append(line)
        if not line.endswith("\\"):
            if line.strip() and not line.startswith("#"):
                yield Step(number - len(begun) + 1, "\n".join(begun))
            begun = []
    assert not begun, f"{block.page}:{block.line}: the last line goes on"


def _console(block: Block) -> Iterator[Step]:
    """`$ ` begins a command, `> ` goes on with it, all else is what it prints."""
    step: Step | None = None
    for number, line in enumerate(block.text.splitlines(), start=block.line):
        if line.startswith("$ "):
            if step is not None:
                yield step
            step = Step(number, line[2:], [])
            continue
        assert step is not None, f"{block.page}:{number} is before any command"
        assert step.expected is not None
        if line.startswith("> ") and not step.expected:
            step.command += f"\n{line[2:]}"
        else:
            step.expected.append(line)
    if step is not None:
        yield step
