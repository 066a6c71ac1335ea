"""The report of an annotation: every stage drawn over the frames, so that one can see which one went wrong.

Hands come before objects, objects before motion, motion before words: the first part that looks wrong is the one to mend. What
nobody knows is named as such: a field that is absent looks like one that was forgotten.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw

from radlite.annotate.evidence import INDEX_TIP, THUMB_TIP, GripperTrack, Hand, View
from radlite.annotate.hindsight import Motion
from radlite.annotate.motion import runs
from radlite.annotate.narrator import measured
from radlite.annotate.pipeline import Annotation
from radlite.formats.staging import replace_text
from radlite.reasoning import FIELDS, FRAME_SIZE, TAGS, Reasoning, field_text
from radlite.show.html import chart_text, escape
from radlite.show.overlay import COLOURS, draw_prediction
from radlite.show.page import build_page, chart_slot, table
from radlite.show.panel import font, wrap
from radlite.show.report import data_url

SIDE = 320  # pixels of a drawn frame
_BONES = ((0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (5, 9, 10, 11, 12), (9, 13, 14, 15, 16), (0, 17, 18, 19, 20), (13, 17))
_GRIP, _INK, _WHITE, _ABSENT = (255, 80, 170), (20, 20, 22), (255, 255, 255), (255, 226, 170)
_AXES = ("forward", "left", "up")
_HALF = ' style="max-width: 530px"'  # a film alone needs no more
_CAPTIONS = {
    "Hands": "Thin lines: all hands that were found, blue the person's right one. Ring: the acting hand's gripper point, full "
             "where it was measured, dashed where it was filled in between two sightings. No ring: nobody knows, and the chain "
             "says nothing of it.",
    "Objects": "Boxes as tracked through the clip. A box that is missing was not found there; none is guessed.",
    "Chains": "What training reads. A field without evidence is absent from the chain, and named below it: MOVE REASONING also "
              "where it is no reason, since MOVE looks past the end of the subtask.",
}
_UNKNOWN = "not known"  # fmt: skip


def write_annotation_report(annotations: Sequence[Annotation], path: str | os.PathLike) -> Path:
    """Writes one page about one or several clips; it opens without a network.

    Raises:
        RadliteError: a folder that cannot be written.
    """
    figures: list[dict] = []
    body = "\n".join(_clip(annotation, number, figures) for number, annotation in enumerate(annotations))
    head = f"<h1>Annotation</h1><p>{_count(len(annotations), 'clip')}, stage by stage.</p>"
    return replace_text(Path(path), build_page("radlite: annotation", head + body, figures))


def drawn_hands(annotation: Annotation, size: int = SIDE) -> np.ndarray:
    """Frames with hands and gripper, uint8 (T, size, size, 3)."""
    return draw_hands(annotation.clip.frames, annotation.hands, annotation.evidence.gripper, annotation.clip.view, size)


def draw_hands(
    frames: Sequence[np.ndarray], hands: Sequence[tuple[Hand, ...]], track: GripperTrack, view: View, size: int = SIDE
) -> np.ndarray:
    """T square frames with the hands found in each and the gripper made of them, uint8 (T, size, size, 3)."""
    drawn = []
    for t, frame in enumerate(frames):
        image = Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(image)
        for hand in hands[t]:
            _draw_hand(draw, hand, view, size / FRAME_SIZE)
        if track.known[t]:
            _draw_grip(draw, track.points[t] * size / FRAME_SIZE, bool(track.seen[t]))
        state = {1.0: "open", 0.0: "closed"}.get(float(track.open[t]), "not known")
        draw.rectangle((0, 0, 86, 16), fill=_INK)
        draw.text((4, 1), f"{t}  {state}", font=font(12), fill=_WHITE)
        drawn.append(np.asarray(image))
    return np.stack(drawn)


def _draw_hand(draw: ImageDraw.ImageDraw, hand: Hand, view: View, scale: float) -> None:
    points = [tuple(p) for p in (view.to_frame(hand.landmarks[:, :2]) * scale).tolist()]
    for bone in _BONES:
        draw.line([points[k] for k in bone], fill=COLOURS[0] if hand.side == "right" else COLOURS[1], width=1)
    for tip in (THUMB_TIP, INDEX_TIP):
        x, y = points[tip]
        draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_WHITE)


def _draw_grip(draw: ImageDraw.ImageDraw, at: np.ndarray, seen: bool) -> None:
    box = (at[0] - 7, at[1] - 7, at[0] + 7, at[1] + 7)
    for start in range(0, 360, 45):
        draw.arc(box, start, start + (45 if seen else 20), fill=_GRIP, width=3)


def _clip(annotation: Annotation, number: int, figures: list[dict]) -> str:
    evidence, episode = annotation.evidence, annotation.episode
    looked = bool(evidence.objects)
    parts = [_film("Hands", drawn_hands(annotation), episode.fps)]
    if looked:
        boxes = [Reasoning(bboxes=chain.bboxes) for chain in measured(evidence)]
        drawn = [draw_prediction(f, b, size=SIDE, panel=False) for f, b in zip(episode.frames, boxes, strict=True)]
        parts.append(_film("Objects", drawn, episode.fps))
    parts = [f'<div class="grid"{"" if looked else _HALF}>{"".join(parts)}</div>']
    parts += [] if looked else ['<p class="note">Objects: none. Nobody looked for things, so the chains name none.</p>']
    if evidence.motion is not None:
        name = f"motion-{number}"
        figures.append({"id": name, "figure": motion_figure(annotation).to_plotly_json()})
        parts.append(f"<section><h3>Motion</h3>{_motion_note(evidence.motion)}{chart_slot(name)}</section>")
    asked = _asked(annotation)
    drawn = [with_absent(draw_prediction(f, c, size=SIDE + 100), c, asked)
             for f, c in zip(episode.frames, episode.reasoning, strict=True)]  # fmt: skip
    parts.append(_film("Chains", drawn, episode.fps))
    head = f"<h2>{escape(episode.instruction)}</h2><p>{escape(annotation.clip.source.name)}</p>"
    return head + _known(annotation) + "".join(parts) + _segments(annotation)


def _film(part: str, frames: Sequence[np.ndarray], fps: float) -> str:
    video = f'<video controls muted loop playsinline preload="metadata" src="{data_url(frames, fps)}"></video>'
    return f'<section class="card"><h3>{part}</h3><p>{_CAPTIONS[part]}</p>{video}</section>'


def _asked(annotation: Annotation) -> tuple[str, ...]:
    """The fields that a chain of this clip could have: boxes only where somebody looked for things."""
    return tuple(name for name in FIELDS if name != "bboxes" or annotation.evidence.objects)


def with_absent(picture: np.ndarray, chain: Reasoning | None, asked: Iterable[str]) -> np.ndarray:
    """The drawn chain with the names of the fields that it lacks below its text, and above what a player lays over a film."""
    absent = [TAGS[name].rstrip(":").capitalize() for name in asked if chain is None or getattr(chain, name) is None]
    if not absent:
        return picture
    image = Image.fromarray(picture)
    draw, left, text = ImageDraw.Draw(image), picture.shape[0], f"Absent: {', '.join(absent)}"
    lines = wrap(text, image.width - left - 28, 13)
    top = image.height - 17 * len(lines) - 80
    draw.rectangle((left, top, image.width, top + 17 * len(lines) + 8), fill=_ABSENT)
    for k, line in enumerate(lines):
        draw.text((left + 14, top + 4 + 17 * k), line, font=font(13), fill=_INK)
    return np.asarray(image)


def _known(annotation: Annotation) -> str:
    """In how many frames each stage knows something, and in which it does not."""
    evidence, chains = annotation.evidence, annotation.episode.reasoning
    track, length = evidence.gripper, len(annotation.clip)
    rows = [["a hand found", np.array([bool(found) for found in annotation.hands])], ["gripper measured", track.seen],
            ["gripper measured or filled in", track.known],
            *([f"box of {thing.name}", np.isfinite(thing.boxes).all(1)] for thing in evidence.objects),
            *([f"chain with {TAGS[name].rstrip(':')}", np.array([bool(c and getattr(c, name) is not None) for c in chains])]
              for name in _asked(annotation))]  # fmt: skip
    gone = length - int(track.known.sum())
    told = f"<p>The gripper is unknown in {gone} of {_count(length, 'frame')}; the chains say nothing of it there.</p>"
    counted = [[name, int(there.sum()), _runs_text(np.flatnonzero(~there)) or "-"] for name, there in rows]
    return told * bool(gone) + table(["", f"of {_count(length, 'frame')}", "not in frames"], counted, numeric=(1,))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _runs_text(frames: Sequence[int]) -> str:
    """[3, 8, 9, 10] -> "3, 8-10"."""
    runs = [[int(t) for _, t in run] for _, run in groupby(enumerate(frames), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _segments(annotation: Annotation) -> str:
    """One row for each run of frames with the same words."""
    rows, start = [], 0
    names = ("subtask", "move", "subtask_reason")
    words = [tuple((field_text(c, f) if c else "") or _UNKNOWN for f in names) for c in annotation.episode.reasoning]
    for _, run in groupby(words, key=lambda said: said[:2]):
        said = list(run)
        rows.append([_runs_text(range(start, start + len(said))), *said[0]])
        start += len(said)
    return "<h3>Words</h3>" + table(["frames", "subtask", "move", "why, in the first of them"], rows, numeric=(0,))


def _motion_note(motion: Motion) -> str:
    """What the chart cannot say by itself: whose motion it is, and that a stretch behind a gap has a zero of its own."""
    axes = [name for name, joined in zip(_AXES, motion.joined, strict=True) if not joined]
    told = "Lengths are measured in the picture, by the size of the hand: a camera that moves adds its own way to them."
    if axes and any(_gone(motion, t) for t in range(len(motion.path))):
        told += (f" Where a line breaks, nobody knows. Behind a break {' and '.join(axes)} begin anew: which of both the hand's "
                 "way in the picture was meanwhile, nobody saw.")  # fmt: skip
    return f"<p>{told}</p>"


def motion_figure(annotation: Annotation) -> go.Figure:
    """The path in centimetres over time, with the subtasks as bands."""
    return path_figure(annotation.evidence.motion, annotation.clip.fps)


def path_figure(motion: Motion, fps: float) -> go.Figure:
    """The same of a motion alone."""
    figure = go.Figure()
    for axis, name in enumerate(_AXES):
        values = 100 * (motion.path[:, axis] - _least(motion, axis))
        if np.isfinite(values).any():
            y = [None if np.isnan(v) else round(float(v), 2) for v in values]
            figure.add_scatter(x=[k / fps for k in range(len(y))], y=y, name=name, mode="lines+markers", connectgaps=False,
                               line={"color": f"rgb{COLOURS[axis]}"})  # fmt: skip
    start = 0
    for number, (label, run) in enumerate(groupby(motion.subtasks)):
        length = len(list(run))
        if label is not None:
            band = {"x0": (start - 0.5) / fps, "x1": (start + length - 0.5) / fps, "opacity": 0.12 + 0.1 * (number % 2)}
            figure.add_vrect(**band, line_width=0, fillcolor="grey", annotation_text=chart_text(label),
                             annotation_position="top left")  # fmt: skip
        else:
            figure.add_annotation(x=(start + length / 2 - 0.5) / fps, y=0.5, yref="paper", showarrow=False, textangle=-90,
                                  text=_UNKNOWN if _gone(motion, start) else "no subtask known")  # fmt: skip
        start += length
    figure.update_layout(xaxis_title="seconds", yaxis_title="cm from the least", height=340, margin={"t": 30, "b": 40},
                         paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": "black"})  # fmt: skip
    return figure


def _gone(motion: Motion, t: int) -> bool:
    return not np.isfinite(motion.path[t]).any()


def _least(motion: Motion, axis: int) -> np.ndarray:
    """(T,) the least value of the clip, or of the known stretch around each frame where stretches have origins of their own."""
    values = motion.path[:, axis]
    if motion.joined[axis]:
        return np.full(len(values), np.nanmin(np.r_[values, np.inf]))
    least = np.full(len(values), np.nan)
    for run in runs(values[:, None]):
        least[run] = values[run].min()
    return least
