"""The ways to run things: shell commands and Python entry points."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synccron.handlers.base import Handlers


def keep_memory_private() -> None:
    """Let no process of our user, and no core file, have the secrets of this one."""
    from synccron.handlers.kernel import keep_memory_private as keep

    keep()


def keep_one_heap() -> None:
    """Let all threads of this process allocate from one heap; call it before they begin."""
    from synccron.handlers.kernel import keep_one_heap as keep

    keep()


def open_handlers(
    *, pass_env: Sequence[str] = (), store: str, allow_run: Sequence[str] | None = None
) -> "Handlers":
    """Start a guardian for this node's attempts; what earlier nodes of this store left here ends.

    `store` names it on this host, the same in every node. With `allow_run` nothing is started but
    installed entry points, and commands that one of these patterns permits.
    """
    from synccron.handlers.local import LocalHandlers

    return LocalHandlers(pass_env=pass_env, store=store, allow_run=allow_run)
