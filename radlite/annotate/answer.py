"""What a language model answered, read strictly: an answer is data, and only words are taken from it.

Of the model's text one JSON object is parsed and nothing is run. Only plan, subtasks and reasons are taken; a box, a movement or
a gripper position that it may hold is not looked at. Small flaws are repaired in these ways and no other:
- text around the object (code fences, thoughts) is ignored, and so are keys that nobody asked for;
- runs of white space are one space; a number that the model put before a step of the plan ("1. ") is taken off;
- segments are sorted, and a gap or an overlap of at most `SLACK` frames is closed, so that the later segment keeps its begin.
A movement that the answer gives no reason for has none: that field is absent there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from radlite.annotate.narrator import Evidence, measured, task_text
from radlite.annotate.prompt import moves_of
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.import_video import spoken
from radlite.reasoning import Reasoning

SLACK = 2  # frames by which neighbouring segments may miss each other
MOST_TEXT = 1 << 16  # characters of an answer
MOST_WORDS = 400  # characters of one text in it
MOST_STEPS = 12
_NUMBER = re.compile(r"\d{1,2}[.)]\s+")
_MOST_TRIES = 100  # braces at which an object is looked for


@dataclass(frozen=True)
class Segment:
    """Frames `first` to `last`, both included, of one subtask."""

    first: int
    last: int
    subtask: str
    subtask_reason: str


@dataclass(frozen=True)
class Answer:
    """The words for a clip.

    Attributes:
        plan: its steps as one line, "1. reach the can 2. grasp it".
        segments: in order, without gap, from frame 0 to the last.
        moves: the number of a movement (its place in `moves_of`) -> why; not all need be there.
    """

    plan: str
    segments: tuple[Segment, ...]
    moves: dict[int, str]


def read_answer(text: str, frames: int, moves: int) -> Answer:
    """The answer in a model's text, for a clip of so many frames and numbered movements.

    Raises:
        RadliteError: anything else than the form that was asked for; the message may be told to the model.
    """
    found = _found(text)
    plan = _list(found, "plan")
    if not 1 <= len(plan) <= MOST_STEPS:
        raise RadliteError(f'1 to {MOST_STEPS} texts in "plan"', f"{len(plan)}", "write the steps of the whole task")
    steps = [_NUMBER.sub("", _words(step, '"plan"'), count=1) for step in plan]
    whole = _words(" ".join(f"{k}. {step}" for k, step in enumerate(steps, 1)), '"plan" as a whole')
    segments = [_segment(entry, k) for k, entry in enumerate(_list(found, "segments"))]
    return Answer(whole, _joined(segments, frames), _reasons(found.get("moves", {}), moves))


def worded(evidence: Evidence, answer: Answer) -> list[Reasoning]:
    """The T chains: what was measured, and around it the answer's words.

    The plan is that of the whole task in every frame, because a rollout keeps the first frame's (`reasoning.MEMORY`).
    """
    reasons = {t: why for k, why in answer.moves.items() for t in _frames(moves_of(evidence)[k])}
    chains = measured(evidence)
    for segment in answer.segments:
        for t in _frames(segment):
            chains[t] = chains[t].replace(
                task=task_text(evidence.instruction), plan=answer.plan, subtask_reason=segment.subtask_reason,
                subtask=segment.subtask, move_reason=reasons.get(t),
            )  # fmt: skip
            chains[t].validate()
    return chains


def _frames(piece: Any) -> range:
    return range(piece.first, piece.last + 1)


# ------------------------------------------------------------------------------------------------------- the JSON
def _found(text: str) -> dict[str, Any]:
    """The last JSON object in the text that has the keys: thoughts come before the answer."""
    if len(text) > MOST_TEXT:
        raise RadliteError(f"an answer of at most {MOST_TEXT} characters", f"{len(text)}", "answer with the object alone")
    found = [entry for entry in _objects(text) if {"plan", "segments"} <= set(entry)]
    if not found:
        wanted = 'a whole JSON object with "plan", "segments" and "moves"'
        raise RadliteError(wanted, quoted(text), "answer with it and nothing else")
    return found[-1]


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_once)  # line breaks within texts are the model's habit
    at = text.find("{")
    for _ in range(_MOST_TRIES):
        if at < 0:
            return
        try:
            entry, end = decoder.raw_decode(text, at)
            yield entry
        except (ValueError, RecursionError):  # numbers of thousands of digits are ValueErrors, too
            end = at + 1
        at = text.find("{", end)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError("a key stands twice in an object: which one is meant?")
    return entry


def _list(entry: dict[str, Any], key: str) -> list:
    if not isinstance(entry[key], list) or not entry[key]:
        raise RadliteError(f'a list that is not empty as "{key}"', quoted(entry[key]), "keep to the form that was asked for")
    return entry[key]


def _words(value: Any, what: str) -> str:
    """One line of text that can stand in a chain, and that says something."""
    expected = f"{what}: one line of 1 to {MOST_WORDS} characters with words in it"
    if not isinstance(value, str):
        raise RadliteError(expected, quoted(value), "write a text")
    text = " ".join(value.split())
    if len(text) > MOST_WORDS or not any(c.isalpha() for c in text):
        raise RadliteError(expected, f"{len(text)} characters, {quoted(text)}", "write one short sentence")
    try:
        return spoken(text)
    except RadliteError as error:
        raise RadliteError(f"{what} without '@', tags and hidden characters", error.found, "say it in plain words") from error


# -------------------------------------------------------------------------------------------------- the segments
def _segment(entry: Any, k: int) -> Segment:
    wanted = ("from", "to", "subtask", "subtask_reason")
    if not isinstance(entry, dict) or not set(wanted) <= set(entry):
        raise RadliteError(f"segment {k} with {', '.join(wanted)}", quoted(entry), "keep to the form that was asked for")
    first, last = entry["from"], entry["to"]
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise RadliteError(f'whole numbers 0 <= "from" <= "to" in segment {k}', quoted((first, last)), "correct them")
    return Segment(first, last, *(_words(entry[key], f'"{key}" of segment {k}') for key in wanted[2:]))


def _joined(segments: list[Segment], frames: int) -> tuple[Segment, ...]:
    """The segments in order, neighbours touching; repaired by at most SLACK frames at each joint."""
    segments = sorted(segments, key=lambda s: (s.first, s.last))
    begins = [0, *(s.first for s in segments[1:]), frames]
    ends = [-1, *(s.last for s in segments)]
    if abs(segments[0].first) > SLACK:
        raise _apart("begin at frame 0", segments[0].first)
    for begin, end in zip(begins[1:], ends[1:], strict=True):
        if abs(begin - 1 - end) > SLACK:
            where = f"end at frame {begin - 1}, where the clip ends or before the next one begins"
            raise _apart(where, end)
    joined = tuple(replace(s, first=a, last=b - 1) for s, a, b in zip(segments, begins[:-1], begins[1:], strict=True))
    if any(s.last < s.first for s in joined):
        raise _apart("begin at frames of their own", [s.first for s in segments])
    return joined


def _apart(wanted: str, found: object) -> RadliteError:
    return RadliteError(f"segments that cover the clip without gap or overlap: one must {wanted}", quoted(found),
                        "correct the numbers of the frames")  # fmt: skip


def _reasons(entry: Any, moves: int) -> dict[int, str]:
    """Number of a movement -> why; null and absence alike leave it out."""
    if not isinstance(entry, dict):
        wanted = 'an object as "moves", number of a movement -> text'
        raise RadliteError(wanted, quoted(entry), "keep to the form that was asked for")
    known = {str(k): k for k in range(moves)}
    strange = next((key for key in entry if key not in known), None)
    if strange is not None:
        raise RadliteError(f'numbers of the {moves} movements in "moves"', quoted(strange), "use the numbers that were given")
    return {known[key]: _words(why, f"why movement {key}") for key, why in entry.items() if why is not None}
