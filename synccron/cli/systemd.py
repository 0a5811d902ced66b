"""What the service manager is told: that the node is ready, how it is, and that its loops turn.

The protocol is one datagram to a socket (sd_notify(3)). Without a service manager nothing is told;
what it does with the news stands in the unit (`unit.py`).
"""

import os
import socket
import threading
from collections.abc import Callable, MutableMapping
from contextlib import suppress

from synccron.clock import Bell, Clock
from synccron.engine.health import Health
from synccron.model.time import SECOND, Duration

_PATIENCE = 2.0  # seconds that a full socket is waited for


class ServiceManager:
    """Who started this process, if that was a service manager.

    `watchdog` (ms) is how long it waits for a sign of life before it ends the process; None: it
    does not. The variables are taken out of the environment, as they are for this process alone.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        usec = environment.pop("WATCHDOG_USEC", "")
        pid = environment.pop("WATCHDOG_PID", "")
        ours = self._address and usec.isdecimal() and int(usec) and pid in ("", str(os.getpid()))
        self.watchdog: Duration | None = max(1, int(usec) // 1000) if ours else None

    @property
    def listens(self) -> bool:
        """Whether there is one."""
        return bool(self._address)

    def tell(self, *lines: str) -> None:
        """Send some `NAME=value`, such as READY=1; one who has gone is no error."""
        if not self._address:
            return
        address = f"\0{self._address[1:]}" if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.sendto("\n".join(lines).encode(), address)

    def reloading(self, clock: Clock) -> None:
        """Tell that files are read anew; READY=1 ends it."""
        # Rounded up: what is older than the request to reload is taken for an earlier one.
        self.tell("RELOADING=1", f"MONOTONIC_USEC={(clock.monotonic() + 1) * 1000}")


class Watchdog:
    """A thread that tells how the node is, and feeds the watchdog while its loops really turn.

    It never feeds on behalf of a loop that hangs: the service manager then starts the node anew.
    """

    def __init__(self, manager: ServiceManager, clock: Clock, health: Callable[[], Health]) -> None:
        self._manager = manager
        self._health = health
        self._period = min(SECOND, (manager.watchdog or 2 * SECOND) // 3)
        self._ended = Bell(clock)
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="synccron-watchdog", daemon=True)

    def start(self) -> None:
        """Begin, where anybody listens."""
        if self._manager.listens:
            self._thread.start()

    def stop(self) -> None:
        """End; returns when it has."""
        self._ended.ring()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0, self._period):
            self._look()

    def _look(self) -> None:
        health = self._health()
        lines = ["WATCHDOG=1"] if self._manager.watchdog is not None and health.turning else []
        status = str(health)
        if status != self._told:
            lines.append(f"STATUS={status}")
            self._told = status
        if lines:
            self._manager.tell(*lines)
