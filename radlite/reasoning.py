"""The reasoning chain: what a robot (or a hand) is doing and why, as text that a language model can learn.

A chain is a string of tagged fields in one order, from the abstract ("TASK:") to pixels ("GRIPPER
POSITION:"), followed in robot data by "ACTION:". Human video has the same chain and stops before the
action; that is the whole of RAD. This module is the only place that knows the tag names. It turns a
`Reasoning` into text, text into a `Reasoning`, and says which characters belong to which field, so that a
loss or a picture can be told per field.

Sources: tags, order and rendering follow ECoT's released code (arXiv 2407.08693), which RAD's published
sample output uses too (arXiv 2502.03729). Coordinates are pixels (x right, y down) of a 256x256 frame.

The rule that makes everything else simple: every valid chain survives the round trip through text unchanged.
`Reasoning.validate` checks exactly what that needs.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from radlite.errors import RadliteError

FIELDS: tuple[str, ...] = (
    "task", "plan", "bboxes", "subtask_reason", "subtask", "move_reason", "move", "gripper",
)
"""Field names (ECoT's data keys) in the one order in which they are written."""

MEMORY: tuple[str, ...] = ("task", "plan")
"""Fields that a rollout keeps from its first frame (ECoT reuses the upper half of a chain likewise)."""

TAGS: dict[str, str] = {
    "task": "TASK:",
    "plan": "PLAN:",
    "bboxes": "VISIBLE OBJECTS:",
    "subtask_reason": "SUBTASK REASONING:",
    "subtask": "SUBTASK:",
    "move_reason": "MOVE REASONING:",
    "move": "MOVE:",
    "gripper": "GRIPPER POSITION:",
}
"""Field name -> the tag that precedes it in the text."""

ACTION_TAG: str = "ACTION:"
"""Tag that ends the chain; action tokens follow it in robot data, human data ends before it."""

FRAME_SIZE: int = 256
"""Side in pixels of the square frame that all coordinates refer to."""

TEXT_FIELDS: tuple[str, ...] = tuple(f for f in FIELDS if f not in ("bboxes", "gripper"))
"""The fields that hold free text (the two others hold coordinates)."""

_FIELD_OF = {tag: field for field, tag in TAGS.items()}
# "SUBTASK:" contains "TASK:": a tag may not start in the middle of a word.
_TAG = re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, (*TAGS.values(), ACTION_TAG))) + ")")
# At most six digits, so that no text can make int() slow or fail.
_INTEGER = re.compile(r"-?[0-9]{1,6}")


@dataclass(frozen=True)
class Box:
    """An object in the frame.

    Args:
        name: free text such as "a red can", without square brackets.
        xyxy: left, top, right, bottom edge in pixels.
    """

    name: str
    xyxy: tuple[int, int, int, int]

    def __str__(self) -> str:
        return f"{self.name} [{', '.join(str(v) for v in self.xyxy)}]"


@dataclass(frozen=True)
class Reasoning:
    """One reasoning chain; a field that is None is absent and has no tag in the text.

    Args:
        task: the instruction in the annotator's words.
        plan: the steps that remain.
        bboxes: visible objects; an empty tuple says that nothing was found, None that nobody looked.
        subtask_reason: why this subtask now.
        subtask: the current step of the plan.
        move_reason: why this motion now.
        move: movement primitive such as "move left down, close gripper" (see `radlite.actions`).
        gripper: the (x, y) pixels of the gripper now and at the next frames, in ECoT five in all.
    """

    task: str | None = None
    plan: str | None = None
    bboxes: tuple[Box, ...] | None = None
    subtask_reason: str | None = None
    subtask: str | None = None
    move_reason: str | None = None
    move: str | None = None
    gripper: tuple[tuple[int, int], ...] | None = None

    def to_text(self, fields: Iterable[str] = FIELDS) -> str:
        """The chain as text, limited to `fields`; always in the order of `FIELDS`.

        Tags and contents are joined by single spaces. Raises `RadliteError` for an unknown field name.
        """
        return " ".join(piece for _, piece in self._pieces(fields))

    def spans(self, fields: Iterable[str] = FIELDS) -> dict[str, tuple[int, int]]:
        """Characters of each present field in `to_text(fields)`: field -> (start, end), tag included.

        The single space between two fields belongs to neither.
        """
        spans, start = {}, 0
        for field, piece in self._pieces(fields):
            spans[field] = (start, start + len(piece))
            start += len(piece) + 1
        return spans

    @classmethod
    def from_text(cls, text: str) -> Reasoning:
        """Read a whole chain.

        Accepts fields in any order (ECoT's objects-last variant), ECoT's "@" separators, line breaks, and
        an "ACTION:" tail, which is cut off. A tag without content is an absent field, except that "VISIBLE
        OBJECTS:" without content is an empty tuple. Raises `RadliteError` for text without a tag, text
        ahead of the first tag, a tag that comes twice, and coordinates that cannot be read. Values are not
        checked: see `validate`.
        """
        if not isinstance(text, str):
            raise RadliteError("reasoning text", f"a {type(text).__name__}", "pass the chain as a string")
        head, sections = _split(text)
        if not sections:
            raise RadliteError("at least one tag such as 'TASK:'", f"none in {_short(text)}", "add the tags")
        if head:
            fix = "remove it, or correct the tag it was meant to be"
            raise RadliteError("a chain that begins with a tag", f"{_short(head)} ahead of it", fix)
        values: dict[str, Any] = {}
        for field, content, _ in sections:
            if field in values:
                raise RadliteError("each tag once", f"{TAGS[field]!r} twice", "keep one of the two")
            values[field] = _parse(field, content)
        return cls(**values)

    @classmethod
    def parse_partial(cls, text: str) -> Reasoning:
        """Read what is certain in a chain that was cut off while it was generated; never raises.

        A field counts as complete when another tag (or "ACTION:") follows it, or, for the gripper, when its
        bracket is closed; so for every beginning of a chain, what is returned equals the chain's own fields.
        Fields that cannot be read are dropped, and of a repeated tag the first is kept.
        """
        values: dict[str, Any] = {}
        for field, content, closed in _split(text)[1]:
            if field == "gripper" and not closed:
                content = content[: content.find("]") + 1]  # a tag that is itself cut off may follow
            if field in values or not (closed or field == "gripper"):
                continue
            try:
                values[field] = _parse(field, content)
            except RadliteError:
                continue
        return cls(**values)

    def _pieces(self, fields: Iterable[str]) -> list[tuple[str, str]]:
        """(field, "TAG: content") of each wanted and present field, in order."""
        wanted = _known(fields)
        return [
            (field, f"{TAGS[field]} {_render(getattr(self, field))}".rstrip(" "))
            for field in FIELDS
            if field in wanted and getattr(self, field) is not None
        ]

    def before(self, field: str) -> Reasoning:
        """The chain with only the fields ahead of `field`: what was said when it comes to `field`."""
        _known((field,))
        return self.without(*FIELDS[FIELDS.index(field):])

    @property
    def memory(self) -> Reasoning:
        """The chain with only the fields of `MEMORY`."""
        return self.without(*(f for f in FIELDS if f not in MEMORY))

    def without(self, *fields: str) -> Reasoning:
        """The chain with `fields` absent."""
        return dataclasses.replace(self, **dict.fromkeys(_known(fields)))

    def replace(self, **fields: Any) -> Reasoning:
        """The chain with other values for the named fields, for instance `replace(move="move left")`."""
        _known(fields)
        return dataclasses.replace(self, **fields)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able dictionary; absent fields are absent keys.

        Boxes are `{"name": str, "xyxy": [x1, y1, x2, y2]}`, the gripper is a list of `[x, y]`.
        """
        values = {f: getattr(self, f) for f in FIELDS if getattr(self, f) is not None}
        if "bboxes" in values:
            values["bboxes"] = [{"name": b.name, "xyxy": [int(v) for v in b.xyxy]} for b in values["bboxes"]]
        if "gripper" in values:
            values["gripper"] = [[int(v) for v in point] for point in values["gripper"]]
        return values

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reasoning:
        """Inverse of `to_dict`. Raises `RadliteError` for unknown keys and values of the wrong kind."""
        if not isinstance(data, Mapping):
            raise RadliteError("a dictionary of fields", f"a {type(data).__name__}", "see Reasoning.to_dict")
        _known(data)
        values = {field: value for field, value in data.items() if value is not None}
        try:
            if "bboxes" in values:
                values["bboxes"] = tuple(Box(b["name"], tuple(b["xyxy"])) for b in values["bboxes"])
            if "gripper" in values:
                values["gripper"] = tuple(tuple(point) for point in values["gripper"])
        except (TypeError, KeyError, IndexError) as error:
            found = f"{_short(repr(data))} ({type(error).__name__}: {error})"
            raise RadliteError("boxes {'name', 'xyxy'} and [x, y] points", found, "see to_dict") from error
        reasoning = cls(**values)
        reasoning._check_types()
        return reasoning

    def validate(self, frame_size: int = FRAME_SIZE) -> None:
        """Check that the chain fits the frame and survives the round trip through text.

        Box edges lie in 0..frame_size (an edge may be the frame's border), gripper points in
        0..frame_size-1. Raises `RadliteError` for coordinates out of the frame, x2 < x1 or y2 < y1, empty
        text, and text with a tag, an "@" (ECoT's separator), a tab, a line break or spaces at its ends.
        """
        self._check_types()
        for field in TEXT_FIELDS:
            if getattr(self, field) is not None:
                _check_text(field, getattr(self, field))
        for box in self.bboxes or ():
            _check_box(box, frame_size)
        if self.gripper == ():
            raise RadliteError("at least one gripper point", "none", "use gripper=None when it is not known")
        for point in self.gripper or ():
            if not all(0 <= v < frame_size for v in point):
                fix = f"clip it to 0..{frame_size - 1} or drop it"
                raise RadliteError(f"gripper points in a {frame_size}x{frame_size} frame", f"{point}", fix)

    def _check_types(self) -> None:
        for field in TEXT_FIELDS:
            value = getattr(self, field)
            if not (value is None or isinstance(value, str)):
                raise RadliteError(f"text in {field!r}", f"{_short(repr(value))}", "pass a string or None")
        if not (self.bboxes is None or _is_tuple_of(self.bboxes, _is_box)):
            found, fix = _short(repr(self.bboxes)), "write Box('a can', (10, 20, 30, 40))"
            raise RadliteError("a tuple of Box, each with a name and four integers", found, fix)
        if not (self.gripper is None or _is_tuple_of(self.gripper, lambda p: _is_integers(p, 2))):
            found, fix = _short(repr(self.gripper)), "write ((157, 89), (157, 95))"
            raise RadliteError("a tuple of (x, y) integer points in 'gripper'", found, fix)


def so_far(text: str) -> dict[str, str]:
    """Every field of a chain that is being written, as text, the one in the making included; never raises."""
    return {field: content for field, content, _ in reversed(_split(text)[1])}


def field_text(chain: Reasoning, field: str) -> str:
    """One field as it is written behind its tag; "" where it is absent."""
    return chain.to_text((field,)).removeprefix(TAGS[field]).strip()


def read_field(field: str, text: str) -> Any:
    """The value of one field out of what somebody typed, checked: text, boxes or points.

    Raises:
        RadliteError: nothing, coordinates that cannot be read or lie outside the frame, or text with a tag.
    """
    _known((field,))
    content = _clean(text)
    if not content:
        raise RadliteError(f"words for {field!r}", "nothing", "write something, or leave the field as it was")
    if field == "gripper" and not content.startswith("["):
        content = f"[{content}]"
    value = _parse(field, content)
    Reasoning(**{field: value}).validate()
    return value


def _known(fields: Iterable[str]) -> set[str]:
    """The fields as a set, after checking that each one exists."""
    names = {fields} if isinstance(fields, str) else set(fields)
    unknown = sorted(map(str, names - set(FIELDS)))
    if unknown:
        raise RadliteError("fields out of " + ", ".join(FIELDS), ", ".join(unknown), "correct the name")
    return names


def _render(value: Any) -> str:
    """Content of a field as text: free text, boxes, or the flattened gripper points."""
    if isinstance(value, str):
        return value
    if all(isinstance(item, Box) for item in value):
        return ", ".join(str(box) for box in value)
    return f"[{', '.join(str(v) for point in value for v in point)}]"


def _split(text: str) -> tuple[str, list[tuple[str, str, bool]]]:
    """Cut text at its tags: (text ahead of the first tag, [(field, content, is another tag behind it)])."""
    tags, sections = [], []
    for tag in _TAG.finditer(text):
        tags.append(tag)
        if tag.group() == ACTION_TAG:
            break  # what follows are action tokens, whatever they look like
    for i, tag in enumerate(tags):
        if tag.group() != ACTION_TAG:
            end = tags[i + 1].start() if i + 1 < len(tags) else len(text)
            sections.append((_FIELD_OF[tag.group()], _clean(text[tag.end():end]), i + 1 < len(tags)))
    return _clean(text[: tags[0].start() if tags else len(text)]), sections


def _clean(text: str) -> str:
    """Canonical free text: one line, no ECoT separator, no spaces at the ends."""
    return " ".join(text.replace("@", " ").replace("\t", " ").splitlines()).strip()


def _parse(field: str, content: str) -> Any:
    """Content of one field from clean text."""
    if field == "bboxes":
        return _parse_boxes(content)
    if field == "gripper" and content:
        return _parse_gripper(content)
    return content or None


def _parse_boxes(content: str) -> tuple[Box, ...]:
    """Read "name [x1, y1, x2, y2], name [...]"; names may hold commas but no brackets."""
    *items, rest = content.split("]")
    boxes = []
    for i, item in enumerate(items):
        item = item.strip()
        comma = i == 0 or item.startswith(",")
        name, _, numbers = (item[1:] if i and comma else item).partition("[")
        xyxy = _integers(numbers)
        if not (comma and name.strip() and xyxy is not None and len(xyxy) == 4):
            raise RadliteError("objects as 'name [x1, y1, x2, y2], ...'", _short(content), "correct the text")
        boxes.append(Box(name.strip(), xyxy))
    if rest.strip(" ,"):
        raise RadliteError("'name [x1, y1, x2, y2]'", f"{_short(rest)} without coordinates", "complete it")
    return tuple(boxes)


def _parse_gripper(content: str) -> tuple[tuple[int, int], ...]:
    """Read "[x, y, x, y, ...]"."""
    bracketed = content.startswith("[") and content.endswith("]")
    numbers = _integers(content[1:-1]) if bracketed else None
    if not numbers or len(numbers) % 2:
        expected = "gripper points as '[x, y, x, y, ...]' with whole pixels"
        raise RadliteError(expected, _short(content), "correct the text")
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _integers(text: str) -> tuple[int, ...] | None:
    """Comma-separated integers, or None where that is not what the text holds."""
    parts = [part.strip() for part in text.split(",")]
    return tuple(map(int, parts)) if all(_INTEGER.fullmatch(part) for part in parts) else None


def _is_integers(value: Any, length: int) -> bool:
    whole = isinstance(value, tuple) and len(value) == length
    return whole and all(isinstance(v, Integral) and not isinstance(v, bool) for v in value)


def _is_box(value: Any) -> bool:
    return isinstance(value, Box) and isinstance(value.name, str) and _is_integers(value.xyxy, 4)


def _is_tuple_of(value: Any, test: Any) -> bool:
    return isinstance(value, tuple) and all(test(item) for item in value)


def _check_text(where: str, text: str) -> None:
    """Text must come back from `_clean` as it is, and must not look like a tag."""
    tag = _TAG.search(text)
    if tag:
        raise RadliteError(f"no tag inside {where}", f"{tag.group()!r} in {_short(text)}", "reword it")
    if not text or _clean(text) != text:
        fix = "remove '@', tabs, line breaks and outer spaces; use None for an absent field"
        raise RadliteError(f"one line of text in {where}", _short(text), fix)


def _check_box(box: Box, frame_size: int) -> None:
    _check_text("the name of a box", box.name)
    if set("[]") & set(box.name):
        raise RadliteError("box names without brackets", _short(box.name), "remove the brackets")
    x1, y1, x2, y2 = box.xyxy
    if not (0 <= x1 <= x2 <= frame_size and 0 <= y1 <= y2 <= frame_size):
        expected = f"0 <= x1 <= x2 <= {frame_size}, and y alike"
        raise RadliteError(expected, str(box), "order the corners x1, y1, x2, y2 and clip them to the frame")


def _short(text: str) -> str:
    """Quoted text, short enough for an error message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
