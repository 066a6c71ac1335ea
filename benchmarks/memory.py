"""Memory of a training step: every rung of the ladder, told before anything is fetched, and measured where there is a CUDA card.

One JSON object: for every rung a batch of four sequences of 600 tokens as the README has it, then what one switch changes. On a
card each row is also run: a model of the real size with random weights (memory and speed do not depend on their values, and
nothing is fetched), LoRA, a few steps on random tokens and pictures. Without one these columns are null. `--out` writes the
JSON and a table of it as files.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from pathlib import Path

import torch
from accelerate import init_empty_weights
from machine import machine, report
from torch import nn
from transformers import AutoModelForImageTextToText

from radlite.actions import BINS
from radlite.adapter import with_lora
from radlite.bases import LADDER, SHIPPED
from radlite.collate import IGNORE, Batch
from radlite.families import family_of
from radlite.formats.staging import replace_text
from radlite.loss import rad_loss
from radlite.memory.plan import PROMPT_TOKENS, card_dtype, configuration, memory, table_and_rows
from radlite.precision import autocast
from radlite.quantize import library, part_of, secure
from radlite.vlm import VLM, recompute_layers

SETTING = {"batch": 4, "tokens": 600, "rank": 32, "checkpointing": True, "optimizer": "adamw"}
SWITCHES = {
    "as in the README": {},
    "layers computed once": {"checkpointing": False},
    "8-bit moments": {"optimizer": "paged_adamw_8bit"},
    "batch of one": {"batch": 1},
    "batch of sixteen": {"batch": 16},
}
NO_CARD = "no CUDA card here"


def random_vlm(name: str | Path, quantize: str | None, rank: int, device: str) -> VLM:
    """A rung at its real size, weights drawn at random one layer at a time, LoRA in it; it has no tokenizer and needs none."""
    config = configuration(name)
    table, rows = table_and_rows(name, config)
    config.get_text_config().vocab_size = table
    family, dtype = family_of(config.model_type, name)(config, None), card_dtype(name, config)
    with init_empty_weights(include_buffers=False):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, trust_remote_code=False)
    for path, layer in [*model.named_modules()]:
        if quantize and isinstance(layer, nn.Linear) and part_of(family, path) == "decoder":
            model.set_submodule(path, _four_bits(layer, device))
            continue
        for key, weight in layer._parameters.items():
            if weight is not None:
                layer._parameters[key] = nn.Parameter(_drawn(weight, device), requires_grad=False)
        for key, buffer in layer._buffers.items():
            layer._buffers[key] = None if buffer is None else buffer.to(device)
    model.tie_weights()
    model.is_loaded_in_4bit = bool(quantize)  # by which peft knows
    vlm = VLM(str(name), model, None, family, torch.tensor(rows[-BINS:]), quantize=quantize)
    if quantize:
        secure(vlm)
    vlm.model = with_lora(model, family, rank, rows).train()
    return vlm


def _drawn(like: torch.Tensor, device: str) -> torch.Tensor:
    return torch.empty(like.shape, dtype=like.dtype, device=device).normal_(std=0.02)


def _four_bits(layer: nn.Linear, device: str) -> nn.Module:
    """As `radlite.quantize.four_bit` has transformers make it."""
    kinds = library().nn
    dtype, how = layer.weight.dtype, {"compress_statistics": True, "quant_type": "nf4"}
    new = kinds.Linear4bit(layer.in_features, layer.out_features, False, compute_dtype=dtype, device="meta", **how)
    new.weight = kinds.Params4bit(_drawn(layer.weight, device), requires_grad=False, module=new, **how).to(device)
    return new


def random_batch(vlm: VLM, count: int, tokens: int) -> Batch:
    """Sequences of just that length: a picture, a question without loss, and tokens with loss."""
    ids = torch.randint(vlm.vocabulary, (count, tokens))
    ids[ids == vlm.image_token_id] = 0
    ids[:, : vlm.image_tokens] = vlm.image_token_id
    labels = ids.index_fill(1, torch.arange(vlm.image_tokens + PROMPT_TOKENS), IGNORE)
    frames = torch.randint(256, (count, vlm.image_size, vlm.image_size, 3), dtype=torch.uint8)
    ones = torch.ones_like(ids)
    return Batch(ids, ones, labels, ones.float(), ones, vlm.pixel_values(frames))


def measured(name: str | Path, quantize: str | None, device: str, steps: int = 4, *, batch: int, tokens: int, rank: int,
             checkpointing: bool, optimizer: str) -> dict:
    """Trains a random model for some steps: peak GB of a CUDA card (None on a CPU), and samples/s after the first step.

    Moments in pages are the driver's and not torch's: they are added, for they take the card's memory as long as there is some.
    """
    vlm, card = random_vlm(name, quantize, rank, device), torch.device(device).type == "cuda"
    if checkpointing:
        recompute_layers(vlm.base)
    data, params = random_batch(vlm, batch, tokens).to(device), [p for p in vlm.model.parameters() if p.requires_grad]
    make = torch.optim.AdamW if optimizer == "adamw" else library().optim.PagedAdamW8bit
    moments = make(params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
    if card:
        torch.cuda.reset_peak_memory_stats()  # not what building it took
    for step in range(steps + 1):
        if step == 1:
            began = time.perf_counter()
        with autocast(None, vlm.device):
            loss = rad_loss(vlm, data, detail=False).total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        moments.step()
        moments.zero_grad()
        loss.item()  # waits for the card
    seconds = time.perf_counter() - began
    states = [t for state in moments.state.values() for t in state.values() if getattr(t, "is_paged", False)]
    peak = torch.cuda.max_memory_allocated() + sum(t.nbytes for t in states) if card else None
    return {"measured_gb": peak and round(peak / 1e9, 4), "samples_per_s": round(batch * steps / seconds, 2)}


def row(name: str, switch: str, quantize: str | None, device: str | None, steps: int) -> dict:
    """One setting, told and, on a device, measured; memory that does not suffice is a row as well."""
    setting = SETTING | SWITCHES.get(switch, {})
    found = memory(name, quantize, **setting)
    result = {"model": name, "switch": switch, "quantize": quantize, **setting, **found.to_dict(), "card_gb": found.card,
              "measured_gb": None, "samples_per_s": None}  # fmt: skip
    if device is None:
        return result | {"why": NO_CARD}
    try:
        result |= measured(name, quantize, device, steps, **setting)
    except torch.OutOfMemoryError:
        result |= {"why": "the card's memory does not suffice"}
    gc.collect()  # here, where the error and the model that it held are gone
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return result


def markdown(rows: list[dict], card: str | None) -> str:
    """The rows as a table for reading."""
    lines = [
        "# Memory of a training step, told and measured", "",
        f"Card: {card or f'none ({NO_CARD}): nothing is measured yet, and the columns for it are empty'}.",
        f"Sequences of {SETTING['tokens']} tokens with a picture each, LoRA of rank {SETTING['rank']}, GB of 10^9 bytes; "
        "`python benchmarks/memory.py --out results/memory` makes this page again.", "",
        "| model | decoder | switch | batch | told, GB | measured, GB | samples/s | fits on a card of |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for r in rows:
        peak = f"{r['measured_gb']:.2f}" if r["measured_gb"] else r.get("why", "") if card else ""
        fits = f"{r['card_gb']} GB" if r["card_gb"] else "none that is usual"
        cells = [r["model"], r["quantize"] or "whole", r["switch"], r["batch"], f"{r['total_gb']:.2f}", peak,
                 r["samples_per_s"] or "", fits]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*SHIPPED, *LADDER]
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--steps", type=int, default=4, help="that count, of every row that is measured")
    parser.add_argument("--out", type=Path, help="folder for memory.json and memory.md")
    args = parser.parse_args()
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    rows = []
    for name in args.models:
        best = LADDER[name].quantize if name in LADDER else None
        cases = [(switch, best) for switch in SWITCHES] + ([("whole weights", None)] if best else [])
        rows += [row(name, switch, quantize, "cuda" if card else None, args.steps) for switch, quantize in cases]
    results = {"card": card, "rows": rows}
    report("memory", vars(args), results)
    if args.out:
        about = {"benchmark": "memory", "results": results, "machine": machine()}
        replace_text(args.out / "memory.json", json.dumps(about, indent=1) + "\n")
        replace_text(args.out / "memory.md", markdown(rows, card))


if __name__ == "__main__":
    main()
