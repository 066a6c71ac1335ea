"""Finished stages of a longer job, so that a second run does not repeat what the first has done."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from radlite.errors import RadliteError
from radlite.escape import escaped
from radlite.formats.staging import read_json, replace_text


class Stages:
    """Remembers what is finished, what it gave, and how long it took: one JSON file a stage, written when it is done.

    A file that cannot be read (cut off by a full disk or a copy that was stopped) tells of nothing finished: its stage is done
    again, which costs time and loses nothing, and stderr says so.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, name: str, key: dict, work: Callable[[], dict], made: Sequence[Path] = ()) -> dict:
        """The result of `work()`, or the stored one if it was finished with the same `key` and what it `made` is still there."""
        path = self.folder / f"{name}.json"
        key = json.loads(json.dumps(key))
        if path.exists() and all(p.exists() for p in made):
            stored = _read(path)
            if stored is not None and stored["key"] == key:
                return stored
        began = time.monotonic()
        stored = {"key": key, "result": work(), "seconds": round(time.monotonic() - began, 1)}
        replace_text(path, json.dumps(stored, indent=1))
        return stored


def _read(path: Path) -> dict | None:
    """What is stored, or None where it cannot be read."""
    try:
        stored = read_json(path, "a finished stage")
        if {"key", "result", "seconds"} <= set(stored):
            return stored
        reason = "parts of it are missing"
    except RadliteError as error:
        reason = error.found
    print(f"radlite: {escaped(path)} cannot be read, so this is done again ({escaped(reason)})", file=sys.stderr)
    return None
