"""A member of etcd that cannot prove who it is gets nothing; and nothing goes there in plain."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from synccron.clock import SystemClock
from synccron.errors import StoreError
from synccron.store import open_store
from tests.certificates import certificates
from tests.etcd import Members, needed

pytestmark = pytest.mark.xdist_group("etcd")

Start = Callable[..., Members]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a member with a certificate of its own, in a folder."""
    needed()
    started: list[Members] = []

    def begin(folder: str, **made: str) -> Members:
        files = tmp_path / folder
        files.mkdir()
        certificates(files, **made)
        members = Members(
            1,
            ("--cert-file", f"{files}/server.pem", "--key-file", f"{files}/server.key"),
            checked=False,
        )
        started.append(members)
        members.start()
        return members

    yield begin
    for each in started:
        each.close()


def url(members: Members, authority: Path) -> str:
    return f"etcds://127.0.0.1:{members.members[0].port}/tls?ca={authority}/ca.pem"


def refused(place: str) -> None:
    with pytest.raises(StoreError, match="cannot be reached"):
        open_store(place, create=True, clock=SystemClock(), timeout=1500)


def test_a_member_of_another_authority_is_refused(start: Start, tmp_path: Path) -> None:
    members = start("mine")
    (tmp_path / "other").mkdir()
    certificates(tmp_path / "other")
    with open_store(
        url(members, tmp_path / "mine"), create=True, clock=SystemClock(), timeout=30_000
    ):
        pass  # with its own authority it answers
    refused(url(members, tmp_path / "other"))


def test_nothing_is_sent_in_plain_to_a_member_that_speaks_tls(start: Start) -> None:
    members = start("mine")
    refused(f"etcd://127.0.0.1:{members.members[0].port}/tls")


def test_a_member_that_speaks_no_tls_is_refused_where_it_was_asked_for(
    etcd: Members, tmp_path: Path
) -> None:
    certificates(tmp_path)
    refused(url(etcd, tmp_path))


def test_a_certificate_of_another_name_is_refused(start: Start, tmp_path: Path) -> None:
    refused(url(start("mine", names="DNS:elsewhere.example"), tmp_path / "mine"))


def test_a_certificate_that_has_expired_is_refused(start: Start, tmp_path: Path) -> None:
    refused(url(start("mine", days="0"), tmp_path / "mine"))
