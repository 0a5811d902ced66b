"""No-op jobs through other schedulers and queues; benchmarks/handlers.py runs it in its own venv.

`python -m benchmarks.peers PEER COUNT FOLDER` prints jobs a second. Each peer runs as its documentation shows, with
as many workers as this machine has cores.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

WORKERS = os.cpu_count() or 1


def noop(*_: object) -> None:
    """Do nothing."""


def apscheduler(count: int, folder: Path) -> float:
    """Jobs due at once, from a job store on SQLite, in a pool of threads."""
    from threading import Semaphore

    from apscheduler.events import EVENT_JOB_EXECUTED
    from apscheduler.schedulers.background import BackgroundScheduler

    ran = Semaphore(0)
    scheduler = BackgroundScheduler(
        jobstores={"default": {"type": "sqlalchemy", "url": f"sqlite:///{folder}/jobs.db"}},
        job_defaults={"misfire_grace_time": None},
    )
    scheduler.add_listener(lambda _: ran.release(), EVENT_JOB_EXECUTED)
    scheduler.start(paused=True)
    for _ in range(count):
        scheduler.add_job(noop)
    start = time.perf_counter()
    scheduler.resume()
    for _ in range(count):
        ran.acquire()
    took = time.perf_counter() - start
    scheduler.shutdown()
    return count / took


def huey(count: int, folder: Path) -> float:
    """A queue on SQLite, with a consumer of processes."""
    os.environ["PEERS_FOLDER"] = str(folder)
    from benchmarks import peers_huey

    for number in range(count):
        peers_huey.mark(number)
    command = [sys.executable, "-m", "huey.bin.huey_consumer", "benchmarks.peers_huey.huey"]
    consumer = subprocess.Popen([*command, "-k", "process", "-w", str(WORKERS), "-q", "-n"])
    try:
        return _drained(count, peers_huey.huey.pending_count)
    finally:
        consumer.terminate()
        consumer.wait()


def rq(count: int, _folder: Path) -> float:
    """A queue on Redis, each job in a fork of its worker's."""
    return _rq(count, "rq.worker.Worker")


def rq_simple(count: int, _folder: Path) -> float:
    """A queue on Redis, jobs in the worker itself: nothing can end one that hangs."""
    return _rq(count, "rq.worker.SimpleWorker")


def _rq(count: int, kind: str) -> float:
    from redis import Redis
    from rq import Queue

    connection = Redis.from_url(os.environ["PEERS_REDIS"])
    connection.flushall()
    queue = Queue(connection=connection)
    for _ in range(count):
        queue.enqueue("operator.not_", 1)
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "-q", "-w", kind]
    command += ["-u", os.environ["PEERS_REDIS"]]
    workers = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(WORKERS)]
    try:
        return _drained(count, lambda: count - queue.finished_job_registry.count)
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait()


def _drained(count: int, left: Callable[[], int]) -> float:
    """Measure between a tenth and all: starting the workers is not what is asked."""
    while left() > count * 0.9:
        time.sleep(0.005)
    begun, start = left(), time.perf_counter()
    while left() > 0:
        time.sleep(0.005)
    return begun / (time.perf_counter() - start)


PEERS = {"apscheduler": apscheduler, "huey": huey, "rq": rq, "rq_simple": rq_simple}

if __name__ == "__main__":
    print(PEERS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])))
