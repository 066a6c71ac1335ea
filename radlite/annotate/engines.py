"""What runs `annotate_one` for many clips: processes of this machine, or Ray Data, here or on a cluster that is there.

An engine is given tasks as text and gives answers as text as they come, in any order. A worker that dies, be it by a decoder that
crashes, takes nothing but its own clip along, and even that is only late: no answer comes, and `annotate_many` asks again.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue
from types import ModuleType

from radlite.annotate.many import Engine, annotate_one
from radlite.errors import RadliteError

LOCAL = "local"
RAY_RETRIES = 2  # of a clip whose worker died, by Ray itself
STORE_BYTES = 256 << 20  # of a local Ray's shared memory; tasks and answers are a few hundred characters
INSTALL = "pip install 'radlite[ray]' (or 'ray[data]'), or leave --ray out: processes of this machine do the same"


@contextmanager
def local_processes(workers: int = 2, work: Callable[[str], str] = annotate_one) -> Iterator[Engine]:
    """An engine of processes on this machine, each replaced when it dies.

    Args:
        workers: how many.
        work: what is done with a task; a function of a module.
    """
    pools: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()
    for _ in range(workers):
        pools.put(_pool())
    try:
        yield partial(_over_processes, work, workers, pools)
    finally:
        while not pools.empty():
            pools.get().shutdown(cancel_futures=True)


def _pool() -> ProcessPoolExecutor:
    """One process: of a pool with several, all end when one does. Spawned, since a fork would copy torch's threads."""
    return ProcessPoolExecutor(1, get_context("spawn"), initializer=_one_thread)


def _one_thread() -> None:
    """Processes share the cores; with a thread for each core in each of them, they would wait for each other."""
    os.environ["OMP_NUM_THREADS"] = "1"
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


def _over_processes(work: Callable[[str], str], workers: int, pools: SimpleQueue, tasks: Sequence[str]) -> Iterator[str]:
    with ThreadPoolExecutor(workers) as threads:
        futures = [threads.submit(_asked, work, pools, task) for task in tasks]
        try:
            yield from (answer for answer in (future.result() for future in as_completed(futures)) if answer is not None)
        finally:
            threads.shutdown(cancel_futures=True)


def _asked(work: Callable[[str], str], pools: SimpleQueue, task: str) -> str | None:
    """The answer of a process; None, and another process in its place, where it died."""
    pool = pools.get()
    try:
        return pool.submit(work, task).result()
    except BrokenProcessPool:
        pool.shutdown(wait=False)
        pool = _pool()
        return None
    finally:
        pools.put(pool)


@contextmanager
def ray_data(address: str = LOCAL, workers: int = 2) -> Iterator[Engine]:
    """An engine on Ray Data.

    Args:
        address: "local" starts a Ray of its own on this machine and ends it again; else that of a cluster that is there ("auto",
            host:port, ray://host:port), whose machines have radlite installed and see the clips and the store at the same paths.
        workers: clips at a time of a local Ray; a cluster does as many as it has CPUs.

    Raises:
        RadliteError: no Ray here, none at the address, or one that ends while it works.
    """
    ray = _ray()
    mine = not ray.is_initialized()
    try:
        if mine:
            _knock(address)
            ray.init(address, log_to_driver=False, logging_level="error", **_local(workers) if address == LOCAL else {})
    except Exception as error:  # Ray raises plain exceptions of many kinds here
        fix = "try again when the machine is less busy" if address == LOCAL else "check that `ray status` works with this address"
        raise RadliteError(f"a Ray at {address!r}", f"{type(error).__name__}: {error}", fix) from error
    try:
        yield partial(_over_ray, ray)
    finally:
        if mine:
            ray.shutdown()


def _knock(address: str) -> None:
    """An `OSError` at once where nobody answers at host:port; Ray itself would try for twelve minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _local(workers: int) -> dict:
    return {"num_cpus": workers, "include_dashboard": False, "object_store_memory": STORE_BYTES}


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no telemetry unless somebody asks for it
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RadliteError("Ray Data, for --ray", f"{type(error).__name__}: {error}", INSTALL) from error
    return ray


def _over_ray(ray: ModuleType, tasks: Sequence[str]) -> Iterator[str]:
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # who is how far, `annotate_many` tells
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.max_errored_blocks = False, -1  # a clip that keeps killing its worker is left out
    rows = ray.data.from_items([{"task": task} for task in tasks], override_num_blocks=len(tasks))  # a clip a block
    try:
        for row in rows.map(_row, num_cpus=1, max_retries=RAY_RETRIES).iter_rows():
            yield row["answer"]
    except ray.exceptions.RayError as error:
        fix = "run the same command again; what is finished is kept"
        raise RadliteError("a Ray that goes on to the end", f"{type(error).__name__}: {error}", fix) from error


def _row(row: dict[str, str]) -> dict[str, str]:
    return {"answer": annotate_one(row["task"])}
