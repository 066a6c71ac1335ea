"""Which clips of a folder are annotated, and what is done in each: a manifest, or one instruction for all.

A manifest is CSV with a heading (manifest.csv), or one JSON object a line (manifest.jsonl), in UTF-8:

    clip,instruction,landmarks,objects,caption
    kitchen/1.mp4,put the red can on the plate,kitchen/1.hands.json,,a sink and a sponge

    {"clip": "kitchen/1.mp4", "instruction": "put the red can on the plate"}

`clip` is a video or a folder of pictures; `landmarks` (recorded hands) and `objects` (recorded boxes) may be left out or empty,
and then NAME.landmarks.json and NAME.objects.json beside the clip NAME.mp4 are taken where they are there. `caption` may be left
out, too: what is to be seen, whose things are looked for as well as the instruction's. Paths are relative to
the folder, written with "/", and may not leave it, not by a link either. The file may come from anywhere: what is not in this
form is refused with its line, before any clip is looked at.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.import_video import spoken

COLUMNS = ("clip", "instruction", "landmarks", "objects", "caption")
NEEDED, FILES = COLUMNS[:2], COLUMNS[2:4]
MOST_BYTES, MOST_CLIPS, MOST_PATH = 1 << 26, 200_000, 1000
NAMES = ("manifest.csv", "manifest.jsonl")
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif", ".3gp", ".ogv", ".flv", ".wmv", ".mpg", ".mpeg", ".ts")
_SHOW = "see radlite/annotate/manifest.py for the form"


@dataclass(frozen=True)
class ListedClip:
    """A clip to annotate.

    Attributes:
        line: of the manifest, from 1; without a manifest, the clip's place in the order of names.
        clip, landmarks, objects: paths relative to the folder; the last two None where nothing is recorded.
        instruction: what is done in it.
        caption: what is to be seen in it, or None.
    """

    line: int
    clip: str
    instruction: str
    landmarks: str | None = None
    objects: str | None = None
    caption: str | None = None


def list_clips(
    folder: str | Path, manifest: str | Path | None = None, instruction: str | None = None, caption: str | None = None
) -> tuple[ListedClip, ...]:
    """The clips of a folder in the order of the manifest, or of their names.

    Args:
        folder: that holds the clips.
        manifest: CSV or JSON lines; by default manifest.csv or manifest.jsonl in the folder, where it is there.
        instruction: without a manifest, what is done in every video of the folder itself.
        caption: with such an instruction, what is to be seen in every video.

    Raises:
        RadliteError: no such folder, nothing in it, neither or both of manifest and instruction, or anything in the manifest that
            is not as this module describes; the message names the line.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RadliteError("a folder of clips", f"no folder at {folder}", "check the path")
    manifest = _present(folder) if manifest is None else Path(manifest)
    if (manifest is None) == (instruction is None):
        found = "neither" if manifest is None else f"both, {manifest.name} and --instruction"
        raise RadliteError(f"a manifest ({' or '.join(NAMES)}) or one --instruction for all", found, "give one of the two")
    if caption is not None and manifest is not None:
        raise RadliteError(f"captions in {manifest.name}", "--caption", "write them into a column 'caption'")
    records = _videos(folder, instruction, caption) if manifest is None else _records(manifest)
    where = "video" if manifest is None else f"{manifest.name}, line"
    clips = [_listed(folder, line, record, f"{where} {line}") for line, record in records]
    if not 0 < len(clips) <= MOST_CLIPS:
        what = f"videos ({', '.join(VIDEO_SUFFIXES)}) in {folder}" if manifest is None else f"clips in {manifest}"
        raise RadliteError(f"1 to {MOST_CLIPS:,} {what}", f"{len(clips)}", "check the folder")
    _once_each(clips)
    return tuple(clips)


def _present(folder: Path) -> Path | None:
    there = [folder / name for name in NAMES if (folder / name).is_file()]
    if len(there) > 1:
        raise RadliteError("one manifest", f"{' and '.join(NAMES)} in {folder}", "name one of them with --manifest")
    return there[0] if there else None


def _videos(folder: Path, instruction: str, caption: str | None) -> Iterator[tuple[int, dict]]:
    names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES and not p.name.startswith("."))
    return enumerate(({"clip": name, "instruction": instruction, "caption": caption} for name in names), 1)


def _records(manifest: Path) -> Iterator[tuple[int, dict]]:
    reader = {".csv": _csv, ".jsonl": _lines}.get(manifest.suffix.lower())
    if reader is None:
        raise RadliteError("a manifest ending in .csv or .jsonl", f"{manifest}", "name it after what it is")
    try:
        with manifest.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise RadliteError(f"at most {MOST_BYTES >> 20} MiB in {manifest}", "more", "cut it in several")
        return reader(data.decode("utf-8-sig"), manifest.name)
    except (OSError, UnicodeDecodeError) as error:
        raise RadliteError(f"a manifest in UTF-8 at {manifest}", str(error), "check the path, or save it as UTF-8") from error


def _csv(text: str, name: str) -> Iterator[tuple[int, dict]]:
    rows, head = csv.reader(io.StringIO(text, newline=""), strict=True), None
    try:
        for row in rows:
            if head is None:
                head = row
                if len(set(head)) < len(head) or not set(NEEDED) <= set(head) <= set(COLUMNS):
                    expected = f"the heading {','.join(COLUMNS)} (all but the first two may be left out) in {name}"
                    raise RadliteError(expected, quoted(head), _SHOW)
            elif row:  # an empty line is none
                if len(row) != len(head):
                    where = f"{name}, line {rows.line_num}"
                    raise RadliteError(f"{len(head)} cells in {where}", f"{len(row)}", "put a cell with a comma in quotes")
                yield rows.line_num, dict(zip(head, row, strict=True))
    except csv.Error as error:
        raise RadliteError(f"CSV in {name}, line {rows.line_num}", str(error), _SHOW) from error


def _lines(text: str, name: str) -> Iterator[tuple[int, dict]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                pairs = json.loads(line, object_pairs_hook=list)
            except (ValueError, RecursionError) as error:
                raise RadliteError(f"JSON in {name}, line {number}", quoted(line), f"{type(error).__name__}; {_SHOW}") from error
            yield number, _object(pairs, f"{name}, line {number}")


def _object(pairs: Any, where: str) -> dict:
    """An object out of its pairs; an array of two-element arrays looks alike, but its pairs are no tuples."""
    told = dict(pairs) if isinstance(pairs, list) and all(isinstance(p, tuple) for p in pairs) else {}
    if len(told) < len(pairs if isinstance(pairs, list) else ()) or not set(NEEDED) <= set(told) <= set(COLUMNS):
        raise RadliteError(f"an object with {', '.join(NEEDED)} (and {', '.join(COLUMNS[2:])}) in {where}", quoted(pairs), _SHOW)
    return told


def _listed(folder: Path, line: int, record: dict, where: str) -> ListedClip:
    for column in COLUMNS:
        if not (isinstance(record.get(column), str) or column not in NEEDED and record.get(column) is None):
            raise RadliteError(f"text as {column} in {where}", quoted(record[column]), _SHOW)
    try:
        instruction = spoken(record["instruction"])
    except RadliteError as error:
        raise RadliteError(f"{error.expected} in {where}", error.found, error.fix) from error
    clip = _inside(folder, record["clip"], f"clip in {where}")
    beside = (_inside(folder, record[name], f"{name} in {where}") if record.get(name) else _beside(folder, clip, name)
              for name in FILES)  # fmt: skip
    return ListedClip(line, clip, instruction, *beside, record.get("caption") or None)


def _beside(folder: Path, clip: str, what: str) -> str | None:
    path = PurePosixPath(clip)
    beside = str(path.with_name(f"{path.stem}.{what}.json"))
    return _inside(folder, beside, what) if (folder / beside).is_file() else None


def _inside(folder: Path, text: str, what: str) -> str:
    """A path that is there, within the folder; as it is written, but for "./" and doubled "/"."""
    path = PurePosixPath(text)
    plain = text.isprintable() and 0 < len(text) <= MOST_PATH and path.name
    if not plain or path.is_absolute() or ".." in path.parts:
        fix = "write it relative to the folder, without '..' or characters that are not seen"
        raise RadliteError(f"a path within the folder as {what}", quoted(text), fix)
    try:
        real = (folder / path).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links is a RuntimeError
        found = f"{quoted(text)}, which is not there ({type(error).__name__})"
        raise RadliteError(f"a file as {what}", found, "correct the path") from error
    if not real.is_relative_to(folder.resolve()):
        raise RadliteError(f"a path within the folder as {what}", f"{quoted(text)}, a link out of it", "copy the file there")
    return str(path)


def _once_each(clips: list[ListedClip]) -> None:
    seen: dict[tuple[str, str], int] = {}
    for clip in clips:
        first = seen.setdefault((clip.clip, clip.instruction), clip.line)
        if first != clip.line:
            found = f"{quoted(clip.clip)} in line {clip.line} as in line {first}"
            raise RadliteError("each clip once with an instruction", found, "take one of the two lines out")
