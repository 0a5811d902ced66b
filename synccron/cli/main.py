"""The command line's door: runs a command, and tells every error in the one way.

What people see is in `render.py`; no other module shows an error or picks an exit status for one.
`ls` of a plain form goes the straight way, everything else through the tree of commands.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from io import TextIOWrapper
from typing import Any

from synccron.cli import straight
from synccron.cli.paper import visible
from synccron.errors import InvalidInput, SynccronError

INTERRUPTED = 130
READER_GONE = 141  # what a shell reports of a program that SIGPIPE ended


def run(argv: Sequence[str]) -> int:
    """Run one command line (without the program's name) and give its exit status."""
    own = argv[: argv.index("--")] if "--" in argv else argv
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a locale that lacks a character loses no listing
            stream.reconfigure(errors="backslashreplace")
    try:
        return _invoke(argv)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _silence()
        return READER_GONE
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told in the one way
        if "--debug" in own:
            import traceback

            traceback.print_exc()
        return tell(_told(error, argv), as_json="--json" in own)


def _invoke(argv: Sequence[str]) -> int:
    if (asked := straight.read(argv)) is not None:
        straight.run(asked)
        status = 0
    else:
        from synccron.cli import tree

        status = tree.invoke(argv)
    sys.stdout.flush()
    return status


def tell(error: SynccronError, *, as_json: bool) -> int:
    """Show an error on stderr, as lines or as one JSON document, and give its exit status."""
    if as_json:
        told: dict[str, Any] = {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "details": list(error.details),
        }
        print(json.dumps({"error": told}), file=sys.stderr, flush=True)
        return error.exit_status
    for finding in _findings(error):
        print(f"error: {visible(finding)}", file=sys.stderr)
    if error.hint:
        print(f"hint: {visible(error.hint)}", file=sys.stderr)
    sys.stderr.flush()
    return error.exit_status


def _findings(error: SynccronError) -> list[str]:
    found = [one for one in error.details if "message" in one]
    return [_located(one) for one in found] or [error.message]


def _located(one: Mapping[str, Any]) -> str:
    """Tell a finding with its place in a file, as far as that is known."""
    place = [str(one[name]) for name in ("file", "line", "column") if one.get(name) is not None]
    return ":".join([*place, f" {one['message']}"]) if place else str(one["message"])


class _Internal(SynccronError):
    code = "internal"


def _told(error: Exception, argv: Sequence[str]) -> SynccronError:
    if isinstance(error, SynccronError):
        return error
    if isinstance(error, UnicodeEncodeError):
        for each in argv:  # a file may be named by any bytes, but nothing else
            if not _is_text(each):
                return InvalidInput(f"the argument {each!r} is not UTF-8")
    return _internal(error)


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _internal(error: Exception) -> SynccronError:
    text = " ".join(str(error).split())
    return _Internal(
        f"internal: {type(error).__name__}: {text}",
        hint="this is a defect: run it again with --debug, and report the traceback",
    )


def _silence() -> None:
    # whoever read our output has gone: nothing is to be said at exit either
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, sys.stdout.fileno())
    os.close(quiet)
