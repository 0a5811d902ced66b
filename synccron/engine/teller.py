"""Tells people what the store has for them: takes a notice, sends it, removes it.

What is told, in which order, and how often it is tried, the model decides. A notice is taken before
it is sent, and never taken from another: at most one node tells it. One whose node died meanwhile
is not told again, as it may have arrived. Sending has threads and processes of its own: nothing
here delays a job.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synccron.clock import Bell, Clock
from synccron.events import Events
from synccron.handlers.base import Handlers, Invocation, Run
from synccron.model.job import Notice, Outcome
from synccron.model.lease import Node, Session
from synccron.model.notify import Round, again_after, next_round
from synccron.model.permit import Offer
from synccron.model.schedule import Limits
from synccron.model.time import SECOND, Duration
from synccron.model.told import fill
from synccron.store.base import Store

AT_ONCE = 16  # notices that a node sends at once
READ = 10_000
KILL_AFTER: Duration = SECOND  # between TERM and KILL of a command that is late


@dataclass(slots=True)
class _Telling:
    """A notice that this node has taken: `error` is how its last try went (None: well)."""

    notice: Notice
    tries: int = 0
    next_at: int = 0  # monotonic ms
    sending: bool = False
    ended: bool = False
    error: str | None = None
    again: bool = False
    run: Run | None = None


class Teller:
    """Sends at most AT_ONCE notices at once. `_telling` are those that it has taken, by id.

    `_turns` is held for a turn, against a close beside it; `_lock` guards what threads that send
    write. They ring the bell.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        events: Events,
        handlers: Handlers,
        *,
        session: Callable[[], Session],
        offer: Callable[[], Offer],
        variables: Mapping[str, str],
        bell: Bell,
    ) -> None:
        self._store = store
        self._clock = clock
        self._events = events
        self._handlers = handlers
        self._session = session
        self._offer = offer
        self._variables = variables
        self._bell = bell
        self._turns = threading.Lock()
        self._lock = threading.Lock()
        self._telling: dict[str, _Telling] = {}
        self._commands = 0
        self._closed = False

    def turn(self) -> Duration:
        """Note what was told, try again what failed, take what waits; ms until the next look."""
        with self._turns:
            self._settle()
            if not self._closed:
                for each in self._due():
                    self._send(each)
                self._take()
            return self._idle()

    def close(self, patience: Duration) -> None:
        """Take no more, wait for what is being sent, and give back the rest."""
        with self._turns:
            self._closed = True
            until = self._clock.monotonic() + patience
            while True:
                seen, left = self._bell.rings, until - self._clock.monotonic()
                if not self._sending or left <= 0:
                    break
                self._bell.wait(seen, left)
            self._settle()
            # Never what is being sent: it may have arrived.
            resting = [each.notice for each in self._telling.values() if not each.sending]
            if resting:
                self._store.take(None, resting)

    @property
    def _sending(self) -> int:
        return sum(each.sending for each in self._telling.values())

    def _take(self) -> None:
        notices = self._store.read(Notice, limit=READ).items
        if not notices:
            return
        # After the notices: who has taken one was there before it.
        live = {node.session for node in self._store.read(Node, limit=1000).items if node.live}
        session = self._session().id
        chosen = next_round(
            notices,
            session=session,
            live=live,
            offer=self._offer(),
            room=AT_ONCE - self._sending,
        )
        self._end(chosen)
        # Told at most once: the store compares, against another node that takes it as well.
        taken = self._store.take(session, chosen.take) if chosen.take else ()
        fresh = [each for each in (*chosen.mine, *taken) if each is not None]
        for notice in fresh:  # also what was taken by a call whose answer was lost
            if notice.id not in self._telling:
                self._telling[notice.id] = _Telling(notice)
                self._send(self._telling[notice.id])

    def _end(self, chosen: Round) -> None:
        """Remove what nobody will tell any more, and say so."""
        lost = "the node that told it died: it may have arrived"
        dropped = "too many wait: the oldest are dropped"
        for notices, why in ((chosen.lost, lost), (chosen.dropped, dropped)):
            there = self._store.told(notices) if notices else ()
            for notice, was in zip(notices, there, strict=True):
                if was:
                    self._note(notice, why)

    def _due(self) -> Sequence[_Telling]:
        now = self._clock.monotonic()
        due = [
            each
            for each in self._telling.values()
            if not each.sending and not each.ended and each.next_at <= now
        ]
        return due[: AT_ONCE - self._sending]

    def _send(self, telling: _Telling) -> None:
        telling.sending, telling.tries = True, telling.tries + 1
        if telling.notice.to.command is not None:
            self._run(telling)
        else:
            threading.Thread(
                target=self._post, args=(telling,), name="synccron-notice", daemon=True
            ).start()

    def _run(self, telling: _Telling) -> None:
        notice = telling.notice
        self._commands += 1
        invocation = Invocation(
            job_id=f"notice:{notice.id}",
            schedule_id=notice.schedule_id,
            slot=None,
            attempt=1,
            fence=-self._commands,  # no claim has such a token
            input=notice.body,
            run=notice.to.command,
            handler=None,
            env={"SYNCCRON_EVENT": notice.on},
            cwd=None,
            user=None,
            timeout=notice.to.timeout,
            kill_after=KILL_AFTER,
            limits=Limits(),
            log=None,
        )

        def ended(outcome: Outcome) -> None:
            well = outcome.ending == "completed"
            self._sent(telling, None if well else outcome.error or outcome.ending, again=False)

        telling.run = self._handlers.start(invocation, ended)

    def _post(self, telling: _Telling) -> None:
        from synccron.handlers.webhook import Answer, post

        notice, to = telling.notice, telling.notice.to
        try:
            url = fill(to.webhook or "", self._variables)
            headers = {name: fill(value, self._variables) for name, value in to.headers.items()}
        except KeyError as error:
            missing = f"this node has no variable {error}, or may not pass it (--pass-env)"
            answer = Answer(missing)
        else:
            headers["Idempotency-Key"] = notice.id
            answer = post(url, headers, notice.body.encode(), to.timeout)
        self._sent(telling, answer.error, again=answer.again)

    def _sent(self, telling: _Telling, error: str | None, *, again: bool) -> None:
        with self._lock:
            wait = again_after(telling.tries) if error is not None and again else None
            telling.error = error
            telling.ended = wait is None
            telling.next_at = self._clock.monotonic() + (wait or 0)
            telling.sending = False
        self._bell.ring()

    def _settle(self) -> None:
        with self._lock:
            ended = [each for each in self._telling.values() if each.ended]
        if not ended:
            return
        there = self._store.told([each.notice for each in ended])
        for each, was in zip(ended, there, strict=True):
            del self._telling[each.notice.id]
            if was or each.error is None:
                self._note(each.notice, each.error, each.tries)

    def _note(self, notice: Notice, error: str | None, tries: int = 0) -> None:
        fields: dict[str, Any] = {
            "schedule_id": notice.schedule_id,
            "on": notice.on,
            "notice": notice.id,
        }
        if error is None:
            self._events.emit("notice_told", **fields, tries=tries)
        else:
            self._events.emit("notice_failed", "error", **fields, tries=tries, error=error)

    def _idle(self) -> Duration:
        now = self._clock.monotonic()
        waits = [each.next_at - now for each in self._telling.values() if not each.sending]
        return max(0, min([SECOND, *waits]))
