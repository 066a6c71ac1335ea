"""An optimiser's moments as named tensors and back: what a checkpoint keeps of it, without a pickle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MARK = "moment/"


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Everything in the state of an optimiser, each tensor in memory of its own, as safetensors wants it.

    An 8-bit one keeps its scales in a dictionary of their own, and one table of its eight-bit numbers for all parameters.
    """
    state, seen, found = optimizer.state_dict()["state"], set(), {}
    for i, entry in state.items():
        for name, tensor in _flat(entry).items():
            place = tensor.untyped_storage().data_ptr()
            found[f"{MARK}{i}/{name}"] = tensor.clone() if place in seen else tensor
            seen.add(place)
    return found


def _flat(entry: dict[str, Any]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            found |= {f"{name}/{inner}": t for inner, t in _flat(value).items()}
        else:
            found[name] = torch.as_tensor(value).cpu().contiguous()
    return found


def restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Puts what `moments` gave back into an optimiser of the same parameters; other tensors are passed over."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        if key.startswith(MARK):
            index, *path = key.removeprefix(MARK).split("/")
            entry = state.setdefault(int(index), {})
            for name in path[:-1]:
                entry = entry.setdefault(name, {})
            entry[path[-1]] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
