"""Memory of a training step: every rung of the ladder, told before anything is fetched, with each switch by itself.

One JSON object: for every rung a batch of four sequences of 600 tokens as the README has it, then what one switch changes. What a
card measures belongs beside it; without a card that column is null.
"""

from __future__ import annotations

import argparse
import time

import torch
from machine import report

from radlite.bases import LADDER
from radlite.memory.plan import memory

SWITCHES = {
    "as in the README": {},
    "layers computed once": {"checkpointing": False},
    "8-bit moments": {"optimizer": "paged_adamw_8bit"},
    "batch of one": {"batch": 1},
    "batch of sixteen": {"batch": 16},
}


def told(name: str, **changes) -> dict:
    """What one setting takes."""
    began = time.perf_counter()
    quantize = changes.pop("quantize", LADDER[name].quantize)
    found = memory(name, quantize, **{"batch": 4, "tokens": 600, **changes})
    return {"model": name, "quantize": quantize, **changes, **found.to_dict(), "card_gb": found.card,
            "measured_gb": None, "seconds": round(time.perf_counter() - began, 1)}  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=LADDER, default=list(LADDER))
    args = parser.parse_args()
    rows = [{"switch": switch, **told(name, **changes)} for name in args.models for switch, changes in SWITCHES.items()]
    rows += [{"switch": "whole weights", **told(n, quantize=None)} for n in args.models if LADDER[n].quantize]
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    report("memory", vars(args), {"card": card, "rows": rows})


if __name__ == "__main__":
    main()
