"""Files of landmarks: what is written comes back, by the clock, and what is not as it should be is one error."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_hands import hand

from radlite.annotate.evidence import Hand
from radlite.annotate.landmarks import MOST_FRAMES, Landmarks, RecordedHands, read_landmarks, write_landmarks
from radlite.errors import RadliteError

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
POINTS = [[0.5, 0.25, 0.0]] * 21
SHAPE = hand((9, 9)).landmarks


def record(frames=None, **about):
    """A file's object with one hand in its first frame."""
    one = {"handedness": "Left", "score": 0.9, "landmarks": POINTS}
    frames = [{"frame": 0, "hands": [one]}] if frames is None else frames
    return {"fps": 10, "width": 640, "height": 360, "frames": frames} | about


def with_hand(**changed):
    one = {"handedness": "Left", "score": 0.9, "landmarks": POINTS} | changed
    return record([{"frame": 0, "hands": [{k: v for k, v in one.items() if v is not ...}]}])


def put(folder, content):
    path = folder / "hands.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


def same(mine, theirs, atol=6e-6):  # half a hundred-thousandth, and float32
    assert [len(f) for f in mine] == [len(f) for f in theirs]
    for one, other in ((a, b) for f, g in zip(mine, theirs, strict=True) for a, b in zip(f, g, strict=True)):
        np.testing.assert_allclose(one.landmarks, other.landmarks, atol=atol)
        assert one.side == other.side and abs(one.score - other.score) <= 5e-5


# ------------------------------------------------------------------------------------------------ there and back
def test_left_in_the_file_is_the_right_hand(tmp_path):
    read = read_landmarks(put(tmp_path, record()))
    [[one]] = read.hands
    assert one.side == "right" and one.score == 0.9 and one.landmarks.shape == (21, 3) and one.landmarks.dtype == np.float32
    assert (read.fps, read.width, read.height, read.tracker) == (10.0, 640, 360, "")


HANDS = st.builds(
    lambda points, side, score: Hand(np.array(points, np.float32).reshape(21, 3), side, score),
    st.lists(st.floats(-2, 3, width=32), min_size=63, max_size=63), st.sampled_from(["left", "right"]), st.floats(0, 1),
)  # fmt: skip


@given(st.lists(st.lists(HANDS, max_size=3).map(tuple), max_size=5), st.sampled_from([5, 29.97, 240.0]), st.text(max_size=20))
@settings(max_examples=25)
def test_what_is_written_comes_back(tmp_path_factory, hands, fps, tracker):
    tracker = tracker.encode("utf-8", "replace").decode()
    path = tmp_path_factory.mktemp("hands") / "new" / "clip.json"
    assert write_landmarks(path, Landmarks(tuple(hands), fps, 640, 361, tracker)) == path
    read = read_landmarks(path)
    same(read.hands, hands)
    assert (read.fps, read.width, read.height, read.tracker) == (fps, 640, 361, tracker)
    assert [p.name for p in path.parent.iterdir()] == ["clip.json"]  # nothing half-written beside it


def test_a_disk_that_refuses_leaves_what_was_there(tmp_path, monkeypatch):
    path = put(tmp_path, record())
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(RadliteError, match="nothing was changed"):
        write_landmarks(path, Landmarks((), 5, 10, 10))
    assert path.read_bytes() == before


def test_frames_that_are_not_listed_have_no_hand(tmp_path):
    frames = [{"frame": 1, "hands": []}, {"frame": 3, "hands": record()["frames"][0]["hands"]}]
    read = read_landmarks(put(tmp_path, record(frames)))
    assert [len(found) for found in read.hands] == [0, 0, 0, 1]


@pytest.mark.skipif(not MEDIA.is_dir(), reason="real footage is not in this checkout (../shared/media)")
def test_the_recorded_file(tmp_path):
    read = read_landmarks(MEDIA / "hand_video.landmarks.json")
    assert (len(read.hands), read.fps, read.width, read.height) == (40, 10, 640, 360)
    assert sum(map(bool, read.hands)) == 29 and read.tracker == "MediaPipe Hands 0.10.21"
    first = {one.side: one.landmarks[:, 0].mean() for one in read.hands[0]}
    assert first["right"] > 0.7 > 0.55 > first["left"]  # of the person who wears the camera
    again = read_landmarks(write_landmarks(tmp_path / "again.json", read))
    same(again.hands, read.hands, atol=1e-7)  # it has five digits already


# ------------------------------------------------------------------------------------------------ by the clock
def numbered(count, fps, width=640, height=360):
    """In each frame a hand that tells its number by its score."""
    return Landmarks(tuple((Hand(SHAPE, "left", k / 10_000),) for k in range(count)), fps, width, height)


def shown(hands):
    return [round(found[0].score * 10_000) if found else None for found in hands]


def test_a_clip_frame_has_the_hands_of_the_picture_shown_then():
    assert shown(numbered(40, 10).at(5, 20)) == list(range(0, 40, 2))
    assert shown(numbered(30, 30).at(5, 5)) == [0, 6, 12, 18, 24]
    assert shown(numbered(6, 3).at(5, 10)) == [0, 0, 1, 1, 2, 3, 3, 4, 4, 5]  # the picture that stands, not the nearest
    assert shown(numbered(9, 29.97).at(29.97, 9)) == list(range(9))  # no rounding error moves one


@given(st.sampled_from([5, 10, 23.976, 25, 29.97, 30, 59.94]), st.sampled_from([1, 2, 3, 5, 7.5]), st.integers(1, 60))
def test_no_hand_is_from_later_than_its_frame(taken, kept, count):
    moments = numbered(int(count * taken / kept) + 1, taken).at(kept, count)
    for k, number in enumerate(shown(moments)):
        assert number / taken <= k / kept + 1e-6 < (number + 1) / taken + 2e-6


def test_landmarks_that_end_too_early_are_not_those_of_the_clip():
    assert shown(numbered(10, 10).at(5, 6)) == [0, 2, 4, 6, 8, None]  # the clip is 0.1 s longer: nobody knows
    with pytest.raises(RadliteError, match="up to 3.8 s.*found 2.0 s.*of this clip"):
        numbered(20, 10).at(5, 20)
    assert numbered(3, 10).at(5, 0) == []


def test_landmarks_that_go_on_after_the_clip_are_not_those_of_the_clip():
    assert shown(numbered(24, 10).at(5, 10)) == list(range(0, 20, 2))  # 0.4 s more: rates are rounded
    with pytest.raises(RadliteError, match="up to about 0.2 s.*found 4.0 s.*of this clip"):
        numbered(40, 10).at(5, 1)
    with pytest.raises(RadliteError, match="up to about 2.0 s"):
        RecordedHands(numbered(26, 10)).detect([np.zeros((360, 640, 3), np.uint8)] * 10, 5.0)


def test_a_rate_that_is_none():
    for rate in (0, -1, float("nan"), float("inf")):
        with pytest.raises(RadliteError, match="above 0"):
            numbered(3, 10).at(rate, 2)


def test_recorded_hands_are_a_detector():
    pictures = (np.zeros((90, 160, 3), np.uint8) for _ in range(10))
    assert shown(RecordedHands(numbered(20, 10)).detect(pictures, 5.0)) == list(range(0, 20, 2))
    assert shown(RecordedHands(numbered(3, 10)).detect([np.zeros((360, 640, 3), np.uint8)] * 3, 10.0)) == [0, 1, 2]
    with pytest.raises(RadliteError, match="640x360.*found 256x256.*do not cut"):
        RecordedHands(numbered(3, 10)).detect([np.zeros((256, 256, 3), np.uint8)], 10.0)


# ------------------------------------------------------------------------------------------------ hostile files
FRAME = {"frame": 0, "hands": []}
WRONG = {
    "no object": [],
    "a number": 7,
    "no frames": {"fps": 1, "width": 2, "height": 2},
    "no fps": {"frames": [], "width": 2, "height": 2},
    "fps zero": record(fps=0), "fps text": record(fps="10"), "fps true": record(fps=True), "fps huge": record(fps=1e9),
    "width part": record(width=640.5), "width none": record(width=None), "height huge": record(height=1 << 20),
    "tracker": record(tracker={"a": 1}),
    "frames object": record({"0": FRAME}), "frames number": record(3), "frame number": record([3]),
    "frame twice": record([FRAME, FRAME]),
    "frames back": record([{"frame": 2, "hands": []}, {"frame": 1, "hands": []}]),
    "frame below": record([{"frame": -1, "hands": []}]),
    "frame far": record([{"frame": MOST_FRAMES, "hands": []}]),
    "frame text": record([{"frame": "0", "hands": []}]), "frame true": record([{"frame": True, "hands": []}]),
    "frame part": record([{"frame": 0.5, "hands": []}]), "frame none": record([{"hands": []}]),
    "no hands": record([{"frame": 0}]), "hands object": record([{"frame": 0, "hands": {}}]),
    "a crowd": record([{"frame": 0, "hands": record()["frames"][0]["hands"] * 9}]),
    "hand text": record([{"frame": 0, "hands": ["x"]}]),
    "no handedness": with_hand(handedness=...), "handedness": with_hand(handedness="left"),
    "both": with_hand(handedness=["Left"]),
    "no score": with_hand(score=...), "score": with_hand(score=1.5), "score text": with_hand(score="0.9"),
    "20": with_hand(landmarks=POINTS[:20]), "22": with_hand(landmarks=[*POINTS, POINTS[0]]),
    "flat": with_hand(landmarks=[0.5] * 63),
    "two": with_hand(landmarks=[[0.5, 0.5]] * 21), "text": with_hand(landmarks=[["0.5", 0, 0], *POINTS[1:]]),
    "null": with_hand(landmarks=[[None, 0, 0], *POINTS[1:]]), "far": with_hand(landmarks=[[99.0, 0, 0], *POINTS[1:]]),
    "NaN": with_hand(landmarks=[[float("nan"), 0, 0], *POINTS[1:]]),
    "inf": with_hand(landmarks=[[float("inf"), 0, 0], *POINTS[1:]]),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_as_described_is_one_error(name, tmp_path):
    path = put(tmp_path, WRONG[name])
    with pytest.raises(RadliteError) as caught:
        read_landmarks(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 600


BYTES = {
    "empty": b"", "text": b"hello", "binary": bytes(range(256)), "deep": b'{"frames": ' + b"[" * 100_000,
    "deep frame": b'{"frames": [' + b"[" * 500 + b"]" * 500 + b"]}",
    "digits": b'{"fps": ' + b"9" * 10_000 + b"}", "exponent": b'{"fps": 1e999, "width": 1, "height": 1, "frames": []}',
    "long text": b'{"tracker": "' + b"x" * (5 << 20) + b'"}', "key twice": b'{"fps": 5, "fps": 5}',
    "large frame": b'{"frames": [{"frame": 0, "hands": [' + (b'"' + b"x" * 900_000 + b'",') * 5 + b"[]]}]}",
    "bad utf-8": b'{"tracker": "\xff\xfe"}', "two values": json.dumps(record()).encode() + b"{}",
}  # fmt: skip


@pytest.mark.parametrize("name", BYTES)
def test_what_is_no_such_json_is_one_error(name, tmp_path):
    with pytest.raises(RadliteError) as caught:
        read_landmarks(put(tmp_path, BYTES[name]))
    assert len(str(caught.value)) < 600


@given(st.integers(0, len(json.dumps(record())) - 1))
@settings(max_examples=40)
def test_a_file_that_was_cut_off(tmp_path_factory, length):
    path = put(tmp_path_factory.mktemp("cut"), json.dumps(record()).encode()[:length])
    with pytest.raises(RadliteError, match=re.escape(str(path))):
        read_landmarks(path)


def test_the_frame_is_named_and_its_text_is_not_trusted(tmp_path):
    bad = record([FRAME, {"frame": 7, "hands": [{"handedness": "\x1b[31mLeft" + "x" * 5000}]}])
    with pytest.raises(RadliteError, match="in frame 7") as caught:
        read_landmarks(put(tmp_path, bad))
    assert "\x1b" not in str(caught.value) and len(str(caught.value)) < 600


def test_no_file(tmp_path):
    with pytest.raises(RadliteError, match="check the path"):
        read_landmarks(tmp_path / "none.json")
    with pytest.raises(RadliteError, match="check the path"):
        read_landmarks(tmp_path)
