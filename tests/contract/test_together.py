"""Several at once: threads, and handles that know nothing of each other."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synccron.clock import Bell, SystemClock
from synccron.model.job import Admission
from synccron.model.time import MINUTE, SECOND

LEASE = 5 * SECOND


def together(*tasks: Callable[[], Any]) -> list[Any]:
    """Begin all at one moment, each in a thread of its own; what they gave."""
    start = threading.Barrier(len(tasks))

    def begin(task: Callable[[], Any]) -> Any:
        start.wait(30)
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return list(pool.map(begin, tasks))


def test_the_same_key_at_once_makes_one_job(world, backend):
    stores = [backend.open() for _ in range(2)]
    orders = [world.order() for _ in range(8)]
    receipts = together(
        *(
            lambda n=n, order=order: stores[n % 2].enqueue(order, 0)
            for n, order in enumerate(orders)
        )
    )
    assert len({replace(receipt, new=False) for receipt in receipts}) == 1
    assert sum(receipt.new for receipt in receipts) == 1
    assert len(world.jobs()) == 1


def test_law_5_of_many_who_claim_the_same_jobs_each_job_goes_to_one(world, backend):
    stores = [backend.open() for _ in range(4)]
    sessions = [world.join(f"n{n}", store) for n, store in enumerate(stores)]
    for n in range(40):
        world.submit(key=str(n))
    admissions = [Admission(candidate=each) for each in world.waiting()]
    now = world.clock.now()
    answers = together(
        *(
            lambda store=store, at=at: store.claim(at, admissions, now)
            for store, at in zip(stores, sessions, strict=True)
        )
    )
    claims = [claim for answer in answers for claim in answer if claim is not None]
    assert len({claim.job.id for claim in claims}) == len(claims) == 40
    assert len({claim.fence for claim in claims}) == 40


def test_law_4_of_many_who_campaign_one_leads(world, backend):
    stores = [backend.open() for _ in range(4)]
    sessions = [world.join(f"n{n}", store) for n, store in enumerate(stores)]
    terms = together(
        *(
            lambda store=store, at=at: store.campaign(at, LEASE)
            for store, at in zip(stores, sessions, strict=True)
        )
    )
    assert sum(term is not None for term in terms) == 1


def test_law_1_of_many_who_dispatch_the_same_slots_one_writes_each(world, backend):
    for n in range(10):
        world.register(f"job-{n}")
    at = world.join()
    world.pass_(MINUTE, at)
    term = world.lead(at)
    plans = world.plans(term)
    stores = [world.store, backend.open(), backend.open()]
    answers = together(*(lambda store=store: store.dispatch(term, plans) for store in stores))
    assert [sum(each) for each in zip(*answers, strict=True)] == [1] * 10
    assert len(world.jobs()) == 10


def test_what_another_handle_writes_and_a_node_that_dies_ring(world, backend):
    bell = Bell(SystemClock())
    other = backend.open()
    seen = bell.rings
    world.store.watch(bell.ring)
    other.enqueue(world.order(), 0)
    assert bell.wait(seen, 30_000)
    seen = bell.rings
    world.store.enqueue(world.order(key="own"), 0)
    assert bell.wait(seen, 30_000)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=25))
def test_law_5_whatever_happens_each_job_has_one_attempt_under_way_and_settles_once(
    world, backend, steps
):
    """Claims, ends, kills, late results and cancels in any order, of jobs that share a schedule."""
    for job in world.jobs(states=["queued", "scheduled"]):
        world.store.cancel(job.id, world.clock.now())
    if world.find("job") is None:
        world.register("job", overlap="skip")
    held, late = [], []
    settled: dict[str, int] = {}
    sessions = {}
    for n, (step, which) in enumerate(steps):
        name = f"n{which}"
        if name not in sessions:
            sessions[name] = world.join(f"{name}-{n}-{len(steps)}-{world.clock.now()}")
        at = sessions[name]
        world.clock.advance(1)
        match step:
            case 0:
                world.trigger(key=f"{world.clock.now()}-{n}")
            case 1:
                found = [Admission(candidate=each) for each in world.waiting()]
                held += [
                    claim
                    for claim in world.store.claim(at, found, world.clock.now())
                    if claim is not None
                ]
            case 2 if held:
                claim = held.pop(which % len(held))
                job = world.settle(claim, "completed")
                settled[job.id] = settled.get(job.id, 0) + 1
                late.append(claim)
            case 3:
                backend.kill(at)
                sessions.pop(name)
                for claim in world.store.lost(10):
                    assert world.settle(claim, "lost") is not None
                late += [claim for claim in held if claim.session == at.id]
                held = [claim for claim in held if claim.session != at.id]
            case 4 if late:
                assert world.settle(late[which % len(late)]) is None
            case 5 if held:
                world.store.cancel(held[which % len(held)].job.id, world.clock.now())
        running = {job.id for job in world.jobs(states=["running"])}
        assert running == {claim.job.id for claim in held}
        assert len(running) <= 1
    assert set(settled.values()) <= {1}
    for claim in held:
        world.settle(claim)
    for at in sessions.values():
        world.store.leave(at)
