"""What `ls` does, apart from how it is declared: it is called straight, and through the tree."""

from collections.abc import Iterator, Mapping, Sequence

from synccron.cli.call import Call, pairs
from synccron.cli.paper import say
from synccron.cli.standing import standing
from synccron.clock import SystemClock
from synccron.store import open_listing
from synccron.store.listing import Listed, Listing


def listing(call: Call, pattern: str | None, label: Sequence[str] | None, *, wide: bool) -> None:
    """List the schedules that a pattern and labels choose."""
    labels = pairs(label, "--label") if label else {}
    if call.json:
        with call.client() as client:
            call.answer([one.to_json() for one in client.list(pattern, labels)], list)
        return
    store = open_listing(call.reach(), clock=SystemClock(), timeout=call.store_timeout)
    from synccron.cli.table import PAST, schedules, shows_past

    try:
        paper = call.paper()
        past = PAST if wide or shows_past(paper) else 0
        rows = _rows(store, call, pattern, labels, past)
        first = next(rows, None)
        if first is None:
            chosen = pattern is not None or bool(labels)
            say(f"no schedules {'match ' if chosen else ''}in {call.place}")
            return
        for line in schedules(paper, _after(first, rows), wide=wide):
            print(line)
    finally:
        store.close()


def state_of(call: Call, schedule_id: str) -> str:
    """Tell how one schedule stands; `-` if it has gone meanwhile."""
    store = open_listing(call.reach(), clock=SystemClock(), timeout=call.store_timeout)
    try:
        return next((state for _, state in _rows(store, call, schedule_id, {})), "-")
    finally:
        store.close()


def _rows(
    store: Listing,
    call: Call,
    pattern: str | None,
    labels: Mapping[str, str],
    past: int = 0,
) -> Iterator[tuple[Listed, str]]:
    offers = store.offers()
    after: str | None = None
    while True:
        page, after = store.page(pattern, labels, after, past)
        now = call.now()
        yield from ((one, standing(one, offers, now)) for one in page)
        if after is None:
            return


def _after(
    first: tuple[Listed, str], rows: Iterator[tuple[Listed, str]]
) -> Iterator[tuple[Listed, str]]:
    yield first
    yield from rows
