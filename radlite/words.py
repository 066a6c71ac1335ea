"""What people type at a running policy: instructions and corrected fields, checked before the policy reads them."""

from __future__ import annotations

import re
from typing import Any

from radlite.actions import GRIPPER, primitive_to_vector
from radlite.errors import RadliteError
from radlite.phrases import centimetres
from radlite.policy import Policy
from radlite.reasoning import FIELDS, Box, Reasoning, read_field
from radlite.tabletop.env import Trial
from radlite.tabletop.tasks import Task, parse_task, tasks_in

STRIDE = 0.09  # metres of a way: more than one step goes
LONGEST = 300  # characters of an instruction or of a field: a policy has never read longer ones


def judged_task(instruction: str, trial: Trial) -> Task | None:
    """The task that the words name, if what it needs stands in the scene; None where nobody can judge."""
    try:
        task = parse_task(instruction)
    except RadliteError:
        return None
    return task if task in tasks_in(trial.scene) else None


def unread_words(policy: Policy, text: str) -> list[str]:
    """Words that the policy can only spell letter by letter: it has learnt nothing about them."""
    words = dict.fromkeys(w.strip(".,;:!?()[]\"'") for w in text.lower().split())
    unknown = policy.vlm.tokenizer.unk_token_id
    spelt = {w: policy.vlm.encode(f" {w}") for w in words if w}
    return [w for w, ids in spelt.items() if len(ids) > len(w) or unknown in ids]


def checked_instruction(instruction: str) -> str:
    """The words as one line, or a clear error."""
    if not isinstance(instruction, str) or not instruction.strip():
        raise RadliteError("an instruction in words", repr(instruction)[:80], "say what is to be done")
    return " ".join(_checked_text("an instruction", instruction).split())


def checked_value(name: str, value: Any) -> Any:
    """What somebody gave for a field, as the field has it; or a clear error."""
    if isinstance(value, str):
        return read_field(name, _checked_text(name, value))
    if value is None:
        raise RadliteError(f"words for {name!r}", "None", f"release({name!r}) drops an edit")
    if name == "bboxes" and isinstance(value, Box):
        value = (value,)
    if name in ("bboxes", "gripper") and isinstance(value, list):
        value = tuple(tuple(v) if isinstance(v, list) else v for v in value)
    Reasoning(**{name: value}).validate()
    return value


def _checked_text(what: str, text: str) -> str:
    if len(text) > LONGEST:
        raise RadliteError(f"at most {LONGEST} characters in {what}", f"{len(text)}", "say it in fewer words")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RadliteError(f"UTF-8 in {what}", str(error), "remove that character") from error
    return text


def way_of(move: str, way: str | None) -> str | None:
    """MOVE REASONING that agrees with a MOVE that a person gave, in the tabletop's words; None where that names no motion.

    Args:
        move: "move left", "close gripper", "stop".
        way: what the policy says itself; the jaws are as in it unless `move` names them.
    """
    try:
        signs = primitive_to_vector(move)
    except RadliteError:
        return None
    said = re.search(r"jaws (open|closed)", way or "")
    jaws = {1: "open", -1: "closed"}.get(int(signs[GRIPPER]), said[1] if said else "open")
    return f"The way is {centimetres(STRIDE * signs[:3])}, jaws {jaws}."


def sound(chain: Reasoning) -> Reasoning:
    """The chain without fields that cannot be given back (a policy may write a box that is none)."""
    kept = {}
    for name in FIELDS:
        try:
            Reasoning(**{name: getattr(chain, name)}).validate()
            kept[name] = getattr(chain, name)
        except RadliteError:
            continue
    return Reasoning(**kept)
