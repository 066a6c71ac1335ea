"""Puts finished weights into the package: the base, and the adapters `ecot` and `rad` of an experiment or a demo.

    python -m radlite.base.ship --base runs/base/model
    python -m radlite.base.ship --run runs/paper

Weights are stored in bfloat16 (half the size) and used in float32; `config.json` says so. An adapter belongs to the base it
was trained on, so ship the base first and train the adapters on the shipped one.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from radlite.adapter import SHIPPED, adapter_folder
from radlite.checkpoint import MANIFEST, verify_folder, write_folder

WEIGHTS = Path(__file__).parent.parent / "weights"
BASE_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def ship_base(source: Path, target: Path = WEIGHTS / "radlite-tiny") -> None:
    """Copies a `save_pretrained` folder into the package, weights as bfloat16."""

    def fill(folder: Path) -> None:
        for name in BASE_FILES:
            if (source / name).exists():
                shutil.copy(source / name, folder / name)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(_float32(config), indent=1))
        words = json.loads((folder / "tokenizer_config.json").read_text())
        for key in ("is_local", "local_files_only"):  # how this copy was read, not what it is
            words.pop(key, None)
        (folder / "tokenizer_config.json").write_text(json.dumps(words, indent=2))
        _halve(source / "model.safetensors", folder / "model.safetensors")

    write_folder(target, fill, known=set(BASE_FILES) | {"model.safetensors", MANIFEST})


def _float32(config: dict) -> dict:
    """The configuration with every stated dtype set to float32, in nested parts as well."""
    fixed = {k: _float32(v) if isinstance(v, dict) else v for k, v in config.items()}
    return {k: "float32" if k in ("dtype", "torch_dtype") else v for k, v in fixed.items()} | (
        {"dtype": "float32"} if "model_type" in config else {}
    )


def ship_adapter(run: Path, name: str, target: Path | None = None) -> None:
    """Copies the adapter of a training run into the package as `name`, weights as bfloat16."""
    source = adapter_folder(run)
    verify_folder(source)

    def fill(folder: Path) -> None:
        for path in source.iterdir():
            if path.suffix == ".json" and path.name != MANIFEST:
                shutil.copy(path, folder / path.name)
        for path in source.glob("*.safetensors"):
            _halve(path, folder / path.name)

    write_folder(target or WEIGHTS / name, fill)


def _halve(source: Path, target: Path) -> None:
    tensors = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in load_file(source).items()}
    save_file(tensors, target, metadata={"format": "pt"})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, help="folder of a finished pre-training, .../model")
    parser.add_argument("--run", type=Path, help="folder of an experiment, the first seed, or of a demo; ships ecot and rad")
    args = parser.parse_args()
    if args.base:
        ship_base(args.base)
    for name in SHIPPED if args.run else ():
        first = args.run / f"{name}_seed0"
        ship_adapter(first if first.exists() else args.run / name, name)


if __name__ == "__main__":
    main()
