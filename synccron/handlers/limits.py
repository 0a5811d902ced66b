"""What a process of an attempt may use: by rlimits always, by its cell where that keeps more.

Memory is address space here, CPU is seconds, both of each process alone; processes are counted by
the kernel over all that their user has, and not at all for root.
"""

import os
import resource
from collections.abc import Mapping

from synccron.handlers.child import Login, Refusal

_RLIMITS = {
    "memory": resource.RLIMIT_AS,
    "cpu": resource.RLIMIT_CPU,
    "processes": resource.RLIMIT_NPROC,
    "files": resource.RLIMIT_NOFILE,
}
_GRACE = 5  # seconds of CPU between the signal that can be handled and the end


def check(limits: Mapping[str, int], login: Login | None, *, counted: bool) -> None:
    """Refuse what cannot be kept; `counted`: a cell counts processes. Raises Refusal."""
    uid = os.geteuid() if login is None else login.uid
    if "processes" in limits and uid == 0 and not counted:
        raise Refusal(
            "limits: processes cannot be kept for root here: name another user, or delegate control"
            " groups with the pids controller to the node"
        )


def impose(limits: Mapping[str, int]) -> None:
    """Limit this process, and what it starts. Raises OSError, ValueError."""
    for name, limit in limits.items():
        _, most = resource.getrlimit(_RLIMITS[name])
        hard = limit + _GRACE if name == "cpu" else limit
        if most != resource.RLIM_INFINITY:
            limit, hard = min(limit, most), min(hard, most)  # noqa: PLW2901 - the stricter is kept
        resource.setrlimit(_RLIMITS[name], (limit, hard))
