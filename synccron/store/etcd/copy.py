"""The whole namespace out, as it was at one revision, and into one that has nothing yet.

A copy is larger than a transaction: while it is written, `meta` says that it is unfinished, so that
nobody takes a half of it for a store.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from synccron.errors import Refused, StoreDamaged, StoreError
from synccron.model.copy import Base, Failing, Key, Record, bare_of_marks
from synccron.model.deed import Deed
from synccron.model.job import DeadLetter, Job, Miss, Notice, Output, Receipt, Step
from synccron.model.schedule import Cursor, Revision, Schedule, Tombstone
from synccron.store.codec import decode, encode
from synccron.store.etcd.client import Compacted
from synccron.store.etcd.cluster import Cluster, revision_key
from synccron.store.etcd.deeds import put as put_deeds
from synccron.store.etcd.draft import MOST_OPERATIONS, Draft, pair_of, ranges
from synccron.store.etcd.layout import (
    FENCES,
    SCHEMA,
    UNFINISHED,
    Kept,
    Meta,
    Pair,
    Seat,
    Standing,
    cursor_text,
    end_of,
    escaped,
    job_of,
    job_text,
    last_part,
    newest_first,
    schedule_of,
    standing_text,
)
from synccron.store.etcd.nodes import NOTHING, Sums, sums_of
from synccron.store.etcd.notices import put as put_notices
from synccron.store.etcd.schedules import put_letter, put_waiting

_PIECE = MOST_OPERATIONS - 10  # writes of one request; a record has a few
_BYTES = 500_000


def dump(cluster: Cluster) -> Iterator[Record]:
    """Give every record as it was when it was asked for, by kind and key."""
    revision = int(cluster.etcd.range(cluster.meta.key).header.revision)
    layout = cluster.layout

    def kept(kind: str, make: Callable[[Pair], Record]) -> Iterator[Record]:
        return map(make, _below(cluster, layout.kept(kind, ""), revision))

    def of(kind: type[Any]) -> Callable[[Pair], Record]:
        return lambda pair: bare_of_marks(decode(kind, pair.value))

    try:
        yield _base(cluster, revision)
        yield from _schedules(cluster, revision)
        yield from kept("failing", lambda pair: Failing(schedule_id=last_part(pair.key)))
        yield from kept("gone", of(Tombstone))
        yield from kept("rev", of(Revision))
        yield from kept("job", lambda pair: bare_of_marks(job_of(pair, cluster.base)))
        yield from kept("out", _output)
        yield from kept("step", _step)
        yield from _keys(cluster, revision)
        yield from kept("miss", of(Miss))
        yield from kept("dead", of(DeadLetter))
        yield from _notices(cluster, revision)
        yield from reversed(list(kept("deed", of(Deed))))  # the oldest first; there are not many
    except Compacted as error:
        raise StoreError(
            "etcd has forgotten the revision that the copy is of: it took too long",
            hint="let etcd keep more of the past, or try again when there is less to do",
        ) from error


def load(cluster: Cluster, records: Iterable[Record]) -> None:
    """Write every record. Raises Refused: the namespace has some already."""
    _begin(cluster)
    meta = Meta(schema=SCHEMA, incarnation=secrets.token_hex(8))
    draft = _drafting(cluster)
    for record in records:
        if isinstance(record, Base):
            meta = replace(meta, fence_base=record.fence, epoch_base=record.epoch)
        _put(cluster, draft, record)
        if len(draft.writes) >= _PIECE or draft.size >= _BYTES:
            if not cluster.commit(draft).written:
                raise _changed()
            draft = _drafting(cluster)
    draft.put(cluster.meta.key, encode(meta).encode())
    cluster.commit(draft)
    if _know(cluster) != meta:
        raise _changed()


def _begin(cluster: Cluster) -> None:
    """Say that a copy is being restored, if there is nothing but `meta`."""
    layout = cluster.layout
    draft = cluster.draft()
    draft.stands(cluster.meta.key, cluster.meta.mod)
    for start in (layout.watched(""), layout.kept("")):
        draft.absent(start, end_of(start))
    unfinished = Meta(schema=UNFINISHED, incarnation=secrets.token_hex(8))
    draft.put(cluster.meta.key, encode(unfinished).encode())
    cluster.commit(draft)
    if _know(cluster) != unfinished:
        raise Refused(
            f"the keys under {layout.root} of etcd are not empty",
            hint="restore under a prefix that is not there yet: etcd://host:2379/prefix",
        )


def _know(cluster: Cluster) -> Meta:
    """Learn what the namespace is now: by what it says a lost answer is told from a refusal."""
    pair = cluster.one(cluster.meta.key)
    if pair is None:
        raise _changed()
    cluster.meta, cluster.known = pair, decode(Meta, pair.value)
    return cluster.known


def _drafting(cluster: Cluster) -> Draft:
    draft = cluster.draft()
    draft.stands(cluster.meta.key, cluster.meta.mod)
    return draft


def _changed() -> StoreError:
    return StoreError("the store was changed while a copy was being restored")


def _base(cluster: Cluster, revision: int) -> Base:
    layout = cluster.layout
    sums = NOTHING
    for pair in _below(cluster, layout.kept("sums"), revision):
        sums = sums_of(pair)
    counters = dict(sums.counters)
    ticked = [sums.last_tick_at]
    for pair in _below(cluster, layout.watched("node", ""), revision):
        node = decode(Seat, pair.value).node
        ticked.append(node.ticked_at)
        for name, count in node.counters.items():
            counters[name] = counters.get(name, 0) + count
    return Base(
        fence=cluster.base + (revision + 1) * FENCES,
        epoch=cluster.known.epoch_base + revision,
        in_order=False,
        counters=counters,
        last_tick_at=max((tick for tick in ticked if tick is not None), default=None),
        dead_letters_trimmed=sums.dead_letters_trimmed,
        horizon=sums.horizon,
    )


def _schedules(cluster: Cluster, revision: int) -> Iterator[Record]:
    """Put schedules together of two keys each, and a third where retention has been."""
    layout = cluster.layout
    history = {
        last_part(pair.key): int(pair.value)
        for pair in _below(cluster, layout.watched("history", ""), revision)
    }
    standing = _below(cluster, layout.watched("sched", ""), revision)
    cursors = _below(cluster, layout.watched("cursor", ""), revision)
    for stands in standing:
        # Both are in the order of their ids; what else is there nobody has written here.
        name = last_part(stands.key)
        cursor = next((each for each in cursors if last_part(each.key) >= name), None)
        if cursor is None or last_part(cursor.key) != name:
            raise StoreDamaged(
                f"the schedule {name} has lost its cursor", hint="unregister and register it"
            )
        read = schedule_of(
            decode(Standing, stands.value),
            0,
            decode(Cursor, cursor.value),
            history_from=history.get(name, 0),
            ahead=None,
        )
        yield bare_of_marks(read)


def _below(cluster: Cluster, start: bytes, revision: int) -> Iterator[Pair]:
    for answer in cluster.etcd.pages(start, end_of(start), revision):
        yield from map(pair_of, answer.kvs)


def _notices(cluster: Cluster, revision: int) -> Iterator[Record]:
    # Told at most once: not those that a node is about to tell.
    for pair in _below(cluster, cluster.layout.watched("notice", ""), revision):
        notice = decode(Notice, pair.value)
        if notice.session is None:
            yield bare_of_marks(notice)


def _output(pair: Pair) -> Output:
    return Output(job_id=last_part(pair.key), tail=pair.value[1:], truncated=bool(pair.value[0]))


def _step(pair: Pair) -> Step:
    return Step(
        job_id=last_part(pair.key.rsplit(b"/", 1)[0]),
        key=last_part(pair.key).removeprefix("="),
        value=pair.value.decode(),
    )


def _keys(cluster: Cluster, revision: int) -> Iterator[Key]:
    """Give the records of keys, each with what its job says, if that is still there."""
    pairs = _below(cluster, cluster.layout.kept("key", ""), revision)
    while page := list(islice(pairs, MOST_OPERATIONS)):
        keys = [(last_part(pair.key), decode(Kept, pair.value)) for pair in page]
        places = [cluster.layout.job_at(kept.line, kept.at, job_id) for job_id, kept in keys]
        found, _ = ranges(cluster.etcd, places, revision)
        for (job_id, kept), pair in zip(keys, found, strict=True):
            job = None if pair is None else job_of(pair, cluster.base)
            state = kept.state if job is None else job.state
            yield Key(
                receipt=Receipt(job_id=job_id, at=kept.at, digest=kept.digest, state=state),
                schedule_id=None if job is None else job.schedule_id,
                needs=None if job is None else job.needs,
            )


def _put(cluster: Cluster, draft: Draft, record: Record) -> None:  # noqa: PLR0912 - one for each kind
    layout = cluster.layout
    match record:
        case Base():
            sums = Sums(
                counters=record.counters,
                last_tick_at=record.last_tick_at,
                dead_letters_trimmed=record.dead_letters_trimmed,
                horizon=record.horizon,
            )
            draft.put(layout.kept("sums"), encode(sums).encode())
        case Schedule():
            draft.put(layout.watched("sched", record.id), standing_text(record))
            draft.put(layout.watched("cursor", record.id), cursor_text(record.cursor))
        case Tombstone():
            draft.put(layout.kept("gone", record.id), encode(record).encode())
        case Revision():
            key = revision_key(layout, record.schedule_id, record.version)
            draft.put(key, encode(record).encode())
        case Job() if record.settled:
            draft.put(layout.job(record), job_text(record))
        case Job():
            put_waiting(cluster, draft, record)
        case Output():
            value = bytes([record.truncated]) + record.tail
            draft.put(layout.hung("out", record.job_id), value)
        case Step():
            key = layout.hung("step", record.job_id, "=" + escaped(record.key))
            draft.put(key, record.value.encode())
        case Key():
            _put_key(cluster, draft, record)
        case Miss():
            key = layout.kept("miss", record.schedule_id, newest_first(record.first))
            draft.put(key, encode(record).encode())
        case DeadLetter():
            put_letter(cluster, draft, record)
        case Failing():
            draft.put(layout.kept("failing", record.schedule_id), b"")
        case Notice():
            put_notices(cluster, draft, [record])
        case Deed():
            put_deeds(cluster, draft, [record])


def _put_key(cluster: Cluster, draft: Draft, record: Key) -> None:
    receipt = record.receipt
    line = record.schedule_id or f"~{escaped(record.needs or '')}"
    kept = Kept(at=receipt.at, digest=receipt.digest, line=line, nonce="", state=receipt.state)
    draft.put(cluster.layout.hung("key", receipt.job_id), encode(kept).encode())
