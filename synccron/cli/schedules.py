"""Commands on schedules: register, unregister, ls, show, pause, resume."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from synccron.cli.call import Call, command, json_value, moment, pairs
from synccron.cli.listing import listing, state_of
from synccron.cli.paper import say
from synccron.cli.progress import progress
from synccron.errors import InvalidInput, StoreMissing
from synccron.model.time import to_datetime

if TYPE_CHECKING:
    from synccron.cli.spool import Spool
    from synccron.client import Registered, Schedule
    from synccron.model.schedule import Definition

app = typer.Typer()

RECENT_JOBS = 20
NEWEST_MISSES = 100

IdsArgument = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of schedules.")]


@command(app, "register")
def register(
    call: Call,
    schedule_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The id, for one schedule without a file.")
    ] = None,
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND [ARG]...]", help="What it runs, without a shell."),
    ] = None,
    file: Annotated[
        list[str] | None,
        typer.Option("-f", "--file", metavar="FILE", help="A file, a folder of *.yaml, or -."),
    ] = None,
    cron: Annotated[str | None, typer.Option(help="When it runs: 5 or 6 fields, a macro.")] = None,
    tz: Annotated[str | None, typer.Option(metavar="ZONE", help="IANA time zone.")] = None,
    handler: Annotated[str | None, typer.Option(metavar="NAME", help="The Python handler.")] = None,
    job_input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="The input of each run.")
    ] = None,
    misfire: Annotated[str | None, typer.Option(help="skip, catch_up_one or catch_up_all.")] = None,
    overlap: Annotated[str | None, typer.Option(help="allow, skip, queue, replace.")] = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="End a run that takes longer.")
    ] = None,
    max_attempts: Annotated[
        int | None, typer.Option(metavar="N", help="How often a run is tried.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For the command's environment.")
    ] = None,
    cwd: Annotated[str | None, typer.Option(metavar="FOLDER", help="Where it runs.")] = None,
    user: Annotated[str | None, typer.Option(help="As whom it runs (needs root).")] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="For selecting in ls.")
    ] = None,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="Whose it is.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the owner's schedules that no file has.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Change also what another owner has.")
    ] = False,
) -> None:
    """Register schedules. From files, or one from options; what is the same stays as it is."""
    fields = {
        "cron": cron,
        "tz": tz,
        "handler": handler,
        "input": None if job_input is None else json_value(job_input, "--input"),
        "run": words or None,
        "misfire": misfire,
        "overlap": overlap,
        "timeout": timeout,
        "retry": None if max_attempts is None else {"max_attempts": max_attempts},
        "env": pairs(env, "--env") if env else None,
        "cwd": cwd,
        "user": user,
        "labels": pairs(label, "--label") if label else None,
        "owner": owner,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    with progress(call) as stage:
        found, owners = _definitions(
            file or [], schedule_id, given, prune=prune, checking=stage("checking")
        )
        with found as definitions:
            if dry_run:
                done = _dry_run(call, definitions, owners, take_over=take_over)
            else:
                told = stage("registering", len(definitions))
                with call.client(create=True) as client:
                    done = client.register_checked(
                        definitions, take_over=take_over, prune=owners, progress=told
                    )
    document = done.to_json()
    from synccron.cli.render import registered

    call.answer(document, lambda: registered(call.paper(), document))


def _dry_run(
    call: Call, definitions: "Spool", owners: frozenset[str], *, take_over: bool
) -> "Registered":
    """Tell what would be done; to a store that is not there, everything."""
    from synccron.client import Registered

    done = Registered()
    try:
        with call.client() as client:
            for each in client.compare(*definitions, take_over=take_over, prune=owners):
                getattr(done, each.what).append(each.id)
    except StoreMissing:
        done.created = [each.id for each in definitions]
    say("nothing was changed")
    return done


def _definitions(
    files: list[str],
    schedule_id: str | None,
    given: dict[str, Any],
    *,
    prune: bool,
    checking: Callable[[int], object],
) -> "tuple[Spool, frozenset[str]]":
    """Read what is to be registered, and whose other schedules are to go."""
    if files and (schedule_id is not None or given):
        what = f"'{schedule_id}'" if schedule_id is not None else "options of a schedule"
        raise InvalidInput(
            f"-f and {what} exclude each other",
            hint="each file needs its own -f: -f a.yaml -f b.yaml",
        )
    if files:
        from synccron.cli.files import read_files, read_owned

        if prune:
            return read_owned(files, checking)
        return read_files(files, progress=checking), frozenset()
    if prune:
        raise InvalidInput("--prune is for files", hint="register -f FILE --prune")
    if schedule_id is None:
        raise InvalidInput(
            "nothing to register",
            hint='register -f FILE, or: register ID --cron "0 * * * *" -- COMMAND ARG...',
        )
    from synccron.cli.spool import Spool

    made = _ad_hoc(schedule_id, given)
    spool = Spool()
    spool.take(made.id)
    spool.put(made)
    return spool, frozenset()


def _ad_hoc(schedule_id: str, given: dict[str, Any]) -> "Definition":
    from synccron.model.definition import define
    from synccron.model.reading import Problem

    if "cron" not in given:
        raise InvalidInput(f"'{schedule_id}' needs --cron", hint='for example --cron "0 * * * *"')
    if "run" in given and "handler" in given:
        raise InvalidInput("a command and --handler exclude each other")
    if "run" not in given and "handler" not in given:
        raise InvalidInput(
            f"'{schedule_id}' has nothing to run",
            hint="give a command after --, or --handler NAME",
        )
    match given.get("run"):
        case [str(line)] if " " in line:
            say(f"warning: '{line}' is taken as the name of one program; a line for the shell is")
            say("warning: -- sh -c 'LINE'")
    made, problems = define(schedule_id, given)
    if made is not None and made.handler is not None:
        from synccron.handlers.inputs import ill_shaped

        (wrong,) = ill_shaped([(made.handler, made.input)])
        problems += [Problem(("input", *path), message) for path, message in wrong]
    if made is None or problems:  # before the store is made, like what is wrong in a file
        details = [
            {"file": None, "line": None, "column": None, "message": str(one)} for one in problems
        ]
        raise InvalidInput(str(problems[0]), details=details)
    return made


@command(app, "unregister")
def unregister(call: Call, ids: IdsArgument) -> None:
    """Remove schedules. What runs ends normally, and the history stays for its time."""
    with call.client() as client:
        client.unregister(*ids)
    call.answer({"unregistered": ids}, lambda: [f"unregistered {one}" for one in ids])


command(app, "rm", hidden=True)(unregister)


@command(app, "ls")
def ls(
    call: Call,
    pattern: Annotated[
        str | None, typer.Argument(metavar="[PATTERN]", help="A shell glob on the id.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Only with these labels.")
    ] = None,
    wide: Annotated[bool, typer.Option("-w", "--wide", help="When in words, and more.")] = False,
) -> None:
    """List the schedules. When they run next, how they ran last, and how they stand."""
    listing(call, pattern, label, wide=wide)


@command(app, "show")
def show(
    call: Call,
    schedule_id: Annotated[str, typer.Argument(metavar="ID", help="The schedule's id.")],
) -> None:
    """Show one schedule. With its last jobs, its misses, and who changed it when."""
    with call.client() as client:
        schedule = client.get(schedule_id)
        jobs = client.jobs(schedule=schedule_id, limit=RECENT_JOBS)
        misses = client.misses(schedule_id, limit=NEWEST_MISSES)
        revisions = list(client.revisions(schedule_id))
    document = {
        **schedule.to_json(),
        "recent_jobs": [job.to_json() for job in jobs],
        "misses": [miss.to_json() for miss in misses],
        "revisions": [revision.to_json() for revision in revisions],
    }
    from synccron.cli.render import schedule_whole

    paper, state = call.paper(), state_of(call, schedule_id)
    call.answer(document, lambda: schedule_whole(paper, schedule, state, jobs, misses, revisions))


@command(app, "pause")
def pause(
    call: Call,
    ids: IdsArgument,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Resume by itself: 2h from now, or RFC 3339."),
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for others.")] = None,
) -> None:
    """Pause schedules. No slot runs until they are resumed; what runs goes on."""
    end = None if until is None else to_datetime(moment(until, "--until", call.now(), 1))
    with call.client() as client:
        client.pause(*ids, until=end, reason=reason)
        _answer_schedules(call, [client.get(one) for one in ids], "paused")


@command(app, "resume")
def resume(call: Call, ids: IdsArgument) -> None:
    """Resume schedules. They go on with their first slot from now."""
    with call.client() as client:
        client.resume(*ids)
        _answer_schedules(call, [client.get(one) for one in ids], "resumed")


@command(app, "reset-cursor")
def reset_cursor(call: Call, ids: IdsArgument) -> None:
    """Bring cursors back. Those that a wrong clock left in the future; no others."""
    with call.client() as client:
        moved = client.reset_cursor(*ids)
        found = {one: client.get(one) for one in dict.fromkeys(ids)}
    left = [one for one in found if one not in moved]
    from synccron.cli.render import changed

    lines = changed(call.paper(), [found[one] for one in moved], "reset")
    call.answer({"reset": moved, "left": left}, lambda: lines)
    for one in left if not call.json else ():
        say(f"{one} is left alone: its cursor stands where it belongs")


def _answer_schedules(call: Call, found: "list[Schedule]", word: str) -> None:
    from synccron.cli.render import changed

    call.answer([one.to_json() for one in found], lambda: changed(call.paper(), found, word))
