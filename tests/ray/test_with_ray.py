"""Ray itself, on this machine: `make test-ray` installs it. A Ray of its own is started, and one that is there already is used.

All of it runs in processes of their own: Ray's parts talk through sockets, which tests do not get.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from radlite import write_mp4

BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "annotate_many.py"

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed here: make test-ray"),
]


def run(*command: object) -> subprocess.CompletedProcess:
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | quiet, timeout=900)


def test_a_killed_worker_costs_no_clip_and_doubles_none():
    done = run(BENCHMARK, "--clips", "12", "--engine", "ray")
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout)["results"]
    assert {name: results[name] for name in ("clips", "done", "twice", "failed", "episodes")} == {
        "clips": 12, "done": 12, "twice": 0, "failed": 0, "episodes": 12,
    }  # fmt: skip
    assert results["killed"] and results["begun_again"]


def test_the_command_works_on_ray_and_tells_what_failed(tmp_path):
    folder = tmp_path / "clips"
    for name in "ab":  # no landmarks and no MediaPipe, or no hand: either way they fail, in the worker
        write_mp4(folder / f"{name}.mp4", np.zeros((4, 32, 32, 3), np.uint8), 5.0)
    command = ["-m", "radlite", "annotate-many", folder, "--instruction", "go", "--out", tmp_path / "data"]
    done = run(*command, "--retries", "1", "--ray")
    assert done.returncode == 1 and "FAILED: 0 clips done" in done.stdout, done.stderr[-3000:]
    rows = json.loads((tmp_path / "data.clips.json").read_text())["rows"]
    assert [(row["state"], row["tries"]) for row in rows] == [("failed", 2)] * 2
    assert str(os.getpid()) not in {row["worker"].split(":")[1] for row in rows}


def test_an_address_without_a_cluster_is_told(tmp_path):
    write_mp4(tmp_path / "clips" / "a.mp4", np.zeros((4, 32, 32, 3), np.uint8), 5.0)
    done = run("-m", "radlite", "annotate-many", tmp_path / "clips", "--instruction", "go", "--out", tmp_path / "data", "--ray",
               "127.0.0.1:9")  # fmt: skip
    assert done.returncode == 2 and "expected a Ray at '127.0.0.1:9'" in done.stderr, done.stderr[-3000:]
