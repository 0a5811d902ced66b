"""What a node with `--only-handlers` may start: installed entry points, whatever the store says.

The offer of a node keeps others from waiting for it in vain; this is the second belt, which holds
against a record that somebody forged.
"""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from synccron.handlers.base import Invocation
from synccron.handlers.resolve import installed

_OURS = ("SYNCCRON_*", "TRACEPARENT", "TRACESTATE")


def forbidden(invocation: Invocation, pass_env: Sequence[str]) -> str | None:
    """Tell why a node with `--only-handlers` does not start this; None: it may.

    Of the schedule's `env`, only names that `pass_env` names: others (`LD_PRELOAD`, `PYTHONPATH`,
    `HOME`) could change which code an entry point is.
    """
    if invocation.run is not None:
        return "this node runs only installed handlers, and no commands (--only-handlers)"
    if invocation.handler not in installed():
        return f"{invocation.handler!a} is no installed handler of this node (--only-handlers)"
    allowed = (*_OURS, *pass_env)
    for name in sorted(invocation.env):
        if not any(fnmatchcase(name, pattern) for pattern in allowed):
            return f"this node takes no {name!a} of a schedule (--only-handlers, --pass-env)"
    return None
