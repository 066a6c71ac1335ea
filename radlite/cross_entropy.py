"""The loss of every token without ever holding all logits: a few at a time, computed again for the backward pass.

Two thousand tokens of a vocabulary of 152,000 are 1.2 GB of logits, and four times that with their gradient; they, not the
weights, would decide which card a model fits on.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

LIMIT = 1 << 28  # bytes of float32 logits at a time; the tiny base never has as many


def cross_entropy(
    head: Callable[[Tensor], Tensor], hidden: Tensor, labels: Tensor, vocabulary: int, limit: int = LIMIT
) -> tuple[Tensor, Tensor]:
    """Loss of every token, and whether it was the likeliest.

    Args:
        head: the output layer, (n, D) -> (n, V).
        hidden: (N, D), states before each label.
        labels: (N,) ids.
        vocabulary: V.
        limit: bytes of logits at a time.

    Returns:
        Losses (N,) float32 with gradient, and bool (N,).
    """
    rows = max(1, limit // (4 * vocabulary))
    if len(labels) <= rows:
        return _some(head, hidden, labels)
    parts = [
        checkpoint(_some, head, h, y, use_reentrant=False, preserve_rng_state=False)
        for h, y in zip(hidden.split(rows), labels.split(rows), strict=True)
    ]
    losses, right = zip(*parts, strict=True)
    return torch.cat(losses), torch.cat(right)


def _some(head: Callable[[Tensor], Tensor], hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float()
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none"), logits.detach().argmax(-1) == labels
