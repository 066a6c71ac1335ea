"""The live playground: a robot in a notebook that one can give tasks, watch think, stop and correct.

`LiveRun` does the work. Here its thoughts reach the widgets as they grow, and what people click and type reaches it.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from radlite.errors import RadliteError
from radlite.live import LiveRun
from radlite.policy import Policy, load_policy
from radlite.reasoning import FIELDS, field_text, so_far
from radlite.show.background import Background
from radlite.show.text import clean
from radlite.tabletop.env import MAX_STEPS, Trial, trials
from radlite.tabletop.tasks import tasks_in
from radlite.words import unread_words

if TYPE_CHECKING:
    from radlite.show.playground_view import View

SHIPPED = {"ecot": "ECoT", "rad": "RAD"}
PACE = 0.1  # seconds between two looks at a chain that grows
ENDLESS = 10**9


def playground(adapter: str = "rad", seed: int = 0) -> Playground:
    """A robot to play with in a notebook: choose a scene, type a task, watch it reason and act, correct its reasoning.

    Args:
        adapter: which policy begins: "rad", "ecot", or a folder that `train` wrote, which then stands beside these two.
        seed: number of the scene.

    Returns:
        The playground. A notebook shows it; its methods do what its buttons do.

    Raises:
        RadliteError: an unknown adapter, or ipywidgets is missing.
    """
    options = [(label, name) for name, label in SHIPPED.items()]
    if str(adapter) not in SHIPPED:
        options.append((clean(Path(adapter).name, 20), str(adapter)))
    return Playground(_load, options, str(adapter), seed)


class Playground:
    """Widgets over a `LiveRun`.

    Its methods do what the buttons do, at once, and raise a `RadliteError` at bad input. What is clicked is done beside the
    kernel's other messages and answered in the status line.

    Args:
        load: gives the policy of an adapter; asked once for each.
        adapters: (label, adapter) to choose from.
        adapter: the one that begins.
        seed: number of the first scene.

    Attributes:
        live: the run itself, with all that was seen, said and done.
        view: the widgets, by name.
    """

    def __init__(self, load: Callable[[str], Policy], adapters: list[tuple[str, str]], adapter: str, seed: int = 0) -> None:
        self._policy, self._adapter = lru_cache(maxsize=None)(load), adapter
        self._pausing, self._running, self._told_at = False, False, 0.0
        self._work = Background(lambda busy: self.view.show_working(busy, self._running), self._tell)
        self.view = _make_view(adapters)
        self.live = LiveRun(self._policy(adapter), _trial("home", seed))
        self.view.set(self.view.adapter, value=adapter)
        self.view.set(self.view.seed, value=seed)
        self._enter(self.live.trial)
        self._listen()
        self.think()

    # -- what its buttons do ------------------------------------------------------------------------------------------
    def run(self, steps: int = ENDLESS) -> None:
        """Acts for so many steps, or until the task is done; returns when it is over."""
        self._do(steps)

    def step(self) -> None:
        """Acts once: on the thought that is shown, or on what it thinks from what you have edited."""
        self._do(1)

    def think(self) -> None:
        """Thinks from what you have edited, without acting."""
        self._do(0)

    def pause(self) -> None:
        """Stops once the thought that is being made is complete."""
        self._pausing = True

    def reset(self) -> None:
        """The same scene and task again, from the start."""
        self._change(self.live.reset, self.live.trial, self.live.instruction)
        self._do(0)

    def release(self) -> None:
        """Drops all edits; the policy speaks for itself again."""
        self._change(self.live.release)
        self._do(0)

    def retask(self, instruction: str) -> None:
        """Gives another task, in your words, while the scene stays as it is."""
        self._change(self.live.retask, instruction)
        self._do(0)

    def edit(self, **fields: str) -> None:
        """Writes into fields, as a person would; the policy is given them at the next step or thought."""
        for name, text in fields.items():
            if name not in FIELDS:
                raise RadliteError("fields out of " + ", ".join(FIELDS), name, "correct the name")
            self.view.fields[name].value = text

    def save_dataset(self, folder: str | Path) -> None:
        """Saves the run as a dataset; see `LiveRun.save_dataset`."""
        info = self.live.save_dataset(folder)
        self.view.say(f"Saved {info.num_frames} steps as a dataset in {info.path}")

    def save_video(self, path: str | Path) -> None:
        """Saves the run as an mp4; see `LiveRun.save_video`."""
        self.view.say(f"Saved {self.live.steps} steps as a video in {self.live.save_video(path)}")

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The widgets, and for places that cannot show any (GitHub, PDF) the picture of now."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view.root.model_id}
        picture = base64.b64encode(self.view.picture.value).decode("ascii")
        return {"application/vnd.jupyter.widget-view+json": view, "image/png": picture, "text/plain": repr(self)}

    def __repr__(self) -> str:
        return f"Playground({clean(self.live.instruction, 80)!r}, {self.live.steps} steps)"

    # -- the work, a token at a time ------------------------------------------------------------------------------------
    def _do(self, steps: int, aside: bool = False) -> None:
        """Thinks and acts: at once, or aside, on the kernel's event loop. Without a loop a click makes one step at most."""
        self._pausing, self._running = False, steps > 1
        if not (aside and self._work.begin(self._act(steps))):
            self._work.finish(self._act(min(steps, 1) if aside else steps))

    def _act(self, steps: int) -> Iterator[None]:
        """Thinks, then acts up to `steps` times and thinks about every new picture."""
        if written := self.view.written():
            self.live.edit(steps=self.view.hold.value or None, **written)
        yield from self._think()
        while steps > 0 and not self._pausing and not self.live.done:
            self.live.step()
            steps -= 1
            yield from self._think()

    def _think(self) -> Iterator[None]:
        """Fills the fields as the chain grows; shows picture and action once it is complete."""
        while self.live.thought is None and not self.live.done:  # a thought ends early when the run is changed meanwhile
            for said in self.live.think_aloud():
                if time.monotonic() - self._told_at > PACE:
                    self._show_chain(so_far(said.text))
                yield
        self._show()

    def _change(self, change: Callable[..., None], *values: Any) -> None:
        """Changes the run between two tokens; what was typed into fields and not given yet is dropped."""
        with self._work.lock:
            change(*values)
            self.view.drop_written()
            self.view.set(self.view.task, value=self.live.instruction)

    def _enter(self, trial: Trial) -> None:
        """Another scene, with its own task."""
        self._change(self.live.reset, trial)
        self.view.offer(task.instruction for task in tasks_in(trial.scene))

    # -- what is shown ------------------------------------------------------------------------------------------------
    def _show(self) -> None:
        live = self.live
        last = live.thoughts[-1] if live.moments else None
        said = live.thought or last
        self._show_chain({f: field_text(said.reasoning, f) for f in FIELDS})
        self.view.show_picture(live.frame, live.thought)
        self.view.show_actions(last, live.thought, live.steps)
        self.view.say(_situation(live, self.view.titles(live.edits)))

    def _show_chain(self, texts: dict[str, str]) -> None:
        self._told_at = time.monotonic()
        self.view.show_chain(texts, self.live.edits)

    def _tell(self, error: Exception) -> None:
        if isinstance(error, RadliteError):
            self.view.say(f"That did not work: expected {error.expected}; found {error.found}. What to do: {error.fix}.")
        else:
            self.view.say(f"That is a mistake in radlite, please report it: {type(error).__name__}: {error}")

    # -- what people do -----------------------------------------------------------------------------------------------
    def _listen(self) -> None:
        view = self.view
        for button, does in {
            view.run: self._on_run,
            view.step: lambda: self._do(1, aside=True),
            view.think: lambda: self._do(0, aside=True),
            view.release: lambda: self._on_change(self.live.release),
            view.reset: self._on_reset,
            view.save_dataset: lambda: self.save_dataset(_path(view.path.value)),
            view.save_video: lambda: self.save_video(_path(view.path.value, ".mp4")),
        }.items():
            button.on_click(lambda _, does=does: self._answer(does))
        for widget, does in {
            view.kind: self._on_scene,
            view.seed: self._on_scene,
            view.adapter: self._on_adapter,
            view.task: lambda: self._on_change(self.live.retask, view.task.value),
            view.tasks: self._on_chosen_task,
        }.items():
            view.on_value(widget, lambda does=does: self._answer(does))

    def _answer(self, does: Callable[[], None]) -> None:
        try:
            does()
        except RadliteError as error:
            self._tell(error)

    def _on_run(self) -> None:
        if self._work.busy and self._running:
            self.pause()
        else:
            self._do(ENDLESS, aside=True)

    def _on_change(self, change: Callable[..., None], *values: Any) -> None:
        """A change while it runs is taken up on the way; else it thinks again."""
        self._change(change, *values)
        self._think_unless_running()

    def _on_reset(self) -> None:
        self._change(self.live.reset, self.live.trial, self.live.instruction)
        self._do(0, aside=True)

    def _on_scene(self) -> None:
        self._enter(_trial(self.view.kind.value, self.view.seed.value))
        self._do(0, aside=True)

    def _on_chosen_task(self) -> None:
        if chosen := self.view.tasks.value:
            self._on_change(self.live.retask, chosen)
            self.view.set(self.view.tasks, value="")

    def _on_adapter(self) -> None:
        self.view.say("Loading the policy ...")
        try:
            policy = self._policy(self.view.adapter.value)
        except RadliteError:
            self.view.set(self.view.adapter, value=self._adapter)
            raise
        with self._work.lock:
            self.live.policy, self._adapter = policy, self.view.adapter.value
        self._think_unless_running()

    def _think_unless_running(self) -> None:
        if not (self._work.busy and self._running):
            self._do(0, aside=True)


def _load(adapter: str) -> Policy:
    return _load_shipped(adapter) if adapter in SHIPPED else load_policy("radlite-tiny", adapter)


@lru_cache(maxsize=2)
def _load_shipped(adapter: str) -> Policy:
    """Once a kernel, however many playgrounds it makes."""
    return load_policy("radlite-tiny", adapter)


def _make_view(adapters: list[tuple[str, str]]) -> View:
    try:
        from radlite.show.playground_view import View
    except ImportError as error:
        fix = "pip install ipywidgets, or drive radlite.LiveRun without widgets"
        raise RadliteError("ipywidgets for the playground", str(error), fix) from error
    return View(adapters)


def _trial(kind: str, seed: int) -> Trial:
    """The first evaluation trial of that kind and seed."""
    if not isinstance(seed, int) or seed < 0:
        raise RadliteError("a scene's number, 0 or more", repr(seed), "pass seed=0")
    return trials(None if kind == "home" else kind, 1, seed)[0]


def _path(text: str, suffix: str = "") -> Path:
    """What somebody typed as a path, with that suffix."""
    text = text.strip().rstrip("/")
    if not text or "\0" in text:
        raise RadliteError("a path to save to", repr(text), "type one, such as runs/playground")
    return Path(text if text.endswith(suffix) else text + suffix).expanduser()


def _situation(live: LiveRun, held: str) -> str:
    """Where the run stands, in words."""
    judged = {
        None: "nobody can judge this task: it is none of the tabletop's, or what it names does not stand here",
        True: "the task is solved",
        False: "the task is not solved" + (f" within {MAX_STEPS} steps" if live.done else " yet"),
    }[live.success]
    unread = unread_words(live.policy, live.instruction)[:8]
    return " ".join([
        f"Step {live.steps}: {judged}.",
        *(["The run has ended; Reset begins it anew, another task goes on from here."] if live.done else []),
        *([f"The policy has never read: {', '.join(unread)}."] if unread else []),
        *([f"Your words hold: {held}."] if held else []),
    ])  # fmt: skip
