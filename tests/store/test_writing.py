"""Group commit, the write lock, and what is left after a kill: laws 3, 4 and 7 on SQLite."""

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from synccron.clock import Bell, SystemClock
from synccron.errors import SessionLost, StoreError
from synccron.model.job import Job
from synccron.model.lease import Node
from synccron.store.base import Where


def test_readers_cannot_write(place):
    with (
        pytest.raises(StoreError),
        place.open().readers.view() as db,
    ):
        db.execute("DELETE FROM jobs")


def test_one_who_is_alone_is_committed_at_once_by_itself(place):
    store = place.open()
    before = threading.active_count()
    store.enqueue(place.order("a"), 0)
    assert threading.active_count() == before


def test_a_piece_that_fails_undoes_itself_alone(place):
    store = place.open()
    inside, go_on = threading.Event(), threading.Event()

    def slow(_transaction):
        inside.set()
        assert go_on.wait(60)

    def wrong(transaction):
        transaction.db.execute("DELETE FROM meta")
        raise KeyError("wrong")

    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.writer.write, slow)
        assert inside.wait(60)
        bad = pool.submit(store.writer.write, wrong)
        good = pool.submit(store.enqueue, place.order("good"), 0)
        while len(store.writer._queue) < 2:
            threading.Event().wait(0.001)
        go_on.set()
        leader.result(60)
        assert isinstance(bad.exception(60), KeyError)
        assert good.result(60) is not None
    assert [job.key for job in store.read(Job).items] == ["good"]


def test_an_error_at_commit_is_raised_to_all_of_the_group(place):
    store = place.open()
    store.enqueue(place.order("first"), 0)
    inside, go_on = threading.Event(), threading.Event()

    def ends_it(transaction):
        inside.set()
        assert go_on.wait(60)
        transaction.db.execute("PRAGMA defer_foreign_keys = ON")
        transaction.db.execute("CREATE TABLE parent (a PRIMARY KEY)")
        transaction.db.execute("CREATE TABLE child (a REFERENCES parent)")
        transaction.db.execute("INSERT INTO child VALUES (1)")

    store.writer._connected().execute("PRAGMA foreign_keys = ON")
    with ThreadPoolExecutor(3) as pool:
        leader = pool.submit(store.writer.write, ends_it)
        assert inside.wait(60)
        other = pool.submit(store.enqueue, place.order("other"), 0)
        while not store.writer._queue:
            threading.Event().wait(0.001)
        go_on.set()
        assert isinstance(leader.exception(60), StoreError)
        assert isinstance(other.exception(60), StoreError)
    store.writer._connected().execute("PRAGMA foreign_keys = OFF")
    assert [job.key for job in store.read(Job).items] == ["first"]
    assert store.enqueue(place.order("next"), 0) is not None


def test_law_3_a_process_that_is_killed_in_a_transaction_leaves_nothing_of_it(place, heard):
    store = place.open()
    other = place.process(
        """
        def piece(transaction):
            transaction.db.execute("DELETE FROM meta")
            say("inside")
            __import__("threading").Event().wait()
        store.writer.write(piece)
        """
    )
    assert heard(other) == "inside"
    other.kill()
    assert store.enqueue(place.order("a"), 0) is not None


STOPPED = """
import threading
at = store.join(node("stopped"), 300)
def piece(transaction):
    say("inside")
    threading.Event().wait()
store.writer.write(piece)
"""


def test_a_command_that_waits_too_long_says_which_process_blocks(place, heard):
    other = place.process(STOPPED)
    assert heard(other) == "inside"
    other.send_signal(signal.SIGSTOP)
    store = place.open(timeout=700)
    with pytest.raises(StoreError, match=f"process {other.pid}") as caught:
        store.enqueue(place.order("a"), 0)
    assert "stopped" in (caught.value.hint or "")
    assert other.poll() is None
    assert store.read(Job).items == ()
    other.kill()
    # The wait that was given up does not keep the lock once it gets it.
    other.wait()
    assert store.enqueue(place.order("b"), 0) is not None
    assert place.open().enqueue(place.order("c"), 0) is not None


def test_a_node_that_is_killed_wakes_who_watches_and_its_claims_are_lost(place, heard):
    store = place.open()
    store.enqueue(place.order("a"), 0)
    bell = Bell(SystemClock())
    store.watch(bell.ring)
    other = place.process(
        """
        from synccron.model.job import Admission
        at = store.join(node("n"), 60_000)
        (candidate,) = store.waiting(frozenset({"h"}), clock.now() + 1000, 1)
        store.claim(at, [Admission(candidate=candidate)], clock.now())
        say("claimed")
        __import__("threading").Event().wait()
        """
    )
    assert heard(other) == "claimed"
    assert store.lost(1) == []
    other.kill()
    seen = bell.rings
    while not store.lost(1):
        assert bell.wait(seen, 60_000)
        seen = bell.rings
    (job,) = store.read(Job, Where(states=["running"])).items
    assert job.session == "n"


def test_a_session_is_not_kept_by_the_children_of_its_process(place, heard):
    store = place.open()
    other = place.process(
        """
        import subprocess
        store.join(node("n"), 60_000)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        say(child.pid)
        __import__("threading").Event().wait()
        """
    )
    child = int(heard(other))
    try:
        assert store.read(Node).items[0].live
        other.kill()
        other.wait()
        assert not store.read(Node).items[0].live
    finally:
        os.kill(child, signal.SIGKILL)


def test_stores_made_at_once_by_several_processes_are_one(place, heard):
    others = [
        place.process("store.enqueue(order(sys.argv[2]), 0); say('done')", str(n)) for n in range(4)
    ]
    assert [heard(each) for each in others] == ["done"] * 4
    assert len(place.open(create=False).read(Job).items) == 4


def test_renewing_waits_for_no_write(place, heard):
    store = place.open()
    node = Node(
        id="n", session="n", host="h", pid=1, version="1", started_at=0, tzdata="", concurrency=1
    )
    at = store.join(node, 15_000)
    term = store.campaign(at, 5_000)
    assert term is not None
    other = place.process(STOPPED.replace("300", "600_000"))
    assert heard(other) == "inside"
    store.renew(at)
    kept = store.campaign(at, 5_000)
    assert kept is not None
    assert kept.epoch == term.epoch
    other.kill()
    other.wait()
    store.leave(at)
    with pytest.raises(SessionLost):
        store.renew(at)


def test_a_store_that_is_closed_says_so(place):
    store = place.open()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.read(Job)
    with pytest.raises(StoreError, match="closed"):
        store.enqueue(place.order("a"), 0)
