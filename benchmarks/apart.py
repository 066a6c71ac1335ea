"""One side of a comparison in a process of its own, so that its peak memory is its own; and the clips that all sides train on."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import torch

from radlite.episodes import EpisodeDataset
from radlite.mixture import Mixture

SAMPLES = Path(__file__).parents[1] / "data_samples"


def shipped(robot: int, ratio: float = 1.0) -> Mixture:
    """A mixture of the shipped clips, pictures decoded."""
    return Mixture(*(EpisodeDataset(SAMPLES / e).cache() for e in ("robot", "human")), robot_per_batch=robot, ratio=ratio)


def peak_gb(device: str) -> float:
    """The most that this process has held so far: on a CUDA card what torch has allocated, else all of it, libraries included."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # Linux counts in KiB


def again(*more: str) -> dict | str:
    """This command with more arguments, in another process: the JSON that it prints, or the last line of its error."""
    command = [sys.executable, *sys.argv, *more]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout.strip().splitlines()[-1])
