"""What does each switch of training cost, and what does it save? Samples/s and peak memory, every switch by itself.

Each runs `radlite.train.train` on the shipped clips in a process of its own, so that the peak is its own. On a CPU the peak is
all that the process holds, libraries included; on a CUDA card what torch has allocated. A switch that this machine cannot run is
null, with the reason. `benchmarks/memory.py` tells the same for models that are not at hand.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from apart import again, peak_gb, shipped
from machine import report

from radlite.bases import load_vlm
from radlite.train import TrainConfig, read_log, train

SWITCHES: dict[str, dict] = {
    "none": {},
    "micro_tokens=1600": {"micro_tokens": 1600},
    "checkpointing": {"checkpointing": True},
    "both": {"micro_tokens": 1600, "checkpointing": True},
    "paged_adamw_8bit": {"optimizer": "paged_adamw_8bit"},
    "nf4": {"quantize": "nf4"},
    "lora_rank=8": {"lora_rank": 8},
}


def one(args: argparse.Namespace) -> dict:
    """One switch in this process."""
    changes = dict(SWITCHES[args.switch])
    vlm = load_vlm(args.model, device=args.device, quantize=changes.pop("quantize", None))
    config = TrainConfig(**{"steps": args.steps, "log_every": 1, "warmup": 2, "rate": 1e-4, **changes})
    with tempfile.TemporaryDirectory() as out:
        train(vlm, shipped(args.robot_per_batch), out, config, progress=False)
        rows = read_log(Path(out) / "log.jsonl")
    rate = float(np.median([row["samples_per_s"] for row in rows[2:]]))
    return {"samples_per_s": round(rate, 2), "peak_gb": round(peak_gb(args.device), 3)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="radlite-tiny", help="a known name or a folder (default radlite-tiny)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--robot-per-batch", type=int, default=16, help="and as many human samples")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--switch", choices=SWITCHES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.switch:
        print(json.dumps(one(args)))
        return
    results = {}
    for switch in SWITCHES:
        found = again("--switch", switch)
        results[switch] = {"samples_per_s": None, "peak_gb": None, "why": found} if isinstance(found, str) else found
    report("switches", {k: v for k, v in vars(args).items() if k != "switch"}, results)


if __name__ == "__main__":
    main()
