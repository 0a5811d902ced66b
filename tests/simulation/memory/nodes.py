"""Sessions and terms: who is alive, and who leads."""

from dataclasses import replace

from synccron.errors import SessionLost, StaleTerm
from synccron.model.lease import Session, Term
from tests.simulation.memory.state import Memory


def alive(memory: Memory, session: str | None) -> bool:
    seat = memory.state.seats.get(session or "")
    return seat is not None and not seat.dead and memory.clock.monotonic() - seat.beat < seat.ttl


def current_term(memory: Memory) -> Term | None:
    lead = memory.state.lead
    until = lead.beat + lead.ttl
    seat = memory.state.seats.get(lead.session or "")
    if lead.session is None or seat is None or seat.dead or memory.clock.monotonic() >= until:
        return None
    return Term(node=lead.node, session=lead.session, epoch=lead.epoch, ttl=lead.ttl, until=until)


def check_term(memory: Memory, term: Term) -> None:
    # Law 4: against a leader that was deposed, or slept past its lease.
    current = current_term(memory)
    if current is None or (current.session, current.epoch) != (term.session, term.epoch):
        raise StaleTerm(f"the term {term.epoch} of node {term.node} is over")


def check_session(memory: Memory, at: Session) -> None:
    # Law 5: against a node whose session has ended, and whose claims others took.
    if at.id not in memory.state.seats:
        raise SessionLost(f"the session {at.id} of node {at.node} has ended")


def end_session(memory: Memory, session: str) -> None:
    state, seat = memory.state, memory.state.seats.pop(session, None)
    if seat is not None:
        state.counters.update(seat.node.counters)
        ticks = [at for at in (seat.node.ticked_at, state.last_tick_at) if at is not None]
        state.last_tick_at = max(ticks, default=None)
    if state.lead.session == session:
        state.lead = replace(state.lead, session=None)


def end_idle(memory: Memory, session: str) -> None:
    claims = any(
        job.session == session for job in memory.state.unsettled() if job.state == "running"
    )
    if not claims and not alive(memory, session):
        end_session(memory, session)
