"""How often does the scripted expert succeed, disturbed as it is when demonstrations are collected?

Every family and embodiment gets the same number of random scenes, over the robot's own tasks and all human-only axes in
turn. One scene is one `collect.record` with its noise, shoves and nudges (tiny pictures, so that physics is what takes
time). Prints successes with 95% Wilson intervals, the seeds of the scenes that failed, and how long episodes are.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator

import numpy as np
from machine import report
from tqdm.auto import tqdm

from radlite.stats import wilson
from radlite.tabletop.collect import LONGEST, record
from radlite.tabletop.env import MAX_STEPS, draw_trial
from radlite.tabletop.tasks import AXES, FAMILIES

Job = tuple[str, str, str | None, int]  # embodiment, family, axis, seed


def attempt(job: Job) -> int:
    """Frames of the episode, 0 when the expert failed."""
    embodiment, family, axis, seed = job
    episode = record(draw_trial(seed, axis, family), embodiment, seed, size=8)
    return 0 if episode is None else len(episode.frames)


def jobs(embodiment: str, family: str, scenes: int, seed: int) -> list[Job]:
    """The scenes of one cell of the table; only `put` has a compositional axis."""
    axes = [a for a in (None, *AXES) if family == "put" or a != "compositional"]
    return [(embodiment, family, axes[i % len(axes)], seed * 1_000_003 + i) for i in range(scenes)]


def lengths(work: list[Job], processes: int) -> Iterator[int]:
    """`attempt` of every job, in order."""
    if processes < 2:
        yield from map(attempt, work)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(attempt, work, chunksize=8)


def cell(work: list[Job], frames: list[int]) -> dict:
    """One cell of the table: successes, interval, and what failed."""
    good = [n for n in frames if n]
    low, high = wilson(len(good), len(frames))
    by_axis = {}
    for axis in dict.fromkeys(job[2] for job in work):
        mine = [n > 0 for job, n in zip(work, frames, strict=True) if job[2] == axis]
        by_axis[axis or "home"] = {"successes": sum(mine), "scenes": len(mine)}
    return {
        "successes": len(good), "scenes": len(frames), "rate": round(len(good) / len(frames), 4),
        "interval": [round(low, 4), round(high, 4)], "by_axis": by_axis,
        "frames_median": float(np.median(good)) if good else None,
        "longer_than_a_rollout": sum(n > MAX_STEPS for n in good), "never_stopped": sum(n == LONGEST for n in good),
        "failed": [f"{job[2] or 'home'}:{job[3]}" for job, n in zip(work, frames, strict=True) if not n][:20],
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=1000, help="for every family and embodiment (default 1000)")
    parser.add_argument("--embodiments", nargs="+", choices=("robot", "human"), default=["robot", "human"])
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began, table = time.perf_counter(), {}
    for embodiment in args.embodiments:
        for family in args.families:
            work = jobs(embodiment, family, args.scenes, args.seed)
            done = tqdm(lengths(work, args.processes), total=len(work), desc=f"{embodiment} {family}", unit="scene", leave=False)
            table.setdefault(embodiment, {})[family] = row = cell(work, list(done))
            print(f"{embodiment} {family}: {row['successes']}/{row['scenes']}", file=sys.stderr)  # of a long run, what is there
    report("expert", vars(args), {**table, "seconds": round(time.perf_counter() - began, 1)})


if __name__ == "__main__":
    main()
