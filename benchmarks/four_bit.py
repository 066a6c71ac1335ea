"""What do four bits cost in success? The demo's RAD arm trained once more with its decoder in NF4, beside the demo's own.

Takes the datasets, the sizes and the adapter of a finished demo (`radlite demo`, fp32), trains RAD with NF4 + LoRA on the very
same batches, and lets both act in the same scenes, on tasks that only human hands have shown. Stopped, it goes on.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from machine import report

from radlite.bases import load_vlm
from radlite.demo import demo_training
from radlite.episodes import EpisodeDataset
from radlite.evaluate import evaluate
from radlite.mixture import Mixture
from radlite.policy import load_policy
from radlite.rollouts import suited_workers
from radlite.stages import Stages
from radlite.stats import difference, fisher
from radlite.tabletop.env import trials
from radlite.tabletop.tasks import AXES
from radlite.train import train


def trained(demo: Path, out: Path, sizes: dict, quantize: str) -> dict:
    """RAD as the demo trains it, but for the bits of its base."""
    robot, human = (EpisodeDataset(demo / "datasets" / name).cache() for name in ("robot", "human"))
    mixture = Mixture(robot, human, sizes["robot_per_batch"], sizes["ratio"], sizes["seed"], sizes["blind_per_batch"])
    result = train(load_vlm(sizes["base"], device="cpu", quantize=quantize), mixture, out, demo_training(sizes["steps"]))
    if result.interrupted:
        raise KeyboardInterrupt
    return {"steps": result.steps}


def acted(base: str, adapter: Path, quantize: str | None, count: int, seed: int) -> dict:
    """Closed loop on `count` trials, a third for each axis."""
    todo = [trial for axis in AXES for trial in trials(axis, count // len(AXES), seed)]
    policy = load_policy(base, adapter, quantize, device="cpu")
    return evaluate(policy, todo, progress=True, label=f"{quantize or 'fp32'} acts", workers=suited_workers("cpu", count))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--demo", type=Path, default=Path("runs/demo"), help="a finished demo (default runs/demo)")
    parser.add_argument("--out", type=Path, default=Path("runs/four_bit"))
    parser.add_argument("--trials", type=int, default=210, help="for each side (default 210)")
    args = parser.parse_args()
    sizes = json.loads((args.demo / "results.json").read_text())["config"]
    key = {k: sizes[k] for k in ("steps", "robot_per_batch", "ratio", "blind_per_batch", "seed", "base")}
    key |= {"adapter": (args.demo / "rad" / "adapter" / "manifest.json").read_text()}
    stages, made = Stages(args.out / "stages"), [args.out / "rad" / "adapter" / "manifest.json"]
    training = stages.run("train", key, lambda: trained(args.demo, args.out / "rad", sizes, "nf4"), made)
    rows = {}
    for side, adapter, quantize in (("fp32", args.demo / "rad", None), ("nf4", args.out / "rad", "nf4")):
        acting = stages.run(f"act_{side}", key | {"trials": args.trials}, lambda a=adapter, q=quantize: acted(
            sizes["base"], a, q, args.trials, sizes["seed"]))  # fmt: skip
        rows[side] = acting["result"]
    counts = [rows[side][k] for side in ("nf4", "fp32") for k in ("successes", "trials")]
    points, low, high = (round(100 * share, 1) for share in difference(*counts))
    results = {**rows, "points_more_in_nf4": points, "interval": [low, high], "p": round(fisher(*counts), 3),
               "train_seconds": training["seconds"]}  # fmt: skip
    report("four_bit", {**vars(args), **sizes}, results)


if __name__ == "__main__":
    main()
