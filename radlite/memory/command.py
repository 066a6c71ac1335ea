"""`radlite memory`: what a training step of a base takes, and on which card it fits; or which rungs of the ladder fit a card."""

from __future__ import annotations

import argparse
import json

from radlite.errors import RadliteError


def add(commands, command, whole) -> None:
    """Adds the command to a parser; `command` and `whole` are the command line's own helpers."""
    p = command(commands, "memory", run, "What a training step takes, told before anything is fetched or loaded.")
    p.add_argument("--model", help="name of a base, a folder, or owner/name on the Hub; with --card alone: every rung")
    p.add_argument("--card", type=gigabytes, metavar="GB", help="say what fits on a card of that size, 8 for example")
    p.add_argument("--quantize", choices=("nf4",), help="the base's language decoder in four bits; rungs: as the ladder has it")
    p.add_argument("--batch", type=whole(1), default=4, help="sequences, each with a picture")
    p.add_argument("--tokens", type=whole(1), default=600, help="of a sequence, its picture's included")
    p.add_argument("--lora-rank", type=whole(1), default=32)
    p.add_argument("--optimizer", choices=("adamw", "paged_adamw_8bit"), default="adamw")
    p.add_argument("--checkpointing", action=argparse.BooleanOptionalAction, default=True,
                   help="keep only what goes into a layer, and compute the layer again")
    p.add_argument("--json", action="store_true", help="JSON instead of a table")


def gigabytes(text: str) -> float:
    """An argparse type: gigabytes above 0."""
    if not 0 < float(text) < float("inf"):
        raise ValueError
    return float(text)


def run(args) -> None:
    """Prints it.

    Raises:
        RadliteError: neither a model nor a card, or what `memory` does not take.
    """
    if args.model is None and args.card is None:
        raise RadliteError("--model NAME, --card GB, or both", "neither", "--card 8 lists what fits on a card of 8 GB")
    (_rungs if args.model is None else _one)(args)


def _told(args, name: str, quantize: str | None):
    from radlite.memory import plan

    return plan.memory(name, quantize, args.batch, args.tokens, args.lora_rank, args.checkpointing, args.optimizer)


def _one(args) -> None:
    from radlite.memory.plan import GB

    found = _told(args, args.model, args.quantize)
    if args.json:
        fits = {} if args.card is None else {"fits": found.fits(args.card)}
        print(json.dumps({"model": args.model, "quantize": args.quantize, "batch": args.batch, "tokens": args.tokens,
                          **found.to_dict(), "card_gb": found.card, **fits}, indent=1))  # fmt: skip
        return
    for part, size in (*vars(found).items(), ("total", found.total)):
        print(f"{part:<12}{size / GB:9.2f} GB")
    usual = f"on one of {found.card} GB" if found.card else "on no usual card: try a smaller batch, or --quantize nf4"
    if args.card is None:
        print(f"fits {usual}".replace("on one of", "on a card of"))
    elif found.fits(args.card):
        print(f"fits on a card of {args.card:g} GB")
    else:
        print(f"does not fit on a card of {args.card:g} GB; fits {usual}")


def _rungs(args) -> None:
    """Every rung of the ladder, in four bits where the ladder says so or it was asked for."""
    from radlite.bases import LADDER, SHIPPED
    from radlite.memory.plan import GB

    rows = []
    for name in (*SHIPPED, *LADDER):
        quantize = args.quantize or (LADDER[name].quantize if name in LADDER else None)
        row = {"model": name, "quantize": quantize}
        try:
            found = _told(args, name, quantize)
        except RadliteError as error:  # a picture of one rung takes more tokens than one of another
            rows.append(row | {"total_gb": None, "fits": None, "why": str(error)})
            says = f"      -     {error}"
        else:
            rows.append(row | found.to_dict() | {"card_gb": found.card, "fits": found.fits(args.card)})
            says = f"{found.total / GB:8.2f} GB  {'fits' if found.fits(args.card) else 'does not fit'}"
        if not args.json:  # a rung takes seconds: each is shown as soon as it is known
            print(f"{name:<15}{quantize or 'whole':<6}{says}", flush=True)
    if args.json:
        print(json.dumps({"card_gb": args.card, "batch": args.batch, "tokens": args.tokens, "rungs": rows}, indent=1))
