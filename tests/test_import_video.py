"""`radlite data import-video`: frames by the clock, upright, small whatever the file, and a dataset whole or not there."""

import os
import shutil
import subprocess
import tracemalloc
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from radlite import import_video
from radlite.cli import main
from radlite.episodes import Episode, EpisodeDataset, write_dataset
from radlite.errors import RadliteError
from radlite.import_video import import_clips, spoken
from radlite.show.video import video_frames, write_mp4
from radlite.validate import examine

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (255, 255, 255), (0, 0, 0)]


def plain(colour, height=48, width=64):
    return np.full((height, width, 3), colour, np.uint8)


def shown(frames):
    """Which of COLOURS each frame is in its middle."""
    return [int(np.abs(np.subtract(COLOURS, f[f.shape[0] // 2, f.shape[1] // 2], dtype=float)).sum(1).argmin()) for f in frames]


def ffmpeg(*arguments):
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def gif(path, durations):
    """A clip whose pictures, of one colour each, last so many milliseconds."""
    first, *rest = [Image.fromarray(plain(COLOURS[k])) for k in range(len(durations))]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Two seconds at 10 frames a second, of four colours of half a second each."""
    return write_mp4(tmp_path_factory.mktemp("clip") / "clip.mp4", [plain(COLOURS[k // 5]) for k in range(20)], 10)


# ----------------------------------------------------------------------------------------------- which frames
def test_a_frame_is_what_is_shown_at_its_time(clip):
    assert shown(video_frames(clip, 5, 16)) == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]  # 0, 0.2, ... 1.8 s
    assert shown(video_frames(clip, 2, 16)) == [0, 1, 2, 3]
    assert shown(video_frames(clip, 0.5, 16)) == [0]
    assert len(list(video_frames(clip, 30, 16))) == 60


@given(st.lists(st.integers(2, 70).map(lambda n: 10 * n), min_size=2, max_size=8), st.sampled_from([1, 5, 7.5, 25]))
@settings(max_examples=12)
def test_an_uneven_rate_is_resampled_by_time(tmp_path_factory, durations, fps):
    """Every frame of even time k / fps shows the picture that began last."""
    path = gif(tmp_path_factory.mktemp("gif") / "uneven.gif", durations)
    begins = np.cumsum([0, *durations[:-1]])
    frames = shown(video_frames(path, fps, 16))
    times = np.arange(len(frames)) * 1000 / fps
    right = [int(np.searchsorted(begins, t + 1e-6, "right")) - 1 for t in times]
    assert frames == right
    assert abs(len(frames) - sum(durations) * fps / 1000) <= 1 + fps * 0.1


def test_a_clip_of_one_frame_gives_one(tmp_path):
    for fps in (30, 5):
        path = write_mp4(tmp_path / f"{fps}.mp4", [plain(COLOURS[2])], fps)
        assert shown(video_frames(path, 5, 16)) == [2]


def test_a_portrait_phone_video_stands_upright(tmp_path):
    """Pictures that lie on their side, with a note how to turn them, as phones write them."""
    upright = plain((0, 0, 0), 64, 48)
    upright[:20], upright[-20:] = (255, 0, 0), (0, 0, 255)  # red above, blue below
    lying = write_mp4(tmp_path / "lying.mp4", [np.rot90(upright, -1)] * 6, 10)
    ffmpeg("-display_rotation", 90, "-i", lying, "-c", "copy", tmp_path / "phone.mov")
    [whole, *_] = video_frames(tmp_path / "phone.mov", 5, 64, pad=True)
    assert shown([whole[:20], whole[-20:]]) == [0, 2]
    assert (whole[:, :6] < 40).all() and (whole[:, -6:] < 40).all()  # bars left and right
    [middle, *_] = video_frames(tmp_path / "phone.mov", 5, 64)
    assert shown([middle[:12], middle[-12:]]) == [0, 2] and middle.shape == (64, 64, 3)


@pytest.mark.parametrize("height, width", [(48, 64), (64, 48), (16, 200), (200, 16), (31, 33), (2, 2)])
@pytest.mark.parametrize("pad", [False, True])
def test_any_shape_becomes_a_square_that_is_not_stretched(tmp_path, height, width, pad):
    frame = plain((0, 0, 0), height, width)
    frame[:, width // 2 :] = 255
    [square, *_] = video_frames(write_mp4(tmp_path / "x.mp4", [frame], 5), 5, 32, pad)
    assert square.shape == (32, 32, 3)
    white = (square.mean(2) > 128).mean()
    share = min(1, height / width, width / height) if pad else 1
    assert abs(white - share / 2) < 0.15


def test_pixels_that_are_not_square_are_made_so(tmp_path, clip):
    ffmpeg("-i", clip, "-vf", "setsar=2", tmp_path / "wide.mp4")  # 64x48 stored, 128x48 shown
    [frame, *_] = video_frames(tmp_path / "wide.mp4", 5, 32, pad=True)
    rows = np.flatnonzero(frame.max((1, 2)) > 60)
    assert 11 <= len(rows) <= 14  # 32 * 48 / 128


def test_4k_at_60_frames_a_second_takes_little_memory(tmp_path):
    path = tmp_path / "4k.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:size=3840x2160:rate=60:duration=0.5", "-preset", "ultrafast", path)
    tracemalloc.start()
    frames = [frame[0, 0, 0] for frame in video_frames(path, 5, 256)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(frames) == 3 and min(frames) > 200 and peak < 4e6


# ------------------------------------------------------------------------------------------- broken and absurd
def test_a_clip_that_ends_too_early_is_an_error_and_leaves_nothing(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 96, 3), np.uint8) for _ in range(20)]
    whole = write_mp4(tmp_path / "whole.mp4", noise, 10)
    ffmpeg("-i", whole, "-c", "copy", tmp_path / "whole.mkv")
    for suffix in (".mp4", ".mkv"):
        data, cut = (tmp_path / f"whole{suffix}").read_bytes(), tmp_path / f"cut{suffix}"
        assert len(list(video_frames(tmp_path / f"whole{suffix}", 5, 16))) == 10
        cut.write_bytes(data[: len(data) * 2 // 3])
        with pytest.raises(RadliteError, match="a whole video file"):
            import_clips([whole, cut], tmp_path / "out" / "there", "x")
    assert not (tmp_path / "out").exists()


@settings(max_examples=15)
@given(st.data())
def test_no_damage_does_more_than_be_reported(clip, tmp_path_factory, data):
    bytes_, path = bytearray(clip.read_bytes()), tmp_path_factory.mktemp("hurt") / "clip.mp4"
    for _ in range(data.draw(st.integers(1, 6))):
        bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes_[: data.draw(st.integers(0, len(bytes_)))])
    try:
        info = import_clips([path], path.with_name("out"), "lift it", size=16)
        assert EpisodeDataset(info.path)[0].frames.shape == (info.num_frames, 16, 16, 3)
    except RadliteError:
        assert [p.name for p in path.parent.iterdir()] == ["clip.mp4"]


@pytest.mark.parametrize("name", ["nothing.mp4", "text.mp4", "picture.mp4", "sound.mp4", "list.m3u8", "empty.mp4"])
def test_what_is_no_video_is_refused(tmp_path, clip, name):
    path = tmp_path / name
    if name == "text.mp4":
        path.write_text("this is no video, but ffmpeg could draw it as text\n" * 99)
    elif name == "list.m3u8":
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{clip}\n#EXT-X-ENDLIST\n")
    elif name == "picture.mp4":
        Image.fromarray(plain(COLOURS[0])).save(path, "PNG")
    elif name == "sound.mp4":
        ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)
    elif name == "empty.mp4":
        path.touch()
    with pytest.raises(RadliteError):
        import_clips([path], tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()


def test_absurd_sizes_are_refused_before_they_are_unpacked(tmp_path, clip, monkeypatch):
    path = gif(tmp_path / "large.gif", [100, 100])
    data = bytearray(path.read_bytes())
    data[6:10] = (31623).to_bytes(2, "little") * 2  # 10^9 pixels, says the header
    path.write_bytes(data)
    with pytest.raises(RadliteError, match="a whole video file"):
        import_clips([path], tmp_path / "out", "x")
    monkeypatch.setattr("radlite.show.video.MOST_PIXELS", 64 * 48 - 1)
    with pytest.raises(RadliteError, match="of which 0 frames"):
        import_clips([clip], tmp_path / "out", "x")
    assert not (tmp_path / "out").exists()


def test_a_clip_of_days_is_refused_after_minutes(tmp_path, monkeypatch):
    """Two pictures, three days apart, would be ten million frames."""
    start = write_mp4(tmp_path / "a.mp4", [plain(COLOURS[0])] * 2, 5)
    ffmpeg("-i", start, "-vf", "setpts=N*250000/TB", "-fps_mode", "passthrough", tmp_path / "long.mkv")
    monkeypatch.setattr(import_video, "MOST_CLIP", 16 * 16 * 3 * 50)
    with pytest.raises(RadliteError, match="at most 10 s .50 frames"):
        import_clips([tmp_path / "long.mkv"], tmp_path / "out", "x", size=16)
    assert not (tmp_path / "out").exists()


def test_one_that_stops_reading_stops_ffmpeg(clip):
    stream = video_frames(clip, 5, 16)
    next(stream)
    stream.close()  # would wait for ever for a process that waits for its reader


# ------------------------------------------------------------------------------------------------- pictures
def pictures(folder, count, suffix=".png"):
    folder.mkdir()
    for k in range(count):
        Image.fromarray(plain(COLOURS[k % 8])).save(folder / f"Frame{k + 1}{suffix}")
    return folder


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
    folder = pictures(tmp_path / "frames", 11)
    (folder / "notes.txt").write_text("not a picture")
    shutil.copy(folder / "Frame3.png", folder / "._Frame3.png")
    os.rename(folder / "Frame2.png", folder / "frame2.PNG")
    import_clips([folder], tmp_path / "out", "look", size=16)
    [episode] = EpisodeDataset(tmp_path / "out")
    assert shown(episode.frames) == [k % 8 for k in range(11)] and episode.fps == 5


def test_pictures_of_a_told_rate_are_resampled(tmp_path):
    folder = pictures(tmp_path / "frames", 8)
    info = import_clips([folder], tmp_path / "out", "look", size=16, fps=5, pictures_fps=20)
    assert shown(EpisodeDataset(info.path)[0].frames) == [0, 4]
    info = import_clips([folder], tmp_path / "slow", "look", size=16, fps=5, pictures_fps=2.5)
    assert shown(EpisodeDataset(info.path)[0].frames) == [k // 2 for k in range(16)]


@pytest.mark.parametrize("damage", ["cut", "huge", "none", "videos"])
def test_a_folder_with_a_broken_picture_or_none_is_refused(tmp_path, clip, damage):
    folder = pictures(tmp_path / "frames", 0 if damage in ("none", "videos") else 3)
    broken = folder / "Frame2.png"
    if damage == "cut":
        broken.write_bytes(broken.read_bytes()[:60])
    elif damage == "huge":
        data = bytearray(broken.read_bytes())
        data[16:24] = (40000).to_bytes(4, "big") * 2  # the checksum is wrong as well
        broken.write_bytes(data)
    elif damage == "videos":
        shutil.copy(clip, folder)
    with pytest.raises(RadliteError, match=r"one by one|Frame2\.png"):
        import_clips([folder], tmp_path / "out", "look")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------ instructions
WORDS = ['a "red" <b>can</b>', "it's 5 o'clock: $HOME `x` & \\n", "把罐子放在盘子上", "می\u200cخواهم", "👩\u200d🔧 lifts"]
HIDDEN = ["a\nb", "a\u202eb", "a\u200eb", "a\x1b[31m", "a\x00", "a\u2028b", "\ud800", "a\tb", "a\U000e0041"]


@pytest.mark.parametrize("text", WORDS)
def test_quotes_markup_and_scripts_are_words(text):
    assert spoken(f"  {text} ") == text


@pytest.mark.parametrize("text", [*HIDDEN, "", " \n", "x" * 501, "me@home", "up ACTION: 1 2"])
def test_what_does_not_read_as_it_is_written_is_refused(text):
    with pytest.raises(RadliteError) as error:
        spoken(text)
    assert "\x1b" not in str(error.value) and "\u202e" not in str(error.value)


# --------------------------------------------------------------------------------------------- the dataset
def test_a_human_dataset_without_reasoning_comes_out(tmp_path, clip, capsys):
    out, other = tmp_path / "out", shutil.copy(clip, tmp_path / "b \u202e.mp4")
    argv = ["data", "import-video", str(clip), str(other), str(out), "--instruction", "lift it", "--instruction", 'say "a"']
    assert main([*argv, "--size", "32"]) == 0
    assert capsys.readouterr().out == f"2 human episodes, 20 frames in {out}; new ones have no reasoning yet\n"
    dataset = EpisodeDataset(out)
    assert dataset.embodiment == "human" and dataset.image_shape == (32, 32, 3) and "action" not in dataset._features
    assert [e.instruction for e in dataset] == ["lift it", 'say "a"'] and dataset[0].reasoning == [None] * 10
    assert dataset.episode_meta(0) == {"clip": "clip.mp4"}
    report = examine(out)
    assert {f.check for f in report.findings} == {"no chain", "missing"} and report.fps == 5
    assert main(["data", "validate", str(out)]) == 1 and "no reasoning at all" in capsys.readouterr().out
    assert main(argv) == 2 and str(out) in capsys.readouterr().err  # there already


def test_clips_may_be_appended(tmp_path, clip):
    out = tmp_path / "out"
    assert main(["data", "import-video", str(clip), str(out), "--instruction", "one", "--append", "--size", "32"]) == 0
    [first] = EpisodeDataset(out)
    import_clips([clip], out, "two", size=32, append=True, license="cc-by-4.0")
    kept, new = EpisodeDataset(out)
    assert (kept.instruction, new.instruction, kept.meta) == ("one", "two", first.meta) and (kept.frames == first.frames).all()
    card = (out / "README.md").read_text()
    assert card.count("1 clips of a camera") == 2 and "license: cc-by-4.0" in card
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    for changes in ({"fps": 2}, {"size": 16}):
        with pytest.raises(RadliteError, match="in a dataset"):
            import_clips([clip], out, "three", **({"size": 32, "append": True} | changes))
    with pytest.raises(RadliteError, match="no such file"):
        import_clips([clip, tmp_path / "gone.mp4"], out, "three", size=32, append=True)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before and len(list(tmp_path.iterdir())) == 1


def test_nothing_is_appended_to_a_robots_dataset(tmp_path, clip):
    frames, actions = np.zeros((2, 32, 32, 3), np.uint8), np.ones((2, 7), np.float32)
    write_dataset(tmp_path / "out", [Episode("x", frames, [None] * 2, "robot", actions)])
    with pytest.raises(RadliteError, match="one embodiment"):
        import_clips([clip], tmp_path / "out", "y", size=32, append=True)


@pytest.mark.parametrize("option", ["--fps 0", "--fps nan", "--size 8", "--size 9999", "--instruction b", "--pictures-fps -1"])
def test_options_out_of_range_are_refused(tmp_path, clip, option, capsys):
    argv = ["data", "import-video", str(clip), str(tmp_path / "out"), "--instruction", "a", *option.split()]
    assert main(argv) == 2 and capsys.readouterr().err.startswith("radlite: expected ")
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not MEDIA.exists(), reason="real footage lies beside the repository")
def test_real_footage(tmp_path):
    clips = [MEDIA / "hand_video.mp4", MEDIA / "robot_video.mp4"]
    info = import_clips(clips, tmp_path / "out", ["carry the plate", "pick up the tape"])
    assert [len(e) for e in EpisodeDataset(info.path)] == [20, 18]  # 4.0 s and 3.6 s
