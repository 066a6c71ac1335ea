"""An adapter merged into its base: one folder that plain `transformers` loads, and a card that says what it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from radlite.adapter import CARD, adapter_folder, card, load_adapter
from radlite.bases import load_vlm
from radlite.checkpoint import STATE, write_folder
from radlite.errors import RadliteError
from radlite.formats.staging import read_json

# how a processor prepares pictures, for those who load one; the tokenizer is written anew, it has the action tokens
PICTURES = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
USE = """```python
from transformers import AutoModelForImageTextToText, AutoTokenizer

model = AutoModelForImageTextToText.from_pretrained(folder)
tokenizer = AutoTokenizer.from_pretrained(folder)
```

To let it act: `radlite.load_policy(folder)`, which reads the action statistics beside the weights."""


def export(adapter: str | Path, out: str | Path, base: str | Path | None = None, results: Path | None = None) -> Path:
    """Merges an adapter into its base in full precision and writes bfloat16 safetensors, tokenizer, statistics and a card;
    and how pictures are prepared, where the base says so.

    Merging goes through the whole base, also for an adapter that was trained on four bits: into those it would be rounded. For
    one that undoes their rounding it is a base of the weights that they stand for.

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
        for file in (vlm.folder / name for name in PICTURES):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        (folder / STATE).write_text(json.dumps(settings, indent=1))
        (folder / CARD).write_text(card(about, name, figures, "LoRA, merged,", USE))

    write_folder(out, fill)
    return out
