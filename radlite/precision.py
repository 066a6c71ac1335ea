"""In which numbers the heavy products are computed: bf16 where the processor multiplies it natively, else float32."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from radlite.errors import RadliteError

CHOICES = ("bf16", "no", None)


def check_precision(precision: str | None) -> None:
    """Raises RadliteError for anything but "bf16", "no" and None."""
    if precision not in CHOICES:
        raise RadliteError("precision 'bf16', 'no' or None", repr(precision), "choose one of them")


def autocast(precision: str | None, device: torch.device) -> AbstractContextManager:
    """A context for products in that precision.

    Args:
        precision: "bf16", "no", or None: bf16 where the processor has it.
        device: where the model is.
    """
    check_precision(precision)
    return torch.autocast(device.type, torch.bfloat16, precision == "bf16" or (precision is None and has_bf16(device)))


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is more than an emulation there."""
    if device.type == "cpu":
        return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
