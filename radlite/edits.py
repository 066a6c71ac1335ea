"""An episode's chains, edited by hand: boxes, words, segments, and a way back.

The player shows what was said; here it is corrected. Every edit holds for one frame, for the segment that the frame is in, or for
the whole episode, is checked as `Reasoning.validate` checks, and happens whole or not at all. What is changed is the episode
itself, `edits.episode`, the very object that `write_dataset` writes and training reads; frames and actions are never touched.
Nothing here knows Jupyter: the editor and the form of `radlite.show` are two faces of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from radlite.edit_input import box_of, check_frames, check_number, name_of, opened, pixels, value_of
from radlite.episode import Episode
from radlite.episodes import EpisodeDataset
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import FIELDS, FRAME_SIZE, TAGS, Box, Reasoning
from radlite.resave import Places

SCOPES = ("frame", "segment", "episode")
"""What an edit holds for: one frame, the run of frames with its subtask and plan, or all frames."""

KEPT = 200  # edits that can be undone
Chain = Reasoning | None


@dataclass(frozen=True)
class Change:
    """One edit: what was done, in words, and the chains of the frames that it changed, before and after."""

    what: str
    before: dict[int, Chain]
    after: dict[int, Chain]


class EpisodeEdits:
    """Edits of one episode. Whatever cannot be done raises a `RadliteError`, and then nothing has changed.

    Args:
        source: an `Episode`, whose list of chains is then edited in place; or a dataset, or its folder, and which episode of it.
        index: number of the episode in the dataset.

    Attributes:
        episode: the episode as it is now.
        heard: functions to call after every change, with what was done in words.

    Raises:
        RadliteError: something else, no number for a dataset, or frames and chains that do not belong together.
    """

    def __init__(self, source: Episode | EpisodeDataset | str | Path, index: int | None = None) -> None:
        self.dataset = EpisodeDataset(source) if isinstance(source, str | Path) else source
        self.episode, number = opened(self.dataset, index)
        check_frames(self.episode)
        if not isinstance(self.episode.reasoning, list):
            self.episode.reasoning = list(self.episode.reasoning)
        self.heard: list[Callable[[str], object]] = []
        self._saved = list(self.episode.reasoning)
        self._places = Places(None if number is None else (self.dataset, number), self._saved)
        self._done: deque[Change] = deque(maxlen=KEPT)
        self._undone: list[Change] = []

    # -- which frames ----------------------------------------------------------------------------------------------------
    def segments(self) -> list[range]:
        """The frames as runs with the same subtask and plan, in order; frames that say neither form runs as well."""
        keys = [(c.subtask, c.plan) if c else (None, None) for c in self.episode.reasoning]
        runs = [[k for k, _ in run] for _, run in groupby(enumerate(keys), key=lambda pair: pair[1])]
        return [range(run[0], run[-1] + 1) for run in runs]

    def span(self, step: int, scope: str = "frame") -> range:
        """The frames that an edit at frame `step` holds for."""
        check_number("a frame's number", step, len(self.episode))
        if scope not in SCOPES:
            raise RadliteError(f"a scope out of {', '.join(SCOPES)}", quoted(scope), "correct the name")
        if scope == "frame":
            return range(step, step + 1)
        return range(len(self.episode)) if scope == "episode" else next(s for s in self.segments() if step in s)

    # -- words -----------------------------------------------------------------------------------------------------------
    def set_field(self, step: int, field: str, value: Any, scope: str = "frame") -> None:
        """Another value for a field. A frame without a chain gets one; a chain without fields is none.

        Args:
            value: text for any field, as it stands in a chain; or what `Reasoning` has; None or "" for an absent field.
        """
        if field not in FIELDS:
            raise RadliteError("fields out of " + ", ".join(FIELDS), quoted(field), "correct the name")
        value = value_of(field, value)
        self._each(f"{TAGS[field][:-1]} {'written' if value is not None else 'removed'}", self.span(step, scope),
                   lambda chain, _: (chain or Reasoning()).replace(**{field: value}))  # fmt: skip

    def move_point(self, step: int, number: int, xy: Sequence[float]) -> None:
        """Another place for one of the gripper's points, in this frame: x, y in pixels of the 256 x 256 frame."""
        points = list((self._chain(step) or Reasoning()).gripper or ())
        check_number("the number of a gripper point", number, len(points))
        points[number] = pixels(xy, 2)
        self.set_field(step, "gripper", tuple(points))

    # -- boxes -----------------------------------------------------------------------------------------------------------
    def add_box(self, step: int, name: str, xyxy: Sequence[float], scope: str = "frame") -> None:
        """One more box. Another frame of the scope gets it if it has fewer of that name than this one has then.

        Args:
            xyxy: left, top, right, bottom edge in pixels of the 256 x 256 frame.
        """
        box, many = box_of(name, xyxy), 1 + sum(b.name == name_of(name) for b in self._boxes(step))

        def added(chain: Chain, k: int) -> Chain:
            boxes = (chain.bboxes if chain else None) or ()
            enough = k != step and sum(b.name == box.name for b in boxes) >= many
            return chain if enough else (chain or Reasoning()).replace(bboxes=(*boxes, box))

        self._each(f"{box.name!r} drawn", self.span(step, scope), added)

    def move_box(self, step: int, number: int, xyxy: Sequence[float], scope: str = "frame") -> None:
        """Other edges for a box. In the other frames of the scope the box of that name moves by as much, inside the frame."""
        old, new = self._box(step, number), pixels(xyxy, 4)
        box_of(old.name, new)
        by = [b - a for a, b in zip(old.xyxy, new, strict=True)]

        def moved(box: Box, k: int) -> Box:
            if k == step:
                return replace(box, xyxy=new)
            x1, y1, x2, y2 = (min(max(v + d, 0), FRAME_SIZE) for v, d in zip(box.xyxy, by, strict=True))
            return replace(box, xyxy=(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))

        self._each_box(f"{old.name!r} moved", step, number, scope, moved)

    def rename_box(self, step: int, number: int, name: str, scope: str = "frame") -> None:
        """Another name for a box, and for the box of that name in the other frames of the scope."""
        old, new = self._box(step, number), box_of(name, (0, 0, 0, 0)).name
        self._each_box(f"{old.name!r} named {new!r}", step, number, scope, lambda box, _: replace(box, name=new))

    def delete_box(self, step: int, number: int, scope: str = "frame") -> None:
        """Without a box, here and where the other frames of the scope have one of that name."""
        self._each_box(f"{self._box(step, number).name!r} deleted", step, number, scope, lambda box, _: None)

    # -- segments --------------------------------------------------------------------------------------------------------
    def split(self, step: int, subtask: str | None = None) -> None:
        """A segment begins at frame `step`: from there to the old one's end another subtask.

        Args:
            subtask: its words; by default those it had, with a number behind them, for you to write.
        """
        run = self.span(step, "segment")
        if step == run.start:
            expected, found = "a frame inside a segment", f"frame {step}, where one begins"
            raise RadliteError(expected, found, "go to the frame that shall be the second part's first")
        words = value_of("subtask", subtask) or self._free_words(getattr(self._chain(step), "subtask", None))
        if words == getattr(self._chain(step), "subtask", None):
            raise RadliteError("another subtask than the segment has", quoted(words), "word the second part differently")
        self._each("Segment split", range(step, run.stop), lambda chain, _: (chain or Reasoning()).replace(subtask=words))

    def merge(self, step: int) -> None:
        """The next segment joins this one: it takes this one's subtask and plan."""
        run, first = self.span(step, "segment"), self._chain(step)
        if run.stop == len(self.episode):
            raise RadliteError("a segment after this one", "the episode's end", "go to the segment before, and merge there")
        if first is None or first.subtask is None:
            raise RadliteError("a segment with a subtask", f"none at frame {step}", "write its subtask first")
        words = {"subtask": first.subtask, "plan": first.plan}
        self._each("Segments merged", self.span(run.stop, "segment"), lambda chain, _: (chain or Reasoning()).replace(**words))

    # -- back and forth --------------------------------------------------------------------------------------------------
    @property
    def undoes(self) -> str:
        """What `undo` would take back, in words; "" for nothing."""
        return self._done[-1].what if self._done else ""

    @property
    def redoes(self) -> str:
        """What `redo` would do again, in words; "" for nothing."""
        return self._undone[-1].what if self._undone else ""

    def undo(self) -> None:
        """Takes the last edit back."""
        if not self._done:
            raise RadliteError("an edit to take back", "none", "edit something first")
        change = self._done.pop()
        self._undone.append(change)
        self._put(change.before, f"Undone: {change.what}")

    def redo(self) -> None:
        """Does again what was taken back."""
        if not self._undone:
            raise RadliteError("an edit to do again", "none", "it is there after an undo, until the next edit")
        change = self._undone.pop()
        self._done.append(change)
        self._put(change.after, f"Done again: {change.what}")

    # -- to disk ---------------------------------------------------------------------------------------------------------
    @property
    def home(self) -> Path | None:
        """The folder that `save()` writes into, None where there is none yet."""
        return self._places.last

    @property
    def unsaved(self) -> bool:
        """Whether the chains differ from those that were opened or saved last."""
        return self.episode.reasoning != self._saved

    def save(self, path: str | Path | None = None, overwrite: bool = False) -> Path:
        """Writes the episode to disk, whole or not at all.

        Into the dataset that it comes from (or that this made) go its chains alone: pictures, other columns and other episodes
        stay as they are. Anywhere else a dataset of this one episode is made, and is what `save()` writes into from then on.

        Args:
            path: a folder; by default that of the dataset.
            overwrite: replace whatever dataset stands there, as `write_dataset` does.

        Returns:
            The dataset's folder.

        Raises:
            RadliteError: no folder is named, it is taken, or the disk refuses; a chain that nobody has edited is not valid; or
                somebody else has meanwhile changed this episode on disk.
        """
        folder = self._places.save(self.episode, path, overwrite)
        self._saved = list(self.episode.reasoning)
        self._tell(f"Saved in {folder}")
        return folder

    # -- how -------------------------------------------------------------------------------------------------------------
    def _each(self, what: str, frames: Sequence[int], change: Callable[[Chain, int], Chain]) -> None:
        """One edit: `change` for the chain of every one of these frames."""
        chains = self.episode.reasoning
        after = {k: change(chains[k], k) for k in frames}
        after = {k: chain if chain != Reasoning() else None for k, chain in after.items() if chain != chains[k]}
        after = {k: chain for k, chain in after.items() if chain != chains[k]}
        if after:
            self._done.append(Change(f"{what} {_where(list(after))}", {k: chains[k] for k in after}, after))
            self._undone.clear()
            self._put(after, self.undoes)

    def _each_box(self, what: str, step: int, number: int, scope: str, change: Callable[[Box, int], Box | None]) -> None:
        """One edit of a box, in this frame and wherever in the scope there is its like: as many of its name before it."""
        name = self._box(step, number).name
        nth = sum(b.name == name for b in self._boxes(step)[:number])

        def changed(chain: Chain, k: int) -> Chain:
            alike = [i for i, b in enumerate((chain.bboxes if chain else None) or ()) if b.name == name]
            if len(alike) <= nth:
                return chain
            boxes = list(chain.bboxes)
            boxes[alike[nth]] = change(boxes[alike[nth]], k)
            return chain.replace(bboxes=tuple(b for b in boxes if b is not None))

        self._each(what, self.span(step, scope), changed)

    def _put(self, chains: Mapping[int, Chain], what: str) -> None:
        for k, chain in chains.items():
            self.episode.reasoning[k] = chain
        self._tell(what)

    def _tell(self, what: str) -> None:
        for hear in self.heard:
            hear(what)

    def _chain(self, step: int) -> Chain:
        return self.episode.reasoning[self.span(step).start]

    def _boxes(self, step: int) -> tuple[Box, ...]:
        return (self._chain(step) or Reasoning()).bboxes or ()

    def _box(self, step: int, number: int) -> Box:
        check_number(f"the number of a box in frame {step}", number, len(self._boxes(step)))
        return self._boxes(step)[number]

    def _free_words(self, subtask: str | None) -> str:
        """Words for a second part that no frame has yet: "grasp it (2)"."""
        taken, k = {c.subtask for c in self.episode.reasoning if c}, 2
        while (words := f"{subtask or 'subtask'} ({k})") in taken:
            k += 1
        return words


def _where(frames: list[int]) -> str:
    """Which frames, in words."""
    first, last = frames[0], frames[-1]
    if first == last:
        return f"in frame {first}"
    return f"in frames {first} to {last}" if len(frames) == last - first + 1 else f"in {len(frames)} frames, {first} to {last}"
