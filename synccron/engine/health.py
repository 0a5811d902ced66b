"""How a node is, at an instant: what a service manager, a load balancer or a person asks it.

The node gathers it (`Node.health`); whoever asks decides what follows.
"""

from dataclasses import dataclass

from synccron.model.time import SECOND, Duration

# A loop rests a second at most, pauses 5 s while the store is away, and each call of the store has
# its own timeout of seconds: who has not begun or ended a turn for so long hangs.
STILL: Duration = 30 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a node knows of itself.

    `still` are the loops that hang. `store`: the newest turn of every loop reached it. `session`:
    its registration surely stands. `epoch` is that of its term while it leads. `stopping`: it was
    told to end, or has.
    """

    still: tuple[str, ...]
    store: bool
    session: bool
    epoch: int | None
    running: int
    stopping: bool

    @property
    def turning(self) -> bool:
        """Whether its loops really turn; a node that does not is to be started anew."""
        return not self.still

    @property
    def troubles(self) -> tuple[str, ...]:
        """Say what keeps it from being of use, if anything does."""
        found = [f"the loop {name} hangs" for name in self.still]
        if not self.store:
            found.append("the store does not answer")
        if not self.session:
            found.append("its registration does not stand")
        if self.stopping:
            found.append("it is stopping")
        return tuple(found)

    @property
    def ready(self) -> bool:
        """Whether it can do its part: loops turn, the store answers, its session lives."""
        return not self.troubles

    def __str__(self) -> str:
        role = "standby" if self.epoch is None else f"leader, epoch {self.epoch}"
        return "; ".join([f"{role}, {self.running} running", *self.troubles])
