"""The playground's widgets: how they stand on the page, what they show, and what a person has typed into them.

Only widgets and options that ipywidgets 7.7 has. Whatever a policy or a person wrote goes into the value of a text
widget, or through `escape` into an HTML one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import ipywidgets as w
import numpy as np
from PIL import Image

from radlite.reasoning import FIELDS
from radlite.show.html import escape
from radlite.show.overlay import draw_prediction
from radlite.show.panel import FIELD_STYLE, action_text
from radlite.show.text import clean
from radlite.show.widgets import button, labelled, named

if TYPE_CHECKING:
    from radlite.policy import Prediction

TITLES = {name: title for name, title, _ in FIELD_STYLE}
ROWS = {"plan": 2, "bboxes": 2, "subtask_reason": 3, "move_reason": 2}
KINDS = (
    ("the robot's own tasks", "home"),
    ("compositional: a pair that no robot demonstration has", "compositional"),
    ("new object: only hands have moved it", "new_object"),
    ("new scene: another table, another lamp", "new_scene"),
)
HOLDS = (("until released", 0), ("for 1 step", 1), ("for 5 steps", 5))
CHOOSE = ("choose one that is possible here", "")
SIZE = 512  # pixels a side of the picture
# labels stand over their fields, close to them; a field that a person has edited also has another border
STYLE = """<style>
.radlite-playground { padding: 4px 0; }
.radlite-playground .radlite-picture { border-radius: 4px; }
.radlite-playground .radlite-field { flex-direction: column; align-items: stretch; height: auto; margin: 0 2px 3px; }
.radlite-playground .radlite-field > label { width: auto; max-width: none; height: auto; line-height: 1.4; margin: 0;
  text-align: left; font-size: 12px; opacity: .85; }
.radlite-playground .radlite-field textarea { resize: none; line-height: 1.35; padding: 2px 6px; }
.radlite-playground .radlite-edited > label { font-weight: bold; opacity: 1; }
.radlite-playground .radlite-edited textarea { border-style: dashed; border-width: 2px; }
.radlite-playground :is(.radlite-actions, .radlite-status-line) { height: auto; }
.radlite-playground :is(.radlite-actions, .radlite-status-line) .widget-html-content { line-height: 1.5; }
.radlite-playground .radlite-axes { font-size: 12px; opacity: .75; }
</style>"""
LEFT, RIGHT = "420px", "400px"  # widths of what one types and what one chooses instead


class View:
    """All widgets, by name; `root` holds them, `fields` has the chain's text areas.

    Args:
        adapters: (label, value) of the policies one can switch between.
    """

    def __init__(self, adapters: list[tuple[str, str]]) -> None:
        self._writing = False  # what we write nobody has typed
        self._shown = dict.fromkeys(FIELDS, "")  # the fields as we wrote them last
        self._edited: frozenset[str] = frozenset()  # fields that are given to the policy
        self.picture = named(w.Image(format="png", layout=w.Layout(width="100%", max_width=f"{SIZE}px")), "picture")
        self.actions, self.status = named(w.HTML(), "actions"), named(w.HTML(), "status-line")
        self.fields = {name: self._field(name) for name in FIELDS}
        self._make_buttons()
        self._make_choosers(adapters)
        self.root = named(self._laid_out(), "playground")
        self.say("")

    def _field(self, name: str) -> w.Textarea:
        area = labelled(w.Textarea, f"field-{name}", TITLES[name], "auto", "initial", rows=ROWS.get(name, 1))
        self.on_value(area, lambda: self._mark(name))
        return named(area, "field")

    def _make_buttons(self) -> None:
        self.run = button("run", "Run", "act until the task is done, or until Pause", button_style="primary")
        self.step = button("step", "Step", "one step of 0.2 s, from your edit if there is one")
        self.think = button("think", "Think", "reason again from your edit, without acting")
        self.release = button("release", "Release edits", "the policy speaks for itself again", "120px")
        self.reset = button("reset", "Reset", "the same scene again, from the start")
        self.save_dataset = button("save-dataset", "Dataset", "the run as a folder that one can train on")
        self.save_video = button("save-video", "mp4", "the run as a video with what was said")

    def _make_choosers(self, adapters: list[tuple[str, str]]) -> None:
        hint = "type anything, then Enter"
        self.adapter = named(w.ToggleButtons(options=adapters, style={"button_width": "80px"}), "adapter")
        self.hold = labelled(w.Dropdown, "hold", "edits hold", "210px", "80px", options=HOLDS, value=0)
        self.task = labelled(w.Text, "task", "Task", LEFT, continuous_update=False, placeholder=hint)
        self.tasks = labelled(w.Dropdown, "tasks", "or", RIGHT, options=[CHOOSE])
        self.kind = labelled(w.Dropdown, "kind", "Scene", LEFT, options=KINDS)
        self.seed = labelled(w.BoundedIntText, "seed", "number", "150px", min=0, max=10**9)
        self.path = labelled(w.Text, "path", "Save to", LEFT, value="runs/playground")

    def _laid_out(self) -> w.VBox:
        left = w.VBox([self.picture, self.actions], layout=w.Layout(flex="1 1 340px", max_width=f"{SIZE}px", margin="0 12px 0 0"))
        right = w.VBox(list(self.fields.values()), layout=w.Layout(flex="1 1 400px"))
        rows = (
            [self.run, self.step, self.think, self.reset, self.release, self.hold],
            [self.task, self.tasks],
            [self.kind, self.seed, self.adapter],
            [self.path, self.save_dataset, self.save_video],
        )
        wrapped = {"flex_flow": "row wrap", "width": "100%", "align_items": "flex-start"}
        top, *boxes = (w.HBox(row, layout=w.Layout(**wrapped)) for row in ([left, right], *rows))
        return w.VBox([w.HTML(STYLE), top, self.status, *boxes], layout=w.Layout(width="100%", max_width="1100px"))

    # -- listening ------------------------------------------------------------------------------------------------------
    def on_value(self, widget: w.Widget, does: Callable[[], object]) -> None:
        """Does that when a person has changed a widget's value."""
        widget.observe(lambda _: self._writing or does(), "value")

    def written(self) -> dict[str, str]:
        """The fields that a person has changed since we wrote them."""
        return {f: area.value for f, area in self.fields.items() if area.value != self._shown[f]}

    # -- showing --------------------------------------------------------------------------------------------------------
    def set(self, widget: w.Widget, **values: Any) -> None:
        """Sets a widget's `value` or `options` ourselves."""
        self._writing = True
        try:
            for name, value in values.items():
                setattr(widget, name, value)
        finally:
            self._writing = False

    def show_chain(self, texts: dict[str, str], edited: Iterable[str]) -> None:
        """The chain, or as much as there is of it; `edited` fields say so in their labels."""
        self._edited = frozenset(edited)
        self._shown = {name: clean(texts.get(name, "")) for name in FIELDS}
        for name, area in self.fields.items():
            self.set(area, value=self._shown[name])
            self._mark(name)

    def offer(self, tasks: Iterable[str]) -> None:
        """The tasks one can choose instead of typing."""
        self.set(self.tasks, options=[CHOOSE, *((t, t) for t in tasks)], value="")

    def drop_written(self) -> None:
        """What a person has typed gives way to what we wrote."""
        self.show_chain(self._shown, self._edited)

    def show_picture(self, frame: np.ndarray, thought: Prediction | None) -> None:
        """A frame uint8 (H, W, 3), and what is thought about it."""
        said = (thought.reasoning, thought.action) if thought else (None, None)
        file = io.BytesIO()
        Image.fromarray(draw_prediction(frame, *said, size=SIZE, panel=False)).save(file, "png", compress_level=1)
        self.picture.value = file.getvalue()

    def show_actions(self, last: Prediction | None, coming: Prediction | None, steps: int) -> None:
        """What was done and what would be done next, in words."""
        done = f"{action_text(last.action)} (step {steps})" if last else "none yet"
        ahead = action_text(coming.action) if coming else "none"
        lines = (("last", "Last action", done), ("next", "Next action", ahead))
        parts = (f'<div class="radlite-{k}-action"><b>{title}:</b> {escape(text)}</div>' for k, title, text in lines)
        self.actions.value = "".join(parts) + '<div class="radlite-axes">x is forward, y left, z up; a step takes 0.2 s</div>'

    def show_working(self, busy: bool, running: bool) -> None:
        """Fields are open to edits only while nothing is being written into them."""
        self.set(self.run, description="Pause" if busy and running else "Run")
        for area in self.fields.values():
            area.disabled = busy

    def say(self, text: str) -> None:
        """One line of status; a screen reader reads it out."""
        self.status.value = f'<div class="radlite-status" role="status" aria-live="polite">{escape(text) or "&nbsp;"}</div>'

    def titles(self, names: Iterable[str]) -> str:
        """Labels of fields, in their order, as a list in words."""
        wanted = set(names)
        return ", ".join(TITLES[f] for f in FIELDS if f in wanted)

    def _mark(self, name: str) -> None:
        """Says in a field's label whether a person has edited it."""
        area, edited = self.fields[name], name in self._edited or self.fields[name].value != self._shown[name]
        area.description = TITLES[name] + (" (edited)" if edited else "")
        (area.add_class if edited else area.remove_class)("radlite-edited")
