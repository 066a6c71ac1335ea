"""What people give to edit, and what they type and draw into it, checked before it becomes part of an episode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import Box, Reasoning, read_field

LONGEST = 4000  # characters of a field


def opened(source: object, index: int | None) -> tuple[Episode, int | None]:
    """The episode, and its number where it is from a dataset."""
    if isinstance(source, Episode) and index is None:
        return source, None
    if not isinstance(source, EpisodeDataset):
        found = f"{type(source).__name__}" + ("" if index is None else f" and number {quoted(index)}")
        raise RadliteError("an Episode, or a dataset and the number of an episode", found, "edit(dataset, 3), or edit(episode)")
    if isinstance(index, bool) or not isinstance(index, int):
        raise RadliteError(f"which of the {len(source)} episodes", quoted(index), "edit(dataset, 3)")
    return source[index], index % len(source)


def check_frames(episode: Episode) -> None:
    """All of an episode but what its chains say: wrong ones can be corrected."""
    replace(episode, reasoning=[None] * len(episode)).validate()
    kinds = {type(chain).__name__ for chain in episode.reasoning} - {"Reasoning", "NoneType"}
    if len(episode.reasoning) != len(episode) or kinds:
        found = f"{len(episode.reasoning)} of {', '.join(sorted(kinds)) or 'them'}"
        raise RadliteError(f"{len(episode)} chains, one a frame, each a Reasoning or None", found, "build the episode anew")


def check_number(what: str, number: Any, count: int) -> None:
    """A number from 0 to count - 1."""
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
        raise RadliteError(f"{what}, 0 to {count - 1}" if count else what, quoted(number) if count else "none here", "look again")


def value_of(field: str, value: Any) -> Any:
    """What somebody gave for a field, as the field has it, checked."""
    if value is None or isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str):
        if len(value) > LONGEST:
            raise RadliteError(f"at most {LONGEST} characters in {field}", f"{len(value)}", "say it in fewer words")
        value = read_field(field, value)
    Reasoning(**{field: value}).validate()
    for text in [value] if isinstance(value, str) else [box.name for box in value] if field == "bboxes" else []:
        _check_letters(text)
    return value


def name_of(name: Any) -> str:
    """A box's name on one line."""
    return " ".join(name.split()) if isinstance(name, str) else name


def box_of(name: Any, xyxy: Sequence[float]) -> Box:
    """A box, checked."""
    if not isinstance(name, str) or not name.strip():
        raise RadliteError("a name for the box", quoted(name), "say what it shows: 'red can'")
    return value_of("bboxes", (Box(name_of(name), pixels(xyxy, 4)),))[0]


def pixels(values: Any, count: int) -> tuple[int, ...]:
    """Whole pixels out of what somebody typed or drew."""
    numbers = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else []
    if len(numbers) != count or not all(isinstance(v, Real) and abs(v) < 1e6 for v in numbers):
        raise RadliteError(f"{count} numbers, pixels of the frame", quoted(values), "write whole numbers")
    return tuple(int(round(v)) for v in numbers)


def _check_letters(text: str) -> None:
    """Half a character cannot be written to disk."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RadliteError("text that can be written as UTF-8", quoted(str(error)), "remove that character") from error
