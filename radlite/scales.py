"""Numbers that are one token each, in order of their size: what lets a policy read a number as a distribution.

A model that is unsure between 22 and 26 cm spreads its belief over five tokens, and a rare but sharp "0 cm" beside them is
then the most likely single token. The median of the belief over the whole scale does not fall for it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from radlite.reasoning import FRAME_SIZE

CM_VALUES = range(41)  # centimetres that are one token; larger ones are spelt
LENGTHS = (("right", "left"), ("back", "forward"), ("down", "up"), ("below", "above"), (None, "high"))


def scales(tokenizer: PreTrainedTokenizerBase) -> list[Tensor]:
    """Token ids of every scale, smallest number first; none for a tokenizer that spells its numbers."""
    vocabulary = tokenizer.get_vocab()
    rows = [[str(c) for c in range(FRAME_SIZE)], [f"##, {c}" for c in range(FRAME_SIZE)]]
    for low, high in LENGTHS:
        below = [f" {n} cm {low}" for n in reversed(CM_VALUES) if n] if low else []
        rows.append(below + [f" {n} cm {high}" for n in CM_VALUES])
    return [torch.tensor([vocabulary[t] for t in row]) for row in rows if all(t in vocabulary for t in row)]


class Medians:
    """Replaces a number that was chosen greedily by the median over its scale."""

    def __init__(self, scales: list[Tensor], size: int, device: torch.device) -> None:
        self.ids = [ids.to(device) for ids in scales]
        self.scale_of = torch.full((size,), -1, device=device)
        for k, ids in enumerate(self.ids):
            self.scale_of[ids] = k

    def __call__(self, greedy: Tensor, logits: Tensor) -> Tensor:
        """Chosen tokens (B,) from the most likely ones (B,) and the logits (B, V)."""
        scale, chosen = self.scale_of[greedy], greedy.clone()
        for k in scale.unique().tolist():
            if k >= 0:
                rows = (scale == k).nonzero()[:, 0]
                belief = logits[rows][:, self.ids[k]].softmax(-1).cumsum(-1)
                chosen[rows] = self.ids[k][(belief < 0.5).sum(-1)]
        return chosen
