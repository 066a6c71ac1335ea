"""Overlays land where the coordinates say, videos survive the trip, and a hostile string stays a string."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radlite.errors import RadliteError
from radlite.reasoning import FIELDS, Box, Reasoning
from radlite.show import (
    clean,
    draw_prediction,
    escape,
    read_images,
    read_video,
    reasoning_panel,
    side_by_side,
    write_mp4,
    write_report,
)
from radlite.show.charts import curve_figures, success_figure
from radlite.show.html import chart_text, script_json
from radlite.show.panel import FIELD_STYLE
from radlite.stats import wilson

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\"' onload=alert(3) x='",
    "<!--",
)
CHAIN = Reasoning(
    task="put the can on the plate",
    bboxes=(Box("can", (64, 128, 128, 192)),),
    subtask="reach the can",
    move="move left",
    gripper=((200, 40), (190, 50), (180, 60), (170, 70), (160, 80)),
)


def _grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 100, np.uint8)


def _changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a != b).any(axis=2)


# --- intervals ---


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (27, 80, 0.243, 0.446),
        (0, 10, 0.0, 0.278),
        (10, 10, 0.722, 1.0),
        (50, 100, 0.404, 0.596),
        (0, 0, 0, 1),
    ],
)
def test_wilson_known_values(successes, trials, low, high):
    assert wilson(successes, trials) == pytest.approx((low, high), abs=1e-3)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_rate_and_mirrors(pair):
    successes, trials = pair
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@pytest.mark.parametrize("args", [(3, 2), (-1, 2), (1.5, 2), (1, 2, 0.0), (True, 1), ("1", 2)])
def test_wilson_refuses_what_is_no_count(args):
    with pytest.raises(RadliteError):
        wilson(*args)


# --- overlays ---


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 64), (360, 640), (640, 360), (101, 77)])
def test_box_is_painted_on_its_edges_only(height, width):
    frame = _grey(height, width)
    only_box = Reasoning(bboxes=CHAIN.bboxes)
    plain = draw_prediction(frame, None, size=512, panel=False)
    drawn = _changed(plain, draw_prediction(frame, only_box, size=512, panel=False))
    h, w = drawn.shape
    assert max(h, w) == 512 and h % 2 == w % 2 == 0
    x1, y1, x2, y2 = round(w / 4), round(h / 2), round(w / 2), round(h * 3 / 4)
    middle_x, middle_y = (x1 + x2) // 2, (y1 + y2) // 2
    for x, y in ((x1, middle_y), (x2, middle_y), (middle_x, y2)):
        assert drawn[y - 4 : y + 5, x - 4 : x + 5].any()
    assert not drawn[middle_y, middle_x]
    assert not drawn[:, : x1 - 6].any() and not drawn[y2 + 6 :].any()
    assert not drawn[: y1 - 30].any()  # the name's tag stands right above the box


def test_path_and_arrow_point_where_they_should():
    frame = _grey(256, 256)
    plain = draw_prediction(frame, None, size=256, panel=False)
    path = Reasoning(gripper=((128, 128), (128, 128)))
    without = draw_prediction(frame, path, size=256, panel=False)
    assert _changed(plain, without)[128, 128]
    sides = {
        (0.05, 0.0): (slice(80, 115), slice(120, 137)),  # forward is up
        (-0.05, 0.0): (slice(141, 176), slice(120, 137)),
        (0.0, 0.05): (slice(120, 137), slice(80, 115)),  # left is left
        (0.0, -0.05): (slice(120, 137), slice(141, 176)),
    }
    for (dx, dy), where in sides.items():
        arrow = draw_prediction(frame, path, [dx, dy, 0, 0, 0, 0, 1], size=256, panel=False)
        changed = _changed(without, arrow)
        changed[200:, :80] = False  # the badge
        assert changed[where].any()
        changed[where] = False
        assert changed.sum() < 120, (dx, dy)  # at most the arrow's stump at the gripper


def test_badge_tells_height_and_jaws():
    frame = _grey(256, 256)
    pictures = [
        draw_prediction(frame, None, [0, 0, dz, 0, 0, 0, jaws], size=256, panel=False)
        for dz, jaws in ((0.04, 1), (-0.04, 1), (0.04, 0))
    ]
    assert all(_changed(pictures[0], other)[200:, :80].any() for other in pictures[1:])


def test_dashed_truth_differs_from_prediction():
    frame = _grey(128, 128)
    plain = draw_prediction(frame, None, panel=False)
    truth = _changed(plain, draw_prediction(frame, None, panel=False, truth=CHAIN))
    said = _changed(plain, draw_prediction(frame, Reasoning(bboxes=CHAIN.bboxes), panel=False))
    edge = (slice(290, 350), 128)  # left edge of the box, x = 64 of 256
    assert said[edge].all() and truth[edge].any() and not truth[edge].all()


def test_input_is_not_changed_and_panel_has_constant_size():
    frame = _grey(90, 160)
    shapes = {draw_prediction(frame, r, size=512).shape for r in (None, CHAIN, Reasoning(task="x" * 9000))}
    assert shapes == {(512, 960, 3)}
    assert (frame == 100).all()


@pytest.mark.parametrize("action", [[float("nan")] * 7, [float("inf")] * 7, [1.0], [1e9] * 7, None])
def test_odd_actions_do_not_break_a_picture(action):
    assert draw_prediction(_grey(32, 32), CHAIN, action).dtype == np.uint8


@given(
    st.text(max_size=300),
    st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 4), max_size=4),
    st.lists(st.tuples(*[st.integers(-(10**30), 10**30)] * 2), max_size=7),
)
@settings(max_examples=15, deadline=None)
def test_any_chain_gives_a_picture(text, boxes, points):
    chain = Reasoning(
        task=text, plan=text, move=text, bboxes=tuple(Box(text, b) for b in boxes), gripper=tuple(points)
    )
    assert draw_prediction(_grey(24, 40), chain, size=128, truth=chain).shape == (128, 240, 3)


def test_panel_shows_every_field_of_an_overlong_chain():
    assert tuple(field for field, _, _ in FIELD_STYLE) == FIELDS
    long = Reasoning(task="word " * 2000, plan="plan " * 2000, move="go")
    panel = reasoning_panel(long, 400, 300).astype(int)
    green = (panel[..., 1] - panel[..., 0] > 60) & (panel[..., 1] > panel[..., 2] + 20)
    assert green.any()  # "Move:", the last field, is still there
    assert (panel[-6:] > 200).all()  # and nothing runs over the edge


def test_panel_says_when_the_truth_differs():
    same = reasoning_panel(CHAIN, 300, 300, truth=CHAIN)
    assert (same == reasoning_panel(CHAIN, 300, 300)).all()
    assert (same != reasoning_panel(CHAIN, 300, 300, truth=CHAIN.replace(move="move right"))).any()


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), None]
)
def test_wrong_frames_are_refused(frame):
    with pytest.raises(RadliteError, match="uint8"):
        draw_prediction(frame, None)


def test_side_by_side_holds_the_last_frame():
    a = [np.full((20, 30, 3), v, np.uint8) for v in (10, 20)]
    b = [np.full((40, 30, 3), v, np.uint8) for v in (50, 60, 70)]
    video = side_by_side(a, b, ("left", "right"))
    assert len(video) == 3
    assert (video[2, 25, 5] == 20).all() and (video[2, -1, -5] == 70).all()
    with pytest.raises(RadliteError):
        side_by_side([], b)


# --- files ---


def _clip(frames: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    ramp = np.linspace(30, 200, frames).astype(np.uint8)
    return np.broadcast_to(ramp[:, None, None, None], (frames, height, width, 3)).copy()


def test_video_round_trip(tmp_path):
    path = write_mp4(tmp_path / "new" / "clip.mp4", iter(_clip()), fps=5)
    frames, fps = read_video(path)
    assert frames.shape == (6, 48, 64, 3) and fps == 5
    assert np.abs(frames.astype(int) - _clip()).max() < 12  # lossy, but the same picture
    assert len(read_video(path, max_frames=2)[0]) == 2
    data = path.read_bytes()
    assert b"avc1" in data and data.index(b"moov") < data.index(b"mdat")  # H.264, index first


def test_odd_sizes_are_padded(tmp_path):
    frames, _ = read_video(write_mp4(tmp_path / "odd.mp4", _clip(2, 33, 47)))
    assert frames.shape == (2, 34, 48, 3)


def test_failed_write_leaves_the_old_video_and_no_rest(tmp_path):
    path = write_mp4(tmp_path / "clip.mp4", _clip(2))
    before = path.read_bytes()
    for frames in ([], [*_clip(2), _grey(10, 10)], [np.zeros((4, 4))]):
        with pytest.raises(RadliteError):
            write_mp4(path, frames)
    with pytest.raises(RadliteError):
        write_mp4(path, _clip(2), fps=0)
    (tmp_path / "file").write_text("x")
    with pytest.raises(RadliteError, match="written"):
        write_mp4(tmp_path / "file" / "clip.mp4", _clip(2))
    assert path.read_bytes() == before and sorted(p.name for p in tmp_path.iterdir()) == ["clip.mp4", "file"]


def test_unreadable_media_is_refused(tmp_path):
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    (tmp_path / "screen.ans").write_text("text that ffmpeg would paint as a terminal\n" * 50)
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile clip.mp4\n")  # opens another file
    write_mp4(tmp_path / "clip.mp4", _clip(2))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes()[:200])
    for name in ("text.mp4", "screen.ans", "list.mp4", "cut.mp4", "absent.mp4", "."):
        with pytest.raises(RadliteError):
            read_video(tmp_path / name)
        with pytest.raises(RadliteError):
            read_images([tmp_path / name])
    with pytest.raises(RadliteError):
        read_video(tmp_path / "clip.mp4", max_frames=0)


def test_read_images_sorts_a_folder(tmp_path):
    for name, value in (("b.png", 2), ("a.png", 1), ("note.txt", 0)):
        path = tmp_path / name
        path.write_text("x") if name.endswith("txt") else Image.new("RGBA", (3, 2), (value, 0, 0, 255)).save(
            path
        )
    images = read_images(tmp_path)
    assert [i[0, 0, 0] for i in images] == [1, 2] and images[0].shape == (2, 3, 3)


@pytest.mark.skipif(not (MEDIA / "hand_video.mp4").is_file(), reason="real footage is not here")
def test_real_footage():
    frames, fps = read_video(MEDIA / "hand_video.mp4", max_frames=3)
    assert frames.shape == (3, 360, 640, 3) and fps == 10
    assert draw_prediction(frames[0], CHAIN, [0.01, 0, 0, 0, 0, 0, 1]).shape == (512, 960, 3)


# --- text ---


@given(st.text())
def test_cleaned_and_escaped_text_is_harmless(text):
    assert not re.search(
        r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ud800-\udfff]", clean(text)
    )
    assert len(clean(text, 20)) <= 20
    assert not set("<>\"'") & set(escape(text))
    assert not set("<>\"'") & set(chart_text(text)) and "&quot;" not in chart_text(text)
    assert not set("<>&") & set(script_json({text: text}))


# --- report ---


def _results(arm: str = "rad") -> dict:
    cell = {"successes": 27, "trials": 80}
    return {
        "arms": {"ecot": {"robot_tasks": cell, "human_only_tasks": cell}, arm: {"human_only_tasks": cell}},
        "controls": {"do_nothing": {"successes": 0, "trials": 80}, "random": {"human_only_tasks": cell}},
        "steps": {"ecot": 100},
        "datasets": {"robot": {"episodes": 4, "frames": 80, "sha256": "ab" * 32}},
        "seconds": {"train": {"rad": 12.34}, "total": 20.0},
        "seed": 0,
        "versions": {"torch": "2.9"},
    }


def _curves(arm: str = "rad") -> dict:
    row = {"loss": 2.0, "fields": {"move": {"loss": 1.0, "accuracy": 0.5}, "action": {"loss": float("nan")}}}
    return {"ecot": [{"step": s, **row} for s in range(3)], arm: [{"step": s, **row} for s in range(3)]}


def _hostile_report(folder: Path) -> Path:
    bad = HOSTILE[0] + HOSTILE[1] + HOSTILE[2] + HOSTILE[3]
    results = _results(bad)
    results["controls"][bad] = {"successes": 0, "trials": 5}
    results["arms"][bad][bad] = {"successes": 1, "trials": 5}
    results["datasets"][bad] = {"episodes": bad, "frames": 1, "sha256": bad}
    results |= {"versions": {bad: bad}, "seed": bad, "seconds": {bad: bad}}
    curves = _curves(bad)
    curves[bad][0]["fields"] = {bad: {"loss": 1.0}}
    return write_report(folder, results, curves, [(bad, _clip(3))])


class _Tags(HTMLParser):
    """Collects what a browser would make elements and attributes of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_hostile_strings_stay_text(tmp_path):
    page = _hostile_report(tmp_path).read_text(encoding="utf-8")
    bundle = max(re.findall(r"<script>(.*?)</script>", page, re.DOTALL), key=len)
    rest = page.replace(bundle, "")  # plotly's own bundle holds "<script" in strings of its own
    assert "<img" not in rest and "<script>alert" not in rest and "<!--" not in rest
    parser = _Tags()
    parser.feed(rest)
    assert [t for t, _ in parser.tags].count("script") == 3  # data, bundle, our few lines
    assert not [a for _, attrs in parser.tags for a in attrs if a.startswith("on")]
    assert "&lt;img src=x onerror=alert(1)&gt;" in rest


def test_report_is_one_file_that_loads_nothing(tmp_path):
    page = write_report(tmp_path, _results(), _curves(), [("clip", _clip(3))]).read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    parser = _Tags()
    parser.feed(page)
    addresses = [v for _, attrs in parser.tags for k, v in attrs.items() if k in ("src", "href")]
    assert addresses and all(a.startswith("data:video/mp4;base64,") for a in addresses)
    assert page.count("plotly.js v") == 1
    assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
    assert "24 to 45%" in page and "24.3 to 44.6" in page and "ab" * 32 in page
    video = next(attrs for tag, attrs in parser.tags if tag == "video")
    assert {"controls", "muted", "loop", "playsinline"} <= set(video)


def test_report_without_extras_says_so(tmp_path):
    page = write_report(tmp_path, {"arms": {}}).read_text(encoding="utf-8")
    for sentence in ("No success counts", "No controls", "No videos", "No training log"):
        assert sentence in page


def test_bad_report_input_keeps_the_old_report(tmp_path):
    path = write_report(tmp_path, _results())
    before = path.read_bytes()
    (tmp_path / "fake.mp4").write_bytes(b"<html>")
    impossible = _results() | {"arms": {"rad": {"robot_tasks": {"successes": 9, "trials": 2}}}}
    calls = [([], {}, []), ({}, {}, []), (impossible, {}, []), (_results(), {"rad": [{"loss": 1}]}, [])]
    calls += [(_results(), {}, [("x", tmp_path / name)]) for name in ("fake.mp4", "absent.mp4")]
    for results, curves, clips in calls:
        with pytest.raises(RadliteError):
            write_report(tmp_path, results, curves, clips)
    with pytest.raises(RadliteError, match="written"):
        write_report(tmp_path / "fake.mp4", _results())
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_charts_carry_the_numbers():
    figure = success_figure({"rad": {"human_only_tasks": (27, 80)}})
    bar = figure["data"][0]
    low, high = (100 * b for b in wilson(27, 80))
    assert bar["y"][0] == pytest.approx(33.75)
    assert bar["y"][0] - bar["error_y"]["arrayminus"][0] == pytest.approx(low)
    assert bar["y"][0] + bar["error_y"]["array"][0] == pytest.approx(high)
    curves = _curves()
    curves["rad"] = [{"step": s, "loss": 1.0, "fields": {}} for s in range(5000)]
    figures = dict(curve_figures(curves))
    assert list(figures) == ["total", "move"]  # a field whose losses are all NaN has no panel
    assert len(figures["total"]["data"][1]["x"]) <= 400 and len(figures["move"]["data"]) == 1


def _dump_dom(page: Path, profile: Path) -> str:
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    flags += " disable-component-update disable-sync virtual-time-budget=8000 dump-dom"
    command = [CHROMIUM, *(f"--{f}" for f in flags.split()), f"--user-data-dir={profile}", page.as_uri()]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    finally:
        shutil.rmtree(profile, ignore_errors=True)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")
def test_browser_draws_charts_and_video(tmp_path):
    """The hostile report in a real browser: charts drawn, video there, nothing injected became an element."""
    dom = _dump_dom(_hostile_report(tmp_path), tmp_path / "profile")
    parser = _Tags()
    parser.feed(re.sub(r"<script>.*?</script>", "", dom, flags=re.DOTALL))
    classes = [attrs.get("class") or "" for _, attrs in parser.tags]
    assert sum("main-svg" in c for c in classes) >= 4
    assert sum(tag == "g" and "bars" in (attrs.get("class") or "") for tag, attrs in parser.tags) >= 2
    assert [tag for tag, _ in parser.tags].count("video") == 1
    assert not [tag for tag, attrs in parser.tags if tag == "img" or "onerror" in attrs or "onload" in attrs]
