"""What all tests may use."""

import signal
from collections.abc import Iterator

import pytest

from tests.etcd import Members, needed

# Who runs tests in the background may have made them ignore what Ctrl-C sends; and so would every
# command that they start, also those that they interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what nodes on a cluster write on their host, their logs, out of the system's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def etcd() -> Iterator[Members]:
    """One member for all tests of this process; each takes a prefix of its own."""
    needed()
    members = Members()
    try:
        members.start()
        yield members
    finally:
        members.close()
