"""The folder of a guardian: where the programs of its attempts find what they are given.

It has the guardian's mark in its name, so that one whose guardian and heir were killed together is
known, and removed, by the next node of that store.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PREFIX = "synccron-"


def make_folder(mark: str) -> str:
    """Make the folder. Others may pass through it to a file of theirs, whose name they are told."""
    folder = tempfile.mkdtemp(prefix=f"{_PREFIX}{mark}-")
    Path(folder).chmod(0o711)
    return folder


def remove_folder(folder: str) -> None:
    """Remove it, and what is left of what attempts were given; it may be gone already."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_folders(is_one: Callable[[str], bool]) -> None:
    """Remove the folders of ours whose mark is one."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            mark = entry.name.removeprefix(_PREFIX).rpartition("-")[0]
            if entry.name.startswith(_PREFIX) and mark and is_one(mark) and _ours(entry):
                remove_folder(entry.path)


def _ours(entry: "os.DirEntry[str]") -> bool:
    return entry.stat(follow_symlinks=False).st_uid == os.geteuid()
