"""A robot that one can talk to while it moves: one policy in one scene, step by step, its chain open to correction.

A run that nobody touches does exactly what `rollout` does for that trial. What a person edits is given to the policy as
its own words, and the policy writes on from there.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from radlite.episodes import DatasetInfo, Episode, write_dataset
from radlite.errors import RadliteError
from radlite.policy import Policy, Prediction
from radlite.reasoning import FIELDS, MEMORY, Reasoning, so_far
from radlite.rollouts import Outcome
from radlite.show import draw_prediction, write_mp4
from radlite.tabletop.env import MAX_STEPS, TabletopEnv, Trial
from radlite.tabletop.judge import Judge
from radlite.words import checked_instruction, checked_value, judged_task, sound, way_of

SIZE = 384  # pixels a side of a frame in a saved video


@dataclass(frozen=True, eq=False)
class Moment:
    """One step of a run.

    Attributes:
        frame: uint8 (256, 256, 3), the picture before the step, for people.
        image: uint8 (96, 96, 3), the same for the policy.
        state: float32 (7,), pose of the gripper: metres, radians, opening.
        instruction: what was asked for.
        thought: what the policy said, edited fields included, and the action that was executed.
        edits: what the person gave, by field.
        success: whether the task was done after the step; None where nobody can judge.
    """

    frame: np.ndarray = field(repr=False)
    image: np.ndarray = field(repr=False)
    state: np.ndarray
    instruction: str
    thought: Prediction
    edits: dict[str, Any]
    success: bool | None


class LiveRun:
    """One robot in one scene, live.

    Args:
        policy: what predicts; `run.policy` may be swapped while it runs, the plan is kept.
        trial: the scene and its task.
        instruction: what to ask for; by default what the trial asks for. Success is judged by it, not by the trial's task.
        decode: "expectation" or "mode", as in `Policy.predict`.

    Attributes:
        frame, image, state: what is there now (see `Moment`).
        moments: the steps so far.
        thought: what the policy says to the picture of now; None until it was asked or when something has changed since.
        instruction, trial: what is asked for, and where.

    Raises:
        RadliteError: an instruction that is empty, too long or no text.
    """

    def __init__(self, policy: Policy, trial: Trial, instruction: str | None = None, decode: str = "expectation") -> None:
        self._policy, self.decode, self._turn = policy, decode, 0
        self._draft: Prediction | None = None
        self.reset(trial, instruction)

    def reset(self, trial: Trial | None = None, instruction: str | None = None) -> None:
        """Begins anew: in another trial, or in the same scene again. Edits and records are dropped."""
        trial = trial or self.trial
        instruction = checked_instruction(trial.instruction if instruction is None else instruction)
        self._env = TabletopEnv(max_steps=sys.maxsize)
        observation, _ = self._env.reset(options={"trial": trial})
        self._floors = {s.name: self._env.world.foot(s.name) for s in trial.scene.things}
        self.trial, self.moments = trial, []
        self._see(observation)
        self.retask(instruction)

    def retask(self, instruction: str) -> None:
        """Another task from now on, in anybody's words: plan and edits are dropped, the scene stays as it is.

        Success is judged from this moment on where the words name a task with what stands in the scene.
        """
        self.instruction = checked_instruction(instruction)
        self.task = judged_task(self.instruction, self.trial)
        if self.task is not None:
            self._env.judge = Judge(self._env.world, self.task, self._floors[self.task.thing])
        self._begun = self.steps
        self._edits: dict[str, Any] = {}
        self._steps_left: dict[str, int | None] = {}
        self._memory: Reasoning | None = None  # task and plan that are given; None: the next step's thought makes them
        self._own: Reasoning | None = None  # those that the policy has made itself
        self._forget()

    # -- reading -----------------------------------------------------------------------------------------------------
    @property
    def policy(self) -> Policy:
        """What predicts."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        self._forget()

    @property
    def steps(self) -> int:
        """Steps taken, of 0.2 s."""
        return len(self.moments)

    @property
    def success(self) -> bool | None:
        """Whether the task is done; None where nobody can judge."""
        return None if self.task is None else self._env.judge.success

    @property
    def done(self) -> bool:
        """Whether the run has ended: the task is done, or `MAX_STEPS` have passed since it was given."""
        return bool(self.success) or self.steps - self._begun >= MAX_STEPS

    @property
    def edits(self) -> dict[str, Any]:
        """The fields that a person has given and that hold now."""
        return dict(self._edits)

    @property
    def frames(self) -> list[np.ndarray]:
        """VIEW_SIZE pictures uint8 (256, 256, 3): one before every step, and that of now."""
        return [*(m.frame for m in self.moments), self.frame]

    @property
    def thoughts(self) -> list[Prediction]:
        """What was said at every step."""
        return [m.thought for m in self.moments]

    @property
    def actions(self) -> list[np.ndarray]:
        """What was done at every step, float32 (7,)."""
        return [m.thought.action for m in self.moments]

    def outcome(self) -> Outcome:
        """The run as `rollout` tells it, for a player."""
        return Outcome(self.trial, bool(self.success), self.steps, self.frames, self.thoughts, self.actions)

    # -- thinking and acting ---------------------------------------------------------------------------------------------
    def think(self) -> Prediction:
        """What the policy says to the picture of now and would do, without doing it."""
        for _ in self.think_aloud():
            pass
        return self.thought

    def think_aloud(self) -> Iterator[Prediction]:
        """The same as it grows, a few tokens at a time; the last one has the action.

        It ends without a thought when the run is changed meanwhile (another edit, task, policy).
        """
        if self.thought is not None:
            yield self.thought
            return
        turn = self._turn
        for said in self._say():
            if said.action is not None:
                self.thought, self._said, self._whole = said, sound(said.reasoning), True
            yield said
            if self._turn != turn:
                return

    def step(self) -> Prediction:
        """Thinks (or takes the thought already made about this picture) and acts.

        Raises:
            RadliteError: the run has ended.
        """
        if self.done:
            raise RadliteError("a run that goes on", f"one that ended after {self.steps} steps", "reset it, or give another task")
        thought = self.think()
        observation, *_ = self._env.step(thought.action)
        edits, instruction = dict(self._edits), self.instruction
        self.moments.append(Moment(self.frame, self.image, self.state, instruction, thought, edits, self.success))
        if self._memory is None:
            self._memory = thought.reasoning.memory
            self._own = self._own if set(edits) & set(MEMORY) else self._memory
        self._see(observation)
        self._count_down()
        self._forget()
        return thought

    def _see(self, observation: dict) -> None:
        self.frame, self.image, self.state = self._env.render(), observation["image"], observation["state"]

    def _forget(self) -> None:
        """No thought about this picture holds any more; what is given of the chain is the memory."""
        self.thought, self._turn = None, self._turn + 1
        self._said, self._whole = self._memory or Reasoning(), False

    def _say(self) -> Iterator[Prediction]:
        """Writes the chain: edited fields are given, those before them are as last said to this picture."""
        chain, edited = self._said, [f for f in FIELDS if f in self._edits]
        for name in edited:
            if not self._whole:
                chain = yield from self._say_up_to(name, chain)
            if name == "move" and "move_reason" not in edited:
                # one that says another way would contradict it, and a policy may believe either
                chain = chain.replace(move_reason=way_of(self._edits["move"], chain.move_reason) or chain.move_reason)
            chain = chain.replace(**{name: self._edits[name]})
        if edited and self._whole:
            chain = chain.without(*FIELDS[FIELDS.index(edited[-1]) + 1 :])
        yield from self._write(chain)

    def _say_up_to(self, name: str, chain: Reasoning) -> Generator[Prediction, None, Reasoning]:
        """Writes the fields between what is given and `name`; returns the chain with them."""
        at = FIELDS.index(name)
        if all(getattr(chain, f) is None for f in FIELDS[at - 1 :]) and at:
            for said in self._write(chain):
                if said.action is not None or set(so_far(said.text)) & set(FIELDS[at:]):
                    break
                yield said
            chain = sound(said.reasoning.before(name))
        return chain

    def _write(self, chain: Reasoning) -> Iterator[Prediction]:
        """Goes on from a chain; drawn as in `PolicyAgent`, the plan's first frame likeliest."""
        seed = None if self._memory is None else self.trial.seed * 1_000 + self.steps
        words = (np.stack([self.image]), [self.instruction], [chain])
        options = {"stream": True, "decode": self.decode, "seeds": [seed], "drafts": [self._draft]}
        for (said,) in self._policy.predict(*words, **options):
            yield said
        self._draft = said  # the next one will be much like it

    # -- editing ---------------------------------------------------------------------------------------------------
    def edit(self, steps: int | None = None, **fields: Any) -> None:
        """Corrects the chain: these fields are given from now on, and the policy writes what stands after the last one.

        Fields before it that nobody edited stay as the policy last said them to this picture; to later pictures it says
        them anew. With an edited MOVE that names a motion, MOVE REASONING says the same way. An edited plan or task is the
        policy's memory while it holds.

        Args:
            steps: how many steps they hold; None until `release`.
            fields: text for any field (boxes as "red can [10, 20, 30, 40], ...", the gripper as "[x, y, x, y, ...]"), or
                the values that `Reasoning` has.

        Raises:
            RadliteError: an unknown field, no or too much text, coordinates that cannot be read; nothing is changed then.
        """
        if steps is not None and (not isinstance(steps, int) or steps < 1):
            raise RadliteError("how many steps an edit holds, at least 1, or None", repr(steps), "pass steps=3")
        if unknown := sorted(set(fields) - set(FIELDS)):
            raise RadliteError("fields out of " + ", ".join(FIELDS), ", ".join(unknown), "correct the name")
        values = {f: checked_value(f, v) for f, v in fields.items()}
        self._edits |= values
        self._steps_left |= dict.fromkeys(values, steps)
        if of_memory := [f for f in MEMORY if f in values]:
            self._memory = None
            if not self._whole:
                self._said = self._said.before(of_memory[0])
        self.thought, self._turn = None, self._turn + 1

    def release(self, *fields: str) -> None:
        """Drops the edits of these fields, by default of all: the policy speaks for itself again.

        Its own plan comes back; one that it never made is made from the picture of now.
        """
        dropped = set(fields or FIELDS) & set(self._edits)
        for name in dropped:
            del self._edits[name], self._steps_left[name]
        if dropped & set(MEMORY):
            self._memory = self._own
        if dropped:
            self._forget()

    def _count_down(self) -> None:
        left = {f: n - 1 for f, n in self._steps_left.items() if n is not None}
        self._steps_left |= left
        if over := [f for f, n in left.items() if n < 1]:
            self.release(*over)

    # -- saving ----------------------------------------------------------------------------------------------------
    def save_dataset(self, folder: str | Path, overwrite: bool = False) -> DatasetInfo:
        """Writes the run as a robot dataset: one episode for each task that was given, with the chains that were acted on.

        Raises:
            RadliteError: no step was taken, or the folder is taken or cannot be written; nothing is left there then.
        """
        self._check_any()
        parts = [list(part) for _, part in groupby(self.moments, key=lambda m: m.instruction)]
        origin = "a live run in the tabletop of radlite: a policy acted, a person may have corrected its chains"
        return write_dataset(folder, [self._episode(part) for part in parts], overwrite=overwrite, origin=origin)

    def _episode(self, part: list[Moment]) -> Episode:
        about = {"axis": self.trial.axis or "home", "seed": self.trial.seed, "success": part[-1].success,
                 "edited_steps": sum(bool(m.edits) for m in part)}  # fmt: skip
        return Episode(
            part[0].instruction, np.stack([m.image for m in part]), [sound(m.thought.reasoning) for m in part], "robot",
            np.stack([m.thought.action for m in part]), np.stack([m.state for m in part]), meta=about,
        )  # fmt: skip

    def save_video(self, path: str | Path, fps: float = 5.0) -> Path:
        """Writes the run as an mp4: every picture with what was said and done, and the last one.

        Raises:
            RadliteError: no step was taken, another kind of file, or a place that cannot be written.
        """
        self._check_any()
        path = Path(path)
        if path.suffix.lower() != ".mp4":
            raise RadliteError("a name that ends in .mp4", str(path), "call it run.mp4, for instance")
        shown = (draw_prediction(m.frame, m.thought.reasoning, m.thought.action, size=SIZE) for m in self.moments)
        last = draw_prediction(self.frame, self.moments[-1].thought.reasoning, None, size=SIZE)
        return write_mp4(path, [*shown, last], fps)

    def _check_any(self) -> None:
        if not self.moments:
            raise RadliteError("a run of at least one step", "none", "let it act first")
