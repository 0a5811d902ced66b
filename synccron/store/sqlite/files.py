"""The files of one store: where they lie, who may touch them, and on what they may lie.

Everything is for its owner alone, whatever the umask says. A folder that was there already is never
changed: one that others could write to is refused.
"""

import os
import stat
from contextlib import suppress
from errno import EROFS
from pathlib import Path
from typing import NamedTuple

from synccron.errors import StoreError, StoreMissing, StoreReadonly

_NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "fuse.sshfs", "fuse.s3fs", "fuse.glusterfs")
_NETWORK_HINT = "keep it on a local disk: SQLite's log needs memory that only one host can share"


class Files(NamedTuple):
    """The paths of one store; `database` has no symbolic links in it."""

    database: Path

    @property
    def folder(self) -> Path:
        """The folder that all of them lie in."""
        return self.database.parent

    @property
    def lock(self) -> Path:
        """Held by whoever writes."""
        return self._beside("lock")

    @property
    def signal(self) -> Path:
        """Touched after each commit."""
        return self._beside("signal")

    @property
    def sessions(self) -> Path:
        """A folder: one file for each session of a node."""
        return self._beside("sessions")

    @property
    def draft(self) -> Path:
        """A new database, until it is complete."""
        return self._beside("new")

    @property
    def log(self) -> Path:
        """SQLite's write-ahead log; absent when nobody has the database open."""
        return self.database.with_name(f"{self.database.name}-wal")

    def _beside(self, suffix: str) -> Path:
        return self.database.with_name(f"{self.database.name}.{suffix}")


def find(path: str | Path, *, create: bool) -> Files:
    """Find the files of the store at a path, and check that they are safe to use.

    `create` makes the folder. Raises StoreMissing, or StoreError where the place is not fit.
    """
    files = Files(Path(os.path.realpath(path)))
    try:
        if create:
            _make_folder(files.folder)
        _check_folder(files)
        if not create or files.database.exists():
            _check_file(files.database)
    except FileNotFoundError as error:
        raise missing(files) from error
    except PermissionError as error:
        raise StoreError(
            f"no permission to open {files.database}",
            hint="run it as the user that the nodes run as, or name another store with --store",
        ) from error
    except NotADirectoryError as error:
        raise StoreError(f"{files.folder} is not a folder") from error
    except OSError as error:  # a name that is too long, a loop of links
        raise StoreError(f"{files.database} cannot be used: {error.strerror}") from error
    return files


def missing(files: Files) -> StoreMissing:
    """Give the error for a store that is not there."""
    return StoreMissing(
        f"there is no store at {files.database}",
        hint="`synccron register` and `synccron run` create it; --store names another",
    )


def open_private(path: Path) -> int:
    """Open a file for reading and writing, made for the owner alone if it is not there."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    with suppress(FileExistsError):
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(fd, 0o600)  # the umask may have taken even the owner's bits
        return fd
    return os.open(path, flags)


def make_private_folder(path: Path) -> None:
    """Make a folder for the owner alone; one that is there stays as it is."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
        path.chmod(0o700)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def full(folder: Path) -> bool:
    """Tell whether the file system has no room left for us."""
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < 64 * 1024 or (room.f_files > 0 and room.f_favail == 0)


def read_only(folder: Path) -> bool:
    """Tell whether the file system is mounted so that nothing can be written."""
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def _make_folder(folder: Path) -> None:
    absent: list[Path] = []
    while not folder.exists():
        absent.append(folder)
        folder = folder.parent
    try:
        for each in reversed(absent):
            make_private_folder(each)
            sync_folder(each.parent)
    except OSError as error:
        kind = StoreReadonly if error.errno == EROFS else StoreError
        raise kind(f"the folder {absent[0]} cannot be made: {error.strerror}") from error


def _check_folder(files: Files) -> None:
    found = files.folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError
    if found.st_uid not in (0, os.geteuid()):
        raise StoreError(
            f"the folder {files.folder} belongs to another user (uid {found.st_uid})",
            hint="run it as that user, or name another store with --store",
        )
    if found.st_mode & stat.S_IWOTH:
        raise StoreError(
            f"the folder {files.folder} is writable by everybody, who could replace the store",
            hint=f"keep the store in a folder of its own: mkdir -m 700 {files.folder / 'synccron'}",
        )
    kind = file_system(files.folder)
    if kind.startswith(_NETWORK):
        raise StoreError(f"{files.folder} is on a network file system ({kind})", hint=_NETWORK_HINT)


def _check_file(database: Path) -> None:
    found = database.stat()
    if not stat.S_ISREG(found.st_mode):
        raise StoreError(f"{database} is not a file", hint="name the database's file, not a folder")
    if found.st_uid not in (0, os.geteuid()):
        raise StoreError(
            f"{database} belongs to another user (uid {found.st_uid})",
            hint="run it as that user, or name another store with --store",
        )
    if found.st_mode & stat.S_IWOTH:
        raise StoreError(
            f"{database} is writable by everybody, who could put commands into it",
            hint=f"chmod 600 {database}, after a look at who wrote to it",
        )
    if not os.access(database, os.R_OK):
        raise PermissionError


def file_system(folder: Path, mounts: str = "/proc/self/mountinfo") -> str:
    """Name the type of the file system that a folder is on; "" where the kernel does not say."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    depth, kind = -1, ""
    for line in lines:
        before, _, after = line.partition(" - ")
        point = _unescaped(before.split(" ")[4])
        # A later mount on the same point hides the earlier.
        if folder.is_relative_to(point) and len(Path(point).parts) >= depth:
            depth, kind = len(Path(point).parts), after.split(" ", 1)[0]
    return kind


def _unescaped(path: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
