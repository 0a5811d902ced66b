"""What a node must offer to run a job: a handler, and labels that it carries.

Written as one text, which stores only compare: `run`, `billing`, `run?gpu=a100&zone=eu`. Which of
those a node offers is decided here; whether a handler is there, `handlers/resolve.py` knows.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl, urlencode

SHELL = "run"  # the handler of all schedules that have `run`; no other has this name


def needs_of(handler: str | None, labels: Mapping[str, str]) -> str:
    """Write what a node must offer: the handler (None: shell commands), and all of the labels."""
    name = SHELL if handler is None else handler
    return f"{name}?{urlencode(sorted(labels.items()))}" if labels else name


def handler_in(needs: str) -> str:
    """Read the handler: `run`, or its name."""
    return needs.partition("?")[0]


def labels_in(needs: str) -> dict[str, str]:
    """Read the labels."""
    return dict(parse_qsl(needs.partition("?")[2], keep_blank_values=True))


def offered(
    needed: Iterable[str], handlers: frozenset[str], labels: Mapping[str, str]
) -> frozenset[str]:
    """Tell what a node with these handlers and labels offers: them, and what it can of `needed`."""
    wanted = (each for each in needed if handler_in(each) in handlers and "?" in each)
    return handlers | {each for each in wanted if labels_in(each).items() <= labels.items()}


def in_words(needs: str) -> str:
    """Say what is needed: `'billing' with gpu=a100`."""
    labels = " ".join(f"{key}={value}" for key, value in labels_in(needs).items())
    return f"{handler_in(needs)!a} with {labels}" if labels else f"{needs!a}"
