"""What an experiment holds and how long it takes here, measured with one short look at how fast this machine acts."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import torch

from radlite.experiment.cells import JUDGED, TABLES, Cell
from radlite.experiment.results import name_of
from radlite.experiment.run import Experiment, Job, suited_workers

REFERENCE_SECONDS = 1.25  # one acted step of 16 robots on one core where `run.SECONDS` was measured
BATCH = 16


def speed() -> float:
    """How many times slower than the reference this machine is: some steps of the shipped policy, on one core."""
    from radlite.policy import load_policy
    from radlite.rollouts import PolicyAgent
    from radlite.tabletop.env import TabletopEnv, trials

    todo, threads = trials(None, BATCH, 0), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        agent = PolicyAgent(load_policy("radlite-tiny", "rad"))
        agent.begin(todo)
        seen = np.stack([TabletopEnv().reset(options={"trial": t})[0]["image"] for t in todo])
        agent.act(range(BATCH), seen)
        began = time.monotonic()
        for _ in range(3):
            agent.act(range(BATCH), seen)
        return (time.monotonic() - began) / 3 / REFERENCE_SECONDS
    finally:
        torch.set_num_threads(threads)


def listing(experiment: Experiment, cells: Sequence[Cell]) -> str:
    """Every table with its cells, and minutes on all processes: of a table alone, and of all that is to do."""
    slower, workers = speed(), experiment.workers or suited_workers()
    done = {c.name for c in cells if experiment.finished(c)}
    lines = []
    for table in [t for t in TABLES if any(c.table == t for c in cells)]:
        mine = [c for c in cells if c.table == table]
        left = [c for c in mine if c.name not in done]
        unit = "frames" if table in JUDGED else "trials"
        lines.append(f"{table:<14}{TABLES[table]}")
        lines.append(f"{'':<14}{len(mine)} cells of {mine[0].trials} {unit}, {len(mine) - len(left)} done; "
                     f"alone {_minutes(experiment.jobs(left), slower, workers)}")
        for row in dict.fromkeys((c.arm, c.variant) for c in mine):
            lines.append(f"{'':<15}{name_of(*row):<29}{_axes([c for c in mine if (c.arm, c.variant) == row], done)}")
    rest = experiment.jobs([c for c in cells if c.name not in done])
    counts = {kind: sum(j.kind == kind for j in rest) for kind in ("data", "train", "cell")}
    lines.append(f"to do: {counts['data']} datasets, {counts['train']} trainings, {counts['cell']} measurements, "
                 f"{_minutes(rest, slower, workers)} on this machine with {workers} processes (estimated)")
    return "\n".join(lines)


def _axes(cells: list[Cell], done: set[str]) -> str:
    """Axes with their seeds: "x0" is done, ".1" is not."""
    axes = {c.axis: " ".join(("x" if d.name in done else ".") + str(d.seed) for d in cells if d.axis == c.axis) for c in cells}
    return "  ".join(f"{axis} [{seeds}]" for axis, seeds in axes.items())


def _minutes(jobs: list[Job], slower: float, workers: int) -> str:
    seconds = sum(j.seconds for j in jobs) * slower
    longest = max((j.seconds for j in jobs), default=0) * slower
    return f"{max(seconds / workers, longest) / 60:.0f} min"
