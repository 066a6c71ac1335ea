"""Plain `generate`: the slow way of `transformers`, against which the fast one is held.

`Policy.predict` writes the same words (decode="mode") with a cache that copies nothing, several tokens a pass where they were
guessed. Here nothing is shared with it but the prompt: every token costs one pass of the model's own `generate`, and the
rules of a chain (words first, then `ACTION:`, then seven action tokens) are a `LogitsProcessor`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList

from radlite.actions import ACTION_DIM
from radlite.policy import Policy
from radlite.reasoning import ACTION_TAG, FIELDS, TAGS, Reasoning
from radlite.vlm import VLM
from radlite.writer import given_ids


@dataclass(frozen=True)
class Plain:
    """What one row wrote.

    Attributes:
        tokens: as in `Prediction`.
        margins: by how much the logit of each token led that of the next best that was allowed; inf where there was none.
    """

    tokens: list[str]
    margins: list[float]

    def margin_where_it_differs(self, tokens: Sequence[str]) -> float | None:
        """By how much its choice led where these other tokens first differ from it; None if they do not."""
        pairs = zip(self.tokens, tokens, self.margins, strict=False)
        return next((margin for mine, other, margin in pairs if mine != other), None)


class ChainRules(LogitsProcessor):
    """Lets every row end its chain, by itself or after `room` tokens, with `ACTION:` and seven action tokens."""

    def __init__(self, vlm: VLM, chains: Sequence[Reasoning | bool | None], width: int, room: int) -> None:
        self.vlm, self.width, self.room = vlm, width, room
        self.tag, self.actions = vlm.encode(f" {ACTION_TAG}"), vlm.action_ids.tolist()
        self.free = sorted(set(range(vlm.vocabulary)) - set(vlm.never_in_text))
        self.tag_from = [0 if chain is False else None for chain in chains]  # where the tag is to be written, once known
        self.acts_from: list[int | None] = [None] * len(chains)
        self.first = [self._openings(chain) for chain in chains]

    def _openings(self, chain: Reasoning | bool | None) -> list[int]:
        """How a chain may begin: after one that is given, only with the tag of a later field; else not with the action's."""
        given = chain.to_dict() if isinstance(chain, Reasoning) else {}
        if not given:
            return [token for token in self.free if token not in (self.tag[0], self.vlm.eos_id)]
        later = FIELDS[max(map(FIELDS.index, given)) + 1 :]
        return [self.vlm.encode(f" {tag}")[0] for tag in (*(TAGS[f] for f in later), ACTION_TAG)]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V), those of everything that is not allowed at -inf."""
        out = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids[:, self.width :].tolist()):
            may = self._allowed(row, ids, scores[row])
            out[row, may] = scores[row, may]
        return out

    def _allowed(self, row: int, ids: list[int], scores: Tensor) -> list[int]:
        if self.acts_from[row] is None and ids[-len(self.tag) :] == self.tag:
            self.acts_from[row] = len(ids)
        if self.acts_from[row] is not None:
            return self.actions if len(ids) < self.acts_from[row] + ACTION_DIM else [self.vlm.pad_id]
        if self.tag_from[row] is None:
            may = self.free if ids else self.first[row]
            if may[int(scores[may].argmax())] != self.vlm.eos_id and len(ids) < self.room:
                return may
            self.tag_from[row] = len(ids)
        return [self.tag[len(ids) - self.tag_from[row]]]


@torch.inference_mode()
def generate(policy: Policy, images: np.ndarray, instructions: Sequence[str],
             chains: Sequence[Reasoning | bool | None]) -> list[Plain]:
    """What plain greedy `generate` writes for pictures uint8 (B, H, W, 3); arguments as for `Policy.predict`, one a picture."""
    vlm, room = policy.vlm, policy.room
    ids, mask = vlm.left_padded([vlm.prompt_ids(i) + given_ids(vlm, c) for i, c in zip(instructions, chains, strict=True)])
    width = ids.shape[1]
    rules = ChainRules(vlm, chains, width, room)
    pixels = vlm.pixel_values(images).to(vlm.device, vlm.base.dtype)
    out = vlm.base.generate(
        input_ids=ids, attention_mask=mask, **vlm.family.entry(ids, pixels), logits_processor=LogitsProcessorList([rules]),
        do_sample=False, max_new_tokens=room + len(rules.tag) + ACTION_DIM, eos_token_id=vlm.pad_id, pad_token_id=vlm.pad_id,
        output_scores=True, return_dict_in_generate=True,
    )  # fmt: skip
    best = torch.stack(out.scores, 1).topk(2).values  # (B, T, 2)
    margins, rows = (best[..., 0] - best[..., 1]).tolist(), out.sequences[:, width:].tolist()
    ends = [start + ACTION_DIM for start in rules.acts_from]
    return [Plain(vlm.tokenizer.convert_ids_to_tokens(row[:end]), margin[:end])
            for row, margin, end in zip(rows, margins, ends, strict=True)]  # fmt: skip
