"""RAD's own robot through `radlite predict`: real footage, which no policy of ours has ever seen, comes out with an overlay."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from radlite import Reasoning
from radlite.cli import main
from radlite.show import draw_prediction, read_video

VIDEO = Path(__file__).resolve().parents[2] / "shared" / "media" / "robot_video.mp4"
SIDE = 512  # pixels of the drawn frame; the chain stands beside it
CODEC = 60  # levels that H.264 may be off, at an edge

pytestmark = pytest.mark.skipif(not VIDEO.exists(), reason="real footage is not in this checkout (../shared/media)")


def drawn_at(chain: Reasoning, width: int, height: int) -> np.ndarray:
    """bool (height, width): where the overlay may draw: outlines and names of boxes, the path, the arrow, the badge."""
    image, scale = Image.new("1", (width, height)), np.array([width, height]) / 256
    draw = ImageDraw.Draw(image)
    for box in chain.bboxes or ():
        (x1, y1), (x2, y2) = np.reshape(box.xyxy, (2, 2)) * scale
        draw.rectangle((x1 - 6, y1 - 6, x2 + 6, y2 + 6), outline=1, width=12)
        draw.rectangle((x1 - 6, y1 - 24, x1 + 160, y1 + 4), fill=1)  # its name, above the box or below it
        draw.rectangle((x1 - 6, y2 - 4, x1 + 160, y2 + 24), fill=1)
    points = [tuple(p) for p in (np.array(chain.gripper or ()).reshape(-1, 2) * scale).tolist()]
    draw.line(points, fill=1, width=8)
    for x, y in points:
        draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=1)
    x, y = points[0] if points else (width / 2, height / 2)
    draw.ellipse((x - 100, y - 100, x + 100, y + 100), fill=1)  # the arrow of the action
    draw.rectangle((0, height - 96, 128, height), fill=1)
    return np.array(image)


def test_the_robots_video_runs_through_with_a_sensible_overlay(tmp_path, capsys):
    out = tmp_path / "overlay.mp4"
    assert main(["predict", str(VIDEO), "--instruction", "pick up the blue tape", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (source, rate), (overlay, kept) = read_video(VIDEO), read_video(out)
    assert len(overlay) == len(source) == len(rows) and kept == rate
    told = 0
    for frame, shown, row in zip(source, overlay, rows, strict=True):
        bare = draw_prediction(frame, None, size=SIDE, panel=False)
        height, width, _ = bare.shape
        above = (overlay.shape[1] - height) // 2
        left = shown[above : above + height, :width].astype(int)
        differs = np.abs(left - bare).max(-1) > CODEC
        chain = Reasoning.from_text(row["text"])
        assert (differs & ~drawn_at(chain, width, height)).mean() < 0.002  # the robot is as it was
        assert 0.005 < differs.mean() < 0.1  # something is drawn, and does not hide it
        told += bool(chain.bboxes and chain.gripper)
        assert shown[:, width:].std() > 20  # words beside it
    assert told >= 0.8 * len(rows)
