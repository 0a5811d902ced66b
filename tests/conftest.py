"""What all tests may use."""

from collections.abc import Iterator

import pytest

from tests.etcd import Members, needed


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
