"""`radlite data import-video`: clips of a phone, or folders of pictures, as episodes of a human dataset.

An episode holds small square frames at an even rate and the instruction; there is no action, and no reasoning yet. One clip is
in memory at a time, as the small frames that are kept and never as the file's own.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.card import UNITS, told_by_card
from radlite.formats.lerobot_rows import LeRobotRows, damage
from radlite.formats.lerobot_writer import INDEX_COLUMNS
from radlite.reasoning import Reasoning
from radlite.show.video import IMAGE_SUFFIXES, read_images, video_frames

MOST_CLIP = 1 << 29  # bytes of an episode's pixels: nine minutes of 256x256 at 5 frames a second
MOST_WORDS = 500  # characters of an instruction
SIZES = (16, 1024)  # least and most side of a frame, pixels
_HIDDEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # Unicode's controls, formats, line ends and what is no character
_JOINERS = "\u200c\u200d"  # of these, what Persian, Indic scripts and emoji are spelt with


def import_clips(
    clips: Sequence[str | Path],
    out: str | Path,
    instructions: str | Sequence[str],
    *,
    fps: float = 5.0,
    pictures_fps: float | None = None,
    size: int = 256,
    pad: bool = False,
    append: bool = False,
    license: str | None = None,
) -> DatasetInfo:
    """Writes a human dataset with one episode a clip, whole or not at all.

    Args:
        clips: video files and folders of pictures.
        out: the dataset's folder.
        instructions: one for all clips, or one a clip.
        fps: frames a second to keep; frame k is what a player shows at k / fps seconds.
        pictures_fps: rate at which the pictures of a folder were taken; by default `fps`, so that all of them are kept.
        size: side of the square frames, pixels.
        pad: keep whole pictures between black bars; by default the middle of each is kept.
        append: add to the dataset at `out`, if there is one, which is written anew; it must be a human one of this rate and size.
        license: for the card, as the Hub abbreviates it; by default what the card at `out` says, else "other".

    Raises:
        RadliteError: a clip that cannot be read to its end, is too long, or needs other words; or a dataset at `out`.
    """
    words = one_each([instructions] if isinstance(instructions, str) else instructions, len(clips))
    check_numbers(fps, fps if pictures_fps is None else pictures_fps, size)
    new = (_episode(Path(c), w, fps, pictures_fps or fps, size, pad) for c, w in zip(clips, words, strict=True))
    how = f"{len(clips)} clips of a camera, taken to {fps:g} frames a second by `radlite data import-video`."
    return add_episodes(Path(out), new, how, append, license)


def add_episodes(out: Path, new: Iterable[Episode], how: str, append: bool, license: str | None = None) -> DatasetInfo:
    """Writes episodes as a human dataset, or (`append`) to the one at `out`, if there is one, which is written anew.

    Args:
        out: the dataset's folder.
        new: episodes, made one by one as they are written.
        how: a sentence for the card that says where they are from.
        append: whether they may join others.
        license: for the card, as the Hub abbreviates it; by default what the card at `out` says, else "other".

    Raises:
        RadliteError: a dataset at `out` that is not to be appended to, or does not fit.
    """
    old = _present(out) if append and (out / "meta" / "info.json").exists() else None
    origin, told = told_by_card(out) if old else ("", "other")
    origin = f"{origin} {how}".strip()
    return write_dataset(out, chain(old or (), new), overwrite=old is not None, origin=origin, license=license or told)


def spoken(text: str) -> str:
    """An instruction as it can stand in a dataset and in a chain's TASK, without spaces at its ends.

    Quotes, markup and every script are text like any other.

    Raises:
        RadliteError: no words or too many; a line break, or another character that is not seen but changes what is (a control or
            bidirectional one); "@" or a tag of the chain, which would end the instruction where it stands in one.
    """
    text = text.strip()
    if not 0 < len(text) <= MOST_WORDS:
        found = f"{len(text)} characters" if text else "nothing"
        raise RadliteError(f"an instruction of at most {MOST_WORDS} characters", found, "say what is done in the clip")
    bad = next((c for c in text if unicodedata.category(c) in _HIDDEN and c not in _JOINERS), None)
    if bad is not None:
        found = f"the character U+{ord(bad):04X} ({unicodedata.name(bad, 'a control character')})"
        raise RadliteError("an instruction that reads as it is written, on one line", found, "type the instruction anew")
    try:
        Reasoning(task=text).validate()
    except RadliteError as error:
        raise RadliteError("an instruction that can stand in a chain of reasoning", error.found, error.fix) from error
    return text


def one_each(instructions: Sequence[str], clips: int) -> list[str]:
    words = [spoken(text) for text in instructions]
    if not clips or len(words) not in (1, clips):
        found = f"{clips} clips and {len(words)} instructions"
        raise RadliteError("clips, and one instruction for all or one a clip", found, "give one for all, or as many as clips")
    return words * clips if len(words) == 1 else words


def check_numbers(fps: float, pictures_fps: float, size: int) -> None:
    """Raises `RadliteError` for a rate of frames a second or a side in pixels that no clip can have."""
    for rate in (fps, pictures_fps):
        if not (math.isfinite(rate) and 0.01 <= rate <= 1000):
            raise RadliteError("frames a second from 0.01 to 1000", f"{rate}", "RAD's data has 5")
    if not SIZES[0] <= size <= SIZES[1]:
        raise RadliteError(f"frames of {SIZES[0]} to {SIZES[1]} pixels", f"{size}", "RAD's data has 256")


def _present(out: Path) -> Iterator[Episode]:
    """The episodes that are there, after a look that nothing gets lost when they are written again."""
    rows = LeRobotRows(out)
    others = sorted(set(rows.features) - {*UNITS, *INDEX_COLUMNS, "timestamp"})
    if others:
        raise RadliteError(f"only radlite's columns in {out}, to append to it", f"also {others[0]!r}", "import to another folder")
    return iter(EpisodeDataset(out))


def _episode(clip: Path, instruction: str, fps: float, pictures_fps: float, size: int, pad: bool) -> Episode:
    stream = _pictures(clip, fps, pictures_fps, size, pad) if clip.is_dir() else video_frames(clip, fps, size, pad)
    frames, most = [], MOST_CLIP // (size * size * 3)
    for frame in stream:
        if len(frames) == most:
            expected = f"a clip of at most {most / fps:,.0f} s ({most:,} frames of {size}x{size} at {fps:g} a second)"
            raise RadliteError(expected, f"{clip}, which is longer", "cut it into clips of one task each, or take fewer frames")
        frames.append(frame)
    name = clip.resolve().name.encode("utf-8", "backslashreplace").decode()
    return Episode(instruction, np.stack(frames), [None] * len(frames), "human", fps=fps, meta={"clip": name})


def _pictures(folder: Path, fps: float, taken: float, size: int, pad: bool) -> Iterator[np.ndarray]:
    """The pictures of a folder at even times, as squares; they come in the order of the numbers in their names."""
    paths = picture_files(folder)
    fit = ImageOps.pad if pad else ImageOps.fit
    for k in range(math.ceil(len(paths) * fps / taken - 1e-9)):
        path = paths[int(k * taken / fps + 1e-9)]
        with damage(path):
            [picture] = read_images([path])
            yield np.asarray(fit(Image.fromarray(picture), (size, size), Image.Resampling.LANCZOS))


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of the numbers in their names; `RadliteError` where there are none."""
    names = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    paths = sorted(names, key=_naturally)
    if not paths:
        fix = f"give files ending in {', '.join(IMAGE_SUFFIXES)}; videos are given one by one, as {folder.name}/*.mp4"
        raise RadliteError(f"pictures in {folder}", "none", fix)
    return paths


def _naturally(path: Path) -> list:
    """frame2 before frame10; capitals do not matter unless nothing else does."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [*((int(p[:300]), p) if k % 2 else (-1, p) for k, p in enumerate(parts)), (-1, path.name)]
