"""Where a training stands, on disk: what makes it the same run, and all that it needs to go on."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from radlite.adapter import load_whole
from radlite.checkpoint import STATE, TENSORS, read_tensors, verify_folder, write_folder
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.staging import read_json
from radlite.mixture import Mixture
from radlite.moments import moments, restore
from radlite.train_config import TrainConfig
from radlite.views import View
from radlite.vlm import VLM


def run_identity(vlm: VLM, mixture: Mixture, config: TrainConfig) -> dict:
    """What makes two runs the same run: base, data, order and configuration."""
    idle = {"checkpoint_seconds", "log_every"} | (set() if vlm.quantize and config.undo_rounding else {"undo_rounding"})
    settings = {k: v for k, v in asdict(config).items() if k not in idle}
    return json.loads(json.dumps({
        "base": vlm.name, "base_sha256": vlm.sha256, **({"quantize": vlm.quantize} if vlm.quantize else {}), "config": settings,
        "robot": mixture.robot.sha256, "human": mixture.human.sha256 if mixture.human else None,
        "mixture": {k: getattr(mixture, k) for k in ("robot_per_batch", "ratio", "seed", "blind_per_batch", "human_first")},
    }))  # fmt: skip


def data_told(mixture: Mixture) -> dict:
    """What an adapter's card says of its data."""
    return {kind: _told(getattr(mixture, kind)) for kind in ("robot", "human")}


def _told(data: EpisodeDataset | View | None) -> dict | None:
    """A folder's name means more to a reader than a hash. Episodes are all that lie there."""
    if data is None:
        return None
    parts = data.datasets if isinstance(data, View) else (data,)
    episodes = sum(d.num_episodes for d in parts)
    return {"folders": [d.path.resolve().name for d in parts], "episodes": episodes, "frames": data.num_frames}


def write_checkpoint(out: Path, weights: dict[str, Tensor], step: int, identity: dict, optimizer: torch.optim.Optimizer,
                     scaler: torch.amp.GradScaler) -> None:
    """Writes `out / "checkpoint"`, whole or not at all.

    Raises:
        RadliteError: the disk refuses; the last checkpoint still stands.
    """
    kept = {f"weight/{k}": v for k, v in weights.items()} | moments(optimizer)

    def fill(folder: Path) -> None:
        save_file(kept, folder / TENSORS)
        (folder / STATE).write_text(json.dumps({"step": step, "identity": identity, "scaler": scaler.state_dict()}))

    write_folder(out / "checkpoint", fill)


def resume(out: Path, vlm: VLM, config: TrainConfig, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler,
           identity: dict) -> int:
    """Loads the checkpoint in `out`, if there is one, and returns the step to go on from; 0 where there is none.

    Raises:
        RadliteError: it is of another run, or damaged.
    """
    folder = out / "checkpoint"
    if not folder.exists():
        return 0
    verify_folder(folder)
    about = read_json(folder / STATE, "a checkpoint")
    if about.get("identity") != identity:
        changed = sorted(k for k in identity if about.get("identity", {}).get(k) != identity[k])
        raise RadliteError(
            "a checkpoint of this very run",
            f"one with another {', '.join(changed)} in {folder}",
            "choose another output folder, or delete this one to start again",
        )
    state = read_tensors(folder / TENSORS)
    weights = {k.removeprefix("weight/"): v for k, v in state.items() if k.startswith("weight/")}
    if config.method == "lora":
        set_peft_model_state_dict(vlm.model, weights)
    else:
        load_whole(vlm, weights, folder)
    restore(optimizer, state)
    if about.get("scaler"):  # none where no loss was scaled
        scaler.load_state_dict(about["scaler"])
    return int(about["step"])
