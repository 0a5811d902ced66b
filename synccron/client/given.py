"""What callers of the Python API give, as the model takes it; or InvalidInput."""

from collections.abc import Sequence
from datetime import datetime

from synccron.client import values
from synccron.errors import InvalidInput
from synccron.model.definition import define
from synccron.model.job import STATES, State
from synccron.model.schedule import Definition
from synccron.model.time import Instant, parse_instant, to_instant


def check_inputs(definitions: Sequence[Definition]) -> None:
    """Ask handlers that can be imported here about their inputs. Raises InvalidInput."""
    asked = [each for each in definitions if each.handler is not None]
    if not asked:
        return
    from synccron.handlers.inputs import ill_shaped

    answers = ill_shaped([(each.handler or "", each.input) for each in asked])
    details = [
        {
            "file": None,
            "line": None,
            "column": None,
            "message": f"{each.id}: {'.'.join(('input', *map(str, path)))}: {message}",
        }
        for each, problems in zip(asked, answers, strict=True)
        for path, message in problems
    ]
    if details:
        raise InvalidInput(details[0]["message"] or "", details=details)


def defined(given: values.Schedule | Definition) -> Definition:
    """Check a schedule. Raises InvalidInput with all that is wrong."""
    if isinstance(given, Definition):
        return given
    made, problems = define(given.id, given.fields())
    if made is None or problems:
        details = [
            {"file": None, "line": None, "column": None, "message": f"{given.id}: {each}"}
            for each in problems
        ]
        raise InvalidInput(details[0]["message"] or "", details=details)
    return made


def state(text: str) -> State:
    """Read the state of a job. Raises InvalidInput."""
    for state in STATES:
        if state == text:
            return state
    raise InvalidInput(f"{text!r} is no state: expected one of {', '.join(STATES)}")


def instant(given: datetime | str) -> Instant:
    """Read an instant. Raises InvalidInput."""
    try:
        return parse_instant(given) if isinstance(given, str) else to_instant(given)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
