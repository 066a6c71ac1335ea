"""Many clips: one function for each, `annotate_one`, run by whatever runs functions, here or on many machines.

What it makes lies in a `ClipStore` under a key, so it may be run again at any time: a clip that is finished is not done twice,
and one that failed, or whose worker died, is tried again while the others go on. An engine (`engines`) is given tasks as text and
gives answers as text, in any order; where there is no answer, the worker died. At the end one process writes the dataset, in the
order of the manifest.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from radlite.annotate.clip_store import ClipStore, clip_key
from radlite.annotate.evidence import HandDetector, ObjectDetector
from radlite.annotate.manifest import ListedClip
from radlite.annotate.narrator import Narrator
from radlite.annotate.pipeline import annotate
from radlite.annotate.recipe import Recipe
from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.errors import RadliteError

Engine = Callable[[Sequence[str]], Iterable[str]]
MOST_REASON = 2000  # characters


@dataclass(frozen=True)
class Outcome:
    """What became of a clip.

    Attributes:
        line: of the manifest.
        state: "done" now, "kept" from an earlier time, or "failed".
        key: under which its episode is stored; "" where not even that is known.
        frames: of the episode.
        reason: why it failed; holds somebody else's text.
        seconds: that the last try took.
        tries: how often it was tried.
        worker: who did it, host and process.
        blank: frames that show next to nothing, of a clip that was done now.
    """

    line: int
    state: Literal["done", "kept", "failed"]
    key: str = ""
    frames: int = 0
    reason: str = ""
    seconds: float = 0.0
    tries: int = 1
    worker: str = ""
    blank: int = 0


def annotate_one(task: str) -> str:
    """Annotates one clip, unless its episode is stored already.

    Depends on nothing but its task, and changes nothing but the store. Whatever is wrong with the clip is part of the answer.

    Args:
        task: JSON with folder, clip (`ListedClip`), recipe (`Recipe.to_text`) and store.

    Returns:
        JSON of an `Outcome`.
    """
    told, began, key = json.loads(task), time.monotonic(), ""
    folder, clip, recipe = Path(told["folder"]), ListedClip(**told["clip"]), Recipe.from_text(told["recipe"])
    try:
        store, key = ClipStore(told["store"]), clip_key(folder, clip, recipe)
        finished = store.has(key)
        outcome = Outcome(clip.line, "kept", key, store.length(key)) if finished else _annotated(folder, clip, recipe, store, key)
    except Exception as error:  # the others go on, whatever it is
        reason = str(error) if isinstance(error, RadliteError) else f"{type(error).__name__}: {error}"
        outcome = Outcome(clip.line, "failed", key, reason=reason[:MOST_REASON])
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return json.dumps(asdict(replace(outcome, seconds=round(time.monotonic() - began, 2), worker=worker)))


def _annotated(folder: Path, clip: ListedClip, recipe: Recipe, store: ClipStore, key: str) -> Outcome:
    store.note(key, "begun")
    try:
        hands = recipe.find_hands(folder / clip.landmarks) if clip.landmarks else _hands(recipe)
        objects = recipe.find_objects(folder / clip.objects) if clip.objects else _objects(recipe)
        said = annotate(folder / clip.clip, clip.instruction, hands, objects, _words(recipe), recipe.names, recipe.config,
                        store.stages, progress=False, caption=clip.caption)  # fmt: skip
        first = store.put(key, said.episode)
    except Exception:
        store.note(key, "failed")
        raise
    return Outcome(clip.line, "done" if first else "kept", key, len(said.episode), blank=int(said.clip.blank.sum()))


@lru_cache(1)
def _hands(recipe: Recipe) -> HandDetector:
    """Made once in a process: it holds a model."""
    return recipe.find_hands()


@lru_cache(1)
def _objects(recipe: Recipe) -> ObjectDetector | None:
    return recipe.find_objects()


@lru_cache(1)
def _words(recipe: Recipe) -> Narrator:
    return recipe.put_into_words()


def annotate_many(
    folder: str | Path,
    clips: Sequence[ListedClip],
    recipe: Recipe,
    store: ClipStore,
    engine: Engine,
    *,
    retries: int = 2,
    told: Callable[[ListedClip, Outcome], None] = lambda clip, outcome: None,
) -> list[Outcome]:
    """Annotates clips, all that can be.

    Args:
        folder: that their paths are relative to, the same for every worker.
        clips: of `list_clips`.
        recipe: how each of them is done.
        store: where finished ones are.
        engine: runs `annotate_one`.
        retries: how often a clip that failed is tried again, each time after all the others.
        told: called as soon as something is known of a clip; of one that is tried again, each time.

    Returns:
        What became of each, in their order.
    """
    known: dict[int, Outcome] = {}
    for tries in range(1, retries + 2):
        todo = {c.line: c for c in clips if c.line not in known or known[c.line].state == "failed"}
        if not todo:
            break
        for outcome in _answers(engine, [_task(folder, clip, recipe, store) for clip in todo.values()], todo):
            known[outcome.line] = replace(outcome, tries=tries)
            told(todo[outcome.line], known[outcome.line])
    return [known[clip.line] for clip in clips]


def _task(folder: str | Path, clip: ListedClip, recipe: Recipe, store: ClipStore) -> str:
    places = {"folder": str(Path(folder).resolve()), "store": str(store.folder.resolve())}
    return json.dumps(places | {"clip": asdict(clip), "recipe": recipe.to_text()})


def _answers(engine: Engine, tasks: list[str], lines: Iterable[int]) -> Iterator[Outcome]:
    missing = set(lines)
    for answer in engine(tasks):
        outcome = Outcome(**json.loads(answer))
        missing.discard(outcome.line)
        yield outcome
    for line in sorted(missing):
        yield Outcome(line, "failed", reason="the process that did it ended: killed, out of memory, or a decoder that crashed")


def write_annotated(
    out: str | Path, clips: Sequence[ListedClip], outcomes: Sequence[Outcome], store: ClipStore, overwrite: bool = False,
    license: str = "other",
) -> DatasetInfo | None:
    """Writes what is finished as one human dataset, in the order of the clips, whole or not at all; None where nothing is.

    Raises:
        RadliteError: a dataset at `out` that is not to be replaced, a damaged episode in the store, or the disk refuses.
    """
    good = [(clip, outcome) for clip, outcome in zip(clips, outcomes, strict=True) if outcome.state != "failed"]
    if not good:
        return None
    how = f"{len(good)} of {len(clips)} clips of a camera, annotated by `radlite annotate-many`."
    return write_dataset(out, (_stored(store, *one) for one in good), overwrite=overwrite, origin=how, license=license)


def _stored(store: ClipStore, clip: ListedClip, outcome: Outcome) -> Episode:
    """The stored episode under this clip's name: another one of the same content may have been first."""
    episode = store.get(outcome.key)
    return replace(episode, meta=episode.meta | {"clip": clip.clip})
