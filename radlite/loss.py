"""The RAD loss: one loss for robot and human samples, told per field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from radlite.collate import IGNORE, ROLES, Batch
from radlite.cross_entropy import cross_entropy
from radlite.errors import RadliteError
from radlite.vlm import VLM

Fields = dict[str, dict[str, float]]  # field -> {"loss", "accuracy", "tokens"}


@dataclass
class Loss:
    """The RAD loss of one batch.

    total: weighted mean over all tokens that carry loss (scalar, with gradient).
    fields: field (or "action", "eos") -> {"loss", "accuracy", "tokens"} as floats, unweighted.
    """

    total: Tensor
    fields: Fields


def rad_loss(vlm: VLM, batch: Batch, detail: bool = True, weight: float | None = None) -> Loss:
    """Next-token loss at labelled positions only: one loss for both kinds of data (RAD section 3, ECoT's chain rule).

    Logits are computed only where there is a label, and a few at a time (`cross_entropy`).

    Args:
        vlm: the model.
        batch: what to learn.
        detail: also tell the loss of every field.
        weight: what the sum over labels is divided by; None: the weight of this batch. The parts of a batch are given that of the
            whole, so that their losses add up to its loss.
    """
    labels, roles = batch.labels[:, 1:], batch.roles[:, 1:]
    paid = labels != IGNORE
    if not paid.any():
        raise RadliteError(
            "at least one token that carries loss", "none in the batch", "check the samples' reasoning"
        )
    read = nn.functional.pad(paid, (0, 1))  # (B, T): a label is told by the position before it
    hidden = vlm.forward(batch.input_ids, None, batch.pixel_values, read=read)  # (B, T, D); a batch is right-padded
    each, right = cross_entropy(vlm.lm_head, hidden[read], labels[paid], vlm.vocabulary)  # (N,)
    weights = batch.weights[:, 1:][paid]
    total = (each * weights).sum() / (weights.sum() if weight is None else weight)
    return Loss(total, _per_field(each, right, roles[paid]) if detail else {})


@torch.no_grad()
def _per_field(each: Tensor, right: Tensor, roles: Tensor) -> Fields:
    table = {}
    for index in roles.unique().tolist():
        mine = roles == index
        table[ROLES[index]] = {
            "loss": each[mine].mean().item(),
            "accuracy": right[mine].float().mean().item(),
            "tokens": float(mine.sum()),
        }
    return table


def together(tables: Sequence[Fields]) -> Fields:
    """The table of several batches: means over all their tokens."""
    result: Fields = {}
    for field in dict.fromkeys(name for table in tables for name in table):
        rows = [table[field] for table in tables if field in table]
        tokens = sum(row["tokens"] for row in rows)
        means = {k: sum(row[k] * row["tokens"] for row in rows) / tokens for k in ("loss", "accuracy")}
        result[field] = {**means, "tokens": tokens}
    return result
