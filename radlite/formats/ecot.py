"""Read ECoT's annotations of Bridge V2, `embodied_features_bridge.json`, one episode in memory at a time.

The file (1.4 GB) holds, for every `file_path` and in it every `episode_id`, three parts:

- `reasoning`: step -> {task, plan, subtask_reason, subtask, move_reason, move}, for some of the steps;
- `features`: lists with one entry a step: `bboxes` [score, name, [x1, y1, x2, y2]], `gripper_position` [x, y]
  (`gripper_positions` as the generator of 2025 spells it), and others that no chain needs;
- `metadata`: `n_steps`, `language_instruction`, and both keys again.

A chain is both parts of a step merged as ECoT's loader does it (arXiv 2407.08693 and its released code): a step has a chain
when `reasoning` names it; features alone make none. The gripper is its own and the next four positions, the last one
repeated at the end of the episode. Coordinates are pixels (x right, y down) of a 256x256 frame, which is radlite's own
frame, so they are not scaled.

What the file's makers do not tell is decided here:

- Coordinates are rounded to whole pixels and clipped to the frame, because the gripper comes out of a linear fit, which may
  leave the picture; one further out than `MOST_PIXEL` is no coordinate and an error.
- White space in a text becomes single spaces and "@" a space, as in `Reasoning.from_text`; brackets in the name of a box
  become round ones, a box without a name is left out, and an empty text or null is an absent field.
- An empty list of boxes says that nothing was found; no list, or one too short for the step, that nobody looked.
- The keys decide, as in ECoT's loader. Copies of them in `metadata` have to agree, and so have the two spellings.
- Control characters and those that turn the direction of writing are errors: a teacher reads these texts on a screen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.formats.json_stream import ANY, JsonStream
from radlite.reasoning import FRAME_SIZE, TEXT_FIELDS, Box, Reasoning

LOOKAHEAD = 5
MOST_EPISODES = 500_000  # Bridge has 60,096
MOST_TEXT = 10_000
MOST_PIXEL = 16 * FRAME_SIZE

_SPELLINGS = ("gripper_position", "gripper_positions")
_KEYS = ("file_path", "episode_id")
_WANTED = {
    "reasoning": {ANY: dict.fromkeys(TEXT_FIELDS)},
    "features": dict.fromkeys(("bboxes", *_SPELLINGS)),
    "metadata": dict.fromkeys((*_KEYS, "n_steps", "language_instruction")),
}
_STEP = re.compile(r"0|[1-9][0-9]{0,5}")
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_ROUND = str.maketrans("[]", "()")


@dataclass(frozen=True)
class EcotEpisode:
    """What ECoT says of one episode.

    Attributes:
        file_path: the source file in Bridge V2.
        episode_id: which episode of that file; the numbers begin anew in every file.
        instruction: `language_instruction`, or None where there is none.
        num_steps: `n_steps`, or None.
        steps: step -> chain; a step without reasoning is absent.
        error: why the episode could not be read, which leaves the other three empty; only with `strict=False`.
    """

    file_path: str
    episode_id: str
    instruction: str | None = None
    num_steps: int | None = None
    steps: dict[int, Reasoning] = field(default_factory=dict)
    error: RadliteError | None = None


def read_ecot(path: str | Path, strict: bool = True) -> Iterator[EcotEpisode]:
    """All episodes in the order of the file, one in memory at a time.

    Args:
        path: the JSON file.
        strict: stop at the first episode that is not as it should be. Otherwise it is given with its `error`, and one that
            comes twice is given twice, for the join to call ambiguous.

    Raises:
        RadliteError: the file cannot be read, ends too early or is no JSON, something above the episodes is not as it should
            be or larger than any such file, or, if `strict`, an episode. The message names the file and the episode.
    """
    stream, seen = JsonStream(Path(path)), set()
    _open(stream, "files, as in embodied_features_bridge.json,")
    for event, file_path in stream:
        if event == "end_map":
            continue  # of the whole: nothing may follow, which the stream checks
        stream.place = f"file {quoted(file_path)}"
        try:
            _check_key(file_path, "file_path")
            if not _is_new(seen, file_path) and strict:
                raise RadliteError("each file once", "a second one", "keep one of the two")
        except RadliteError as error:
            raise _located(error, stream) from error
        _open(stream, "episodes")
        for event, episode_id in stream:
            if event == "end_map":
                break
            stream.place = f"episode {quoted(episode_id)} of {quoted(file_path)}"
            tree, new = stream.build(*next(iter(stream)), _WANTED), _is_new(seen, file_path, episode_id)
            try:
                if strict and not new:
                    raise RadliteError("each episode once", "a second one", "keep one of the two")
                if stream.problem is not None:
                    raise stream.problem
                episode = _episode(file_path, episode_id, tree)
            except RadliteError as error:
                told = _located(error, stream, ", or leave such episodes out with strict=False")
                if strict:
                    raise told from error
                episode = EcotEpisode(file_path, episode_id, error=told)
            yield episode


def _open(stream: JsonStream, of_what: str) -> None:
    event, value = next(iter(stream))
    if event != "start_map":
        error = RadliteError(f"an object of {of_what}", quoted(value) if value else event, "see what wrote it")
        raise _located(error, stream)


def _located(error: RadliteError, stream: JsonStream, fix: str = "") -> RadliteError:
    return RadliteError(f"{error.expected} in {stream.path}", f"{error.found} in {stream.place}", error.fix + fix)


def _is_new(seen: set[bytes], *names: str) -> bool:
    """Whether these names have not come before; hashes, because anything may stand in a name."""
    key = hashlib.blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=16).digest()
    new = key not in seen
    seen.add(key)
    if len(seen) > MOST_EPISODES:
        raise RadliteError(f"at most {MOST_EPISODES} files and episodes", "more", "look at what wrote it")
    return new


def _episode(file_path: str, episode_id: str, tree: Any) -> EcotEpisode:
    _check_key(episode_id, "episode_id")
    reasoning, features, about = (_object(_object(tree, "the episode").get(name), name) for name in _WANTED)
    for name, key in zip(_KEYS, (file_path, episode_id), strict=True):
        if about.get(name) is not None and str(about[name]) != key:
            raise RadliteError(f"the key of the episode as {name} in metadata", quoted(about[name]), "correct one of them")
    num_steps = about.get("n_steps")
    if num_steps is not None and (type(num_steps) is not int or num_steps < 0):
        raise RadliteError("a whole number as n_steps", quoted(num_steps), "correct it")
    boxes, points, steps = _list(features, "bboxes"), _points(features), {}
    for name, texts in reasoning.items():
        if not _STEP.fullmatch(name):
            raise RadliteError("steps numbered 0, 1, 2 ... in reasoning", quoted(name), "correct the number")
        try:
            chain = _chain(int(name), _object(texts, "the reasoning of a step"), boxes, points)
        except RadliteError as error:
            raise RadliteError(error.expected, f"{error.found} at step {name}", error.fix) from error
        if chain is not None:
            steps[int(name)] = chain
    instruction = _text(about.get("language_instruction"), "language_instruction")
    return EcotEpisode(file_path, episode_id, instruction, num_steps, steps)


def _chain(step: int, texts: dict[str, Any], boxes: list | None, points: tuple) -> Reasoning | None:
    """Both parts of one step merged, or None where `reasoning` says nothing."""
    said = {name: _line(texts.get(name), name) for name in TEXT_FIELDS}
    if not any(said.values()):
        return None
    seen = boxes[step] if boxes is not None and step < len(boxes) else None
    if seen is not None and not isinstance(seen, list):
        raise RadliteError("a list of boxes", quoted(seen), "correct it")
    found = None if seen is None else tuple(box for box in map(_box, seen) if box.name)
    ahead = points[step : step + LOOKAHEAD]
    gripper = ahead + points[-1:] * (LOOKAHEAD - len(ahead)) if ahead else None
    chain = Reasoning(**said, bboxes=found, gripper=gripper)
    chain.validate()
    return chain


def _box(entry: Any) -> Box:
    if not isinstance(entry, list) or len(entry) != 3:
        raise RadliteError("a box as [score, name, [x1, y1, x2, y2]]", quoted(entry), "correct it")
    name = _line(entry[1], "the name of a box") or ""
    return Box(name.translate(_ROUND), _pixels(entry[2], 4, FRAME_SIZE))


def _points(features: dict[str, Any]) -> tuple[tuple[int, ...], ...]:
    """The gripper's positions, step by step, whichever way the key is spelt."""
    told = [values for name in _SPELLINGS if (values := _list(features, name)) is not None]
    if len(told) == 2 and told[0] != told[1]:
        raise RadliteError(" and ".join(_SPELLINGS) + " alike", "two different lists", "keep one of the two")
    return tuple(_pixels(point, 2, FRAME_SIZE - 1) for point in told[0]) if told else ()


def _pixels(values: Any, count: int, most: int) -> tuple[int, ...]:
    """So many whole pixels between 0 and `most`."""
    if not isinstance(values, list) or len(values) != count or any(type(v) not in (int, float) for v in values):
        raise RadliteError(f"{count} pixels", quoted(values), "correct it")
    if not all(abs(v) <= MOST_PIXEL for v in values):  # NaN is no pixel either
        raise RadliteError(f"pixels of a {FRAME_SIZE}x{FRAME_SIZE} frame", quoted(values), "correct it")
    return tuple(int(min(max(v, 0), most) + 0.5) for v in values)


def _line(value: Any, what: str) -> str | None:
    """Text as a chain may hold it."""
    text = _text(value, what)
    return text and " ".join(text.replace("@", " ").split()) or None


def _text(value: Any, what: str) -> str | None:
    """Text without control characters, white space single, or None."""
    if value is not None and not isinstance(value, str):
        raise RadliteError(f"text as {what}", quoted(value), "correct it")
    return _seen_text(value, what) if value else None


@lru_cache(256)  # task and plan are the same for many steps
def _seen_text(value: str, what: str) -> str | None:
    if len(value) > MOST_TEXT:
        raise RadliteError(f"at most {MOST_TEXT} characters as {what}", f"{len(value)}", "shorten it")
    hidden = _UNSEEN.search(value)
    if hidden:
        expected = f"no control or direction-changing characters in {what}"
        raise RadliteError(expected, f"U+{ord(hidden.group()):04X} in {quoted(value)}", "remove it")
    return " ".join(value.split()) or None


def _check_key(key: str, what: str) -> None:
    if not key or len(key) > 1000 or _UNSEEN.search(key):
        raise RadliteError(f"a {what} of 1 to 1000 visible characters", quoted(key), "correct it")


def _object(value: Any, what: str) -> dict[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise RadliteError(f"an object as {what}", quoted(value), "correct it")
    return value or {}


def _list(features: dict[str, Any], name: str) -> list | None:
    value = features.get(name)
    if value is not None and not isinstance(value, list):
        raise RadliteError(f"a list as {name}", quoted(value), "correct it")
    return value
