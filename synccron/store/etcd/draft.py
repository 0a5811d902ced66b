"""Conditional writes: what must stand, what is then written, and what is read if it does not.

Many of them are one request: a transaction of nested transactions, each with its own comparison,
so that one refused write does not undo its neighbours. etcd's limits are kept here: the longest
lists of nested transactions add up to no more than 128 on any path, no key is written twice in one
request, which has no more than 1.5 MiB.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from math import ceil, isqrt
from typing import Any, NamedTuple

from synccron.store.etcd.client import PAGE, Etcd
from synccron.store.etcd.layout import Pair, end_of

MOST_OPERATIONS = 120  # of etcd's 128: of one list
# Of a transaction etcd takes the longest of its three lists, and of one in it what that leaves:
# https://github.com/etcd-io/etcd/blob/v3.4.23/etcdserver/api/v3rpc/key.go (checkTxnRequest)
DEEPEST = 128
MOST_BYTES = 1_000_000  # of etcd's 1.5 MiB: of one request


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a draft: `found` is what it asked for where it was refused.

    `watched`: it has written something that nodes follow.
    """

    written: bool
    revision: int
    place: int
    found: tuple[Pair | None, ...] = ()
    watched: bool = False


class _Write(NamedTuple):
    """What becomes of a key: a value, or (None) its deletion, with all keys up to an `end`."""

    value: bytes | None
    lease: int = 0
    end: bytes = b""


@dataclass(slots=True)
class Draft:
    """One conditional write, all of it or nothing; `follow` is where nodes follow keys.

    It is made into messages where they lie: one that is put into another is copied with all that
    is in it, once for each level.
    """

    messages: Any
    follow: bytes
    compares: list[dict[str, Any]] = field(default_factory=list)
    writes: dict[bytes, _Write] = field(default_factory=dict)
    asks: list[bytes] = field(default_factory=list)
    parts: list["Draft"] = field(default_factory=list)
    size: int = 0

    @property
    def whole_size(self) -> int:
        """How many bytes it makes, more or less."""
        return self.size + sum(part.whole_size for part in self.parts)

    @property
    def keys(self) -> frozenset[bytes]:
        """The keys that it may write."""
        return frozenset(self.writes).union(*(part.keys for part in self.parts))

    def part(self) -> "Draft":
        """Begin what is written with this draft if more stands, and left out if it does not."""
        made = Draft(self.messages, self.follow)
        self.parts.append(made)
        return made

    def stands(self, key: bytes, mod: int) -> None:
        """Demand that a key is as it was read (mod 0: not there)."""
        self._compare(key, target=self.messages.Compare.MOD, mod_revision=mod)

    def made(self, key: bytes, create: int) -> None:
        """Demand that a key was made by this revision (0: is not there)."""
        self._compare(key, target=self.messages.Compare.CREATE, create_revision=create)

    def there(self, key: bytes) -> None:
        """Demand that a key is there."""
        self._compare(
            key,
            target=self.messages.Compare.CREATE,
            result=self.messages.Compare.GREATER,
            create_revision=0,
        )

    def absent(self, key: bytes, end: bytes = b"") -> None:
        """Demand that a key, or each of a range, is not there."""
        self._compare(key, target=self.messages.Compare.CREATE, create_revision=0, range_end=end)

    def holds(self, key: bytes, value: bytes) -> None:
        """Demand that a key has this value."""
        self._compare(key, target=self.messages.Compare.VALUE, value=value)

    def never(self) -> None:
        """Demand what cannot be."""
        self._compare(b"\0", target=self.messages.Compare.MOD, mod_revision=-1)

    def put(self, key: bytes, value: bytes, lease: int = 0) -> None:
        """Write a key."""
        self.size += len(key) + len(value) + 20
        self.writes[key] = _Write(value, lease)

    def delete(self, key: bytes) -> None:
        """Remove a key."""
        self.size += len(key) + 20
        self.writes[key] = _Write(None)

    def delete_below(self, start: bytes) -> None:
        """Remove all keys that begin so."""
        self.size += 2 * len(start) + 20
        self.writes[start] = _Write(None, end=end_of(start))

    def ask(self, key: bytes) -> None:
        """Read a key if the draft is refused."""
        self.asks.append(key)

    def _compare(self, key: bytes, **fields: Any) -> None:
        self.size += len(key) + 20
        self.compares.append({"key": key, "result": self.messages.Compare.EQUAL, **fields})

    @property
    def depth(self) -> int:
        """How much of etcd's limit it takes at the least."""
        return self._flat if self._groups == 1 else min(self._flat, self._nested)

    def fill(self, request: Any, room: int = DEEPEST) -> None:
        """Make it an empty transaction's, whose writes are nested where one list has no room."""
        self.demand(request)
        for key in self.asks:
            request.failure.add().request_range.key = key
        lists = [request.success]
        if self._flat > room:
            lists = [_within(request.success).success for _ in range(self._groups)]
        for n, (key, write) in enumerate(self.writes.items()):
            _fill(lists[n % len(lists)].add(), key, write)
        for n, part in enumerate(self.parts, len(self.writes)):
            part.fill(_within(lists[n % len(lists)]), part.depth)

    def demand(self, request: Any) -> None:
        """Let a transaction depend on what this draft demands."""
        for fields in self.compares:
            request.compare.add(**fields)

    @property
    def _flat(self) -> int:
        return max(len(self.compares), self._count, len(self.asks)) + self._inner

    @property
    def _nested(self) -> int:
        outer = max(len(self.compares), self._groups, len(self.asks))
        return outer + ceil(self._count / self._groups) + self._inner

    @property
    def _groups(self) -> int:
        return max(1, isqrt(self._count))

    @property
    def _count(self) -> int:
        return len(self.writes) + len(self.parts)

    @property
    def _inner(self) -> int:
        return max((part.depth for part in self.parts), default=0)


Make = Callable[[int], Draft]  # a draft for its place in the request


class Refused(Exception):
    """What all drafts of the request had to have does not stand."""


def commit(etcd: Etcd, draft: Draft) -> Answer:
    """Write one draft."""
    request = etcd.messages.TxnRequest()
    draft.fill(request)
    answer = etcd.txn(request)
    return _answer(answer, answer.header.revision, 0, draft)


def commit_each(etcd: Etcd, all_of_them: Draft, makes: Sequence[Make]) -> list[Answer]:
    """Write each draft that stands, if what `all_of_them` demands does.

    As many requests as the limits ask for; drafts that write the same key are in different ones.
    Raises Refused: nothing was written. A later request that is refused leaves its drafts
    unwritten.
    """
    answers: list[Answer] = []
    batches = _batches(makes)
    batch, more = next(batches, ((), False))
    with ThreadPoolExecutor(1, "synccron-write") as sender:
        while more:
            sent = sender.submit(_send, etcd, all_of_them, batch, first=not answers)
            # The next is made while etcd writes this one, and sent if this one was not refused.
            batch, more = next(batches)
            answers += sent.result()
    if batch:
        answers += _send(etcd, all_of_them, batch, first=not answers)
    return answers


def _batches(makes: Sequence[Make]) -> Iterator[tuple[Sequence[Draft], bool]]:
    """Give the drafts of each request, and whether another follows."""
    batch = _Batch()
    for make in makes:
        draft = make(len(batch.drafts))
        if not batch.takes(draft):
            yield batch.drafts, True
            batch = _Batch()
            batch.takes(make(0))
    if batch.drafts:
        yield batch.drafts, False


def ranges(etcd: Etcd, keys: Sequence[bytes], revision: int = 0) -> tuple[list[Pair | None], int]:
    """Read keys by name, in their order, and the revision that they were read at."""
    found: list[Pair | None] = []
    for n in range(0, len(keys), MOST_OPERATIONS):
        answer = _read(etcd, ({"key": key} for key in keys[n : n + MOST_OPERATIONS]), revision)
        revision = revision or answer.header.revision
        found += [_first(each) for each in answer.responses]
    return found, revision


def ranges_below(
    etcd: Etcd, wanted: Sequence[tuple[bytes, bytes]], revision: int = 0
) -> Iterator[Pair]:
    """Read some ranges as they were at one revision (0: now): many, most of which have few keys."""
    for n in range(0, len(wanted), MOST_OPERATIONS):
        piece = wanted[n : n + MOST_OPERATIONS]
        asked = ({"key": start, "range_end": end, "limit": PAGE} for start, end in piece)
        answer = _read(etcd, asked, revision)
        revision = revision or answer.header.revision
        for (_, end), each in zip(piece, answer.responses, strict=True):
            kvs = each.response_range.kvs
            yield from map(pair_of, kvs)
            if each.response_range.more:
                for page in etcd.pages(kvs[-1].key + b"\0", end, revision):
                    yield from map(pair_of, page.kvs)


def firsts(etcd: Etcd, starts: Sequence[bytes]) -> list[Pair | None]:
    """Read the first of the keys that begin so, for each."""
    return [next(iter(each), None) for each in newest_below(etcd, starts, 1)]


def newest_below(etcd: Etcd, starts: Sequence[bytes], most: int) -> list[list[Pair]]:
    """Read the first few of the keys that begin so, for each: the newest, where they sort so."""
    found: list[list[Pair]] = []
    for n in range(0, len(starts), MOST_OPERATIONS):
        piece = starts[n : n + MOST_OPERATIONS]
        asked = ({"key": each, "range_end": end_of(each), "limit": most} for each in piece)
        answer = _read(etcd, asked)
        found += [list(map(pair_of, each.response_range.kvs)) for each in answer.responses]
    return found


def keys_between(etcd: Etcd, wanted: Sequence[tuple[bytes, bytes]]) -> list[list[bytes]]:
    """Read the names of the keys in some ranges."""
    found: list[list[bytes]] = []
    for n in range(0, len(wanted), MOST_OPERATIONS):
        piece = wanted[n : n + MOST_OPERATIONS]
        asked = ({"key": start, "range_end": end, "keys_only": True} for start, end in piece)
        answer = _read(etcd, asked)
        found += [[kv.key for kv in each.response_range.kvs] for each in answer.responses]
    return found


def pair_of(kv: Any) -> Pair:
    """Make a pair of an answer's key and value."""
    return Pair(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.lease)


class _Batch:
    """The drafts of one request, and what they take of its limits together."""

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self._deepest = 0
        self._size = 0
        self._keys: set[bytes] = set()

    def takes(self, draft: Draft) -> bool:
        """Add a draft if it fits; the first always does."""
        deepest = max(self._deepest, draft.depth)
        size, keys = self._size + draft.whole_size, draft.keys
        fits = (
            len(self.drafts) + 1 + deepest <= DEEPEST
            and size <= MOST_BYTES
            and self._keys.isdisjoint(keys)
        )
        if self.drafts and not fits:
            return False
        self.drafts.append(draft)
        self._deepest, self._size = deepest, size
        self._keys |= keys
        return True


def _send(etcd: Etcd, all_of_them: Draft, batch: Sequence[Draft], *, first: bool) -> list[Answer]:
    request = etcd.messages.TxnRequest()
    all_of_them.demand(request)
    for draft in batch:
        draft.fill(_within(request.success), DEEPEST - len(batch))
    answer = etcd.txn(request)
    revision = answer.header.revision
    if not answer.succeeded:
        if first:
            raise Refused
        return [Answer(False, revision, place) for place in range(len(batch))]
    return [
        _answer(each.response_txn, revision, place, draft)
        for place, (each, draft) in enumerate(zip(answer.responses, batch, strict=True))
    ]


def _answer(answer: Any, revision: int, place: int, draft: Draft) -> Answer:
    found = () if answer.succeeded else tuple(_first(each) for each in answer.responses)
    watched = answer.succeeded and any(key.startswith(draft.follow) for key in draft.writes)
    return Answer(answer.succeeded, revision, place, found, watched)


def _first(response: Any) -> Pair | None:
    kvs = response.response_range.kvs
    return pair_of(kvs[0]) if kvs else None


def _within(operations: Any) -> Any:
    """Begin a transaction in another's list."""
    begun = operations.add().request_txn
    begun.SetInParent()  # also if nothing comes into it
    return begun


def _fill(operation: Any, key: bytes, write: _Write) -> None:
    if write.value is None:
        deletion = operation.request_delete_range
        deletion.key, deletion.range_end = key, write.end
    else:
        put = operation.request_put
        put.key, put.value, put.lease = key, write.value, write.lease


def _read(etcd: Etcd, wanted: Iterable[dict[str, Any]], revision: int = 0) -> Any:
    """Read some ranges in one transaction, as they were at one revision (0: now)."""
    request = etcd.messages.TxnRequest()
    for fields in wanted:
        request.success.add(request_range={"revision": revision, **fields})
    return etcd.txn(request)
