"""Demonstrations: the expert acts, its moves are disturbed, and every frame gets the chain that was true.

A robot episode stores what the expert *wanted* at each frame and executes it with noise and shoves, so that the data
holds recoveries. A human episode stores no action at all.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from radlite.episodes import DatasetInfo, Episode, write_dataset
from radlite.errors import RadliteError
from radlite.tabletop.embodiment import hand_start
from radlite.tabletop.env import POLICY_SIZE, TabletopEnv, Trial, draw_trial
from radlite.tabletop.narrate import reason, with_paths
from radlite.tabletop.scene import draw_base_look, draw_look_elsewhere
from radlite.tabletop.tasks import AXES

SHOVE_CHANCE, SHOVE = 0.08, (0.05, 0.05, 0.03)  # per step; metres along each axis
PRESS_CHANCE, PRESS, PRESS_BELOW = 0.15, 0.03, 0.05  # per step; metres down, while the grasp point is empty and lower than that
NUDGE_CHANCE, NUDGE = 0.02, 0.25  # of the thing while nobody holds it; m/s
TAIL = 0  # frames that are kept after the first one with nothing left to do
LONGEST = 60
HUMAN_AXES = ("compositional", "new_object", "new_scene", "new_object")  # a thing with a new name takes most to learn


def record(trial: Trial, embodiment: str, seed: int, size: int = POLICY_SIZE) -> Episode | None:
    """One demonstration; None when the disturbed expert failed."""
    rng = np.random.default_rng([seed, 11])
    if embodiment == "human":
        trial = replace(trial, scene=replace(trial.scene, start=hand_start(trial.scene.start)))
    env = TabletopEnv(embodiment, size, LONGEST)
    observation, _ = env.reset(options={"trial": trial})
    frames, chains, actions, states, points, rest = [], [], [], [], [], 0
    while (rest <= TAIL or not env.judge.success) and len(frames) < LONGEST:
        intent = env.expert.intent()
        action = env.expert.action(intent)
        frames.append(observation["image"])
        states.append(observation["state"])
        points.append(env.world.point)
        actions.append(action)
        chains.append(reason(env.expert, intent))
        rest += intent.phase in ("stop", "hold")
        observation, *_ = env.step(disturb(env, action, rng))
    if not env.judge.success:
        return None
    return Episode(
        trial.task.instruction, np.stack(frames), with_paths(chains, points, trial.scene.look.view), embodiment,
        np.stack(actions) if embodiment == "robot" else None, np.stack(states),
        meta={"axis": trial.axis or "home", "seed": seed},
    )  # fmt: skip


def disturb(env: TabletopEnv, action: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The action as it is executed: small noise, a shove of the gripper now and then, a nudge of the thing.

    Close to the table it is pressed down as well. Else a policy sees next to no frames a centimetre over the table, and once it
    is there, takes that for two or three and keeps on lowering.
    """
    noisy = action.copy()
    noisy[:3] += rng.normal(0, env.expert.style.noise, 3)
    if rng.random() < SHOVE_CHANCE:
        noisy[:3] += rng.uniform(-1, 1, 3) * SHOVE
    if env.world.held is None and env.world.point[2] < PRESS_BELOW and rng.random() < PRESS_CHANCE:
        noisy[2] -= rng.uniform(0, PRESS)
    thing = env.trial.task.thing
    near = np.linalg.norm(env.world.position(thing) - env.world.point) < 0.08
    if rng.random() < NUDGE_CHANCE and env.steps < 8 and not near:
        env.world.nudge(thing, rng.uniform(-NUDGE, NUDGE, 2))
    return noisy


ENVIRONMENTS = ("home", "many", "elsewhere")


def moved(trial: Trial, environment: str) -> Trial:
    """The same task and things in another environment.

    "many": tables and lamps of all sorts before the robot's own camera, none of the new-scene axis; as Bridge V2 has two dozen
    environments. "elsewhere": one other place with its own tables, lamp and camera. "home": as it is.
    """
    if environment == "home":
        return trial
    draw, stream = {"many": (draw_base_look, 37), "elsewhere": (draw_look_elsewhere, 29)}[environment]
    look = draw(np.random.default_rng([trial.seed, stream]))
    return replace(trial, scene=replace(trial.scene, look=look, new_scene=False))


def _attempt(job: tuple[int, str | None, str, int, str]) -> Episode | None:
    seed, axis, embodiment, size, environment = job
    return record(moved(draw_trial(seed, axis), environment), embodiment, seed, size)


def episodes(
    count: int,
    embodiment: str,
    axes: tuple[str | None, ...],
    seed: int,
    size: int = POLICY_SIZE,
    workers: int = 2,
    progress: bool = True,
    environment: str = "home",
) -> Iterator[Episode]:
    """`count` successful demonstrations, axes in turn; the same for any number of workers."""
    jobs = ((seed * 1_000_003 + i, axes[i % len(axes)], embodiment, size, environment) for i in range(3 * count + 20))
    with tqdm(
        total=count, desc=f"collect {embodiment}", unit="episode", disable=not progress, leave=False
    ) as bar:
        found = 0
        for episode in _run(jobs, workers, count):
            if episode is not None:
                found += 1
                bar.update()
                yield episode
            if found == count:
                return
    raise RadliteError(
        f"{count} successful demonstrations", f"{found} in {3 * count + 20} tries", "this is a bug: report it"
    )


def _run(jobs: Iterator[tuple], workers: int, count: int) -> Iterator[Episode | None]:
    """Results in the order of the jobs; processes only where there is enough to do."""
    if workers < 2 or count < 8:
        yield from map(_attempt, jobs)
        return
    context = multiprocessing.get_context("spawn")  # a fork would copy torch's threads
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting = []
        for job in jobs:
            waiting.append(pool.submit(_attempt, job))
            if len(waiting) >= 4 * workers:
                try:
                    yield waiting.pop(0).result()
                except GeneratorExit:
                    pool.shutdown(cancel_futures=True)
                    raise
        for future in waiting:
            yield future.result()


def collect(
    out: str | Path,
    embodiment: str,
    count: int,
    axes: tuple[str | None, ...] | None = None,
    seed: int = 0,
    size: int = POLICY_SIZE,
    workers: int = 2,
    overwrite: bool = False,
    progress: bool = True,
    image_format: str = "png",
    environment: str = "home",
) -> DatasetInfo:
    """Collects demonstrations and writes them as a dataset.

    Args:
        out: folder of the dataset.
        embodiment: "robot" (with actions) or "human" (without).
        count: episodes.
        axes: which tasks, in turn: None is the robot's own, else one of the paper's axes. By default the robot gets its
            own tasks and the human the three axes that no robot demonstration has, new objects twice as often.
        seed: of tasks, scenes and disturbances.
        size: pixels a side.
        workers: processes.
        overwrite: replace a dataset that is there.
        progress: show a bar.
        image_format: "png" or "webp" (lossless), or "mp4".
        environment: "home", "many" or "elsewhere", see `moved`.

    Raises:
        RadliteError: an unknown embodiment or axis, or a folder that cannot be written.
    """
    if environment not in ENVIRONMENTS:
        raise RadliteError(f"environment out of {', '.join(ENVIRONMENTS)}", repr(environment), "choose one of them")
    if embodiment not in ("robot", "human"):
        raise RadliteError("embodiment 'robot' or 'human'", repr(embodiment), "choose one of them")
    axes = axes or ((None,) if embodiment == "robot" else HUMAN_AXES)
    if set(axes) - {None, *AXES}:
        raise RadliteError(f"axes out of {AXES} or None", repr(axes), "choose one of them")
    source = episodes(count, embodiment, axes, seed, size, workers, progress, environment)
    how = f"embodiment={embodiment!r}, count={count}, axes={axes}, seed={seed}"
    how += f", environment={environment!r}" if environment != "home" else ""
    origin = f"the tabletop of radlite: collect({how})"
    return write_dataset(out, source, image_format=image_format, overwrite=overwrite, origin=origin)
