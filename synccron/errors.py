"""What can go wrong, told apart by class and code; the text is for people.

Callers catch classes, scripts read `code` and the exit status, nobody parses a message.
The exit statuses are those of the command line's contract (docs/cli.md).
"""

from collections.abc import Sequence
from typing import Any, ClassVar


class SynccronError(Exception):
    """The base of all errors that a caller may see.

    `code` is stable and for programs; the message is one line that says what was expected and what
    came; `hint` says what to do; `details` lists single findings (the errors of a file).
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1

    def __init__(
        self, message: str, *, hint: str | None = None, details: Sequence[dict[str, Any]] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)


class Refused(SynccronError):
    """The question was understood, and the answer is no (a trigger that overlap forbids)."""

    code = "refused"


class JobNotSettled(SynccronError, TimeoutError):
    """The job that was waited for has not ended in time; it goes on."""

    code = "not_settled"


class InvalidInput(SynccronError, ValueError):
    """What was given cannot be accepted; nothing was changed."""

    code = "invalid"
    exit_status = 2


class KeyConflict(InvalidInput):
    """The key was used before, with another input."""

    code = "key_conflict"


class NotFound(SynccronError, LookupError):
    """There is no such schedule, job or dead letter."""

    code = "not_found"
    exit_status = 3


class StoreError(SynccronError):
    """The store cannot be reached or used; whether a write arrived may be unknown."""

    code = "store_unreachable"
    exit_status = 4


class StoreMissing(StoreError):
    """There is no store at that place, and this command does not make one."""

    code = "store_missing"


class StoreDamaged(StoreError):
    """The store's file is corrupt or no database."""

    code = "store_damaged"


class StoreForeign(StoreError):
    """The file or prefix belongs to another program."""

    code = "store_foreign"


class StoreNewer(StoreError):
    """The store was written by a later version."""

    code = "store_newer"


class StoreReadonly(StoreError):
    """The store may be read but not written."""

    code = "store_readonly"


class StoreFull(StoreError):
    """There is no room left; nothing of the refused write was stored."""

    code = "store_full"


class NoQuorum(StoreError):
    """Members of the store's cluster answer, but too few of them to decide anything."""

    code = "no_quorum"


class StoreAuth(StoreError):
    """The store does not know the user or its password, or does not permit what was asked."""

    code = "auth"


class IdTaken(StoreError):
    """Another live node is registered under this id."""

    code = "id_taken"


class StaleTerm(SynccronError):
    """The term is over: another node leads, or nobody does. The writes under it did not happen."""

    code = "stale_term"


class SessionLost(SynccronError):
    """The store ended this node's session; what it had claimed may be taken up by others."""

    code = "session_lost"
