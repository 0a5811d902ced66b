"""The huey of benchmarks/peers.py: its consumer imports it by name."""

import os

from huey import SqliteHuey

huey = SqliteHuey("peers", filename=f"{os.environ['PEERS_FOLDER']}/huey.db", fsync=True)


@huey.task()
def mark(_number: int) -> None:
    """Do nothing."""
