"""What is asked of the kernel and of the C library, each in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

# As many threads as allocate at once; malloc_info(3) tells how many heaps there are after that.
ALLOCATING = """
import ctypes, sys, threading
from synccron.handlers import keep_one_heap
if sys.argv[1] == "one":
    keep_one_heap()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)
def allocate():
    together.wait()
    libc.malloc(1000)
threads = [threading.Thread(target=allocate) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
file = ctypes.c_void_p(libc.fopen(sys.argv[2].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


def test_a_node_has_one_heap_for_all_of_its_threads(tmp_path: Path) -> None:
    heaps = {}
    for kind in ("one", "many"):
        told = tmp_path / kind
        subprocess.run([sys.executable, "-c", ALLOCATING, kind, str(told)], check=True)
        heaps[kind] = len(re.findall("<heap nr=", told.read_text()))
    assert heaps["one"] == 1 < heaps["many"]
