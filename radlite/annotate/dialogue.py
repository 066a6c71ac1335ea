"""How a narrator gets a usable answer out of a language model, whichever one: a question, and one chance to correct it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from radlite.annotate.answer import MOST_TEXT, Answer, read_answer, worded
from radlite.annotate.narrator import Evidence
from radlite.annotate.prompt import again_text, clip_text, contact_sheet, moves_of, system_text
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import Reasoning

MAX_TOKENS = 4096
"""Of an answer: a plan, ten segments and forty movements take about half of it."""


@dataclass(frozen=True)
class Turn:
    """What one side says; the picture belongs to the first turn of the user's."""

    role: Literal["system", "user", "assistant"]
    text: str


@dataclass(frozen=True)
class Reply:
    """What a model said; `whole` is False where it was cut at its most tokens."""

    text: str
    whole: bool = True


Ask = Callable[[list[Turn], np.ndarray], Reply]
"""Puts turns and a picture, uint8 (H, W, 3), to a model."""


def narrate_by(ask: Ask, evidence: Evidence) -> list[Reasoning]:
    """The T chains in a model's words.

    Raises:
        RadliteError: two answers that cannot be used; or what `ask` raises.
    """
    turns, sheet = opening(evidence), contact_sheet(evidence)
    reply = ask(turns, sheet)
    try:
        return worded(evidence, _read(reply, evidence))
    except RadliteError as error:
        first = error
    # its own answer is said back to it short enough to leave room; what is wrong with it stands in the last turn
    said = Turn("assistant", reply.text[: MOST_TEXT // 4] or "(nothing)")
    reply = ask([*turns, said, Turn("user", again_text(str(first)))], sheet)
    try:
        return worded(evidence, _read(reply, evidence))
    except RadliteError as second:
        found = f"none, even when told what was wrong: {second}; the first time: {first}"
        fix = "try a larger model, a shorter clip, or the narrator that goes by rules"
        raise RadliteError("a usable answer from the language model", quoted(found, 800), fix) from second


def opening(evidence: Evidence) -> list[Turn]:
    """The turns before the model's first answer."""
    return [Turn("system", system_text()), Turn("user", clip_text(evidence))]


def _read(reply: Reply, evidence: Evidence) -> Answer:
    if not reply.whole:
        raise RadliteError("a whole answer", "one that was cut because it is too long", "write shorter sentences")
    return read_answer(reply.text, len(evidence), len(moves_of(evidence)))
