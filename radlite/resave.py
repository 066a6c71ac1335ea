"""One episode's chains back into the dataset that it came from: nothing else of it is written again.

`resave` does that to a folder; `Places` knows in which folders an episode lies that is being edited, and makes new ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radlite.dataset_writer import write_dataset
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.formats.card import IMAGE_KEY, REASONING_KEY, told_by_card
from radlite.formats.language import LANGUAGE, language_columns
from radlite.formats.lerobot_edit import LeRobotEdit
from radlite.reasoning import Reasoning


def resave(
    path: str | Path, index: int, chains: Sequence[Reasoning | None], was: Sequence[Reasoning | None] | None = None
) -> None:
    """Replaces the chains of one episode on disk, whole or not at all.

    An `EpisodeDataset` that is open on this folder is out of date then: `reload` it.

    Args:
        path: the dataset's folder.
        index: number of the episode.
        chains: one a frame, None for a frame without one.
        was: what is thought to stand there now; anything else there is an error, so that nobody's work is overwritten unseen.

    Raises:
        RadliteError: no such episode or another number of frames, a chain that is not valid, a dataset without the column
            `reasoning`, chains on disk that are not `was`, or a disk that refuses.
    """
    dataset = EpisodeDataset(path)
    span = dataset.episode_slice(index)
    frames = range(span.start, span.stop)
    if len(chains) != len(frames):
        raise RadliteError(f"{len(frames)} chains for episode {index} of {path}", f"{len(chains)}", "give one a frame")
    if was is not None and [dataset.reasoning(k) for k in frames] != list(was):
        fix = "open it again and edit that, or save to another folder"
        raise RadliteError(f"episode {index} of {path} as it was when it was opened", "other chains: somebody changed it", fix)
    for chain in chains:
        if chain is not None:
            chain.validate()
    reader = LeRobotEdit(dataset.path)
    if REASONING_KEY not in reader.features:
        fix = "save to another folder: the episode goes there with all that radlite reads of it"
        raise RadliteError(f"column {REASONING_KEY!r} in {path}", "a dataset without it", fix)
    texts = ["" if chain is None else json.dumps(chain.to_dict(), ensure_ascii=False) for chain in chains]
    columns = {REASONING_KEY: texts}
    if set(LANGUAGE) & set(reader.features):
        camera, shape = reader.camera(None, IMAGE_KEY)
        times = (np.arange(len(chains)) / dataset.fps).astype(np.float32)
        told = language_columns(chains, times, camera, shape)
        columns |= {name: values for name, values in told.items() if name in reader.features}
    reader.replace(span.start, columns)


class Places:
    """Where an episode lies on disk, and with which chains.

    Args:
        origin: the dataset that it is from and its number there; None where it is from none.
        chains: its chains there.

    Attributes:
        last: the folder that was opened or written last; None where there is none.
    """

    def __init__(self, origin: tuple[EpisodeDataset, int] | None, chains: Sequence[Reasoning | None]) -> None:
        self._dataset, number = origin or (None, 0)
        self.last = self._dataset.path if origin else None
        self._there = {self.last.resolve(): (number, list(chains))} if origin else {}

    def save(self, episode: Episode, path: str | Path | None, overwrite: bool) -> Path:
        """Writes it; see `EpisodeEdits.save`. The dataset that it is from then shows what is new."""
        if path is None and self.last is None or path is not None and not str(path).strip():
            raise RadliteError("a folder to save to", "none", "save('runs/edited') makes a dataset of this episode")
        folder = self.last if path is None else Path(path).expanduser()
        place, number = folder.resolve(), 0
        if place in self._there and not overwrite:
            episode.validate()
            number, was = self._there[place]
            resave(folder, number, episode.reasoning, was)
        else:
            write_dataset(folder, [episode], overwrite=overwrite, **self._card())
        if self._dataset is not None and place == self._dataset.path.resolve():
            self._dataset.reload()
        self.last, self._there[place] = folder, (number, list(episode.reasoning))
        return folder

    def _card(self) -> dict[str, str]:
        """Origin and licence, for the card of a new dataset."""
        edited = "One episode; its chains were edited by hand with `radlite.edit`."
        if self.last is None:
            return {"origin": edited, "license": "other"}
        before, license = told_by_card(self.last)
        return {"origin": f"{edited} What its card said before: {before}" if before else edited, "license": license}
