"""`radlite train` and `radlite export`: a policy is made, and handed on."""

from __future__ import annotations

import os
from argparse import BooleanOptionalAction
from dataclasses import replace
from pathlib import Path

# what --help ends with
LARGE = """The defaults are the demo's, for radlite-tiny: 10 robot samples a step, 11 human ones and 24 without their picture, at
a rate of 0.003. A model of hundreds of millions of weights or more wants a smaller rate and its step in parts: add --rate 2e-4
--micro-tokens 2400 --checkpointing, and --quantize nf4 where its weights alone would fill the card. `radlite memory` tells what
fits."""


def add(commands, command, whole, add_base) -> None:
    """Adds both commands to a parser; the other arguments are the command line's own helpers."""
    p = command(commands, "train", train, "Train a policy on robot data, with human data on top or without.")
    p.epilog = LARGE
    p.add_argument("--robot", type=Path, required=True, help="dataset with actions; without reasoning it teaches actions only")
    p.add_argument("--human", type=Path, help="action-free dataset; without it this is the ECoT arm")
    add_base(p)
    p.add_argument("--ratio", type=float, help="human samples per robot sample; default what the demo takes")
    p.add_argument("--out", type=Path, required=True, help="gets adapter/, checkpoint/ and log.jsonl; resumes what is there")
    p.add_argument("--steps", type=whole(1), help="default, as for all that follow: what the demo takes")
    p.add_argument("--robot-per-batch", type=whole(1))
    p.add_argument("--blind-per-batch", type=whole(0), help="robot samples without their picture")
    p.add_argument("--rate", type=float, help="peak learning rate; about 2e-4 for a large model")
    p.add_argument("--lora-rank", type=whole(0), help="0 trains every weight")
    p.add_argument("--action-weight", type=float)
    p.add_argument("--path-weight", type=float, help="of GRIPPER POSITION's tokens")
    p.add_argument("--reasoning-dropout", type=float)
    p.add_argument("--field-dropout", type=float)
    p.add_argument("--precision", choices=("bf16", "fp16", "no"), help="default what the processor has units for")
    p.add_argument("--micro-tokens", type=whole(0),
                   help="a batch goes through the model in parts of at most that many tokens; 2400 for a large one")
    p.add_argument("--checkpointing", action="store_true", default=None, help="less memory: layers are computed twice")
    p.add_argument("--optimizer", choices=("adamw", "paged_adamw_8bit"), help="8-bit moments take a quarter of the memory")
    p.add_argument("--undo-rounding", action=BooleanOptionalAction,
                   help="with --quantize nf4: LoRA starts by undoing what four bits took (default), or from nothing")
    p.add_argument("--seed", type=whole(0), default=0)

    p = command(commands, "export", export, "Merge an adapter into its base: bfloat16 weights that plain transformers loads.")
    p.add_argument("--adapter", default="rad", help="rad, ecot (shipped), or a folder written by radlite train")
    p.add_argument("--model", help="its base; default the one that the adapter names")
    p.add_argument("--results", type=Path, help="JSON with figures for the card")
    p.add_argument("--out", type=Path, required=True, help="new folder")


def train(args) -> int:
    """Trains, or goes on."""
    from radlite.bases import load_vlm
    from radlite.demo import DemoConfig, demo_training
    from radlite.episodes import EpisodeDataset
    from radlite.mixture import Mixture
    from radlite.quantize import class_table
    from radlite.train import train

    def given(*names: str) -> dict:
        return {name: getattr(args, name) for name in names if getattr(args, name) is not None}

    sizes = replace(DemoConfig(), **given("steps", "robot_per_batch", "blind_per_batch", "ratio"))
    robot = EpisodeDataset(args.robot).cache()
    human = EpisodeDataset(args.human).cache() if args.human else None
    if args.blind_per_batch is None and all(robot.reasoning(k) is None for k in range(robot.num_frames)):
        # without a picture there is nothing to read in them, so these samples are seen as well
        seen = args.robot_per_batch or sizes.robot_per_batch + sizes.blind_per_batch
        sizes = replace(sizes, robot_per_batch=seen, blind_per_batch=0)
        print(f"no reasoning in {args.robot}: it teaches actions only, {seen} samples a step, all with their picture")
    mixture = Mixture(robot, human, sizes.robot_per_batch, sizes.ratio, args.seed, sizes.blind_per_batch)
    config = demo_training(sizes.steps)
    loss = replace(config.collate, **given("action_weight", "path_weight", "reasoning_dropout", "field_dropout"))
    chosen = given("rate", "lora_rank", "precision", "micro_tokens", "checkpointing", "optimizer", "undo_rounding")
    chosen |= {"lora_alpha": max(1, args.lora_rank)} if args.lora_rank is not None else {}
    config = replace(config, seed=args.seed, collate=loss, **chosen)
    vlm = load_vlm(args.model, device=_own_device(), quantize=args.quantize)
    if args.quantize and os.environ.get("RANK", "0") == "0":  # of many processes one is enough
        print(class_table(vlm))
    result = train(vlm, mixture, args.out, config)
    print(f"{result.steps} of {config.steps} steps, {result.seconds:.0f} s; adapter in {result.adapter}")
    return 130 if result.interrupted else 0


def _own_device() -> str:
    """The best device. A process of a launch also makes its card the one that libraries take where nobody says which."""
    import torch

    from radlite.bases import best_device

    device = best_device()
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    return device


def export(args) -> None:
    """Merges."""
    from radlite.export import export

    out = export(args.adapter, args.out, args.model, args.results)
    size = sum(f.stat().st_size for f in out.iterdir()) / 1e6
    print(f"{out}: {size:.1f} MB, for AutoModelForImageTextToText.from_pretrained or radlite --model")
