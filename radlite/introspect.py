"""What goes on while a chain is written: how sure the policy was of every token, and which part of the picture it read.

One pass over prompt and chain, teacher-forced: every token is judged as if all before it had just been written.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from radlite.collate import field_texts
from radlite.errors import RadliteError
from radlite.policy import Policy
from radlite.reasoning import ACTION_TAG, Reasoning


@dataclass(frozen=True)
class TokenBelief:
    """One token of a chain and what the policy thought of it.

    Attributes:
        text: the token as it reads, spaces included.
        field: which field it belongs to, "action" for the tag that ends the chain.
        probability: of this token, given all before it.
        others: the likeliest tokens at this place with their probabilities, best first; this one may be among them.
    """

    text: str
    field: str
    probability: float
    others: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Inside:
    """A chain as the policy saw it.

    Attributes:
        reasoning: the chain.
        tokens: its tokens, the action's tag at the end.
        attention: float32 (layers, heads, tokens, rows, columns): how much of a head's attention went to each cell of the
            picture when that token was written. What is missing to 1 went to words.
    """

    reasoning: Reasoning
    tokens: list[TokenBelief]
    attention: np.ndarray = field(repr=False)

    def of(self, name: str) -> list[int]:
        """Positions of the tokens of one field."""
        return [k for k, token in enumerate(self.tokens) if token.field == name]


@torch.inference_mode()
def look_inside(
    policy: Policy, image: np.ndarray, instruction: str, reasoning: Reasoning | None = None, top: int = 5
) -> Inside:
    """Belief and attention for every token of a chain.

    Args:
        policy: with or without an adapter.
        image: uint8 (H, W, 3).
        instruction: the task.
        reasoning: the chain to look at, the policy's own or another one; None lets the policy write it.
        top: how many alternatives to keep for each token.

    Raises:
        RadliteError: a picture of another form, a chain without any field, or a `top` below 1.
    """
    if top < 1:
        raise RadliteError("top of at least 1", repr(top), "5 is a good number")
    if reasoning is None:
        reasoning = policy.predict([image], instruction)[0].reasoning
    vlm, ids, fields = policy.vlm, [], []
    for name, text in [*field_texts(reasoning), ("action", f" {ACTION_TAG}")]:
        piece = vlm.encode_chain(text)
        ids, fields = ids + piece, fields + [name] * len(piece)
    if len(set(fields)) < 2:
        raise RadliteError("a chain with at least one field", "an empty one", "pass reasoning=None to have it written")
    prompt = vlm.prompt_ids(instruction)
    whole = torch.tensor([prompt + ids], device=vlm.device)
    places = [t for t, token in enumerate(prompt) if token == vlm.image_token_id]
    frames = vlm.same_size([np.asarray(image)])
    inputs = vlm.decoder_inputs(whole, None, vlm.image_features(vlm.pixel_values(frames)))
    with _eager(vlm.text_model) as text_model:
        out = text_model(**inputs, output_attentions=True, use_cache=False)
    writing = slice(len(prompt) - 1, len(prompt) + len(ids) - 1)  # a token is written by the position before it
    logits = vlm.lm_head(out.last_hidden_state[0, writing]).float()
    attention = torch.stack([a[0] for a in out.attentions])[:, :, writing][..., places]  # (L, heads, T, cells)
    side = math.isqrt(len(places))
    return Inside(reasoning, _beliefs(vlm, ids, fields, logits, top),
                  attention.float().cpu().numpy().reshape(*attention.shape[:3], side, side))  # fmt: skip


def _beliefs(vlm, ids: list[int], fields: list[str], logits: torch.Tensor, top: int) -> list[TokenBelief]:
    logits[:, vlm.never_in_text] = -torch.inf  # as when it writes
    probs = logits.softmax(-1)
    best = probs.topk(min(top, probs.shape[-1]))
    rows = zip(ids, fields, probs, best.indices.tolist(), best.values.tolist(), strict=True)
    return [
        TokenBelief(vlm.decode([i]), name, float(p[i]), tuple((vlm.decode([o]), v) for o, v in zip(o_ids, values, strict=True)))
        for i, name, p, o_ids, values in rows
    ]  # fmt: skip


@contextmanager
def _eager(text_model: nn.Module) -> Iterator[nn.Module]:
    """The model with an attention that keeps its weights: fused kernels never hold them."""
    before = text_model.config._attn_implementation
    text_model.config._attn_implementation = "eager"
    try:
        yield text_model
    finally:
        text_model.config._attn_implementation = before
