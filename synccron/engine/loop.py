"""Threads that take turns, and what they do when the store is away.

A turn reads, decides and writes; it gives how long it may be idle. A loop takes its next turn then,
or as soon as the bell rings. Turns that fail are taken again with back-off, for ever.
"""

import threading
from collections.abc import Callable

from synccron.clock import Bell, Clock
from synccron.errors import SessionLost, StoreDamaged, StoreError, StoreNewer
from synccron.events import Events
from synccron.model.time import SECOND, Duration

LONGEST_IDLE: Duration = SECOND  # the wall clock is read at least so often: it may jump
LONGEST_PAUSE: Duration = 5 * SECOND


class StoreState:
    """Whether the store answers: said once when it goes, and once when it is back.

    `back` rings then, for those who pause until they try again.
    """

    def __init__(self, events: Events, clock: Clock) -> None:
        self._events = events
        self.back = Bell(clock)
        self._lock = threading.Lock()
        self._failing: set[str] = set()

    def failed(self, loop: str, error: StoreError) -> None:
        """Note that a turn of a loop failed."""
        with self._lock:
            first = not self._failing
            self._failing.add(loop)
        if first:
            self._events.emit("store_lost", "error", code=error.code, message=error.message)

    def answered(self, loop: str) -> None:
        """Note that a turn went well: it is back when it is so for each loop that had failed."""
        if loop not in self._failing:
            return
        with self._lock:
            self._failing.discard(loop)
            back = not self._failing
        self.back.ring()
        if back:
            self._events.emit("store_back")

    @property
    def answers(self) -> bool:
        """Whether the newest turn of every loop reached it."""
        return not self._failing


class Loop:
    """One thread that takes turns until it is stopped.

    `turn` gives the ms until its next turn at the latest; `fatal` is called when going on would be
    wrong (the store is damaged, or has what only a later version understands). `patience` (ms) is
    how long a ring may wait: loops that are in no hurry leave the moment to those that are, and
    take one turn for many rings. `pause` (ms) is the longest between two tries while the store
    fails. `lost` is called when the session is over. `_lived_at` (monotonic ms) is when it last
    began or ended a turn.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[], Duration],
        *,
        clock: Clock,
        bell: Bell,
        state: StoreState,
        events: Events,
        fatal: Callable[[StoreError], None],
        lost: Callable[[], None],
        patience: Duration = 0,
        pause: Duration = LONGEST_PAUSE,
    ) -> None:
        self._turn = turn
        self._clock = clock
        self._patience = patience
        self._pause = pause
        self._lost = lost
        self._bell = bell
        self._state = state
        self._events = events
        self._fatal = fatal
        self._stopped = False
        self._stopping = Bell(clock)
        self._failures = 0
        self._lived_at = clock.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"synccron-{name}", daemon=True)
        self.name = name

    @property
    def still(self) -> Duration:
        """Tell how long it has neither begun nor ended a turn, in ms; 0 unless it is to turn."""
        if self._stopped or self._thread.ident is None:
            return 0
        return self._clock.monotonic() - self._lived_at

    def start(self) -> None:
        """Take the first turn, in a thread of its own."""
        self._lived_at = self._clock.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Take no further turn; returns at once."""
        self._stopped = True
        self._stopping.ring()
        self._bell.ring()
        self._state.back.ring()

    def join(self) -> None:
        """Wait for the turn in hand to end."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def take(self) -> Duration:
        """Take one turn; ms until the next. What it raises is dealt with here."""
        try:
            idle = self._turn()
        except (StoreDamaged, StoreNewer) as error:
            self._fatal(error)
            return LONGEST_IDLE
        except StoreError as error:
            self._state.failed(self.name, error)
            return self._back_off()
        except SessionLost:
            self._lost()  # who keeps it finds out what is left of it
            return self._back_off()
        except Exception as error:  # noqa: BLE001 - one bad turn must not end the node
            self._events.emit("tick_error", "error", loop=self.name, error=repr(error))
            return self._back_off()
        self._failures = 0
        self._state.answered(self.name)
        return idle

    def _run(self) -> None:
        while not self._stopped:
            seen, back = self._bell.rings, self._state.back.rings
            self._lived_at = self._clock.monotonic()
            idle = self.take()
            self._lived_at = self._clock.monotonic()
            if self._failures and not self._stopped:
                # That others write is no reason to try a store that fails us more often.
                self._state.back.wait(back, idle)
            elif idle > 0 and not self._stopped:
                self._rest(seen, min(idle, LONGEST_IDLE))

    def _rest(self, seen: int, idle: Duration) -> None:
        until = self._clock.monotonic() + idle
        if self._bell.wait(seen, idle) and self._patience:
            left = until - self._clock.monotonic()
            self._stopping.wait(0, max(0, min(self._patience, left)))

    def _back_off(self) -> Duration:
        self._failures = min(self._failures + 1, 10)
        return min(50 << self._failures, self._pause)
