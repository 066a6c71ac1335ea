"""What radlite's columns mean, in the words that go into meta/info.json and the dataset card (README.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

IMAGE_KEY, STATE_KEY, ACTION_KEY, REASONING_KEY = (
    "observation.images.main",
    "observation.state",
    "action",
    "reasoning",
)
ACTION_NAMES = ("dx", "dy", "dz", "droll", "dpitch", "dyaw", "gripper")
STATE_NAMES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
UNITS = {
    IMAGE_KEY: "RGB, lossless, inside the parquet files",
    STATE_KEY: "pose of the gripper: metres, radians; gripper 1 open, 0 closed; x forward, y left, z up",
    ACTION_KEY: "change over one frame: metres, radians; gripper 1 open, 0 closed; x forward, y left, z up",
    REASONING_KEY: "JSON of the reasoning of this frame, absent fields left out, '' where nobody "
    "annotated it; in pixels of a 256x256 frame: boxes x1 y1 x2 y2, gripper = the next points x y",
}

_LANGUAGE = {
    "language_persistent": "for LeRobot's recipes: plan, subtask and motion of the episode, each from its timestamp on",
    "language_events": "for LeRobot's recipes: boxes (vqa) and the gripper's next points (trace) of this frame, in its pixels",
}
_VIDEO = "RGB, in mp4 files under videos/"

_CARD = """---
license: {license}
task_categories:
- robotics
tags:
- LeRobot
- radlite
configs:
- config_name: default
  data_files: data/*/*.parquet
---
# {num_episodes} {embodiment} episodes

{num_frames} frames of {height}x{width} pixels at {fps:g} frames a second, embodiment `{embodiment}`.
{actions}

## Origin
{origin}

Licence: {license}.

## Columns
LeRobotDataset v3.0 layout, written with `radlite.write_dataset`; read it with `radlite.EpisodeDataset`.

{columns}

## Instructions
{count} different ones{shown}:

{instructions}
"""


def card_text(
    info: Mapping[str, Any], units: Mapping[str, str], origin: str, license: str, most: int = 50
) -> str:
    """The card's Markdown.

    Args:
        info: the entries of a `DatasetInfo`.
        units: meaning of each column that is there.
        origin: how the episodes came about.
        license: the Hub's abbreviation.
        most: how many instructions to list.
    """
    height, width, _ = info["image_shape"]
    tasks = info["instructions"]
    human = "These are videos of people: there is no `action` column, and no action was invented."
    return _CARD.format(
        license=license,
        num_episodes=info["num_episodes"],
        num_frames=info["num_frames"],
        fps=info["fps"],
        embodiment=info["embodiment"],
        height=height,
        width=width,
        origin=origin,
        actions=human if info["embodiment"] == "human" else "Every frame has an action.",
        columns="\n".join(f"- `{name}`: {text}" for name, text in units.items()),
        count=len(tasks),
        shown=f", the first {most}" if len(tasks) > most else "",
        # indented and quoted: an instruction is anybody's text and must not become Markdown
        instructions="\n".join("    " + json.dumps(task, ensure_ascii=False) for task in tasks[:most]),
    )


def units_of(features: Mapping[str, Mapping[str, Any]], camera: str = IMAGE_KEY) -> dict[str, str]:
    """What each of radlite's columns means, of those that are there."""
    units = {camera if key == IMAGE_KEY else key: text for key, text in UNITS.items()}
    if camera in features and features[camera]["dtype"] == "video":
        units[camera] = _VIDEO
    return {name: text for name, text in (units | _LANGUAGE).items() if name in features}


def told_by_card(folder: Path) -> tuple[str, str]:
    """(origin, licence) as the card of a dataset tells them; "" and "other" where it does not."""
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as file:
            text = file.read(1 << 20)
    except OSError:
        text = ""
    license = re.search(r"^license: ([\w.-]{1,40})$", text.partition("\n---\n")[0], re.M)
    return text.partition("\n## Origin\n")[2].split("\n\n")[0].strip(), license[1] if license else "other"
