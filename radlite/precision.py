"""In which numbers the heavy products are computed: bf16 where there are units for it, else float32, or fp16 on a card."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from radlite.errors import RadliteError

CHOICES = ("bf16", "fp16", "no", None)


def check_precision(precision: str | None) -> None:
    """Raises RadliteError for anything but "bf16", "fp16", "no" and None."""
    if precision not in CHOICES:
        raise RadliteError("precision 'bf16', 'fp16', 'no' or None", repr(precision), "choose one of them")


def autocast(precision: str | None, device: torch.device) -> AbstractContextManager:
    """A context for products in that precision, see `chosen`."""
    dtype = chosen(precision, device)
    return torch.autocast(device.type, dtype or torch.bfloat16, dtype is not None)


def chosen(precision: str | None, device: torch.device) -> torch.dtype | None:
    """In what products are computed; None: in the precision of the weights.

    Args:
        precision: "bf16", "fp16", "no", or None: bf16 where the processor has units for it, fp16 on a card without.
        device: where the model is.
    """
    check_precision(precision)
    if precision is None:
        precision = "bf16" if has_bf16(device) else "fp16" if device.type == "cuda" else "no"
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "no": None}[precision]


def has_bf16(device: torch.device) -> bool:
    """Whether bf16 is faster than float32 there: on a CPU with AMX, and on AMD's with AVX512-BF16.

    Measured: on Intel's with AVX512-BF16 alone a product of 2048 x 1024 x 1024 ran at 134 GFLOP/s on two cores, and at 243 in
    float32; on one core of AMD's Zen 4 at 213 and 89, and a training step was 1.27 times as fast. Told by name, not timed:
    the same machine must choose the same each time.
    """
    if device.type == "cpu":
        return torch.backends.mkldnn.is_available() and (torch.cpu._is_amx_tile_supported() or _amd_bf16())
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def _amd_bf16() -> bool:
    about = getattr(torch.cpu, "get_capabilities", dict)()  # not in every torch
    return bool(about.get("avx512_bf16")) and str(about.get("cpu_name", "")).startswith("AMD")
