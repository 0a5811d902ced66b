"""Cells: a control group for each ward, where this process may make one.

What is in a cell cannot leave it, whatever it forks, and `cgroup.kill` ends all of it at once. A
cell is made below the control group that was delegated to this process (by systemd's `Delegate=`,
or by its owner), or below its own where no systemd is there to mind. Where that cannot be, there
are no cells, and the guardian's adoption has to do.
"""

import os
import select
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

_PREFIX = "synccron-"
_CONTROLLERS = {"memory": "memory", "processes": "pids"}  # by the limits that they keep
_TRIES, _PAUSE = 50, 0.01  # how often, and how far apart in seconds, a folder is asked to go


class Cells:
    """The cells of one guardian, below a folder of their own that its mark names."""

    def __init__(self, base: Path, own: Path, mark: str) -> None:
        """Make the folder. Raises OSError: there can be none."""
        self._base, self._folder = base, base / f"{_PREFIX}{mark}"
        self._lay()
        self._home = os.open(own / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        self._made = 0
        offered = (self._folder / "cgroup.subtree_control").read_text().split()
        self._kept = {name for name, each in _CONTROLLERS.items() if each in offered}
        if not (self._folder / "cgroup.kill").exists():
            self.close()
            raise FileNotFoundError(f"{self._folder}: this kernel cannot end a control group")

    def make(self, limits: Mapping[str, int]) -> "Cell":
        """Make a cell. Raises OSError."""
        self._made += 1
        path = f"{self._folder}/{self._made}"
        try:
            return Cell(path, self._home, limits)
        except FileNotFoundError:
            # Whoever minds the tree (systemd does) may clear away groups that are empty just now.
            self._lay()
            return Cell(path, self._home, limits)

    def _lay(self) -> None:
        self._folder.mkdir(mode=0o755)
        for folder in (self._base, self._folder):
            for controller in _CONTROLLERS.values():
                # Where processes live beside the cells, the kernel offers none: rlimits are left.
                with suppress(OSError):
                    (folder / "cgroup.subtree_control").write_text(f"+{controller}")

    def keep(self, name: str) -> bool:
        """Tell whether cells keep a limit."""
        return name in self._kept

    def close(self) -> None:
        """End what is in the cells, and remove them."""
        os.close(self._home)
        _clear(self._folder)


class Cell:
    """One control group. `enter` and `leave` move the guardian, so that what it starts is inside.

    Nothing can be left outside that way, as it could if a process were moved after it began.
    """

    def __init__(self, path: str, home: int, limits: Mapping[str, int]) -> None:
        self._path, self._home = path, home
        os.mkdir(path, 0o755)  # noqa: PTH102 - each attempt has one
        for name, file in (("memory", "memory.max"), ("processes", "pids.max")):
            if name in limits and os.path.exists(f"{path}/{file}"):  # noqa: PTH110 - as above
                _write(f"{path}/{file}", str(limits[name]).encode())
                if name == "memory":
                    with suppress(OSError):
                        _write(f"{path}/memory.swap.max", b"0")
                        _write(f"{path}/memory.oom.group", b"1")

    def enter(self) -> None:
        """Go in: what is started from now on is inside."""
        _write(f"{self._path}/cgroup.procs", b"0")

    def leave(self) -> None:
        """Go back."""
        os.write(self._home, b"0")

    def kill(self) -> None:
        """Kill all that is inside."""
        with suppress(OSError):
            _write(f"{self._path}/cgroup.kill", b"1")

    def remove(self) -> bool:
        """Remove it; False: something is inside that has not ended yet."""
        try:
            os.rmdir(self._path)  # noqa: PTH106 - as above
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True


def open_cells(mark: str) -> Cells | None:
    """Make the place for cells, if this process may; None: it may not."""
    own, base = _places()
    if own is None or base is None:
        return None
    try:
        return Cells(base, own, mark)
    except OSError:
        return None


def end_cells(is_one: Callable[[str], bool]) -> None:
    """End what is in the cells of guardians whose mark is one, and remove them."""
    _, base = _places()
    if base is None:
        return
    for folder in base.glob(f"{_PREFIX}*"):
        if is_one(folder.name.removeprefix(_PREFIX)):
            _clear(folder)


def _places() -> tuple[Path | None, Path | None]:
    """Give our own control group (of version 2), and the one below which we may make others."""
    mount, own = _mount(), None
    for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
        if line.startswith("0::") and mount is not None:
            own = mount / line[3:].strip("/")
    if own is None:
        return None, None
    for folder in (*reversed(own.parents), own):
        if _is_delegated(folder):
            return own, folder
    if os.geteuid() != 0 and own.exists() and own.stat().st_uid == os.geteuid():
        return own, own  # older ones of systemd's say it to root alone, but give it to the user
    # Without a word of systemd's the tree is systemd's alone, if there is one.
    return own, None if Path("/run/systemd/system").exists() else own


def _clear(folder: Path) -> None:
    with suppress(OSError):
        _write(f"{folder}/cgroup.kill", b"1")
    for _ in range(_TRIES):
        for each in (*folder.glob("*/"), folder):
            with suppress(OSError):
                each.rmdir()
        if not folder.exists():
            return
        select.select((), (), (), _PAUSE)  # what was killed is ending


def _mount() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4])
    return None


def _is_delegated(folder: Path) -> bool:
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _write(path: str, text: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)
