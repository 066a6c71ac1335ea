"""An adapter merged into its base: one folder that plain `transformers` loads, and a card that says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from radlite.adapter import adapter_folder, load_adapter
from radlite.bases import load_vlm
from radlite.checkpoint import STATE, write_folder
from radlite.errors import RadliteError
from radlite.formats.staging import read_json

CARD = "README.md"
TITLES = {"steps_done": "steps", "seed": "seed", "rate": "peak learning rate", "lora_rank": "LoRA rank", "robot": "robot data",
          "human": "human data", "quantize": "trained on a base in"}  # fmt: skip

CARD_TEXT = """# A RAD policy

LoRA on `{base}` (weights {weights}), merged. Trained by radlite.

| what | value |
| --- | --- |
{rows}

## Figures

{figures}

## Use

```python
from transformers import AutoModelForImageTextToText, AutoTokenizer

model = AutoModelForImageTextToText.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
```

To let it act: `radlite.load_policy(folder)`, which reads the action statistics beside the weights.
"""


def export(adapter: str | Path, out: str | Path, base: str | Path | None = None, results: Path | None = None) -> Path:
    """Merges an adapter into its base in full precision and writes bfloat16 safetensors, tokenizer, statistics and a card.

    Merging goes through the whole base, also for an adapter that was trained on four bits: into those it would be rounded.

    Args:
        adapter: "rad", "ecot", or a folder written by `train`.
        out: new folder.
        base: of the adapter; None: the one that it names.
        results: JSON with figures for the card, for instance a demo's `results.json` or an experiment's cell.

    Raises:
        RadliteError: an adapter of another base, a folder that is there already, figures that cannot be read.
    """
    out, about = Path(out), read_json(adapter_folder(adapter) / STATE, "an adapter")
    if out.exists():
        raise RadliteError("a new folder", f"{out} is there", "choose another one")
    figures = read_json(results, "figures") if results else None
    name = str(base or about.get("base"))
    vlm = load_vlm(name)
    stats, longest = load_adapter(vlm, adapter)
    if hasattr(vlm.model, "merge_and_unload"):
        vlm.model = vlm.model.merge_and_unload(safe_merge=True)
    settings = {"format": 1, "base": name, "stats": stats.to_dict(), "longest_chain": longest, "train": about.get("train")}

    def fill(folder: Path) -> None:
        transformers_logging.disable_progress_bar()
        vlm.model.to(torch.bfloat16).save_pretrained(folder)
        vlm.tokenizer.save_pretrained(folder)
        (folder / STATE).write_text(json.dumps(settings, indent=1))
        (folder / CARD).write_text(card(about, name, figures))

    write_folder(out, fill)
    return out


def card(about: dict, base: str, figures: dict | None = None) -> str:
    """Base, data, seed and figures of an adapter, as Markdown."""
    train = about.get("train") or {}
    facts = {**train, **(train.get("config") or {})}
    rows = [f"| {title} | {facts[key]} |" for key, title in TITLES.items() if facts.get(key) is not None]
    weights = about.get("base_sha256", "")[:12]
    told = f"```json\n{json.dumps(figures, indent=1)}\n```" if figures else "None were given."
    return CARD_TEXT.format(base=base, weights=weights, rows="\n".join(rows), figures=told)
