"""What do four bits cost in success? The demo's RAD arm in fp32 and with its decoder in NF4, LoRA on both; in NF4 twice, LoRA
starting by undoing the rounding, as `radlite train` has it, and from nothing.

Same demonstrations, same batches in the same order, same scenes: only the bits of the frozen base and LoRA's start differ. All
act closed loop on tasks that only human hands have shown. A stage that is finished is not done again: a stopped run goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from machine import report

from radlite.bases import load_vlm
from radlite.demo import DemoConfig, demo_training
from radlite.episodes import EpisodeDataset
from radlite.evaluate import evaluate
from radlite.mixture import Mixture
from radlite.policy import load_policy
from radlite.rollouts import suited_workers
from radlite.stages import Stages
from radlite.stats import difference, fisher
from radlite.tabletop.collect import collect
from radlite.tabletop.env import trials
from radlite.tabletop.tasks import AXES
from radlite.train import train


@dataclass(frozen=True)
class Side:
    """One way to train: bits of the base, and whether LoRA starts by undoing them."""

    quantize: str | None
    undo_rounding: bool = True


SIDES = {"fp32": Side(None), "nf4": Side("nf4"), "nf4_from_nothing": Side("nf4", False)}


def collected(out: Path, config: DemoConfig) -> dict:
    """The demo's demonstrations."""
    table = {}
    for name, count in (("robot", config.robot_episodes), ("human", config.human_episodes)):
        collect(out / name, name, count, seed=config.seed, workers=suited_workers("cpu", count), overwrite=True)
        table[name] = EpisodeDataset(out / name).sha256
    return table


def trained(data: Path, out: Path, config: DemoConfig, side: Side) -> dict:
    """RAD as the demo trains it, but for the bits of its base and LoRA's start."""
    robot, human = (EpisodeDataset(data / name).cache() for name in ("robot", "human"))
    mixture = Mixture(robot, human, config.robot_per_batch, config.ratio, config.seed, config.blind_per_batch)
    settings = replace(demo_training(config.steps), undo_rounding=side.undo_rounding)
    result = train(load_vlm(config.base, device="cpu", quantize=side.quantize), mixture, out, settings)
    if result.interrupted:
        raise KeyboardInterrupt
    return {"steps": result.steps}


def acted(adapter: Path, config: DemoConfig, side: Side, count: int, workers: int) -> dict:
    """Closed loop on `count` trials, a third for each axis."""
    todo = [trial for axis in AXES for trial in trials(axis, count // len(AXES), config.seed)]
    policy = load_policy(config.base, adapter, side.quantize, device="cpu")
    return evaluate(policy, todo, label=f"{adapter.name} acts", workers=workers)


def against(row: dict, whole: dict) -> dict:
    """Points by which a side is above fp32, their interval, and Fisher's p."""
    counts = [side[k] for side in (row, whole) for k in ("successes", "trials")]
    points, low, high = (round(100 * share, 1) for share in difference(*counts))
    return {"points_more": points, "interval": [low, high], "p": round(fisher(*counts), 3)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/four_bit"))
    parser.add_argument("--trials", type=int, default=210, help="for each side (default 210)")
    parser.add_argument("--workers", type=int, default=suited_workers("cpu", 210), help="processes that act")
    args = parser.parse_args()
    config, stages = DemoConfig(), Stages(args.out / "stages")
    sizes = {k: v for k, v in asdict(config).items() if k not in ("quantize", "matched") and not k.endswith("_trials")}
    made = [args.out / "data" / name / "meta" for name in ("robot", "human")]
    data = stages.run("collect", sizes, lambda: collected(args.out / "data", config), made)
    rows, seconds = {}, {}
    for name, side in SIDES.items():
        folder, key = args.out / name, {**sizes, "data": data["result"], "side": name, **asdict(side)}
        training = stages.run(f"train_{name}", key, lambda f=folder, s=side: trained(args.out / "data", f, config, s),
                              [folder / "adapter" / "manifest.json"])  # fmt: skip
        key |= {"adapter": (folder / "adapter" / "manifest.json").read_text(), "trials": args.trials}
        acting = stages.run(f"act_{name}", key, lambda f=folder, s=side: acted(f, config, s, args.trials, args.workers))
        rows[name], seconds[name] = acting["result"], {"train": training["seconds"], "act": acting["seconds"]}
    compared = {name: against(row, rows["fp32"]) for name, row in rows.items() if name != "fp32"}
    results = {**rows, "against_fp32": compared, "seconds": seconds}
    report("four_bit", {**vars(args), **sizes}, json.loads(json.dumps(results)))


if __name__ == "__main__":
    main()
