"""Nodes and the lead: rows for what must hold across a write, heartbeats for who is alive.

A session ends when its row goes: its owner left, another took over its id, or somebody noticed that
it is dead and has no claims. Until then a node that was stopped may wake and go on.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from synccron.clock import Clock
from synccron.errors import IdTaken
from synccron.model.lease import Node, Session, Term
from synccron.model.time import Duration
from synccron.store.codec import decode, encode, readable
from synccron.store.sqlite.jobs import check_session
from synccron.store.sqlite.sessions import Sessions
from synccron.store.sqlite.writer import Transaction


def join(transaction: Transaction, sessions: Sessions, node: Node) -> None:
    """Write a node's row, in place of one of the same id that is gone. Raises IdTaken."""
    db = transaction.db
    row = db.execute("SELECT session FROM nodes WHERE id = ?", (node.id,)).fetchone()
    if row is not None:
        if sessions.alive(row[0]):
            raise IdTaken(
                f"a node with the id {node.id} is registered and may be alive",
                hint="stop it, or give this one another --id",
            )
        end(transaction, sessions, row[0])
    db.execute(
        "INSERT INTO nodes (id, session, record) VALUES (?, ?, ?)",
        (node.id, node.session, encode(node)),
    )


def report(transaction: Transaction, at: Session, node: Node) -> None:
    """Replace a node's record. Raises SessionLost."""
    check_session(transaction.db, at)
    transaction.db.execute(
        "UPDATE nodes SET record = ? WHERE session = ?",
        (encode(replace(node, session=at.id)), at.id),
    )


def end(transaction: Transaction, sessions: Sessions, session: str) -> None:
    """End a session: its row goes, and its counters are added to the totals."""
    db = transaction.db
    row = db.execute("SELECT record FROM nodes WHERE session = ?", (session,)).fetchone()
    if row is not None:
        db.execute("DELETE FROM nodes WHERE session = ?", (session,))
        for node in readable(_recorded, row):
            count(db, node.counters)
            db.execute(
                "UPDATE meta SET last_tick_at = ?1 WHERE ?1 > coalesce(last_tick_at, 0)",
                (node.ticked_at,),
            )
    db.execute("UPDATE leader SET session = NULL, node = NULL WHERE session = ?", (session,))
    sessions.remove(session)


def end_idle(transaction: Transaction, sessions: Sessions, session: str) -> None:
    """End a session that is dead and has no claims left."""
    running = transaction.db.execute(
        "SELECT 1 FROM jobs WHERE state = 'running' AND session = ? LIMIT 1", (session,)
    )
    if running.fetchone() is None and not sessions.alive(session):
        end(transaction, sessions, session)


def end_dead(transaction: Transaction, sessions: Sessions) -> None:
    """End all sessions that are dead and have no claims left, and remove files without a row."""
    rows = transaction.db.execute("SELECT session FROM nodes").fetchall()
    known = {session for (session,) in rows}
    for session in known:
        end_idle(transaction, sessions, session)
    for name in sessions.names():
        if name not in known and not sessions.alive(name):
            sessions.remove(name)


def count(db: sqlite3.Connection, counts: Mapping[Any, int]) -> None:
    """Add to the totals."""
    db.executemany(
        "INSERT INTO counters (name, value) VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        [(name, value) for name, value in counts.items() if value],
    )


def current_term(db: sqlite3.Connection, sessions: Sessions) -> Term | None:
    """Read who leads; None: nobody, or one whose lease has run out."""
    epoch, session, node = db.execute("SELECT epoch, session, node FROM leader").fetchone()
    until = None if session is None else sessions.leads(session)
    if until is None:
        return None
    pulse = sessions.pulse(session)
    ttl = 0 if pulse is None else pulse.lease_ttl
    return Term(node=node, session=session, epoch=epoch, ttl=ttl, until=until)


def take_lead(
    transaction: Transaction, sessions: Sessions, clock: Clock, at: Session, ttl: Duration
) -> Term | None:
    """Take the lead if nobody has it, under a new epoch; None: another has it, or we are gone."""
    db = transaction.db
    known = db.execute("SELECT 1 FROM nodes WHERE session = ?", (at.id,)).fetchone()
    if known is None or not sessions.alive(at.id):
        return None
    # Law 4: the lead is taken in a transaction, so that any write under the old epoch is before
    # it, or refused.
    if current_term(db, sessions) is not None:
        return None
    now = clock.monotonic()
    if not sessions.beat_lease(at.id, now, ttl):
        return None
    (epoch,) = db.execute(
        "UPDATE leader SET epoch = epoch + 1, session = ?, node = ? RETURNING epoch",
        (at.id, at.node),
    ).fetchone()
    return Term(node=at.node, session=at.id, epoch=epoch, ttl=ttl, until=now + ttl)


def resign(transaction: Transaction, term: Term) -> None:
    """Give up the lead, if this term still has it."""
    transaction.db.execute(
        "UPDATE leader SET session = NULL, node = NULL WHERE session = ? AND epoch = ?",
        (term.session, term.epoch),
    )


def nodes_of(records: Iterable[str], sessions: Sessions, clock: Clock) -> list[Node]:
    """Make nodes of what is stored; what can't be read is as if it were not there."""
    return list(readable(lambda record: node_of(record, sessions, clock), records))


def node_of(record: str, sessions: Sessions, clock: Clock) -> Node:
    """Make a node of its record and its heartbeat."""
    node = _recorded(record)
    pulse = sessions.pulse(node.session)
    seen = None if pulse is None else clock.now() - max(0, clock.monotonic() - pulse.beat)
    return replace(node, live=sessions.alive(node.session), last_seen_at=seen)


@lru_cache(maxsize=256)
def _recorded(record: str) -> Node:
    """Read a record: most loops ask for it each second, and it changes seldom."""
    return decode(Node, record)
