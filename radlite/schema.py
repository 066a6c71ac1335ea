"""`radlite data schema`: JSON Schemas of the reasoning record and of the episode record, made from the code that reads them.

docs/reasoning.schema.json and docs/episode.schema.json are what this module prints (`radlite data schema episode --out FILE`);
other programs can hold their annotations against them. The code stays the judge of what a schema cannot say: that x1 <= x2 and
y1 <= y2, that an episode has as many chains as actions, and that no character is half a one.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from typing import Any, get_args

from radlite.actions import ACTION_DIM
from radlite.episode import Embodiment, Episode
from radlite.formats.card import ACTION_KEY, ACTION_NAMES, STATE_KEY, STATE_NAMES, UNITS
from radlite.reasoning import ACTION_TAG, FIELDS, FRAME_SIZE, TAGS, TEXT_FIELDS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
RECORDS = ("reasoning", "episode")


def reasoning_schema() -> dict[str, Any]:
    """The schema of what `Reasoning.to_dict` gives and column `reasoning` holds: absent fields are absent keys."""
    fields = {name: {"description": f"what follows {TAGS[name]}", "$ref": "#/$defs/text"} for name in TEXT_FIELDS} | {
        "bboxes": {"description": "visible objects; empty: nothing was found, absent: nobody looked",
                   "type": "array", "items": {"$ref": "#/$defs/box"}},
        "gripper": {"description": "the next points [x, y] of the gripper",
                    "type": "array", "minItems": 1, "items": _vector({"type": "integer", "minimum": 0,
                                                                      "maximum": FRAME_SIZE - 1}, 2)},
    }  # fmt: skip
    return {
        "$schema": DRAFT,
        "title": "radlite reasoning",
        "description": f"A chain of reasoning of one frame, in pixels (x right, y down) of a {FRAME_SIZE}x{FRAME_SIZE} frame.",
        "type": "object",
        "properties": {name: fields[name] for name in FIELDS},
        "additionalProperties": False,
        "$defs": _parts(),
    }


def episode_schema() -> dict[str, Any]:
    """The schema of what `episode_record` gives; a robot's episode has actions, a human's has none."""
    chain = reasoning_schema()
    chain = {"anyOf": [{"type": "null"}, {key: chain[key] for key in ("type", "properties", "additionalProperties")}]}
    vectors = {"actions": (ACTION_KEY, ACTION_NAMES), "states": (STATE_KEY, STATE_NAMES)}
    properties = {
        "instruction": {"type": "string", "pattern": rf"[^{_class(_spaces())}]"},
        "reasoning": {"description": "a frame's chain, null where there is none", "type": "array", "minItems": 1, "items": chain},
        "embodiment": {"enum": list(get_args(Embodiment))},
        **{name: {"description": f"one row a frame, {', '.join(names)}: {UNITS[key]}", "type": "array", "minItems": 1,
                  "items": _vector({"type": "number"}, ACTION_DIM)} for name, (key, names) in vectors.items()},
        "fps": {"description": "frames a second", "type": "number", "exclusiveMinimum": 0},
        "meta": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}},
    }  # fmt: skip
    return {
        "$schema": DRAFT,
        "title": "radlite episode",
        "description": "An episode without its pictures.",
        "type": "object",
        "properties": {f.name: properties[f.name] for f in dataclasses.fields(Episode) if f.name != "frames"},
        "required": ["instruction", "reasoning", "embodiment", "fps"],
        "additionalProperties": False,
        "if": {"properties": {"embodiment": {"const": "robot"}}},
        "then": {"required": ["actions"]},
        "else": {"properties": {"actions": False}},
        "$defs": _parts(),
    }


def episode_record(episode: Episode) -> dict[str, Any]:
    """An episode without its pictures, JSON-able; what it does not have is an absent key."""
    record = {f.name: getattr(episode, f.name) for f in dataclasses.fields(Episode) if f.name != "frames"}
    record["reasoning"] = [None if chain is None else chain.to_dict() for chain in episode.reasoning]
    record |= {name: record[name].tolist() for name in ("actions", "states") if record[name] is not None}
    return {name: value for name, value in record.items() if value is not None}


def schema_text(record: str) -> str:
    """The schema of one of `RECORDS` as the file in docs/ holds it."""
    schema = {"reasoning": reasoning_schema, "episode": episode_schema}[record]()
    return json.dumps(schema, indent=2, ensure_ascii=True) + "\n"


def _parts() -> dict[str, Any]:
    """What both schemas refer to."""
    edge = {"type": "integer", "minimum": 0, "maximum": FRAME_SIZE}
    tags = "|".join(re.escape(tag).replace(r"\ ", " ") for tag in (*TAGS.values(), ACTION_TAG))
    spaces = _class(_spaces())
    wrong = {
        "line breaks, tabs and ECoT's separator": f"[{_class((*_breaks(), chr(9), '@'))}]",
        "spaces at the ends": f"^[{spaces}]|[{spaces}]$",
        "a tag of the chain": rf"(?<!\w)(?:{tags})",
    }
    text = {
        "type": "string",
        "minLength": 1,
        "not": {"anyOf": [{"$comment": comment, "pattern": pattern} for comment, pattern in wrong.items()]},
    }
    return {
        "text": text,
        "box": {
            "type": "object",
            "properties": {
                "name": {"allOf": [{"$ref": "#/$defs/text"}, {"not": {"pattern": r"[\[\]]"}}]},
                "xyxy": {"description": "left, top, right, bottom edge", **_vector(edge, 4)},
            },
            "required": ["name", "xyxy"],
            "additionalProperties": False,
        },
    }


def _vector(item: dict[str, Any], length: int) -> dict[str, Any]:
    return {"type": "array", "items": item, "minItems": length, "maxItems": length}


def _spaces() -> list[str]:
    """What `str.strip` takes away. Spelt out, because every language has its own idea of white space."""
    return [c for c in map(chr, range(1 << 16)) if c.isspace()]


def _breaks() -> list[str]:
    """Where `str.splitlines` cuts."""
    return [c for c in _spaces() if len(f"a{c}a".splitlines()) > 1]


def _class(characters: Iterable[str]) -> str:
    r"""The inside of a regular expression's [...], as \u escapes that Python and ECMAScript read alike."""
    return "".join(f"\\u{ord(c):04x}" for c in characters)
