"""What a run may leave behind, and must not: processes, threads, files, sockets, changed state."""

import contextlib
import gc
import os
import random
import secrets
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

import simnet.distributed.gathering as gathering_module

MARK = "SIMNET_TEST_MARK"
PATIENCE_S = 20.0  # for what has been told to end
THREADS = os.path.join("simnet", "distributed", "threads.py")
ATTRIBUTES = (
    (dist.distributed_c10d, "_world"),
    (dist.distributed_c10d, "_default_pg_init_method"),
    (dist.distributed_c10d, "_new_process_group_helper"),
    (dist.distributed_c10d, "_get_default_timeout"),
    (torch._C.Future, "wait"),
    (torch._C.Future, "done"),
    (sys, "stdout"),
    (sys, "stderr"),
    (sys, "excepthook"),
    (threading, "excepthook"),
    (time, "sleep"),
    (time, "time"),
    (time, "monotonic"),
    (time, "perf_counter"),
    (time, "time_ns"),
)
FUNCTIONS = (
    dist.init_process_group,
    dist.monitored_barrier,
    dist.split_group,
    dist.barrier,
)


def caller_state():
    """Everything global that a run touches, comparable."""
    cells = [
        tuple(id(cell.cell_contents) for cell in function.__closure__ or ())
        for function in FUNCTIONS
    ]
    numpy_state = np.random.get_state()
    return {
        "attributes": {name: getattr(holder, name) for holder, name in ATTRIBUTES},
        "codes": [(function.__code__, function.__defaults__) for function in FUNCTIONS],
        "closures": cells,
        "initialized": dist.is_initialized(),
        "environment": {name: value for name, value in os.environ.items() if name != MARK},
        "folder": os.getcwd(),
        "torch": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy": (numpy_state[1].tolist(), *numpy_state[2:]),
        "torch threads": torch.get_num_threads(),
    }


@contextlib.contextmanager
def nothing_left(*, sockets=True):
    """Check that what happens inside leaves nothing behind.

    Processes are known by a variable in their environment, which every descendant inherits.
    `sockets` says whether sockets and pipes of this process are looked at.
    """
    before = threads(), descriptors()
    memory = gathering_module.MEMORY
    base = memory if os.path.isdir(memory) else None
    mark = secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="t", dir=base) as folder:
        os.environ[MARK] = mark
        gathering_module.MEMORY = folder
        try:
            yield
        finally:
            gathering_module.MEMORY = memory
            del os.environ[MARK]
        assert os.listdir(folder) == []
    eventually(lambda: marked(mark) == [])
    eventually(lambda: threads() <= before[0])
    if sockets and descriptors() > before[1]:
        gc.collect()  # what an exception's traceback holds
        eventually(lambda: descriptors() <= before[1])


def marked(mark):
    """Descriptions of the processes that carry a mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
    return found


def threads():
    """The rank threads that are there, but for those that have been put to sleep for good."""
    found = {each for each in threading.enumerate() if each.name.startswith("simnet-rank")}
    return {each for each in found if not _sleeps_for_good(each)}


def _sleeps_for_good(thread):
    """Whether a thread has refused to end so often that it is not let go on."""
    frame = sys._current_frames().get(thread.ident)
    while frame is not None:
        code = frame.f_code
        if code.co_name == "check" and code.co_filename.endswith(THREADS):
            return True
        frame = frame.f_back
    return False


def descriptors():
    """How many sockets and pipes are open."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{entry}").startswith(("socket:", "pipe:"))
    return count


def eventually(holds):
    """Wait until something holds; fail if it does not for long."""
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def line(file, mark):
    """ "file:line" of the one line of a test file that ends with a mark."""
    lines = Path(file).read_text().splitlines()
    (number,) = [n for n, text in enumerate(lines, 1) if text.endswith(f"# {mark}")]
    return f"{Path(file).name}:{number}"
