"""How fast does the base train (forward, backward, step), and what share of this machine's own matmul peak is that?

Runs `radlite.train.train` itself on a few fresh demonstrations, for LoRA and for all weights, and reads samples/s off its
log. The operations of a sample are counted on a real batch; the peak is that of a large bf16 product, measured in the same
run before and after. Padding counts as work, as it does for the machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import report
from torch.utils.flop_counter import FlopCounterMode

from radlite.actions import ActionStats
from radlite.adapter import attach_lora
from radlite.bases import best_device, load_vlm
from radlite.collate import collate
from radlite.episodes import EpisodeDataset
from radlite.loss import rad_loss
from radlite.mixture import Mixture
from radlite.tabletop.collect import collect
from radlite.train import TrainConfig, read_log, train


def peak(device: str, side: int, dtype: torch.dtype = torch.bfloat16, times: int = 6) -> float:
    """Operations/s of the best of some (side, side) products."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        float((a @ b)[0, 0])  # reading a value waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def mixture(folder: Path, episodes: int, robot: int, ratio: float) -> Mixture:
    """Half robot, half human demonstrations, collected now."""
    for embodiment in ("robot", "human"):
        collect(folder / embodiment, embodiment, episodes, workers=1, progress=False)
    both = [EpisodeDataset(folder / e).cache() for e in ("robot", "human")]
    return Mixture(*both, robot_per_batch=robot, ratio=ratio)


def operations(model: str, device: str, mix: Mixture, config: TrainConfig) -> tuple[float, float]:
    """(operations, tokens) of one sample, forward and backward."""
    vlm = load_vlm(model, device=device)
    if config.lora_rank:
        attach_lora(vlm, config.lora_rank, config.lora_alpha, config.seed)
    batch = collate(mix.batch(0), vlm, ActionStats.fit(mix.robot.actions()), config.collate, (0, 0)).to(vlm.device)
    with FlopCounterMode(display=False) as counter:
        rad_loss(vlm, batch, False).total.backward()
    rows = len(batch.input_ids)
    return counter.get_total_flops() / rows, float(batch.attention_mask.sum()) / rows


def timed(model: str, device: str, mix: Mixture, config: TrainConfig, out: Path) -> float:
    """Samples/s of a real run: the median of its log without the first line."""
    result = train(load_vlm(model, device=device), mix, out, config, progress=False)
    rows = read_log(result.adapter.parent / "log.jsonl")
    return float(np.median([r["samples_per_s"] for r in (rows[1:] or rows)]))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="radlite-tiny", help="a known name or a folder (default radlite-tiny)")
    parser.add_argument("--device", default=None, help="cuda, mps or cpu; default the best there is")
    parser.add_argument("--robot-per-batch", type=int, default=24)
    parser.add_argument("--ratio", type=float, default=1.0, help="human samples per robot sample")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--episodes", type=int, default=6, help="demonstrations of each embodiment to draw from")
    parser.add_argument("--methods", nargs="+", choices=("lora", "full"), default=["lora", "full"])
    parser.add_argument("--rank", type=int, default=TrainConfig().lora_rank, help="of LoRA")
    parser.add_argument("--peak-side", type=int, default=2048, help="of the square product that is the peak")
    args = parser.parse_args()
    device, results = args.device or best_device(), {}
    with tempfile.TemporaryDirectory() as folder:
        mix = mixture(Path(folder), args.episodes, args.robot_per_batch, args.ratio)
        before = peak(device, args.peak_side)
        for method in args.methods:
            rank = args.rank if method == "lora" else 0
            config = TrainConfig(steps=args.steps, log_every=2, warmup=2, rate=1e-4, lora_rank=rank)
            work, tokens = operations(args.model, device, mix, config)
            rate = timed(args.model, device, mix, config, Path(folder) / method)
            results[method] = {"samples_per_s": round(rate, 2), "gflop_per_sample": round(work / 1e9, 3),
                               "tokens_per_sample": round(tokens, 1), "gflop_per_s": round(rate * work / 1e9, 1)}
        best = max(before, peak(device, args.peak_side))
    for row in results.values():
        row["share_of_bf16_peak"] = round(row["gflop_per_s"] * 1e9 / best, 3)
    report("training", vars(args), {**results, "bf16_peak_gflop_per_s": round(best / 1e9, 1), "device": device})


if __name__ == "__main__":
    main()
