"""One side of a comparison in a process of its own, so that its peak memory is its own; and the clips that all sides train on.

What is heavy is imported where it is used: a side that needs no torch is measured without it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from radlite.mixture import Mixture

SAMPLES = Path(__file__).parents[1] / "data_samples"


def shipped(robot: int, ratio: float = 1.0) -> Mixture:
    """A mixture of the shipped clips, pictures decoded."""
    from radlite.episodes import EpisodeDataset
    from radlite.mixture import Mixture

    return Mixture(*(EpisodeDataset(SAMPLES / e).cache() for e in ("robot", "human")), robot_per_batch=robot, ratio=ratio)


def peak_gb(device: str = "cpu") -> float:
    """The most that this process has held so far: on a CUDA card what torch has allocated, else all of it, libraries included."""
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9
    status = Path("/proc/self/status")
    if status.exists():  # `getrusage` would also count the process that started this one
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def again(*more: str) -> dict | str:
    """This command with more arguments, in another process: the JSON that it prints, or the last line of its error."""
    command = [sys.executable, *sys.argv, *more]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])
