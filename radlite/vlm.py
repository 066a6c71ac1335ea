"""A vision-language model behind one small face: pictures and text in, hidden states out.

The model is a plain `transformers` one; its family knows its layout. This file knows which of its tokens are actions, and how
to run it without computing what nobody reads: the loss asks for hidden states and takes logits only where there is a label,
and the policy writes against a cache.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from radlite.actions import BINS
from radlite.decoder import Decoder
from radlite.errors import RadliteError
from radlite.families import Family
from radlite.families.family import counted
from radlite.last_layer import only_where
from radlite.scales import scales

PROMPT = "What action should the robot take to {instruction}?"  # ECoT's question, instruction in lower case
SMALL_VOCABULARY = 8192  # tokens: a larger one was not made for these words


def action_token(k: int) -> str:
    """The token of action bin k, 0..255."""
    return f"<a{k}>"


def action_tokens() -> list[str]:
    """The tokens of all bins, in their order."""
    return [action_token(k) for k in range(BINS)]


def trained_rows(tokenizer: PreTrainedTokenizerBase, actions: list[int]) -> list[int]:
    """Embedding rows trained beside LoRA: actions, the end of a sequence, and all words of a small vocabulary."""
    rows = {*actions, tokenizer.eos_token_id}
    vocabulary = tokenizer.get_vocab()
    if len(vocabulary) < SMALL_VOCABULARY:
        rows |= {i for token, i in vocabulary.items() if re.fullmatch(r"(##)?[A-Za-z :]+", token)}
    return sorted(rows)


@dataclass
class VLM:
    """A vision-language model with its tokenizer and the numbers one has to know about it.

    Attributes:
        name: name or folder it was loaded from.
        model: the `transformers` model, or a `peft` model around it.
        tokenizer: its tokenizer; every action bin is one token.
        family: how this kind of model is driven.
        action_ids: int64 (256,), ids of the action bins.
        sha256: of the weights, configuration and vocabulary it was loaded from; "" if built in memory.
        quantize: "nf4" if its decoder is in four bits, else None.
        folder: where it was loaded from; None if built in memory.
    """

    name: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    family: Family = field(repr=False)
    action_ids: Tensor = field(repr=False)
    sha256: str = ""
    quantize: str | None = None
    folder: Path | None = None

    @property
    def image_size(self) -> int:
        """Side of the square picture it sees, pixels."""
        return self.family.image_size

    @property
    def image_tokens(self) -> int:
        """How many tokens one picture takes."""
        return self.family.image_tokens

    @property
    def image_token_id(self) -> int:
        """The id that stands where a picture's features go."""
        return self.family.image_token_id

    # --------------------------------------------------------------------------------------------------- text
    @property
    def eos_id(self) -> int:
        """Id of the token that ends a robot sample."""
        return self.tokenizer.eos_token_id

    @property
    def pad_id(self) -> int:
        """Id of padding."""
        return self.tokenizer.pad_token_id

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding, unused ones included."""
        return self.base.get_input_embeddings().weight.shape[0]

    @cached_property
    def never_in_text(self) -> list[int]:
        """Ids that a chain cannot hold: specials but eos, action tokens, rows without a token."""
        special = {
            i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special and i != self.eos_id
        }
        unused = range(len(self.tokenizer), self.vocabulary)
        return sorted(special | set(self.action_ids.tolist()) | set(unused))

    @cached_property
    def scales(self) -> list[Tensor]:
        """Ids of the numbers that are one token each, see `scales`; found once, which takes a while for a large vocabulary."""
        return scales(self.tokenizer)

    def prompt_text(self, instruction: str) -> str:
        """The question that is put to the robot (ECoT's wording)."""
        return PROMPT.format(instruction=instruction.strip().rstrip(".").lower())

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text: no specials are added, and none can be smuggled in ("<a5>" is spelt)."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def decode(self, ids: list[int]) -> str:
        """Text of token ids."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def encode_chain(self, text: str) -> list[int]:
        """Token ids of a chain or a part of it, its places written in the family's frame."""
        return self.encode(self.family.inside(text))

    def decode_chain(self, ids: list[int]) -> str:
        """The inverse of `encode_chain`."""
        return self.family.outside(self.decode(ids))

    def prompt_ids(self, instruction: str, picture: bool = True) -> list[int]:
        """The question with the picture's places; the chain goes on with " TASK: ..."."""
        return self.family.prompt(self.encode(self.prompt_text(instruction)), picture)

    def left_padded(self, prompts: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Prompts of any lengths as ids and mask (B, T), so that all end where writing begins."""
        width = max(map(len, prompts))
        ids = [[self.pad_id] * (width - len(p)) + p for p in prompts]
        mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        return torch.tensor(ids, device=self.device), torch.tensor(mask, device=self.device)

    # ----------------------------------------------------------------------------------------------- pictures
    def pixel_values(self, frames: np.ndarray | Tensor | list[np.ndarray]) -> Tensor:
        """Frames uint8 (B, H, W, 3), or a list of uint8 (H, W, 3) of any sizes -> float32 (B, ...), on the CPU.

        Resized and in [-1, 1], as the family's tower wants them; what a frame becomes does not depend on the others.
        """
        if isinstance(frames, list):
            if len({f.shape for f in frames}) > 1:  # cameras of several datasets
                return torch.cat([self.pixel_values(f[None]) for f in frames])
            frames = np.stack(frames)
        frames = torch.as_tensor(np.array(frames) if isinstance(frames, np.ndarray) else frames)  # copied: may be read-only
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8 or 0 in frames.shape:
            raise RadliteError(
                "frames as uint8 (B, H, W, 3)", f"{frames.dtype} {tuple(frames.shape)}", "convert them first"
            )
        x = _resized(frames.permute(0, 3, 1, 2).float(), self.image_size)  # (B, 3, S, S)
        return self.family.pixels(x / 127.5 - 1)

    def same_size(self, frames: list[np.ndarray]) -> np.ndarray:
        """Frames uint8 (H, W, 3) of any sizes as one array; resized to what is seen unless all are alike."""
        if len({f.shape for f in frames}) == 1:
            return np.stack(frames)
        rows = [
            _resized(torch.as_tensor(f.copy()).permute(2, 0, 1)[None].float(), self.image_size)
            for f in frames
        ]
        return torch.cat(rows).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    # -------------------------------------------------------------------------------------------------- model
    @property
    def base(self) -> nn.Module:
        """The `transformers` model itself, out of its `peft` wrapper if it has one."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """Pictures (B, ...) -> what the decoder gets of each, (B, image_tokens, F); see `Family.features`."""
        return self.family.features(self.base, pixel_values.to(self.device, self.base.dtype))

    def embed(self, input_ids: Tensor, image_features: Tensor | None) -> Tensor:
        """(B, T) ids, with picture features (B, image_tokens, F) in their places -> (B, T, D)."""
        embeds = self.base.get_input_embeddings()(input_ids)
        places = input_ids == self.image_token_id
        wanted = 0 if image_features is None else self.image_tokens
        if not (places.sum(1) == wanted).all():
            found = sorted(set(places.sum(1).tolist()))
            raise RadliteError(
                f"{wanted} image tokens in every row", f"{found}", "build rows with VLM.prompt_ids"
            )
        if image_features is None:
            return embeds
        return embeds.masked_scatter(places[..., None], image_features[..., : embeds.shape[-1]].to(embeds.dtype))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
        read: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states before the output layer.

        Args:
            input_ids: (B, T), padded on one side.
            attention_mask: (B, T), 1 for tokens and 0 for padding; None where there is none, or all of it comes last: no
                token sees what comes after it, and attention without a mask does half of the work.
            pixel_values: (B, ...), or None for text alone.
            image_features: (B, image_tokens, F) instead of pixels, to compute them once.
            read: bool (B, T), where the result is wanted; it means nothing elsewhere. None: everywhere.

        Returns:
            (B, T, D); `lm_head` makes logits of any part of it.
        """
        if image_features is None and pixel_values is not None:
            image_features = self.image_features(pixel_values)
        inputs = self.decoder_inputs(input_ids, attention_mask, image_features)
        with only_where(self.text_model, read):
            return self.text_model(**inputs, attention_mask=attention_mask, use_cache=False).last_hidden_state

    def decoder_inputs(self, ids: Tensor, mask: Tensor | None, features: Tensor | None) -> dict[str, Any]:
        """Arguments of the language decoder for sequences (B, T): embeddings, and what the family adds to them."""
        embeds = self.embed(ids, features)
        inputs = {"inputs_embeds": embeds} | self.family.extras(ids, features, embeds.shape[-1])
        positions = self.family.positions(ids, torch.ones_like(ids) if mask is None else mask)
        return inputs if positions is None else inputs | {"position_ids": positions}

    @property
    def text_model(self) -> nn.Module:
        """The language decoder without its output layer."""
        return self.family.text_model(self.base)

    def lm_head(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., D) -> logits (..., V)."""
        return self.base.lm_head(hidden)

    def decoder(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor | None, room: int
    ) -> Decoder:
        """Starts writing after left-padded prompts (B, T), with room for that many tokens; see `Decoder`."""
        features = None if pixel_values is None else self.image_features(pixel_values)
        inputs = {"position_ids": counted(attention_mask)} | self.decoder_inputs(input_ids, attention_mask, features)
        shift = 0 if features is None else self.family.shift
        return Decoder(self.text_model, inputs, attention_mask, input_ids.shape[1] + room, shift)

    # --------------------------------------------------------------------------------------------------- LoRA
    @property
    def lora_token_rows(self) -> list[int]:
        """Embedding rows trained beside LoRA, see `trained_rows`."""
        return trained_rows(self.tokenizer, self.action_ids.tolist())


def recompute_layers(model: nn.Module, **how: bool) -> None:
    """Lets every layer keep only what goes into it, and be computed again for the backward pass (gradient checkpointing)."""
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable  # its older name
    enable({"use_reentrant": False, **how})


def _resized(x: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size); averages over what a new pixel covers when it shrinks."""
    if x.shape[-2:] == (size, size):
        return x
    return nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)
