"""`radlite memory`: what a training step of a base takes, and on which card it fits."""

from __future__ import annotations

import argparse
import json


def add(commands, command, whole) -> None:
    """Adds the command to a parser; `command` and `whole` are the command line's own helpers."""
    p = command(commands, "memory", run, "What a training step takes, told before anything is fetched or loaded.")
    p.add_argument("--model", required=True, help="name of a base, a folder, or owner/name on the Hub")
    p.add_argument("--quantize", choices=("nf4",), help="the base's language decoder in four bits")
    p.add_argument("--batch", type=whole(1), default=4, help="sequences, each with a picture")
    p.add_argument("--tokens", type=whole(1), default=600, help="of a sequence, its picture's included")
    p.add_argument("--lora-rank", type=whole(1), default=32)
    p.add_argument("--optimizer", choices=("adamw", "paged_adamw_8bit"), default="adamw")
    p.add_argument("--checkpointing", action=argparse.BooleanOptionalAction, default=True,
                   help="keep only what goes into a layer, and compute the layer again")
    p.add_argument("--json", action="store_true", help="JSON instead of a table")


def run(args) -> None:
    """Prints it."""
    from radlite.memory.plan import GB, memory

    found = memory(args.model, args.quantize, args.batch, args.tokens, args.lora_rank, args.checkpointing, args.optimizer)
    if args.json:
        print(json.dumps({"model": args.model, "quantize": args.quantize, "batch": args.batch, "tokens": args.tokens,
                          **found.to_dict(), "card_gb": found.card}, indent=1))
        return
    for part, size in (*vars(found).items(), ("total", found.total)):
        print(f"{part:<12}{size / GB:9.2f} GB")
    none = "fits on no usual card: try a smaller batch, or --quantize nf4"
    print(f"fits on a card of {found.card} GB" if found.card else none)
