"""What a node with `--only-handlers` or `--allow-run` may start, whatever the store says.

The offer of a node keeps others from waiting for it in vain; this is the second belt, which holds
against a record that somebody forged.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from synccron.handlers.base import Invocation
from synccron.handlers.resolve import installed
from synccron.model.permit import Patterns, permitted

_OURS = ("SYNCCRON_*", "TRACEPARENT", "TRACESTATE")


def forbidden(
    invocation: Invocation, allow_run: Patterns | None, pass_env: Sequence[str]
) -> str | None:
    """Tell why a node does not start this; None: it may (as all may where `allow_run` is None).

    Of the schedule's `env`, only names that `pass_env` names: others (`LD_PRELOAD`, `PYTHONPATH`,
    `HOME`) could change which code a program or an entry point is.
    """
    if allow_run is None:
        return None
    option = "--allow-run" if allow_run else "--only-handlers"
    if invocation.run is not None:
        if not allow_run:
            return f"this node runs only installed handlers, and no commands ({option})"
        if not permitted(allow_run, invocation.run):
            return f"this node does not run this command ({option})"
    elif invocation.handler not in installed():
        return f"{invocation.handler!a} is no installed handler of this node ({option})"
    allowed = (*_OURS, *pass_env)
    for name in sorted(invocation.env):
        if not any(fnmatchcase(name, pattern) for pattern in allowed):
            return f"this node takes no {name!a} of a schedule ({option}, --pass-env)"
    return None
