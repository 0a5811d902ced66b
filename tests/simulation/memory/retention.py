"""What retention removes, and what it must keep."""

from collections import Counter as Multiset
from dataclasses import replace

from synccron.model.job import Job
from synccron.model.schedule import Revision
from synccron.model.time import SECOND
from synccron.store.base import Limits
from tests.simulation.memory.state import Memory


def old_jobs(memory: Memory, limits: Limits) -> list[Job]:
    lines: dict[str, list[Job]] = {}
    for job in memory.state.jobs.values():
        if job.settled:
            lines.setdefault(job.schedule_id or f"submit:{job.needs}", []).append(job)
    doomed = []
    for jobs in lines.values():
        jobs.sort(key=lambda job: memory.state.places[job.id])
        for rank, job in enumerate(jobs[: max(0, len(jobs) - limits.least)]):
            ended = job.created_at if job.finished_at is None else job.finished_at
            if len(jobs) - rank > limits.most or ended < limits.horizon:
                doomed.append(job)
    return doomed


def move_history(memory: Memory, job: Job) -> None:
    schedule = memory.state.schedules.get(job.schedule_id or "")
    if schedule is None or job.kind != "slot" or job.slot is None:
        return
    began = max(schedule.cursor.history_from, job.slot + SECOND)
    memory.state.schedules[schedule.id] = replace(
        schedule, cursor=replace(schedule.cursor, history_from=began)
    )


def prune_rest(memory: Memory, limits: Limits) -> None:
    state = memory.state
    for seq, miss in list(state.misses.items()):
        schedule = state.schedules.get(miss.schedule_id)
        if (
            miss.recorded_at < limits.horizon
            if schedule is None
            else miss.last < schedule.cursor.history_from
        ):
            del state.misses[seq]
    for name in list(state.revisions):
        state.revisions[name] = tuple(
            each for each in state.revisions[name] if _explains(memory, each, limits)
        )
    _trim(memory, limits)
    for job_id, receipt in list(state.receipts.items()):
        if receipt.at < limits.keys and job_id not in state.open:
            del state.receipts[job_id]
    for rank, (seq, deed) in enumerate(reversed(list(state.deeds.items()))):
        if rank >= limits.deeds or deed.at < limits.keys:
            del state.deeds[seq]


def _explains(memory: Memory, revision: Revision, limits: Limits) -> bool:
    state, name = memory.state, revision.schedule_id
    if any(
        (job.schedule_id, job.revision) == (name, revision.version) for job in state.jobs.values()
    ):
        return True
    schedule = state.schedules.get(name)
    if schedule is None:
        missed = any(miss.schedule_id == name for miss in state.misses.values())
        return revision.at >= limits.horizon or missed
    began = schedule.cursor.history_from
    return not any(
        newer.version > revision.version and newer.cursor <= began and newer.at <= began
        for newer in state.revisions[name]
    )


def _trim(memory: Memory, limits: Limits) -> None:
    each: Multiset[str] = Multiset()
    kept = sorted(memory.state.letters.values(), key=lambda pair: -pair[0])
    for rank, (_, letter) in enumerate(kept):
        line = letter.schedule_id or f"submit:{letter.needs}"
        each[line] += 1
        if rank >= limits.dead or each[line] > limits.dead_each:
            del memory.state.letters[letter.id]
            memory.state.trimmed += 1
