"""The face of a family: how a prompt is laid out, what a picture becomes, how places are written, what LoRA may touch."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from radlite.reasoning import FRAME_SIZE

_PLACES = re.compile(r"\[\s*-?[0-9]{1,6}(?:\s*,\s*-?[0-9]{1,6})*\s*\]")  # a box, a point: whole numbers in square brackets
_NUMBER = re.compile(r"-?[0-9]+")


class Family(ABC):
    """One family of models. Everything here is a pure function of configuration and tokenizer.

    Args:
        config: of the whole model.
        tokenizer: with the action tokens in it.

    Attributes:
        kind: `model_type` in `transformers`.
        frame: side of the frame in which the model writes places; ECoT's 256 pixels outside (`inside`, `outside`).
        image_size: side of the square picture that it sees, pixels.
        image_tokens: how many tokens one picture takes.
        image_token_id: the id that stands where a picture's features go.
    """

    kind: ClassVar[str]
    frame: ClassVar[int] = FRAME_SIZE
    decoder: ClassVar[str]  # dotted name of the language decoder within the model
    apart: ClassVar[tuple[str, ...]]  # dotted names of tower and projector, which are never quantised
    projector: ClassVar[tuple[str, ...]]  # of these, or within them, what makes the decoder's width of the tower's
    linear: ClassVar[tuple[str, ...]]  # last names of the linear layers that LoRA adapts, one or two to a name

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self.config, self.tokenizer = config, tokenizer
        self.image_token_id: int = config.image_token_id

    image_size: int
    image_tokens: int

    # ------------------------------------------------------------------------------------------------------ words
    @abstractmethod
    def turn(self, picture: bool) -> tuple[list[int], list[int]]:
        """Token ids before and behind a question: a picture's places, if there is one, and where the answer begins."""

    @cached_property
    def _turns(self) -> dict[bool, tuple[list[int], list[int]]]:
        return {picture: self.turn(picture) for picture in (True, False)}

    def prompt(self, question: list[int], picture: bool = True) -> list[int]:
        """Token ids of a whole turn, up to where the answer begins."""
        before, behind = self._turns[picture]
        return [*before, *question, *behind]

    def words(self, text: str) -> list[int]:
        """Token ids of text as it stands."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def inside(self, text: str) -> str:
        """A chain with its places written as the model writes them: pixel c of 256 as its middle in the model's frame."""
        if self.frame == FRAME_SIZE:
            return text
        return _places(text, lambda c: round((c + 0.5) * self.frame / FRAME_SIZE))

    def outside(self, text: str) -> str:
        """The inverse of `inside`; what the model writes beyond its frame is clipped to it."""
        if self.frame == FRAME_SIZE:
            return text
        return _places(text, lambda v: min(max(v * FRAME_SIZE // self.frame, 0), FRAME_SIZE - 1))

    # --------------------------------------------------------------------------------------------------- pictures
    @abstractmethod
    def pixels(self, x: Tensor) -> Tensor:
        """Pictures (B, 3, S, S) in [-1, 1] as the tower wants them, (B, ...)."""

    @abstractmethod
    def features(self, model: nn.Module, pixels: Tensor) -> Tensor:
        """What the decoder gets of pictures, (B, image_tokens, F); its first D channels take the place of embeddings."""

    @abstractmethod
    def entry(self, ids: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Arguments for one picture a row of the model's own `forward` and `generate`, beside the ids (B, T) and their mask."""

    # ---------------------------------------------------------------------------------------------------- decoder
    def text_model(self, model: nn.Module) -> nn.Module:
        """The language decoder without its output layer."""
        return model.get_submodule(self.decoder)

    def extras(self, ids: Tensor, features: Tensor | None, width: int) -> dict[str, Any]:
        """More arguments of the decoder for sequences (B, T) that hold pictures."""
        return {}

    def positions(self, ids: Tensor, mask: Tensor) -> Tensor | None:
        """Positions of tokens (B, T) or (3, B, T), if they are not just counted."""
        return None

    @property
    def shift(self) -> int:
        """How much further the position after a picture is than if all tokens were counted."""
        return 0

    # ------------------------------------------------------------------------------------------------------- LoRA
    @property
    def lora_targets(self) -> str:
        """Regex of the linear layers that LoRA adapts: all, vision tower included, but the output layer."""
        return r".*\.(" + "|".join(map(re.escape, self.linear)) + ")"


def counted(mask: Tensor) -> Tensor:
    """Positions (B, T) of tokens that are simply counted, padding left out."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _places(text: str, change) -> str:
    return _PLACES.sub(lambda found: _NUMBER.sub(lambda n: str(change(int(n[0]))), found[0]), text)

