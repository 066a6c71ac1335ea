"""What a language model is asked about a clip: ECoT's labelling prompt, with RAD's picture, in text files of their own.

As in ECoT the model looks back on what was carried out: it is given the movements and says why. Two things differ. Movements
stand in runs of frames rather than frame by frame, so that a clip costs hundreds of tokens and not thousands; and the answer
is JSON by segments rather than a tagged string a frame, which small models write far more reliably.

Words of people and files stand in the prompt as JSON strings without a character that a chat template could read as its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from string import Template

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from radlite.annotate.narrator import Evidence, measured, pixel
from radlite.errors import RadliteError

SHEET = 9  # frames on the contact sheet
SIDE = 256  # pixels of each
MOST_MOVES = 200  # runs of one movement; a clip of one task has ten to forty
_MARKUP = "<>[]|"  # of which chat templates make their tokens, such as <|im_end|> and [INST]


@dataclass(frozen=True)
class Run:
    """Frames `first` to `last`, both included, that share a movement (None: unknown) and an opening (None: unknown)."""

    first: int
    last: int
    move: str | None
    open: bool | None


def runs(evidence: Evidence) -> list[Run]:
    """The T frames cut where the movement or the gripper's opening changes."""
    cut = []
    for (move, jaws), group in groupby(range(len(evidence)), lambda t: (evidence.moves[t], evidence.open[t])):
        frames = list(group)
        cut.append(Run(frames[0], frames[-1], move, jaws))
    return cut


def moves_of(evidence: Evidence) -> list[Run]:
    """The runs that have a movement; their places in this list are the numbers that the model knows them by.

    Raises:
        RadliteError: more than a model could answer for.
    """
    known = [run for run in runs(evidence) if run.move is not None]
    if len(known) > MOST_MOVES:
        found = f"{len(known)} in {len(evidence)} frames"
        raise RadliteError(f"at most {MOST_MOVES} changes of movement in a clip", found, "cut it into clips of one task each")
    return known


def data(text: str) -> str:
    """Somebody's words as a JSON string: whatever they hold, they end where they end, and no token of a template is in them."""
    return "".join(map(_spelt, json.dumps(text, ensure_ascii=False)))


def system_text() -> str:
    """Who the model is to be."""
    return _template("system").template.strip()


def again_text(problem: str) -> str:
    """What is said to a model whose answer could not be used."""
    return _template("again").substitute(problem=data(problem)).strip()


def clip_text(evidence: Evidence) -> str:
    """What is asked about a clip."""
    return (
        _template("clip")
        .substitute(
            frames=len(evidence), last=len(evidence) - 1, fps=f"{evidence.fps:g}", task=data(evidence.instruction),
            shown=", ".join(map(str, shown(evidence))), things="\n".join(_things(evidence)) or "none",
            moves="\n".join(_moves(evidence)),
        )
        .strip()
    )  # fmt: skip


def shown(evidence: Evidence) -> list[int]:
    """The frames on the contact sheet: at even distances, first and last among them."""
    return sorted({round(t) for t in np.linspace(0, len(evidence) - 1, min(SHEET, len(evidence)))})


def contact_sheet(evidence: Evidence) -> np.ndarray:
    """Frames in rows of three, uint8 (256 R, 256 C, 3), each with its number in a corner."""
    frames = shown(evidence)
    columns = min(3, len(frames))
    sheet = Image.new("RGB", (SIDE * columns, SIDE * -(-len(frames) // columns)))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=22)
    for place, t in enumerate(frames):
        left, top = SIDE * (place % columns), SIDE * (place // columns)
        sheet.paste(Image.fromarray(evidence.frames[t]).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (left, top))
        draw.rectangle((left, top, left + 14 * len(str(t)) + 8, top + 28), fill=(0, 0, 0))
        draw.text((left + 5, top + 2), str(t), font=font, fill=(255, 255, 255))
    return np.asarray(sheet)


def _spelt(c: str) -> str:
    """A character within a JSON string; markup and what is not seen in JSON's own spelling."""
    if c in _MARKUP:
        return f"\\u{ord(c):04x}"
    return c if c.isprintable() else json.dumps(c)[1:-1]


@cache
def _template(name: str) -> Template:
    return Template((resources.files("radlite.annotate") / "prompts" / f"{name}.txt").read_text("utf-8"))


def _things(evidence: Evidence) -> Iterator[str]:
    """A line for each thing: its name, and its box where it is first seen."""
    chains = measured(evidence)
    for name in dict.fromkeys(track.name for track in evidence.objects):
        boxes = ((t, b.xyxy) for t, chain in enumerate(chains) for b in chain.bboxes or () if b.name == name)
        t, xyxy = next(boxes, (None, None))
        yield f"- {data(name)}: " + ("never seen" if t is None else f"frame {t}, {list(xyxy)}")


def _moves(evidence: Evidence) -> Iterator[str]:
    """A line for each run; those with a movement are numbered."""
    number = {run: k for k, run in enumerate(moves_of(evidence))}
    for run in runs(evidence):
        name = "unknown movement" if run.move is None else f"movement {number[run]}: {run.move}"
        ends = (pixel(evidence.gripper.points[t]) for t in (run.first, run.last))
        at, to = ("unknown" if p is None else f"{list(p)}" for p in ends)
        jaws = {True: "open", False: "closed", None: "opening unknown"}[run.open]
        yield f"- frames {run.first} to {run.last}, {name}; gripper {jaws}, at {at}, then {to}"
