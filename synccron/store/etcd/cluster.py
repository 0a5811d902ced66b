"""What every verb needs: the calls, the keys, what the namespace is, and a view to decide from."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from synccron.clock import Clock
from synccron.errors import StoreDamaged, StoreNewer
from synccron.model.job import Candidate, Job, Miss, bare
from synccron.model.schedule import Definition, Revision
from synccron.model.time import Instant
from synccron.store.codec import decode, unreadable
from synccron.store.etcd.client import Etcd
from synccron.store.etcd.draft import (
    Answer,
    Draft,
    Make,
    commit,
    commit_each,
    pair_of,
    ranges,
    ranges_below,
)
from synccron.store.etcd.layout import (
    Kept,
    Layout,
    Meta,
    Pair,
    end_of,
    job_of,
    line_of,
    place_of,
)
from synccron.store.etcd.mirror import Horizon, Mirror
from synccron.store.etcd.roster import TEXTS
from synccron.store.etcd.view import View

_REMEMBERED = 10_000  # definitions of revisions that are not current


class Cluster:
    """One namespace of one cluster, as a handle of it knows it."""

    def __init__(
        self, etcd: Etcd, layout: Layout, meta: Pair, clock: Clock, horizon: Horizon
    ) -> None:
        self.etcd = etcd
        self.layout = layout
        self.meta = meta
        self.known = decode(Meta, meta.value)
        self.clock = clock
        self.horizon = horizon
        self.mirror: Mirror | None = None
        # Slots from a cursor on that have a job, and misses there, as long as it has this mark.
        self.recorded: dict[str, tuple[int, frozenset[Instant], tuple[Miss, ...]]] = {}
        self._definitions: dict[tuple[str, int], Definition] = {}

    @property
    def base(self) -> int:
        """What fencing tokens begin from."""
        return self.known.fence_base

    def draft(self) -> Draft:
        """Begin a conditional write."""
        return Draft(self.etcd.messages, self.layout.watched(""))

    def commit(self, draft: Draft) -> Answer:
        """Write a draft, or nothing of it."""
        answer = commit(self.etcd, draft)
        self._note([answer])
        return answer

    def commit_each(self, all_of_them: Draft, makes: Sequence[Make]) -> list[Answer]:
        """Write each draft that stands. Raises Refused: what all demand does not."""
        answers = commit_each(self.etcd, all_of_them, makes)
        self._note(answers)
        return answers

    def _note(self, answers: Sequence[Answer]) -> None:
        """Let this handle see what it has written."""
        self.horizon.wrote(max((each.revision for each in answers if each.watched), default=0))

    @contextmanager
    def view(self) -> Iterator[View]:
        """Give a whole view: the mirror's, or one that is read now."""
        if self.mirror is not None:
            with self.mirror.view() as view:
                yield view
        else:
            start = self.layout.watched("")
            yield self.read_view([(start, end_of(start))], texts=TEXTS)

    @contextmanager
    def view_with(
        self, choose: Callable[[View], Sequence[str]], *kinds: str
    ) -> Iterator[tuple[View, Sequence[str]]]:
        """Give a whole view, and the schedules that are chosen in it, with texts of these kinds.

        What changes at this moment may be lacking; whoever watches is told of the change.
        """
        with self.view() as view:
            view.trim()  # now, so that what is not lacking is there still when the rest is
            chosen = choose(view)
            lacking = view.lacking(chosen, *kinds)
            if not lacking:
                yield view, chosen
                return
        pairs = [pair for pair in ranges(self.etcd, lacking)[0] if pair is not None]
        # A text that is newer than the view is of use when the view has come so far.
        self.horizon.wrote(max((pair.mod for pair in pairs), default=0))
        with self.view() as view:
            view.learn(pairs)
            yield view, choose(view)

    def read_view(
        self,
        wanted: Sequence[tuple[bytes, bytes]],
        revision: int = 0,
        texts: int | None = None,
    ) -> View:
        """Read ranges of `watched/` into a view, all at one revision (0: now)."""
        view = View(self.layout, self.base, texts)
        if len(wanted) > 1:
            for pair in ranges_below(self.etcd, wanted, revision):
                view.set(pair)
            return view
        for start, end in wanted:
            for answer in self.etcd.pages(start, end, revision):
                for kv in answer.kvs:
                    view.set(pair_of(kv))
        return view

    def one(self, key: bytes) -> Pair | None:
        """Read one key."""
        answer = self.etcd.range(key)
        return pair_of(answer.kvs[0]) if answer.kvs else None

    def below(self, start: bytes, **options: Any) -> list[Pair]:
        """Read all keys that begin so, in order."""
        return [
            pair_of(kv)
            for answer in self.etcd.pages(start, end_of(start), **options)
            for kv in answer.kvs
        ]

    def find(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Read jobs by id; those that are not there are left out."""
        places = {job_id: place_of(job_id) for job_id in job_ids}
        unknown = [job_id for job_id, place in places.items() if place is None]
        receipts, _ = ranges(self.etcd, [self.layout.hung("key", each) for each in unknown])
        for job_id, pair in zip(unknown, receipts, strict=True):
            if pair is not None:
                kept = decode(Kept, pair.value)
                places[job_id] = (kept.line, kept.at)
        keys = {
            self.layout.job_at(*place, job_id): job_id
            for job_id, place in places.items()
            if place is not None
        }
        found, _ = ranges(self.etcd, list(keys))
        return {
            job_id: job_of(pair, self.base)
            for job_id, pair in zip(keys.values(), found, strict=True)
            if pair is not None
        }

    def candidates(self, jobs: Sequence[Job]) -> list[Candidate]:
        """Complete jobs with what a decision on them looks at."""
        ids = list({job.schedule_id for job in jobs if job.schedule_id is not None})
        with self.view_with(lambda _: ids, "sched") as (view, _):
            unknown = {name for name in ids if view.lacking([name], "sched")}
            known = [job for job in jobs if job.schedule_id not in unknown]
            pinned = self._pinned(view, known)
            return [self._candidate(view, job, pinned) for job in known]

    def definition(self, job: Job) -> Definition:
        """Give the definition that a running job was claimed with."""
        if job.schedule_id is None or job.revision is None:
            return bare(job)
        name = (job.schedule_id, job.revision)
        self._learn([name])
        return self._definitions.get(name) or bare(job)

    def _candidate(
        self, view: View, job: Job, pinned: dict[tuple[str, int], Definition]
    ) -> Candidate:
        active = view.active(line_of(job), job.id) if job.alone else ()
        if job.schedule_id is None:
            return Candidate(job=job, definition=bare(job), active=active)
        running = 0 if job.max_running is None else view.runs_in(line_of(job))
        stands = view.definition(job.schedule_id)
        if stands is None:
            return Candidate(job=job, definition=None, active=active)
        standing, mod = stands
        if job.revision is not None:
            definition = pinned.get((job.schedule_id, job.revision))
            return Candidate(job=job, definition=definition, active=active, running=running)
        return Candidate(
            job=job,
            definition=standing.definition,
            version=standing.version,
            seen=mod,
            active=active,
            running=running,
        )

    def _pinned(self, view: View, jobs: Sequence[Job]) -> dict[tuple[str, int], Definition]:
        """Give the definitions of the revisions that jobs were begun with."""
        found: dict[tuple[str, int], Definition] = {}
        for job in jobs:
            if job.schedule_id is None or job.revision is None:
                continue
            name = (job.schedule_id, job.revision)
            stands = view.definition(job.schedule_id)
            if stands is not None and stands[0].version == job.revision:
                found[name] = stands[0].definition
            elif name not in found:
                self._learn([name])
                if name in self._definitions:
                    found[name] = self._definitions[name]
        return found

    def _learn(self, names: Sequence[tuple[str, int]]) -> None:
        """Read definitions of revisions, which never change."""
        unknown = [name for name in names if name not in self._definitions]
        keys = [revision_key(self.layout, *name) for name in unknown]
        for name, pair in zip(unknown, ranges(self.etcd, keys)[0], strict=True):
            if pair is not None:
                if len(self._definitions) >= _REMEMBERED:
                    self._definitions.clear()
                self._definitions[name] = _definition_in(pair, name[0])


def _definition_in(revision: Pair, schedule_id: str) -> Definition:
    try:
        return decode(Revision, revision.value).definition
    except (StoreDamaged, StoreNewer) as error:
        return unreadable(schedule_id, error)


def revision_key(layout: Layout, schedule_id: str, version: int) -> bytes:
    """Name the key of a revision, newer ones first."""
    return layout.kept("rev", schedule_id, f"{99_999_999 - version:08d}")
