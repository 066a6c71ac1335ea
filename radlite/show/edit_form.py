"""The editor as a plain form: a slider for the frame, text and number fields, buttons. For where the widget cannot be shown.

Only ipywidgets, and only what version 7.7 has. It does the same edits on the same `EpisodeEdits`; what people wrote is shown as
the value of a text widget, or through `escape`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from radlite.edits import EpisodeEdits
from radlite.episode import Episode
from radlite.errors import RadliteError
from radlite.formats.picture import encode_image
from radlite.reasoning import FIELDS, Reasoning, field_text
from radlite.show.html import escape
from radlite.show.overlay import draw_prediction
from radlite.show.panel import FIELD_STYLE
from radlite.show.text import clean

try:
    import ipywidgets as w

    from radlite.show.widgets import button, labelled, named
except ImportError as error:
    raise RadliteError("ipywidgets, which the form needs", str(error), "pip install 'radlite[notebooks]'") from error

HOLDS = (("this frame", "frame"), ("this segment", "segment"), ("the whole episode", "episode"))
NONE = ("none", -1)
SIDES = ("x1", "y1", "x2", "y2")
SIZE = 384  # pixels of the picture's longer side
STYLE = "<style>.radlite-edit-form .widget-label { min-width: 118px } .radlite-edit-form textarea { resize: vertical }</style>"


class EditForm:
    """Widgets over `EpisodeEdits`. A notebook shows it; `form.view` has the widgets by name.

    Args:
        edits: the episode, and what has been done to it.
        save_to: what stands in the field beside the save button; by default the dataset's folder.

    Raises:
        RadliteError: ipywidgets is missing.
    """

    def __init__(self, edits: EpisodeEdits, save_to: str | Path | None = None) -> None:
        self.edits, self._writing, self._lock = edits, False, threading.RLock()
        self.view = self._view(str(save_to if save_to is not None else edits.home or ""))
        self._listen()
        edits.heard.append(self._refresh)
        self._refresh()

    @property
    def episode(self) -> Episode:
        """The episode as it is now: what `write_dataset` writes and training reads."""
        return self.edits.episode

    def save(self, path: str | Path | None = None, overwrite: bool = False) -> Path:
        """Writes the episode; see `EpisodeEdits.save`. Without a path it goes where the save field says."""
        return self.edits.save(path if path is not None else self.view["path"].value or None, overwrite)

    def form(self) -> EditForm:
        """Itself."""
        return self

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view["root"].model_id}
        return {"application/vnd.jupyter.widget-view+json": view, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"<EditForm of {len(self.episode)} frames: {clean(self.episode.instruction, 80)}>"

    # -- the widgets -------------------------------------------------------------------------------------------------------
    def _view(self, target: str) -> dict[str, Any]:
        wide, last = w.Layout(width="auto"), len(self.episode) - 1
        view: dict[str, Any] = {
            "frame": labelled(w.IntSlider, "frame", "Frame", "96%", min=0, max=last, continuous_update=False),
            "picture": named(w.Image(format="png", layout=w.Layout(width="100%", max_width=f"{SIZE}px")), "picture"),
            "scope": labelled(w.Dropdown, "scope", "An edit holds for", "280px", "initial", options=HOLDS),
            "box": labelled(w.Dropdown, "box", "Box", "280px", options=[NONE]),
            "name": labelled(w.Text, "box-name", "Name", "280px", placeholder="what it shows", continuous_update=False),
            "path": labelled(w.Text, "path", "Save to", "340px", value=target, placeholder="a folder, such as runs/edited"),
            "status": named(w.HTML(), "status-line"),
            **{side: labelled(w.BoundedIntText, side, side, "105px", "22px", min=0, max=256) for side in SIDES},
            **{name: button(name, text, hint, "auto") for name, text, hint in _BUTTONS},
        }
        for name, title, _ in FIELD_STYLE:
            area = labelled(w.Textarea, f"field-{name}", title, "auto", "118px", rows=2, continuous_update=False)
            view[f"field_{name}"] = area
        row = lambda *names: w.HBox([view[n] for n in names], layout=w.Layout(flex_flow="row wrap", width="100%"))  # noqa: E731
        left = w.VBox([view["picture"], row("box", "name"), row(*SIDES), row("add_box", "move_box", "delete_box")])
        right = w.VBox([view[f"field_{name}"] for name in FIELDS], layout=w.Layout(flex="1 1 380px"))
        left.layout = w.Layout(flex="1 1 320px", max_width="460px")
        both = w.HBox([left, right], layout=w.Layout(flex_flow="row wrap", width="100%"))
        rows = [row("frame"), row("scope"), both, row("undo", "redo", "split", "merge"), row("path", "save"), view["status"]]
        view["root"] = named(w.VBox([w.HTML(STYLE), *rows], layout=w.Layout(width="100%", max_width="1000px")), "edit-form")
        view["status"].layout = wide
        return view

    # -- what people do ----------------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        view, edits = self.view, self.edits
        for name in FIELDS:
            area = view[f"field_{name}"]
            self._on(area, lambda name=name, area=area: edits.set_field(self._step, name, area.value, view["scope"].value))
        self._on(view["frame"], self._refresh)
        self._on(view["box"], self._show_box)
        self._on(view["name"], lambda: self._number < 0 or edits.rename_box(*self._held, view["name"].value, view["scope"].value))
        does = {
            "add_box": self._add,
            "move_box": lambda: edits.move_box(*self._held, self._edges, view["scope"].value),
            "delete_box": lambda: edits.delete_box(*self._held, view["scope"].value),
            "split": lambda: edits.split(self._step),
            "merge": lambda: edits.merge(self._step),
            "undo": edits.undo,
            "redo": edits.redo,
            "save": self.save,
        }
        for name, act in does.items():
            view[name].on_click(lambda _, act=act: self._answer(act))

    def _on(self, widget: Any, act: Callable[[], object]) -> None:
        """Does that when a person, not we, has changed a value."""
        widget.observe(lambda _: self._writing or self._answer(act), "value")

    def _answer(self, act: Callable[[], object]) -> None:
        with self._lock:
            try:
                act()
            except RadliteError as error:  # what was typed stays where it was typed
                self._say(f"Not done. Expected {error.expected}; found {error.found}. What to do: {error.fix}.")

    def _add(self) -> None:
        self.edits.add_box(self._step, self.view["name"].value or "new thing", self._edges, self.view["scope"].value)
        self._set("box", value=len(self.view["box"].options) - 2)
        self._show_box()

    @property
    def _step(self) -> int:
        return self.view["frame"].value

    @property
    def _number(self) -> int:
        return self.view["box"].value

    @property
    def _held(self) -> tuple[int, int]:
        """Frame and number of the chosen box."""
        if self._number < 0:
            raise RadliteError("a box to be chosen", "none", "choose one in the list, or make one with New box")
        return self._step, self._number

    @property
    def _edges(self) -> list[int]:
        return [self.view[side].value for side in SIDES]

    # -- what is shown -----------------------------------------------------------------------------------------------------
    def _refresh(self, what: str = "") -> None:
        chain = self.episode.reasoning[self._step]
        boxes = (chain or Reasoning()).bboxes or ()
        listed = [NONE, *((f"{k + 1}: {clean(box.name, 60)}", k) for k, box in enumerate(boxes))]
        for name in FIELDS:
            self._set(f"field_{name}", value=clean(field_text(chain or Reasoning(), name)))
        self._set("box", options=listed, value=min(self._number, len(boxes) - 1))
        self._show_box()
        drawn = draw_prediction(self.episode.frames[self._step], chain, size=SIZE, panel=False)
        self.view["picture"].value = encode_image(drawn, "png")
        self.view["undo"].disabled, self.view["redo"].disabled = not self.edits.undoes, not self.edits.redoes
        self._say(f"{what}." if what else "")

    def _show_box(self) -> None:
        boxes = (self.episode.reasoning[self._step] or Reasoning()).bboxes or ()
        box = boxes[self._number] if self._number >= 0 else None
        self._set("name", value=clean(box.name, 200) if box else "")
        for side, value in zip(SIDES, box.xyxy if box else (96, 96, 160, 160), strict=True):
            self._set(side, value=int(value))

    def _set(self, widget: str, **values: Any) -> None:
        self._writing = True
        try:
            for name, value in values.items():
                setattr(self.view[widget], name, value)
        finally:
            self._writing = False

    def _say(self, text: str) -> None:
        self.view["status"].value = f'<div role="status" aria-live="polite">{escape(text) or "&nbsp;"}</div>'


_BUTTONS = (
    ("add_box", "New box", "one more box with these edges; choose none before you type its name"),
    ("move_box", "Move box", "the chosen box gets these edges"),
    ("delete_box", "Delete box", "without the chosen box"),
    ("undo", "Undo", "take the last edit back"),
    ("redo", "Redo", "do again what was taken back"),
    ("split", "Split segment here", "from this frame on another subtask"),
    ("merge", "Merge with next", "the next segment takes this one's subtask and plan"),
    ("save", "Save", "write the chains to disk"),
)
