"""What every benchmark says of the machine it ran on, and how it prints its one JSON object."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")  # what matrix products may use


def machine() -> dict:
    """Cores, threads, load and CPU features: without them a number of samples per second means nothing."""
    affinity = getattr(os, "sched_getaffinity", None)  # absent on macOS and Windows
    about = {
        "system": platform.system(), "processor": _cpu("model name") or platform.processor() or platform.machine(),
        "cores": len(affinity(0)) if affinity else os.cpu_count(),
        "features": [f for f in FLAGS if f in (_cpu("flags") or _cpu("Features")).split()],
        "load_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(), "mujoco": version("mujoco"), "torch": version("torch"),
    }  # fmt: skip
    if "torch" in sys.modules:
        import torch

        about["torch_threads"] = torch.get_num_threads()
        about["cuda"] = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return about


def _cpu(key: str) -> str:
    """The first value of a key in /proc/cpuinfo; "" where there is no such file or key."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":")[0].strip() == key), "")


def seconds_each(work, seconds: float, least: int = 3) -> float:
    """Mean seconds of one `work()`, repeated for about `seconds` after one call that does not count."""
    work()
    began, count = time.perf_counter(), 0
    while count < least or time.perf_counter() - began < seconds:
        work()
        count += 1
    return (time.perf_counter() - began) / count


def report(name: str, settings: dict, results: dict) -> None:
    """Prints one JSON object: what was asked for, what came out, and on which machine."""
    told = {"benchmark": name, "settings": settings, "results": results, "machine": machine()}
    print(json.dumps(told, indent=1, default=_plain))


def _plain(value: object) -> str:
    """A path, in a list as well; anything else is a mistake of the benchmark."""
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} in a benchmark's settings or results")
