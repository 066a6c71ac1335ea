"""What to train with, and how the learning rate goes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Integral, Real

from radlite.collate import CollateConfig
from radlite.errors import RadliteError
from radlite.precision import check_precision

OPTIMIZERS = {"adamw": 8, "paged_adamw_8bit": 2}  # bytes of moments for each trained number
LEAST = {"steps": 1, "warmup": 0, "restart": 0, "lora_rank": 0, "lora_alpha": 1, "seed": 0, "log_every": 1, "micro_tokens": 0}


@dataclass(frozen=True)
class TrainConfig:
    """What to train with.

    Attributes:
        steps: optimiser steps.
        rate: peak learning rate, after `warmup` steps, falling to 2% on a cosine.
        restart: a step from which the rate rises and falls once more, for data that comes in two parts; 0 never.
        lora_rank: rank of LoRA on all linear layers; 0 trains every weight.
        lora_alpha: LoRA's scale is lora_alpha / lora_rank.
        clip: largest gradient norm; a longer gradient is shortened to it.
        seed: of LoRA's start and of dropout; the mixture has its own.
        checkpoint_seconds: how often the state is saved.
        log_every: steps between two lines of the log.
        precision: "bf16", "fp16" (autocast; fp16 with a scaled loss), "no", or None, see `radlite.precision.chosen`.
        micro_tokens: a batch goes through the model in parts of at most that many tokens, padding included, sequences of like
            length together; the gradient is that of the whole. 0: all at once.
        checkpointing: keep only what goes into a layer, and compute the layer again for the backward pass.
        optimizer: "adamw", or "paged_adamw_8bit" (bitsandbytes), whose moments take a quarter of the memory.
        undo_rounding: on a base in four bits, LoRA starts by undoing what they took, see `radlite.rounding`, and gets rounded
            weights wherever it is loaded; False starts from nothing, as QLoRA does. A whole base leaves nothing to undo.
        collate: weights, dropout and fields of the loss.
    """

    steps: int = 400
    rate: float = 3e-3
    warmup: int = 20
    restart: int = 0
    lora_rank: int = 32
    lora_alpha: int = 32
    clip: float = 1.0
    seed: int = 0
    checkpoint_seconds: float = 120.0
    log_every: int = 10
    precision: str | None = None
    micro_tokens: int = 0
    checkpointing: bool = False
    optimizer: str = "adamw"
    undo_rounding: bool = True
    collate: CollateConfig = field(default_factory=CollateConfig)

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            self._check(name, isinstance(value, Integral) and value >= least, f"a whole number of at least {least}")
        for name in ("rate", "clip"):
            value = getattr(self, name)
            self._check(name, isinstance(value, Real) and value > 0, "a number above 0")  # NaN is above nothing
        self._check("rate", self.rate < math.inf, "a finite number")
        pause = self.checkpoint_seconds
        self._check("checkpoint_seconds", isinstance(pause, Real) and pause >= 0, "a number of at least 0")
        self._check("restart", self.restart < self.steps, f"a step before the last of {self.steps}")
        self._check("optimizer", self.optimizer in [*OPTIMIZERS], f"one of {', '.join(OPTIMIZERS)}")
        check_precision(self.precision)

    def _check(self, name: str, fine: bool, wanted: str) -> None:
        if not fine:
            raise RadliteError(f"{wanted} as {name}", repr(getattr(self, name))[:80], "correct the configuration")

    @property
    def method(self) -> str:
        """ "lora" or "full"."""
        return "lora" if self.lora_rank else "full"


def rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of a step: linear warm-up, cosine to 2%; the same anew from `restart` on."""
    first, last = (config.restart, config.steps) if step >= config.restart else (0, config.restart)
    warm = min(1.0, (step - first + 1) / max(1, config.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * (step - first) / (last - first)))
    return config.rate * warm * (0.02 + 0.98 * cosine)
