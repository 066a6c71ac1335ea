"""The editor: the player, and a hand in it. Boxes are drawn over the frame, words and numbers are typed beside it.

`radlite.edits` holds the episode and does the edits. Here the front end's messages become its calls, and what it answers, or
refuses, goes back: JavaScript (timeline.js, canvas.js, editor.js) never holds more of the truth than it shows.
"""

from __future__ import annotations

import inspect
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radlite.edits import EpisodeEdits
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import FIELDS, Reasoning, field_text
from radlite.show.panel import FIELD_STYLE
from radlite.show.player import Player, field_row, front_end, jpeg
from radlite.show.text import clean
from radlite.show.tracks import Segment, letter

try:
    from traitlets import Dict, List, Unicode, observe
except ImportError as error:
    raise RadliteError("traitlets, which the editor needs", str(error), "pip install 'radlite[notebooks]'") from error

if TYPE_CHECKING:
    from radlite.show.edit_form import EditForm

ACTS = ("set_field", "move_point", "add_box", "move_box", "rename_box", "delete_box", "split", "merge", "undo", "redo", "save")


class Editor(Player):
    """The widget behind `radlite.edit`. Its own state is in plain traits beside the player's.

    Args:
        edits: the episode, and what has been done to it.
        save_to: what stands in the field beside the save button; by default the dataset's folder.

    Attributes:
        edits: does everything that the buttons do, and more: `editor.edits.rename_box(3, 0, "red can", scope="episode")`.
        state: what the frame `shown` holds, and what can be done there; made of `edits` alone.
        told: the last answer: {"text", "bad": whether it is an error, "box": the last box's number in this frame, "count"}.
        size: [W, H] of the frames.
        target: the folder in the save field.
    """

    _esm = front_end("timeline.js", "canvas.js", "editor.js")
    _css = front_end("player.css", "editor.css")

    state = Dict().tag(sync=True)
    told = Dict().tag(sync=True)
    size = List().tag(sync=True)
    target = Unicode().tag(sync=True)

    def __init__(self, edits: EpisodeEdits, save_to: str | Path | None = None) -> None:
        self.edits, self._lock = edits, threading.RLock()
        super().__init__(edits.episode)
        target = save_to if save_to is not None else edits.home or ""
        self.size, self.target = [int(n) for n in edits.episode.frames.shape[2:0:-1]], str(target)
        edits.heard.append(self._refresh)
        self.on_msg(self._hear)
        self._refresh()

    @property
    def episode(self) -> Episode:
        """The episode as it is now: what `write_dataset` writes and training reads."""
        return self.edits.episode

    def save(self, path: str | Path | None = None, overwrite: bool = False) -> Path:
        """Writes the episode; see `EpisodeEdits.save`. Without a path it goes where the save field says."""
        return self.edits.save(path if path is not None else self.target or None, overwrite)

    @cached_property
    def _form(self) -> EditForm:
        from radlite.show.edit_form import EditForm

        return EditForm(self.edits, self.target)

    def form(self) -> EditForm:
        """The same edits as a form of plain fields, for front ends that cannot show this; both show the same episode."""
        return self._form

    def __repr__(self) -> str:
        return f"<Editor of {len(self)} frames: {self.titles[0]}>"

    # -- what the front end asks for -----------------------------------------------------------------------------------
    def _hear(self, _: Any, asked: Any, buffers: Any = None) -> None:
        """Does what a message asks for, and says so; newer front ends call this from another thread than cells run in."""
        with self._lock:
            before = self.told.get("count", 0)
            try:
                _act(self.edits, asked)
            except RadliteError as error:
                self._tell(f"Not done. Expected {error.expected}; found {error.found}. What to do: {error.fix}.", bad=True)
            if self.told.get("count", 0) == before:
                self._tell("Nothing to change.")

    def _refresh(self, what: str = "") -> None:
        """All that an edit may have changed, and then what it was."""
        chains = self.edits.episode.reasoning
        self._tracks[0].chains[:] = chains
        self.__dict__.pop("_png", None)  # the still picture shows the same episode
        with self.hold_sync():
            self.segments = [self._timeline()]
            self.state = self._state()
        if what:
            self._tell(f"{what}.")

    def _tell(self, text: str, bad: bool = False) -> None:
        count = self.told.get("count", 0) + 1
        self.told = {"text": clean(text, 600), "bad": bad, "box": len(self.state["boxes"]) - 1, "count": count}

    # -- what is shown -------------------------------------------------------------------------------------------------
    @observe("index")
    def _show(self, change: dict) -> None:
        with self.hold_sync():
            self.state = self._state()
            super()._show(change)

    def _state(self) -> dict[str, Any]:
        edits, step = self.edits, self.index
        chain, run = edits.episode.reasoning[step] or Reasoning(), edits.span(step, "segment")
        texts = {f: clean(field_text(chain, f)) for f in FIELDS if getattr(chain, f) is not None}
        boxes = [{"name": clean(box.name, 200), "xyxy": [int(v) for v in box.xyxy]} for box in chain.bboxes or ()]
        points = [[int(v) for v in point] for point in chain.gripper or ()]
        return {
            "step": step, "last": len(edits.episode) - 1, "segment": [run.start, run.stop - 1], "fields": texts,
            "boxes": boxes, "looked": chain.bboxes is not None, "points": points,
            "undo": clean(edits.undoes, 200), "redo": clean(edits.redoes, 200), "unsaved": edits.unsaved,
        }  # fmt: skip

    def _timeline(self) -> list[Segment]:
        """The runs that say a subtask, as `radlite.show.tracks.segments` has them; another plan begins another one, too."""
        line, kinds = [], {}
        for run in self.edits.segments():
            label = clean(getattr(self.edits.episode.reasoning[run.start], "subtask", None), 200)
            if label:
                kind = kinds.setdefault(label, len(kinds))
                line.append({"start": run.start, "stop": run.stop, "label": label, "kind": kind, "letter": letter(kind)})
        return line

    def _encode(self, number: int, k: int) -> bytes:
        """The frame alone: what lies over it the front end draws, and can move."""
        return jpeg(self._tracks[number].frames[k], None, None)

    def _said(self, index: int) -> list[dict[str, str]]:
        return []  # the state says it

    def _rows(self) -> list[dict[str, Any]]:
        return [field_row(*style) for style in FIELD_STYLE if style[0] != "bboxes"]


def _act(edits: EpisodeEdits, asked: Any) -> None:
    """One message of the front end: {"do": name of a method, and its arguments by name}."""
    given = dict(asked) if isinstance(asked, dict) else {}
    name = given.pop("do", None)
    if name not in ACTS:
        raise RadliteError(f"a message that does one of {', '.join(ACTS)}", quoted(asked), "reload the page")
    method = getattr(edits, name)
    try:
        inspect.signature(method).bind(**given)
    except TypeError as error:
        raise RadliteError(f"the arguments of {name}", quoted(str(error)), "reload the page") from error
    method(**given)
