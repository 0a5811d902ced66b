"""Who is there, and who leads: sessions, leases, terms, and their counters."""

from dataclasses import replace

import pytest

from synccron.errors import IdTaken, SessionLost
from synccron.model.lease import Node, Term, Totals
from synccron.model.time import SECOND
from synccron.store.base import Where

LEASE = 5 * SECOND
NODE_LEASE = 15 * SECOND


def test_a_node_is_read_back_with_what_the_store_knows_of_it(world):
    node = world.node("n1", labels={"a": "b"}, counters={"tick_errors": 1})
    world.store.join(node, NODE_LEASE)
    world.clock.advance(3)
    (read,) = world.store.read(Node).items
    assert replace(read, skew=None) == replace(node, last_seen_at=world.clock.now() - 3)


def test_a_report_replaces_the_record_and_keeps_its_session(world):
    at = world.join()
    world.store.report(at, replace(world.node(), session=at.id, running=3))
    (read,) = world.store.read(Node).items
    assert (read.running, read.session) == (3, at.id)


def test_an_id_that_may_be_alive_is_taken(world):
    world.join("n1")
    with pytest.raises(IdTaken):
        world.join("n1")
    assert len(world.store.read(Node).items) == 1


def test_an_id_whose_process_is_gone_is_taken_over_and_its_claims_are_lost(world, backend):
    old = world.join("n1")
    claim = world.claim(old, world.submit().job_id)
    backend.kill(old)
    new = world.join("n1")
    assert [node.session for node in world.store.read(Node).items] == [new.id]
    assert world.store.lost(10) == [claim]
    with pytest.raises(SessionLost):
        world.store.renew(old)


def test_an_id_whose_lease_ran_out_is_taken_over(world, backend):
    old = world.join("n1")
    backend.expire(old)
    world.join("n1")
    with pytest.raises(SessionLost):
        world.store.report(old, replace(world.node(), session=old.id))


def test_a_node_that_wakes_late_goes_on_if_nobody_took_its_place(world):
    at = world.join()
    claim = world.claim(at, world.submit().job_id)
    world.clock.advance(NODE_LEASE)
    (node,) = world.store.read(Node).items
    assert not node.live
    world.store.renew(at)
    (node,) = world.store.read(Node).items
    assert node.live
    assert world.settle(claim).state == "completed"


def test_who_leaves_is_gone_and_its_claims_and_lead_with_it(world):
    at, other = world.join("n1"), world.join("n2")
    claim = world.claim(at, world.submit().job_id)
    term = world.lead(at)
    world.store.leave(at)
    assert world.store.lost(10) == [claim]
    assert world.lead(other).epoch > term.epoch
    assert [node.id for node in world.store.read(Node).items] == ["n2"]
    with pytest.raises(SessionLost):
        world.store.renew(at)
    assert world.store.campaign(at, LEASE) is None


def test_one_leads_at_a_time(world):
    first, second = world.join("n1"), world.join("n2")
    term = world.lead(first)
    assert world.store.campaign(second, LEASE) is None
    assert world.store.read(Term).items == (term,)
    assert term.until == world.clock.monotonic() + LEASE


def test_a_lead_that_is_kept_keeps_its_epoch(world):
    at, other = world.join("n1"), world.join("n2")
    term = world.lead(at)
    for _ in range(10):
        world.pass_(LEASE - 1, at, other)
        kept = world.lead(at)
        assert kept == replace(term, until=world.clock.monotonic() + LEASE)
        assert world.store.campaign(other, LEASE) is None


def test_a_lead_that_is_not_kept_goes_to_who_asks(world):
    at, other = world.join("n1"), world.join("n2")
    term = world.lead(at)
    world.pass_(LEASE - 1, at, other)
    assert world.store.campaign(other, LEASE) is None
    world.pass_(1, at, other)
    assert world.store.read(Term).items == ()
    assert world.lead(other).epoch > term.epoch
    assert world.store.campaign(at, LEASE) is None


def test_a_killed_leader_is_succeeded_at_once(world, backend):
    at, other = world.join("n1"), world.join("n2")
    term = world.lead(at)
    backend.kill(at)
    assert world.lead(other).epoch > term.epoch


def test_a_lead_that_is_resigned_is_free_at_once_and_only_by_its_own_term(world):
    at, other = world.join("n1"), world.join("n2")
    term = world.lead(at)
    world.store.resign(replace(term, epoch=term.epoch - 1))
    assert world.store.campaign(other, LEASE) is None
    world.store.resign(term)
    newer = world.lead(other)
    world.store.resign(term)
    assert world.store.read(Term).items == (newer,)


def test_law_6_leases_take_no_notice_of_the_wall_clock(world):
    at, other = world.join("n1"), world.join("n2")
    world.lead(at)
    claim = world.claim(at, world.submit().job_id)
    world.clock.jump(365 * 24 * 3600 * SECOND)
    assert world.store.campaign(other, LEASE) is None
    assert world.store.lost(10) == []
    world.clock.jump(-2 * 365 * 24 * 3600 * SECOND)
    assert world.store.campaign(other, LEASE) is None
    assert world.settle(claim) is not None


def test_the_counters_of_nodes_that_ended_and_of_commands_are_added_up(world, backend):
    at = world.join("n1", counters={"tick_errors": 2}, ticked_at=77)
    world.store.tally({"trigger_submitted": 1, "tick_errors": 1})
    world.store.tally({"trigger_submitted": 1})
    assert totals(world).counters == {"trigger_submitted": 2, "tick_errors": 1}
    world.store.leave(at)
    other = world.join("n2", counters={"tick_errors": 3}, ticked_at=76)
    backend.kill(other)
    world.join("n2")
    assert totals(world).counters == {"trigger_submitted": 2, "tick_errors": 6}
    assert totals(world).last_tick_at == 77


def test_a_dead_session_without_claims_is_removed_in_time(world, backend):
    at, leader = world.join("n1", counters={"tick_errors": 1}), world.join("n2")
    claim = world.claim(at, world.submit().job_id)
    backend.kill(at)
    term = world.lead(leader)
    world.prune(term)
    assert len(world.store.read(Node).items) == 2
    world.settle(claim, "lost")
    assert [node.id for node in world.store.read(Node).items] == ["n2"]
    idle = world.join("n3")
    backend.kill(idle)
    world.prune(term)
    assert [node.id for node in world.store.read(Node).items] == ["n2"]
    assert totals(world).counters == {"tick_errors": 1}


def test_the_store_at_a_glance(world):
    at, term, job = world.dispatched("a")
    world.register("b")
    assert world.store.apply([world.pausing("b")])
    world.claim(at, world.submit(key="1").job_id)
    world.submit(key="2")
    world.run(at, world.submit(key="3").job_id, "failed", permanent=True)
    now = world.clock.now()
    seen = world.store.read(Totals, Where(overdue=now + 1)).items[0]
    assert (seen.schedules, seen.paused) == (2, 1)
    assert (seen.scheduled, seen.queued, seen.running) == (1, 1, 1)
    assert (seen.dead_letters, seen.overdue, seen.oldest_due_at) == (1, 1, job.run_at)
    world.prune(term, horizon=5)
    assert totals(world).horizon == 5


def totals(world):
    return world.store.read(Totals).items[0]
