"""Where the whole output of each attempt lies: path arithmetic that writer and readers share.

The node writes the files and bounds them, the command line reads them; nothing here opens one. A
log is on the host that ran the attempt, beside that host's store; elsewhere there is only the tail
that the store keeps.
"""

from pathlib import Path
from urllib.parse import quote

_LONGEST = 200  # bytes of a folder's name; file systems end at 255


def logs_folder(database: str | Path) -> Path:
    """Give the folder for the logs of the store in this database file: `<file>.logs`."""
    path = Path(database)
    return path.with_name(f"{path.name}.logs")


def log_path(folder: Path, job_id: str, attempt: int) -> Path:
    """Give the file for the output of one attempt, in the folder of the logs."""
    return folder / log_name(job_id, attempt)


def log_name(job_id: str, attempt: int) -> str:
    """Name the file for the output of one attempt, below the folder of the logs: `<job>/<n>.log`.

    The job's name has no character that means something in a path; one that would be too long is
    replaced by its hash.
    """
    # quote() leaves dots alone, and job ids start with a schedule's id or a kind: never "." or ".."
    name = quote(job_id, safe="")
    if len(name) > _LONGEST:
        import hashlib

        name = hashlib.sha256(job_id.encode()).hexdigest()
    return f"{name}/{attempt}.log"
