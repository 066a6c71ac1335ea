"""Policies for tests of what goes on around a policy: quick, and with words that one can count."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from radlite.policy import Prediction
from radlite.reasoning import FIELDS, Box, Reasoning
from radlite.tabletop.expert import Expert


class Scribe:
    """Writes a whole chain whose words say which call it was, word by word; acts left or right as its MOVE says.

    Attributes:
        asked: (instruction, chain that was given, seed) of every call.
    """

    def __init__(self, name: str = "") -> None:
        self.name, self.asked, self.drafts = name, [], []
        known = {"move", "put", "the", "red", "can", "left", "right"}
        spell = lambda text: [1] if text.strip() in known else [0, *map(ord, text.strip())]  # noqa: E731
        self.vlm = SimpleNamespace(encode=spell, tokenizer=SimpleNamespace(unk_token_id=-1))

    def chain(self, call: int) -> Reasoning:
        """What it would write at that call if nothing were given."""
        words = {f: f"{self.name}{f} {call}" for f in FIELDS if f not in ("bboxes", "gripper")}
        return Reasoning(**words, bboxes=(Box("red can", (10, 10, 20 + call, 20)),), gripper=((call, 7),) * 5)

    def action(self, chain: Reasoning) -> np.ndarray:
        """0.03 m to the side that MOVE names."""
        sideways = 0.03 * (("left" in chain.move) - ("right" in chain.move))
        return np.array([0, sideways, 0, 0, 0, 0, 1], np.float32)

    def predict(self, images, instructions, reasoning=None, stream=False, decode="expectation", seeds=None, drafts=None):
        given = reasoning[0] or Reasoning()
        self.asked.append((instructions[0], given, seeds[0]))
        self.drafts.append(drafts[0])
        states = self._states(given, self.chain(len(self.asked)))
        if stream:
            return states
        *_, last = states
        return last

    def _states(self, given: Reasoning, own: Reasoning):
        said = given.to_dict()
        rest = own.without(*FIELDS[: max(map(FIELDS.index, said)) + 1]) if said else own
        words = rest.to_text().split()
        for count in range(1, len(words)):
            text = " ".join(words[:count])
            yield [self._prediction(given, Reasoning.parse_partial(text), text, None)]
        whole = given.replace(**{f: getattr(rest, f) for f in FIELDS if getattr(rest, f) is not None})
        yield [self._prediction(given, rest, rest.to_text(), self.action(whole))]

    def _prediction(self, given, written, text, action):
        chain = given.replace(**{f: getattr(written, f) for f in FIELDS if getattr(written, f) is not None})
        return Prediction(chain, action, f"{given.to_text()} {text}".strip(), [], np.zeros(0, np.float32))


class Doer(Scribe):
    """Says nothing of interest and does what the simulator's expert does for the task of the run it is `bound` to."""

    def bind(self, run) -> Doer:
        """Acts in that run from now on."""
        self.run, self.task = run, None
        return self

    def action(self, chain: Reasoning) -> np.ndarray:
        if self.task != self.run.task:
            self.task, self.expert = self.run.task, Expert(self.run._env.world, self.run.task)
        return self.expert.action(self.expert.intent())
