"""Finished stages of a longer job, so that a second run does not repeat what the first has done."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from radlite.formats.staging import read_json, replace_text


class Stages:
    """Remembers what is finished, what it gave, and how long it took: one JSON file a stage, written when it is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, name: str, key: dict, work: Callable[[], dict], made: Sequence[Path] = ()) -> dict:
        """The result of `work()`, or the stored one if it was finished with the same `key` and what it `made` is still there."""
        path = self.folder / f"{name}.json"
        key = json.loads(json.dumps(key))
        if path.exists() and all(p.exists() for p in made):
            stored = read_json(path, "a finished stage")
            if stored.get("key") == key:
                return stored
        began = time.monotonic()
        stored = {"key": key, "result": work(), "seconds": round(time.monotonic() - began, 1)}
        replace_text(path, json.dumps(stored, indent=1))
        return stored
