"""The ways to run things: shell commands and Python entry points."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from synccron.handlers.base import Handlers


def open_handlers(*, pass_env: Sequence[str] = ()) -> "Handlers":
    """Start a guardian for this node's attempts."""
    from synccron.handlers.local import LocalHandlers

    return LocalHandlers(pass_env=pass_env)
