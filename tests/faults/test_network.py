"""Networks that are cut, and what else parts a node from etcd: the laws hold."""

import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from synccron.clock import SystemClock
from synccron.model.job import Job
from synccron.store import open_store
from synccron.store.base import Where
from synccron.store.history import read_all
from tests.etcd import Members
from tests.faults.field import limit, seeded, trying, until, within
from tests.faults.game import LEASE, Game, play, times
from tests.proxy import Proxy

pytestmark = [pytest.mark.faults, limit(900), pytest.mark.xdist_group("network")]

CUT = times(6, 20)  # seconds
KINDS = {
    "both ways": lambda proxy: proxy.cut(),
    "it is not heard": lambda proxy: proxy.cut(back=False),
    "it does not hear": lambda proxy: proxy.cut(there=False),
}


def cut_for(proxies: list[Proxy], kind: str, seconds: float) -> None:
    """Cut for a time; flapping, it is there and away for a second each."""
    if kind == "flapping":
        for _ in range(int(seconds) // 2):
            cut_for(proxies, "both ways", 1)
            threading.Event().wait(1)
        return
    for each in proxies:
        KINDS[kind](each)
    threading.Event().wait(seconds)
    for each in proxies:
        each.mend()


def test_a_leader_that_is_cut_off_stops_dispatching_in_time(
    tmp_path: Path, members: Members
) -> None:
    clock = SystemClock()
    after: list[int] = []

    def fault(game: Game) -> None:
        for kind in [*KINDS, "flapping"] * times(1, 10):
            leader = game.leader()
            epoch, begun = game.epoch(), clock.now()
            cut_for(game.proxies[leader], kind, CUT)
            if kind != "flapping":
                assert game.epoch() > epoch, f"nobody took over when the leader was cut: {kind}"
                after.extend(each - begun for each in written_by(game, epoch))
            with game.tried.healing():
                until(lambda back=leader: game.answers(back), "its return")  # type: ignore[misc]
                game.runs_on()

    with trying("network of the leader cut: both ways, one way, flapping", "F6") as tried:
        play(tmp_path, members, tried, fault, proxies=True)
        tried.notes.append(f"its last job was written {max(after)} ms after the cut")
        assert max(after) <= LEASE * 1000


def written_by(game: Game, epoch: int) -> list[int]:
    """Tell when the jobs of one term were written."""
    with open_store(game.members.url(), clock=SystemClock()) as store:
        return [each.created_at for each in read_all(store, Job, Where()) if each.epoch == epoch]


def test_no_trigger_is_missed_while_history_is_compacted_every_second(
    tmp_path: Path, members: Members
) -> None:
    late: list[float] = []

    def compacted(game: Game, number: int) -> None:
        job = game.client.trigger("by-hand", key=str(number)).id
        with suppress(subprocess.CalledProcessError):  # nothing was written since the last one
            members.ctl_any("compact", str(members.revision()))
        threading.Event().wait(1)
        until(lambda: game.client.job(job).settled, "a trigger to run")
        found = game.client.job(job).lateness
        assert found is not None
        late.append(found.total_seconds())
        game.tried.times += 1

    def fault(game: Game) -> None:
        for number in range(times(3, 60)):
            compacted(game, number)
        for turn in range(times(1, 3)):  # a watch has to begin at a revision that is gone
            leader = game.leader()
            for each in game.proxies[leader]:
                each.cut()
            for number in range(times(4, 30)):
                compacted(game, 1000 * (turn + 1) + number)
            for each in game.proxies[leader]:
                each.mend()
            with game.tried.healing():
                until(lambda back=leader: game.answers(back), "its return")  # type: ignore[misc]

    with trying("history compacted every second, also of a watch that is cut", "F9") as tried:
        play(tmp_path, members, tried, fault, proxies=True)
        tried.notes.append(f"the latest start of a trigger was {max(late):.1f} s late")
        assert max(late) < within(LEASE * 2 + 3)


def test_who_leads_is_taken_away_by_hand(tmp_path: Path, members: Members) -> None:
    def fault(game: Game) -> None:
        for turn in range(times(4, 40)):
            game.leader()
            epoch = game.epoch()
            if turn % 2:
                members.ctl("del", "synccron/watched/leader")
            else:
                for lease in members.ctl("lease", "list").splitlines()[1:]:
                    with suppress(subprocess.CalledProcessError):  # one that has just ended
                        members.ctl("lease", "revoke", lease.strip())
            with game.tried.healing(within(5)):
                game.succeeded(epoch)
            game.runs_on()

    with trying("leases revoked and the leader's key deleted by hand", "F10") as tried:
        play(tmp_path, members, tried, fault)


def test_members_stop_for_moments(tmp_path: Path, members: Members) -> None:
    luck = seeded(13)

    def fault(game: Game) -> None:
        for _ in range(times(4, 20)):
            member = luck.choice([*members.members, members.leader()])
            member.signal(signal.SIGSTOP)
            threading.Event().wait(2)
            member.signal(signal.SIGCONT)
            with game.tried.healing():
                game.runs_on(5)

    with trying("a member of etcd stopped for 2 s, again and again", "F13") as tried:
        play(tmp_path, members, tried, fault)
