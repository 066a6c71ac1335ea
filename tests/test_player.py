"""The player's Python side: what it makes of recordings, what it sends for a frame, and what stands where nothing moves."""

from __future__ import annotations

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import radlite
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.reasoning import Box, Reasoning
from radlite.show.overlay import draw_prediction
from radlite.show.panel import FIELD_STYLE
from radlite.show.player import SIZE, Player, contrast, lightened
from radlite.show.tracks import as_track, letter, segments, spoken

HOSTILE = "<img src=x onerror=alert(1)></textarea><script>alert(2)</script>\u202e[x](javascript:alert(3))"
STILL = np.array([0, 0, 0, 0, 0, 0, 1.0])


def _frames(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    ramp = np.linspace(20, 220, count).astype(np.uint8)
    return np.broadcast_to(ramp[:, None, None, None], (count, height, width, 3)).copy()


def _chains(*subtasks: str | None) -> list[Reasoning | None]:
    """A chain a subtask; "" is a chain that names none, None no chain at all."""
    return [None if s is None else Reasoning(task="go", subtask=s or None, move="move up") for s in subtasks]


def _outcome(steps: int, success: bool = True) -> SimpleNamespace:
    """What a rollout keeps: one picture more than there are steps."""
    said = [SimpleNamespace(reasoning=c, action=STILL) for c in _chains(*["reach the can."] * steps)]
    task = SimpleNamespace(task=SimpleNamespace(instruction="lift the can"))
    return SimpleNamespace(
        trial=task, success=success, frames=list(_frames(steps + 1)), thoughts=said, actions=[STILL] * steps
    )


def _decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


# --- recordings become tracks ---


def test_an_episode_brings_its_words_and_rate(human):
    player = radlite.play(human[0])
    assert isinstance(player, radlite.Player) and len(player) == len(human[0]) == player.lengths[0]
    assert player.titles == [human[0].instruction] and player.notes == ["human demonstration"]
    assert player.fps == human[0].fps and radlite.play(human[0], fps=12).fps == 12


def test_an_outcome_ends_with_a_picture_that_has_no_chain():
    player = Player(_outcome(4), _outcome(2, success=False), titles=("ECoT", "RAD"))
    assert player.lengths == [5, 3] and player.titles == ["ECoT", "RAD"]
    assert player.notes == ["done in 4 steps", "not done after 2 steps"]
    player.index = 4
    assert player.said == [{}, {}]
    player.index = 3
    assert player.said[0]["subtask"] == "reach the can." and "jaws open" in player.said[0]["action"]


def test_predictions_in_a_tuple_bring_their_actions():
    said = [SimpleNamespace(reasoning=c, action=STILL) for c in _chains("a", "b")]
    track = as_track((_frames(2), said))
    assert [c.subtask for c in track.chains] == ["a", "b"] and (track.actions[1] == STILL).all()
    assert as_track((_frames(2), None)).chains == [None, None]
    assert as_track((_frames(2), None, None)).actions == [None, None]


@pytest.mark.parametrize(
    "source",
    [
        None,
        "episode.mp4",
        3,
        _frames(2),
        (),
        (_frames(2),),
        (_frames(0), None),
        (None, None),
        (_frames(2).astype(float), None),
        ([np.zeros((4, 4), np.uint8)], None),
        (_frames(3), _chains("a")),
        (_frames(2), _chains("a", "b", "c")),
        (_frames(2), ["TASK: go", None]),
        (_frames(2), 7),
        (_frames(2), [Reasoning(bboxes="everything"), None]),
        (_frames(2), [Reasoning(gripper=((1, 2, 3),)), None]),
        (_frames(2), [Reasoning(task=5), None]),
        (_frames(2), None, [np.zeros(6), None]),
        (_frames(2), None, [np.zeros((2, 7)), None]),
        (_frames(2), None, ["up", None]),
        (_frames(2), None, np.zeros((4, 7))),
        SimpleNamespace(frames=[], thoughts=[], actions=[]),
    ],
    ids=str,
)
def test_what_cannot_be_played_is_refused(source):
    with pytest.raises(RadliteError):
        radlite.play(source)


@pytest.mark.parametrize(
    "options",
    [
        {"titles": "ab"},
        {"titles": ("a",)},
        {"titles": ("a", 2)},
        {"titles": 5},
        {"fps": 0},
        {"fps": float("nan")},
        {"fps": "5"},
        {"fps": True},
    ],
    ids=str,
)
def test_wrong_titles_and_rates_are_refused(options):
    with pytest.raises(RadliteError):
        radlite.play(_outcome(2), _outcome(2), **options)


def test_one_or_two_recordings():
    for count in (0, 3):
        with pytest.raises(RadliteError, match="one or two"):
            radlite.play(*[_outcome(2)] * count)


# --- the timeline ---


def test_segments_are_runs_of_one_subtask():
    track = as_track((_frames(7), _chains("a", "a", "b", "", None, "a", "a")))
    first, second, third = segments([track])[0]
    assert first == {"start": 0, "stop": 2, "label": "a", "kind": 0, "letter": "A"}
    assert (second["start"], second["stop"], second["letter"]) == (2, 3, "B")
    assert (third["start"], third["stop"], third["letter"]) == (5, 7, "A")


def test_the_same_subtask_has_the_same_letter_in_both_tracks():
    one, two = as_track((_frames(2), _chains("a", "b"))), as_track((_frames(3), _chains("b", "c", "a")))
    assert [[s["letter"] for s in line] for line in segments([one, two])] == [["A", "B"], ["B", "C", "A"]]
    assert segments([as_track((_frames(2), None))]) == [[]]


def test_letters_never_repeat():
    assert [letter(k) for k in (0, 25, 26, 27, 52)] == ["A", "Z", "A2", "B2", "A3"]
    assert len({letter(k) for k in range(200)}) == 200


def test_segments_cover_what_the_chains_say(robot):
    episode = robot[0]
    (line,) = radlite.play(episode).segments
    told = [None] * len(episode)
    for piece in line:
        told[piece["start"] : piece["stop"]] = [piece["label"]] * (piece["stop"] - piece["start"])
    assert told == [c.subtask for c in episode.reasoning]


# --- one frame at a time ---


def test_the_bytes_are_the_drawn_frame(robot):
    episode = robot[0]
    player = radlite.play(episode)
    for k in (0, len(episode) - 1):
        player.index = k
        expected = draw_prediction(episode.frames[k], episode.reasoning[k], episode.actions[k], size=SIZE, panel=False)
        found = _decoded(player.pictures[0])
        assert found.shape == expected.shape
        assert np.abs(found.astype(int) - expected).mean() < 3  # JPEG, but no other picture
        bare = draw_prediction(episode.frames[k], None, size=SIZE, panel=False)
        assert np.abs(found.astype(int) - bare).mean() > 3
        assert player.shown == k and player.said[0]["move"] == episode.reasoning[k].move


def test_the_index_stays_inside():
    player = radlite.play(_outcome(4))
    for asked, got in ((99, 4), (-1, 0), (2, 2)):
        player.index = asked
        assert player.index == player.shown == got
    with pytest.raises(Exception, match="index"):
        player.index = "3"
    assert player.index == 2


def test_the_shorter_track_holds_its_last_frame():
    long, short = (_frames(6), _chains(*"abcdef")), (_frames(2, 30, 50), _chains("a", "b"))
    player = radlite.play(long, short)
    assert len(player) == 6 and player.lengths == [6, 2]
    player.index = 1
    held = player.pictures[1]
    player.index = 5
    assert player.pictures[1] == held and player.said[1]["subtask"] == "b"
    assert player.said[0]["subtask"] == "f" and player.pictures[0] != held


def test_a_front_end_gets_one_message_a_frame(monkeypatch):
    player, sent = radlite.play(_outcome(4), _outcome(4)), []
    monkeypatch.setattr(player, "_send", lambda message, buffers=None: sent.append((message, buffers)))
    player.set_state({"index": 3})  # as a browser asks
    updates = [(m["state"], buffers) for m, buffers in sent if m["method"] == "update" and "shown" in m["state"]]
    assert len(updates) == 1
    state, buffers = updates[0]
    assert state["shown"] == 3 and len(buffers) == 2 and all(_decoded(bytes(b)).size for b in buffers)


def test_few_encoded_frames_are_kept(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "radlite.show.player.draw_prediction", lambda f, *_, **__: drawn.append(1) or np.ascontiguousarray(f)
    )
    monkeypatch.setattr("radlite.show.player.KEPT", 3)
    player = radlite.play((_frames(10), None))
    assert len(drawn) == 1  # the rest waits until it is asked for
    for k in (1, 2, 1, 0):
        player.index = k
    assert len(drawn) == 3
    for k in (3, 4, 2):
        player.index = k
    assert len(drawn) == 6  # 2 had been given up


# --- text ---


def test_rows_are_the_fields_that_occur_anywhere():
    player = radlite.play((_frames(2), [Reasoning(task="go"), Reasoning(move="up")]))
    assert [row["name"] for row in player.fields] == ["task", "move"]
    assert player.said == [{"task": "go"}]
    assert radlite.play((_frames(2), None)).fields == []
    assert [row["name"] for row in radlite.play(_outcome(2)).fields] == ["task", "subtask", "move", "action"]


def test_field_colours_read_on_light_and_dark_paper():
    for _, _, colour in FIELD_STYLE:
        assert contrast(colour, (255, 255, 255)) > 4.5
        assert contrast(lightened(colour), (17, 17, 17)) > 4.5 and contrast(lightened(colour), (30, 30, 30)) > 4.5
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


def test_hostile_text_is_cleaned_and_stays_text():
    chain = Reasoning(task=HOSTILE, subtask=HOSTILE, bboxes=(Box(HOSTILE[:40], (1, 2, 30, 40)),))
    episode = Episode(HOSTILE, _frames(2), [chain, None], "human")
    player = radlite.play(episode)
    for text in (player.titles[0], player.said[0]["task"], player.segments[0][0]["label"], player.said[0]["bboxes"]):
        assert "<img src=x onerror=alert(1)>" in text and "\u202e" not in text
    player.titles = ["\x00" + HOSTILE + "\n"]
    assert player.titles[0].startswith("<img") and "\u202e" not in player.titles[0]


def test_the_module_never_makes_markup():
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser", "srcdoc"):
        assert word not in Player._esm


def test_spoken_leaves_out_what_was_not_said():
    assert spoken(None, None) == {} and spoken(Reasoning(), None) == {}
    assert spoken(Reasoning(bboxes=()), None) == {"bboxes": "none"}
    assert set(spoken(None, STILL)) == {"action"}


# --- where nothing moves ---


@pytest.mark.parametrize("sources", [(_outcome(30), _outcome(3)), (_outcome(1),), ((_frames(1), None),)], ids=len)
def test_the_still_picture_is_a_png(sources):
    player = radlite.play(*sources)
    data, _ = player._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert image.format == "PNG" and image.width == 1000
    assert (np.asarray(image) == player.film_strip()).all()
    assert data["text/plain"].startswith("<Player of")


def test_the_still_picture_shows_frames_and_timeline(robot):
    words = _chains("a", "a", "b", "b")
    strips = [
        radlite.play((_frames(4), chains), titles=("x",)).film_strip().astype(int)
        for chains in (words, _chains("a", "b", "b", "b"), None)
    ]
    assert strips[0].shape == strips[1].shape and (strips[0] != strips[1]).any()
    assert strips[2].shape[0] == strips[0].shape[0]
    assert len(np.unique(radlite.play(robot[0]).film_strip().reshape(-1, 3), axis=0)) > 500


def test_hostile_words_do_not_break_the_still_picture():
    long = _chains(*[f"{HOSTILE} {k} " + "word " * 60 for k in range(40)])
    assert radlite.play((_frames(40), long), titles=("t" * 5000,)).film_strip().shape[1] == 1000
