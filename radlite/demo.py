"""The whole path in one command: collect, train two arms, let them act, tell what came out.

ECoT learns from robot demonstrations. RAD learns from the same robot samples in the same order, with action-free human
clips on top. Both act in the same scenes. The demo only calls the stages that are commands and functions of their own;
a stage that is finished is not done again.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import radlite
from radlite.bases import SHIPPED, best_device, load_vlm
from radlite.checkpoint import MANIFEST
from radlite.clips import ARMS, clip_files, keep_clip, side_by_side_clips
from radlite.collate import CollateConfig
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.evaluate import reasoning_accuracy, summarise
from radlite.formats.staging import disk_errors, read_json
from radlite.mixture import Mixture
from radlite.policy import load_policy
from radlite.rollouts import (
    Outcome,
    PolicyAgent,
    RandomAgent,
    StillAgent,
    rollout,
    suited_workers,
    told_another_task,
)  # fmt: skip
from radlite.show import write_mp4, write_report
from radlite.stages import Stages
from radlite.tabletop.collect import collect
from radlite.tabletop.env import Trial, trials
from radlite.tabletop.tasks import AXES
from radlite.train import TrainConfig, read_log, train


@dataclass(frozen=True)
class DemoConfig:
    """Sizes of the demo.

    Attributes:
        robot_episodes, human_episodes: demonstrations; the human ones are spread over the paper's three axes.
        steps: optimiser steps of every arm.
        robot_per_batch: robot samples a step, the same for both arms.
        ratio: human samples per robot sample in the RAD arm.
        blind_per_batch: robot samples a step that are read without their picture, the same for both arms.
        human_only_trials: trials on tasks seen only in human hands, a third for each axis.
        robot_trials: trials on the robot's own tasks.
        control_trials: trials of each control.
        seed: of everything.
        base: which model.
        quantize: "nf4" trains and acts with its language decoder in four bits.
        matched: also train ECoT on as many samples as RAD sees in all.
    """

    robot_episodes: int = 320
    human_episodes: int = 360
    steps: int = 320
    robot_per_batch: int = 10
    ratio: float = 1.1
    blind_per_batch: int = 24
    human_only_trials: int = 105
    robot_trials: int = 30
    control_trials: int = 21
    seed: int = 0
    base: str = "radlite-tiny"
    quantize: str | None = None
    matched: bool = False


SMOKE = DemoConfig(8, 9, 3, 4, 1.0, 2, 3, 2, 3, matched=False)
"""The same path in seconds, for tests: its figures mean nothing."""


def demo(
    out: str | Path = "runs/demo",
    config: DemoConfig = DemoConfig(),
    fresh: bool = False,
    progress: bool = True,
) -> dict:
    """Runs the demo and writes `results.json`, `report.html`, `rollout.mp4`, the datasets and the adapters into `out`.

    Args:
        out: folder; finished stages in it are reused.
        config: sizes.
        fresh: do every stage again, in a folder that was made by the demo.
        progress: show bars and one line a stage.

    Returns:
        What `results.json` holds.
    """
    out = Path(out)
    if fresh:
        _clear(out)
    run = _Demo(out, config, progress)
    return run.all()


def _clear(out: Path) -> None:
    """Removes what a demo made, and nothing else."""
    import shutil

    if out.exists() and not (out / "stages").is_dir() and any(out.iterdir()):
        raise RadliteError(
            f"a demo's folder at {out}",
            "other files",
            "choose another --out: --fresh deletes only what it made",
        )
    for name in ("stages", "datasets", "ecot", "rad", "ecot_matched", "clips"):
        shutil.rmtree(out / name, ignore_errors=True)


class _Demo:
    """One run: the folder, the sizes, and the stages in order."""

    def __init__(self, out: Path, config: DemoConfig, progress: bool) -> None:
        self.out, self.config, self.progress = out, config, progress
        self.stages = Stages(out / "stages")

    def say(self, text: str) -> None:
        if self.progress:
            print(text, flush=True)

    def all(self) -> dict:
        c = self.config
        arms = [*ARMS, *(["ecot_matched"] if c.matched else [])]
        self._refuse_another()
        self.say(f"1/4 collecting {c.robot_episodes} robot and {c.human_episodes} human demonstrations")
        made = [self.out / "datasets" / name / "meta" for name in ("robot", "human")]
        data = self.stages.run("collect", self._key("robot_episodes", "human_episodes"), self._collect, made)
        training = {}
        for i, arm in enumerate(arms):
            self.say(f"2/4 training {arm} ({i + 1} of {len(arms)}), {c.steps} steps")
            made = [self.out / arm / "adapter" / MANIFEST]
            training[arm] = self.stages.run(
                f"train_{arm}", self._train_key(data), lambda arm=arm: self._train(arm), made
            )
        self.say("3/4 acting: robot tasks, human-only tasks, controls")
        acting = {}
        for arm in arms:
            made = [f for n in range(len(AXES)) for f in clip_files(self.out, arm, n)] if arm in ARMS else []
            acting[arm] = self.stages.run(
                f"act_{arm}", self._act_key(arm), lambda arm=arm: self._act(arm), made
            )
        controls = self.stages.run("controls", self._key("control_trials"), self._controls)
        results = self._results(data, training, acting, controls)
        self.say("4/4 writing the report")
        report(self.out)
        return results

    def _refuse_another(self) -> None:
        """A folder belongs to one demo: what took minutes to train is not overwritten by another seed, size or base."""
        names = ("robot_episodes", "human_episodes", "steps", "robot_per_batch", "ratio", "blind_per_batch", "base")
        key, path = self._key(*names) | {"base_sha": self._base_sha()}, self.out / "stages" / "demo.json"
        if path.exists():
            stored = read_json(path, "a demo's folder")
            changed = [k for k in key if stored.get(k) != key[k]]
            if changed:
                raise RadliteError(
                    f"a demo with the same sizes in {self.out}",
                    f"one with another {', '.join(changed)}",
                    "choose another --out, or --fresh to do this one again",
                )
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(key))

    # -- keys: what a stage depends on ---------------------------------------------------------------------------------
    def _key(self, *names: str) -> dict:
        return {k: v for k, v in asdict(self.config).items() if k in (*names, "seed")}

    def _train_key(self, data: dict) -> dict:
        return self._key("steps", "robot_per_batch", "ratio", "blind_per_batch", "base", "quantize") | {
            "data": data["result"],
            "base_sha": self._base_sha(),
        }

    def _act_key(self, arm: str) -> dict:
        manifest = (self.out / arm / "adapter" / "manifest.json").read_text()
        controls = {"controls": ["wrong_instruction"] if arm == "rad" else []}
        return self._key("human_only_trials", "robot_trials", "control_trials") | controls | {"adapter": manifest}

    def _base_sha(self) -> str:
        if not hasattr(self, "_sha"):
            self._sha = load_vlm(self.config.base).sha256
        return self._sha

    # -- stages --------------------------------------------------------------------------------------------------------
    def _collect(self) -> dict:
        c, table = self.config, {}
        for name, count in (("robot", c.robot_episodes), ("human", c.human_episodes)):
            workers = min(2, os.cpu_count() or 1)
            folder = self.out / "datasets" / name
            collect(folder, name, count, seed=c.seed, workers=workers, overwrite=True, progress=self.progress)
            dataset = EpisodeDataset(folder)
            table[name] = {"episodes": len(dataset), "frames": dataset.num_frames, "sha256": dataset.sha256}
        return table

    def _train(self, arm: str) -> dict:
        c = self.config
        robot = EpisodeDataset(self.out / "datasets" / "robot").cache()
        human = EpisodeDataset(self.out / "datasets" / "human").cache() if arm == "rad" else None
        per_batch = round(c.robot_per_batch * (1 + c.ratio)) if arm == "ecot_matched" else c.robot_per_batch
        mixture = Mixture(robot, human, per_batch, c.ratio, c.seed, c.blind_per_batch)
        device = "cpu" if c.base in SHIPPED else None  # the same figures for everybody
        vlm = load_vlm(c.base, device=device, quantize=c.quantize)
        result = train(vlm, mixture, self.out / arm, demo_training(c.steps), self.progress)
        if result.interrupted:
            raise KeyboardInterrupt
        samples = c.steps * per_batch + mixture.humans_before(c.steps)
        return {"steps": result.steps, "robot_samples": c.steps * per_batch, "samples": samples}

    def _act(self, arm: str) -> dict:
        c = self.config
        agent = PolicyAgent(load_policy(c.base, self.out / arm, c.quantize))
        own, human_only = trials(None, c.robot_trials, c.seed), self.human_only(c.human_only_trials)
        control = [told_another_task(t) for t in self.human_only(c.control_trials)] if arm == "rad" else []
        ends = len(own), len(own) + len(human_only)
        # the first of each axis is shown, whatever comes out
        shown = [len(own) + i * len(human_only) // 3 for i in range(3)] if arm in ARMS else []
        # all together: large batches are cheaper
        outcomes = self._rollout(agent, [*own, *human_only, *control], f"{arm} acts", shown)
        for number, index in enumerate(shown):
            keep_clip(self.out, arm, number, outcomes[index])
        return {
            "robot_tasks": summarise(outcomes[: ends[0]]),
            "human_only_tasks": summarise(outcomes[ends[0] : ends[1]]),
            "fields": self._fields(agent.policy),
            **({"wrong_instruction": summarise(outcomes[ends[1] :])} if control else {}),
        }

    def _rollout(self, agent, todo: list[Trial], label: str, keep: Sequence[int] = ()) -> list[Outcome]:
        # who does not think is done before a second process has started
        workers = suited_workers(best_device(), len(todo)) if isinstance(agent, PolicyAgent) else 1
        return rollout(agent, todo, keep=keep, progress=self.progress, label=label, workers=workers)

    def human_only(self, count: int) -> list[Trial]:
        """Evaluation trials on tasks that only human hands have shown, axis by axis."""
        return [t for axis in AXES for t in trials(axis, count // 3, self.config.seed)]

    def _fields(self, policy) -> dict:
        """Accuracy per field on frames that no arm has trained on: fresh robot clips and fresh human clips."""
        table = {}
        for name in ("robot", "human"):
            count = max(3, self.config.control_trials // 4)
            folder = self.out / "datasets" / f"held_out_{name}_{count}_seed{self.config.seed}"
            if not folder.exists():  # datasets are there whole or not at all
                collect(folder, name, count, seed=self.config.seed + 9_000, workers=1, progress=False)
            table[name] = reasoning_accuracy(policy, EpisodeDataset(folder), 4 * count, self.config.seed)
        return table

    def _controls(self) -> dict:
        human_only = self.human_only(self.config.control_trials)
        agents = {"do_nothing": StillAgent(), "random_actions": RandomAgent(self.config.seed)}
        return {name: summarise(self._rollout(agent, human_only, name)) for name, agent in agents.items()}

    # -- what came out -----------------------------------------------------------------------------------------------
    def _results(self, data: dict, training: dict, acting: dict, controls: dict) -> dict:
        arms = {arm: dict(acting[arm]["result"]) for arm in ARMS}
        others = controls["result"] | {"rad_wrong_instruction": arms["rad"].pop("wrong_instruction")}
        if "ecot_matched" in acting:
            others["ecot_matched"] = {
                k: v for k, v in acting["ecot_matched"]["result"].items() if k != "fields"
            }
        spent = {
            "collect": data["seconds"],
            "train": {arm: stage["seconds"] for arm, stage in training.items()},
            "evaluate": round(sum(s["seconds"] for s in acting.values()) + controls["seconds"], 1),
        }
        total = spent["collect"] + sum(spent["train"].values()) + spent["evaluate"]
        results = {
            "arms": arms, "controls": others, "steps": {arm: s["result"] for arm, s in training.items()},
            "datasets": data["result"], "seconds": {**spent, "total": round(total, 1)}, "seed": self.config.seed,
            "config": asdict(self.config), "versions": versions(),
        }  # fmt: skip
        with disk_errors(self.out):
            (self.out / "results.json").write_text(json.dumps(results, indent=1))
        return results


def report(out: str | Path) -> Path:
    """Writes `report.html` and `rollout.mp4` of a finished demo again, from what lies in its folder.

    Raises:
        RadliteError: no finished demo there.
    """
    out = Path(out)
    results = read_json(out / "results.json", "a finished demo")
    clips = side_by_side_clips(out, len(AXES))
    write_mp4(out / "rollout.mp4", [frame for _, frames in clips for frame in frames], 5.0)
    return write_report(out, results, {arm: read_log(out / arm / "log.jsonl") for arm in ARMS}, clips)


def demo_training(steps: int) -> TrainConfig:
    """How both arms are trained in the demo, and what `radlite train` takes by default."""
    return TrainConfig(steps=steps, collate=CollateConfig(path_weight=0.3, path_noise=1.0, crossed=0.3, plan_frames=12))


def versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    names = ("torch", "transformers", "peft", "accelerate", "mujoco", "numpy")
    return {
        "python": platform.python_version(),
        "radlite": radlite.__version__,
        **{n: version(n) for n in names},
    }
