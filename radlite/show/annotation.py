"""The report of an annotation: every stage drawn over the frames, so that one can see which one went wrong.

Hands come before objects, objects before motion, motion before words: the first part that looks wrong is the one to mend.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from PIL import Image, ImageDraw

from radlite.annotate.evidence import INDEX_TIP, THUMB_TIP, GripperTrack, Hand, View
from radlite.annotate.hindsight import Motion
from radlite.annotate.narrator import measured
from radlite.annotate.pipeline import Annotation
from radlite.formats.staging import replace_text
from radlite.reasoning import FRAME_SIZE, Reasoning, field_text
from radlite.show.html import chart_text, escape
from radlite.show.overlay import COLOURS, draw_prediction
from radlite.show.page import build_page, chart_slot, table
from radlite.show.panel import font
from radlite.show.report import data_url

SIDE = 320  # pixels of a drawn frame
_BONES = ((0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (5, 9, 10, 11, 12), (9, 13, 14, 15, 16), (0, 17, 18, 19, 20), (13, 17))
_GRIP, _INK, _WHITE = (255, 80, 170), (20, 20, 22), (255, 255, 255)
_CAPTIONS = {
    "Hands": "Thin lines: all hands that were found, blue the person's right one. Ring: the acting hand's gripper point, full "
             "where it was measured, dashed where it was filled in between two sightings. No ring: nobody knows, and the chain "
             "says nothing of it.",
    "Objects": "Boxes as tracked through the clip. A box that is missing was not found there; none is guessed.",
    "Chains": "What training reads.",
}  # fmt: skip


def write_annotation_report(annotations: Sequence[Annotation], path: str | os.PathLike) -> Path:
    """Writes one page about one or several clips; it opens without a network.

    Raises:
        RadliteError: a folder that cannot be written.
    """
    figures: list[dict] = []
    body = "\n".join(_clip(annotation, number, figures) for number, annotation in enumerate(annotations))
    head = f"<h1>Annotation</h1><p>{len(annotations)} clip{'s' * (len(annotations) != 1)}, stage by stage.</p>"
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
    parts = [_film("Hands", drawn_hands(annotation), episode.fps)]
    if evidence.objects:
        boxes = [Reasoning(bboxes=chain.bboxes) for chain in measured(evidence)]
        drawn = [draw_prediction(f, b, size=SIDE, panel=False) for f, b in zip(episode.frames, boxes, strict=True)]
        parts.append(_film("Objects", drawn, episode.fps))
    else:
        parts.append('<section class="card"><h3>Objects</h3><p>Nobody looked for things, so the chains name none.</p></section>')
    parts = [f'<div class="grid">{"".join(parts)}</div>']
    if evidence.motion is not None:
        name = f"motion-{number}"
        figures.append({"id": name, "figure": motion_figure(annotation).to_plotly_json()})
        parts.append(f"<section><h3>Motion</h3>{chart_slot(name)}</section>")
    chains = zip(episode.frames, episode.reasoning, strict=True)
    parts.append(_film("Chains", [draw_prediction(f, c, size=SIDE + 100) for f, c in chains], episode.fps))
    head = f"<h2>{escape(episode.instruction)}</h2><p>{escape(annotation.clip.source.name)}</p>"
    return head + _known(annotation) + "".join(parts) + _segments(annotation)


def _film(part: str, frames: Sequence[np.ndarray], fps: float) -> str:
    video = f'<video controls muted loop playsinline preload="metadata" src="{data_url(frames, fps)}"></video>'
    return f'<section class="card"><h3>{part}</h3><p>{_CAPTIONS[part]}</p>{video}</section>'


def _known(annotation: Annotation) -> str:
    """In how many frames each stage knows something."""
    evidence, length = annotation.evidence, len(annotation.clip)
    rows = [["a hand found", sum(map(bool, annotation.hands))], ["gripper measured", int(evidence.gripper.seen.sum())],
            ["gripper filled in", int((evidence.gripper.known & ~evidence.gripper.seen).sum())],
            *([f"box of {track.name}", int(np.isfinite(track.boxes).all(1).sum())] for track in evidence.objects),
            ["subtask known", sum(s is not None for s in evidence.motion.subtasks) if evidence.motion else 0],
            *([f"chain with {name}", sum(bool(c and getattr(c, name) is not None) for c in annotation.episode.reasoning)]
              for name in ("subtask", "move", "gripper"))]  # fmt: skip
    return table(["", f"of {length} frames"], rows, numeric=(1,))


def _segments(annotation: Annotation) -> str:
    """One row for each run of frames with the same words."""
    rows, start = [], 0
    words = [tuple(field_text(c, f) if c else "" for f in ("subtask", "move")) for c in annotation.episode.reasoning]
    for said, run in groupby(words):
        length = len(list(run))
        chain = annotation.episode.reasoning[start]
        rows.append([f"{start} - {start + length - 1}", *said, field_text(chain, "subtask_reason") if chain else ""])
        start += length
    return "<h3>Words</h3>" + table(["frames", "subtask", "move", "why, in the first of them"], rows)


def motion_figure(annotation: Annotation) -> go.Figure:
    """The path in centimetres over time, with the subtasks as bands."""
    return path_figure(annotation.evidence.motion, annotation.clip.fps)


def path_figure(motion: Motion, fps: float) -> go.Figure:
    """The same of a motion alone."""
    figure = go.Figure()
    for axis, name in enumerate(("forward", "left", "up")):
        values = 100 * (motion.path[:, axis] - np.nanmin(np.r_[motion.path[:, axis], np.inf]))
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
        start += length
    figure.update_layout(xaxis_title="seconds", yaxis_title="cm from the least", height=340, margin={"t": 30, "b": 40},
                         paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", font={"color": "black"})  # fmt: skip
    return figure
