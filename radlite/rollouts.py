"""Closed-loop rollouts: agents that act, and the trials in which they do.

All trials of a policy run side by side, so that the policy predicts in batches. The plan of the first frame is kept and
given back at every later one: it is the policy's memory, as in ECoT's reuse of the upper half of the chain.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import torch
from tqdm.auto import tqdm

from radlite.errors import RadliteError
from radlite.policy import Policy, Prediction
from radlite.reasoning import Reasoning
from radlite.tabletop.env import MAX_DELTA, MAX_STEPS, TabletopEnv, Trial
from radlite.tabletop.tasks import BASE_THINGS, Task

BATCH = 40  # trials that run side by side


class Agent(Protocol):
    """Anything that acts on a batch of pictures."""

    def begin(self, trials: Sequence[Trial]) -> None:
        """Told once which trials it will act in."""

    def act(self, rows: Sequence[int], images: np.ndarray) -> tuple[np.ndarray, list[Prediction | None]]:
        """Actions (n, 7) for the trials `rows`, given their pictures uint8 (n, H, W, 3), and what was thought."""


def told_another_task(trial: Trial) -> Trial:
    """The trial with another instruction: the same about another thing in the scene (the last that is the robot's own)."""
    task = trial.task
    other = [s.name for s in trial.scene.things if s.name != task.thing and s.name in BASE_THINGS][-1]
    return replace(trial, told=Task(task.family, other, task.place, task.direction).instruction)


@dataclass
class PolicyAgent:
    """A policy that keeps its task and plan from the first frame.

    Attributes:
        policy: what predicts.
        decode: "expectation" or "mode".
        draw: draws the chain after the first frame's (whose plan is kept) instead of taking what is most likely. It gets out of
            a picture that is misread: while nothing moves the picture stays the same, and so does what is most likely.
        think: False acts without any reasoning.
    """

    policy: Policy
    decode: str = "expectation"
    draw: bool = True
    think: bool = True
    _instructions: list[str] = field(default_factory=list)
    _plans: dict[int, Reasoning] = field(default_factory=dict)
    _said: dict[int, Prediction] = field(default_factory=dict)
    _seeds: list[int] = field(default_factory=list)
    _frames: list[int] = field(default_factory=list)

    def begin(self, trials: Sequence[Trial]) -> None:
        self._instructions, self._plans, self._said = [t.instruction for t in trials], {}, {}
        self._frames, self._seeds = [0] * len(trials), [t.seed * 1_000 for t in trials]

    def act(self, rows: Sequence[int], images: np.ndarray) -> tuple[np.ndarray, list[Prediction | None]]:
        chains = [self._plans.get(r) for r in rows] if self.think else False
        seeds = [self._seeds[r] + self._frames[r] if self.draw and self._frames[r] else None for r in rows]
        for r in rows:
            self._frames[r] += 1
        said = self.policy.predict(images, [self._instructions[r] for r in rows], chains, decode=self.decode, seeds=seeds,
                                   drafts=[self._said.get(r) for r in rows])
        for row, one in zip(rows, said, strict=True):
            self._said[row] = one
            if self.think and row not in self._plans:
                self._plans[row] = one.reasoning.memory
        return np.stack([p.action for p in said]), said


class StillAgent:
    """Control: does nothing, jaws open."""

    def begin(self, trials: Sequence[Trial]) -> None: ...

    def act(self, rows: Sequence[int], images: np.ndarray) -> tuple[np.ndarray, list[None]]:
        return np.tile(np.array([0, 0, 0, 0, 0, 0, 1], np.float32), (len(rows), 1)), [None] * len(rows)


class RandomAgent:
    """Control: uniform random motions and jaws, from a seed; a trial gets the same ones wherever it runs."""

    def __init__(self, seed: int = 0) -> None:
        self._seed, self._draws = seed, []

    def begin(self, trials: Sequence[Trial]) -> None:
        self._draws = [np.random.default_rng([self._seed, t.seed]) for t in trials]

    def act(self, rows: Sequence[int], images: np.ndarray) -> tuple[np.ndarray, list[None]]:
        actions = np.zeros((len(rows), 7), np.float32)
        for action, row in zip(actions, rows, strict=True):
            action[:3] = self._draws[row].uniform(-MAX_DELTA, MAX_DELTA, 3)
            action[6] = self._draws[row].random() > 0.5
        return actions, [None] * len(rows)


@dataclass
class Outcome:
    """How one trial went: success, steps taken, and, where asked for, what was seen and said at every step."""

    trial: Trial
    success: bool
    steps: int
    frames: list[np.ndarray] = field(default_factory=list, repr=False)  # VIEW_SIZE pictures for people
    thoughts: list[Prediction | None] = field(default_factory=list, repr=False)
    actions: list[np.ndarray] = field(default_factory=list, repr=False)


def rollout(
    agent: Agent,
    trials: Sequence[Trial],
    max_steps: int = MAX_STEPS,
    keep: Sequence[int] = (),
    progress: bool = True,
    label: str = "rollout",
    workers: int = 1,
    on_end: Callable[[], object] | None = None,
) -> list[Outcome]:
    """Runs every trial to success or `max_steps`.

    Args:
        agent: who acts.
        trials: what to do.
        max_steps: of 0.2 s.
        keep: indices of trials whose frames and thoughts are kept for people to see.
        progress: show a bar.
        label: of the bar.
        workers: processes of one thread each; on a CPU two of them do a third more than one with two threads. A script
            that asks for more than one needs `if __name__ == "__main__":`.
        on_end: called in this process whenever a trial has ended.

    Raises:
        RadliteError: no trials.
    """
    if not trials:
        raise RadliteError("at least one trial", "none", "ask for more trials")
    workers = min(workers, len(trials))
    jobs = [
        (trials[k::workers], max_steps, {i // workers for i in keep if i % workers == k}) for k in range(workers)
    ]
    with tqdm(total=len(trials), desc=label, unit="trial", disable=not progress, leave=False) as bar:
        def one_more(count: int = 1) -> None:
            bar.update(count)
            for _ in range(count if on_end else 0):
                on_end()

        if workers < 2:
            return _run_side_by_side(agent, *jobs[0], one_more)
        parts = _run_apart(agent, jobs, workers, one_more)
        return [parts[i % workers][i // workers] for i in range(len(trials))]


def suited_workers(device: str, trials: int) -> int:
    """Processes for `rollout`: on a CPU one a core, up to four, where there is enough to do for their start to pay."""
    return min(4, os.cpu_count() or 1) if device == "cpu" and trials >= 16 else 1


def _run_apart(
    agent: Agent, jobs: list[tuple], workers: int, one_more: Callable[[int], object]
) -> list[list[Outcome]]:
    """Every job in a process of its own; `one_more` hears of each trial that ends."""
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    ended = context.SimpleQueue()
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(agent, ended)) as pool:
        futures = [pool.submit(_run_job, job) for job in jobs]
        try:
            while wait(futures, timeout=0.5).not_done:
                while not ended.empty():
                    one_more(ended.get())
                if any(f.done() and f.exception() for f in futures):
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [future.result() for future in futures]


_worker: dict = {}  # in a worker process: who acts, and where it tells of a trial that ended


def _begin_worker(agent: Agent, ended) -> None:
    _worker.update(agent=agent, ended=ended)
    torch.set_num_threads(1)
    threading.Thread(target=leave_with_parent, daemon=True).start()


def leave_with_parent() -> None:
    """A killed run leaves no process behind that goes on for minutes."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run_job(job: tuple) -> list[Outcome]:
    return _run_side_by_side(_worker["agent"], *job, lambda: _worker["ended"].put(1))


def _run_side_by_side(
    agent: Agent, trials: Sequence[Trial], max_steps: int, keep: set[int], ended: Callable[[], object]
) -> list[Outcome]:
    """At most BATCH trials at a time; where one ends, the next begins."""
    outcomes, envs, seen = [Outcome(t, False, 0) for t in trials], {}, {}
    agent.begin(trials)
    waiting = list(range(len(trials)))
    with ThreadPoolExecutor(2) as pool:  # MuJoCo works outside Python's lock
        while waiting or envs:
            fresh = [waiting.pop(0) for _ in range(min(len(waiting), BATCH - len(envs)))]
            envs |= {i: TabletopEnv(max_steps=max_steps) for i in fresh}
            seen |= zip(fresh, pool.map(_begin, [envs[i] for i in fresh], [trials[i] for i in fresh]), strict=True)
            active = sorted(envs)
            actions, thoughts = agent.act(active, np.stack([seen[i] for i in active]))
            for i, action, thought in zip(active, actions, thoughts, strict=True):
                if i in keep:
                    outcomes[i].frames.append(envs[i].render())
                    outcomes[i].thoughts.append(thought)
                    outcomes[i].actions.append(action)
            stepped = list(pool.map(TabletopEnv.step, [envs[i] for i in active], actions))
            for i, (observation, _, done, truncated, info) in zip(active, stepped, strict=True):
                seen[i], outcomes[i].steps, outcomes[i].success = observation["image"], envs[i].steps, info["success"]
                if done or truncated:
                    ended()
                    if i in keep:
                        outcomes[i].frames.append(envs[i].render())
                    del envs[i]
    return outcomes


def _begin(env: TabletopEnv, trial: Trial) -> np.ndarray:
    return env.reset(options={"trial": trial})[0]["image"]
