"""What people look at: overlays on pixels, videos, and the report.

picture = draw_prediction(frame, prediction.reasoning, prediction.action)
write_mp4("rollout.mp4", side_by_side(frames_a, frames_b, ("ECoT", "RAD")))
write_report("runs/demo", results, curves, [("the same scene", "runs/demo/rollout.mp4")])
play(episode)  # in a notebook
edit(dataset, 3)  # there, too
"""

from importlib import import_module
from typing import Any

from radlite.show.compose import side_by_side
from radlite.show.html import escape
from radlite.show.overlay import draw_prediction
from radlite.show.panel import reasoning_panel
from radlite.show.report import write_report
from radlite.show.text import clean
from radlite.show.video import read_images, read_video, video_frames, write_mp4

_LAZY = {"play": "player", "Player": "player", "edit": "editing", "Editor": "editor"}

__all__ = [
    "Editor",
    "Player",
    "clean",
    "draw_prediction",
    "edit",
    "escape",
    "play",
    "read_images",
    "read_video",
    "reasoning_panel",
    "side_by_side",
    "video_frames",
    "write_mp4",
    "write_report",
]


def __getattr__(name: str) -> Any:
    """Player and editor are imported when they are first used: they need anywidget, which nothing else here does."""
    if name not in _LAZY:
        raise AttributeError(f"module 'radlite.show' has no attribute {name!r}")
    return getattr(import_module(f"radlite.show.{_LAZY[name]}"), name)
