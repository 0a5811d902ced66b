"""The command that proves that every slot has exactly one record."""

from typing import Annotated

import typer

from synccron.cli.call import Call, command, moment
from synccron.cli.paper import visible
from synccron.model.time import to_datetime

app = typer.Typer()


@command(app, "audit")
def audit(
    call: Call,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Ids of schedules; none: all.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Slots since: 7d ago, or RFC 3339.")
    ] = None,
) -> int:
    """Audit the slots. That each, from where the history begins, has exactly one record."""
    start = None if since is None else to_datetime(moment(since, "--since", call.now(), -1))
    schedules = jobs = missed = 0
    found = []
    with call.client() as client:
        for one in client.audit(*(ids or ()), since=start):
            schedules, jobs, missed = schedules + 1, jobs + one.jobs, missed + one.missed
            for each in one.violations:
                found.append(each)
                if not call.json:
                    print(visible(str(each)), flush=True)
    document = {
        "schedules": schedules,
        "slots": jobs + missed,
        "jobs": jobs,
        "missed": missed,
        "violations": [
            {"schedule_id": each.subject, "law": each.law, "message": each.message}
            for each in found
        ],
    }
    verdict = f"{len(found)} violations" if found else "each has exactly one record"
    what = f"{schedules} schedules, {jobs + missed} slots: {jobs} jobs, {missed} missed"
    tone = "red" if found else "green"
    call.answer(document, lambda: [f"{what}: {call.paper().tint(verdict, tone)}"])
    return 1 if found else 0
