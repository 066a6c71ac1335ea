"""`radlite data subset`: some episodes of a large dataset, chosen by instruction and by lot, into one of their own.

The dataset may be a folder or lie on the Hub. Of one on the Hub only meta/ and the data files that hold the chosen episodes are
fetched, into the Hub's own cache: a run that was stopped fetches what is missing, and `files` bounds how many there are.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from radlite.actions import ACTION_DIM
from radlite.dataset_writer import DatasetInfo, write_dataset
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.formats.action_mask import APART, masks
from radlite.formats.card import ACTION_KEY, IMAGE_KEY, told_by_card
from radlite.formats.lerobot_part import INFO, META, LeRobotIndex, small_dataset, told_actions
from radlite.formats.lerobot_rows import damage
from radlite.quarantine import read_episodes
from radlite.validate import open_rows

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def subset(
    source: str | Path,
    out: str | Path,
    *,
    episodes: int | None = None,
    tasks: Sequence[str] = (),
    embodiment: str | None = None,
    seed: int = 0,
    files: int | None = None,
    revision: str | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> DatasetInfo:
    """Writes some episodes of a dataset as a dataset, whole or not at all.

    The same arguments choose the same episodes, wherever the dataset lies, and those of a smaller `episodes` are among those of a
    larger one. They stand in the order that they had, and their notes say where each is from. Cameras and columns that radlite
    does not read are not copied.

    Args:
        source: a LeRobotDataset v3 folder, or owner/name of one on the Hub.
        out: the folder to make.
        episodes: how many; None: all that fit.
        tasks: of the instructions; one of these must fit, see `fits`. An episode without an instruction never does.
        embodiment: "robot" or "human", to be told when the dataset holds the other one. A dataset that holds both, frames without
            an action being masked as `formats.action_mask` tells, is taken apart: "robot" takes the episodes with an action in
            every frame, "human" those with none, and without their actions. Told by NaN alone, it has to be a folder.
        seed: of the lot.
        files: draw from at most that many data files, themselves drawn; on the Hub these are fetched, and the videos that belong.
        revision: branch, tag or commit on the Hub.
        told: gets a line when it is known what will be read.

    Raises:
        RadliteError: no such dataset, too few episodes that fit, a chosen one that is damaged, or a disk or network that refuses.
    """
    _check_numbers(episodes, files, tasks)
    out = Path(out)
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):  # before anything is fetched
        raise RadliteError(f"nothing at {out} yet", "a folder or file of that name", "choose another path, or remove it")
    folder, name, fetch = _opened(source, revision)
    index = LeRobotIndex(folder)
    mixed = _may_be_mixed(index, folder == Path(source))
    _check_columns(index, name, None if mixed else embodiment)
    allowed, human = None, False
    if mixed and embodiment is not None:
        allowed, human = _apart(index, name, embodiment, _drawn(index, seed, files), fetch, told), embodiment == "human"
    chosen = choose(index, episodes, tasks, seed, files, allowed)
    wanted, videos = {index.files[i] for i in chosen}, {index.videos[i] for i in chosen if index.videos}
    of = f"{len(wanted):,} of {len(set(index.files)):,} data files"
    of += f" and {len(videos):,} of {len(set(index.videos)):,} videos" if videos else ""
    told(f"{len(chosen):,} of {len(index.files):,} episodes of {name}, in {of}")
    fetch(wanted | videos)
    with tempfile.TemporaryDirectory() as temp:
        small = Path(temp)
        numbers = small_dataset(index, wanted, videos, folder, small, human=human)
        before, license = told_by_card(folder)
        plain = re.sub(r"[^\w.@/ -]", "_", name)
        origin = f"{len(chosen)} of the {len(index.files)} episodes of `{plain}`, by `radlite data subset` with seed {seed}."
        if before and folder == Path(source):  # what a stranger's card says is for that card
            origin += f" What its card says: {before}"
        return write_dataset(out, _members(small, numbers, set(chosen), name), origin=origin, license=license)


def choose(
    index: LeRobotIndex, episodes: int | None, tasks: Sequence[str], seed: int, files: int | None = None,
    allowed: Collection[int] | None = None,
) -> list[int]:  # fmt: skip
    """Numbers of the chosen episodes, ascending; see `subset`. With `allowed`, out of these."""
    rng = np.random.default_rng([seed, 29])
    drawn = _drawn(index, rng, files)
    fit = [i for i, text in enumerate(index.instructions) if text and index.files[i] in drawn and fits(text, tasks)]
    fit = fit if allowed is None else [i for i in fit if i in allowed]
    if len(fit) < (episodes or 1):
        which = f" with an instruction like {' or '.join(map(repr, tasks))}" if tasks else ""
        which += f" in {files} data files" if files else ""
        found = f"{len(fit)}; there is for example {sorted(set(index.instructions))[:3]}"
        raise RadliteError(f"{episodes or 1} episodes{which} in {index.root}", found, "ask for fewer, or for other words")
    return sorted(fit[k] for k in rng.permutation(len(fit))[:episodes])


def _drawn(index: LeRobotIndex, seed: int | np.random.Generator, files: int | None) -> set[str]:
    """The data files to draw from."""
    rng = np.random.default_rng([seed, 29]) if isinstance(seed, int) else seed
    drawn = sorted(set(index.files))
    return set(drawn) if files is None else {drawn[k] for k in rng.permutation(len(drawn))[:files]}


def _may_be_mixed(index: LeRobotIndex, here: bool) -> bool:
    """Whether some frames may have no action: a column says so, or NaN might, which only the data files tell."""
    return ACTION_KEY in index.features and bool(here or masks(index.features))


def _apart(
    index: LeRobotIndex, name: str, embodiment: str, files: Collection[str], fetch: Callable[[Collection[str]], None],
    told: Callable[[str], None],
) -> set[int]:  # fmt: skip
    """The robot's or the human's episodes of a dataset that may hold both."""
    fetch(files)
    with damage(index.root):
        every, none, some = told_actions(index, files, index.root)
    if some:
        told(f"{len(some):,} episodes of {name} have an action in some of their frames only: left out")
    wanted = every if embodiment == "robot" else none
    if not wanted:
        found = f"{'robot' if every else 'human' if none else 'half masked'} episodes only, in {name}"
        raise RadliteError(f"{embodiment} episodes", found, "choose the other embodiment, or another dataset")
    return wanted


def fits(instruction: str, tasks: Sequence[str]) -> bool:
    """Whether one of `tasks` occurs in the instruction, or no task is given. Capitals do not matter.

    With "*" (any characters) or "?" (any one) in it, a task must fit the whole instruction: "put * on the plate".
    """
    text = instruction.casefold()
    patterns = (task.casefold().replace("[", "[[]") for task in tasks)
    return not tasks or any(fnmatchcase(text, p if set("*?") & set(p) else f"*{p}*") for p in patterns)


def _members(small: Path, numbers: list[int], chosen: set[int], name: str) -> Iterator[Episode]:
    """The chosen episodes, with where they are from in their notes; errors speak of the large dataset."""
    with _told_as(small, name):
        opened = open_rows(small)
    wanted = [k for k, number in enumerate(numbers) if number in chosen]
    reader = read_episodes(opened, wanted, numbers)
    for k in wanted:
        with _told_as(small, f"{name} (episode {numbers[k]})"):
            episode = next(reader)
            if episode.actions is not None and np.isnan(episode.actions).any():
                step = int(np.isnan(episode.actions).any(1).argmax())
                raise RadliteError(f"an action in every frame of {name}", f"none in frame {step} of episode {numbers[k]}", APART)
        yield replace(episode, meta={"source": name, "source_episode": numbers[k], **episode.meta})


@contextmanager
def _told_as(small: Path, name: str) -> Iterator[None]:
    """Errors of reading name the dataset that people know."""
    try:
        with damage(small):
            yield
    except RadliteError as error:
        expected, found = (part.replace(str(small), name) for part in (error.expected, error.found))
        fix = "leave it out with another --seed or --tasks, or download it all and see `radlite data validate --quarantine`"
        fix = error.fix if "--embodiment" in error.fix else fix
        raise RadliteError(expected, found if name in expected + found else f"{found} in {name}", fix) from error


def _opened(source: str | Path, revision: str | None) -> tuple[Path, str, Callable[[Collection[str]], None]]:
    """A folder with meta/ of the dataset, its name for people, and what fetches data files into the folder."""
    path, name = Path(source), str(source)
    if path.is_dir():
        if revision is not None:
            raise RadliteError("a dataset on the Hub, for --revision", f"the folder {path}", "leave out one of the two")
        return path, path.resolve().name, lambda wanted: None
    if not _HUB_ID.fullmatch(name):
        expected = "a folder with a LeRobotDataset, or owner/name of one on the Hub"
        raise RadliteError(expected, repr(name), "check the path: no folder of that name is here")
    folder = _fetched(name, revision, [INFO, *META, "README.md"])
    if not (folder / INFO).is_file():
        raise RadliteError(f"{INFO} in {name} on the Hub", "no such file", "choose a dataset in the LeRobotDataset v3.0 layout")
    return folder, f"{name}@{folder.name[:12]}", lambda wanted: _complete(name, folder, wanted)


def _complete(name: str, folder: Path, wanted: Collection[str]) -> None:
    _fetched(name, folder.name, sorted(wanted))
    missing = [file for file in sorted(wanted) if not (folder / file).is_file()]
    if missing:
        fix = "choose another dataset: meta/ of this one tells of that file"
        raise RadliteError(f"{missing[0]} in {name} on the Hub", "no such file", fix)


def _fetched(repo: str, revision: str | None, files: list[str]) -> Path:
    """The folder in the Hub's cache, of one commit, with these files as far as the dataset has them."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo, repo_type="dataset", revision=revision, allow_patterns=files))
    except Exception as error:  # the Hub's client, the network and the disk each have their own kinds
        raise RadliteError(
            f"the folder {repo}, or the files of the dataset {repo} on the Hub", f"{type(error).__name__}: {str(error)[:300]}",
            "check the name and the network, and run it again: what is here already is not fetched again",
        ) from error  # fmt: skip


def _check_columns(index: LeRobotIndex, name: str, embodiment: str | None) -> None:
    """What no choice of episodes can mend."""
    index.camera(None, IMAGE_KEY)
    action = index.features.get(ACTION_KEY)
    if action and action["shape"] != [ACTION_DIM]:
        expected = f"actions of {ACTION_DIM} numbers in {name}: change of position and rotation, and the gripper"
        raise RadliteError(expected, f"shape {action['shape']}", "radlite's policies act like this; choose another dataset")
    holds = "robot" if action else "human"
    if embodiment not in (None, holds):
        found = f"{holds} episodes, {'with' if action else 'without'} actions, in {name}"
        raise RadliteError(f"{embodiment} episodes", found, "a dataset holds one embodiment: choose another one")


def _check_numbers(episodes: int | None, files: int | None, tasks: Sequence[str]) -> None:
    for what, number in (("episodes", episodes), ("files", files)):
        if number is not None and number < 1:
            raise RadliteError(f"at least one of {what}", f"{number}", "leave it out for all")
    if not all(task.strip() for task in tasks):
        raise RadliteError("words of an instruction for --tasks", "nothing", "leave it out for all instructions")
