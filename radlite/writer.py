"""Writing down a chain and an action: which token comes next in every row of a batch.

Reasoning first, then `ACTION:`, then seven tokens that can only be action tokens. A row ends its chain by itself or at a limit;
its words are the likeliest, drawn, or, for numbers, the median of what it believes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch
from torch import Tensor

from radlite.actions import ACTION_DIM, ActionStats, decode, expectation
from radlite.drafts import MOST, Drafts, ahead, kind
from radlite.reasoning import ACTION_TAG, FIELDS, TAGS, Reasoning
from radlite.scales import Medians
from radlite.vlm import VLM

KEPT = 0.2  # of the likeliest token's probability: what is less likely is never drawn


@dataclass(frozen=True)
class Prediction:
    """What a policy said for one picture.

    Attributes:
        reasoning: the chain, fields that were given included.
        action: float32 (7,) in the units of the robot data; None while streaming and not there yet.
        text: the chain as it was written.
        tokens: the tokens that were generated, in order.
        logprobs: float32, log probability of each of these tokens.
        action_probs: float32 (7, 256) over bins, or None.
    """

    reasoning: Reasoning
    action: np.ndarray | None
    text: str
    tokens: list[str] = field(repr=False)
    logprobs: np.ndarray = field(repr=False)
    action_probs: np.ndarray | None = field(repr=False, default=None)


def given_ids(vlm: VLM, chain: Reasoning | bool | None) -> list[int]:
    """Tokens of a chain that is given; none where it is not."""
    text = chain.to_text() if isinstance(chain, Reasoning) else ""
    return vlm.encode_chain(f" {text}") if text else []


class Writer:
    """Chooses tokens for every row: reasoning first, then the tag, then seven action tokens."""

    def __init__(self, vlm: VLM, stats: ActionStats | None, chains: list, mode: str, room: int,
                 seeds: Sequence[int | None], drafts: Sequence[Prediction | None] | None = None) -> None:
        self.vlm, self.stats, self.chains, self.mode, self.room = vlm, stats, chains, mode, room
        self.tag = vlm.encode(f" {ACTION_TAG}")
        self.actions = vlm.action_ids.to(vlm.device)
        self.acts = set(self.actions.tolist())
        self.banned = torch.tensor(vlm.never_in_text, device=vlm.device)
        self.medians = Medians(vlm.scales, vlm.vocabulary, vlm.device) if mode == "expectation" else None
        most = room + len(self.tag) + ACTION_DIM + 1 + MOST  # tokens that are looked at
        self.draws = [None if s is None else np.random.default_rng(s).random(most) * (1 - 1e-6) for s in seeds]
        rows = len(chains)
        kind_of = cache(lambda token: kind(vlm.tokenizer.convert_ids_to_tokens(token)))
        self.drafts = Drafts([self._expected(draft) for draft in drafts or [None] * rows], kind_of)
        for row, chain in enumerate(chains):
            for token in given_ids(vlm, chain):
                self.drafts.told(row, token)
        self.tokens: list[list[int]] = [[] for _ in range(rows)]
        self.logprobs: list[list[float]] = [[] for _ in range(rows)]
        self.probs: list[list[np.ndarray]] = [[] for _ in range(rows)]
        self.active = list(range(rows))  # rows that the decoder still computes, in its order
        # tokens of the tag still to be forced; None while the row writes its chain
        self.forced: list[list[int] | None] = [list(self.tag) if c is False else None for c in chains]
        self.done = False

    def _expected(self, draft: Prediction | None) -> list[int]:
        """Tokens of a draft: all of its chain, what was given to it included, and its action."""
        if draft is None:
            return []
        action = draft.tokens[-ACTION_DIM:] if draft.action is not None else []
        return self.vlm.encode_chain(f" {draft.text}") + self.vlm.tokenizer.convert_tokens_to_ids(list(action))

    def guesses(self) -> Tensor:
        """What every active row is expected to write next, (n, G) ids, -1 for none; G is 0 if nothing is expected at all."""
        most = ahead(len(self.active))
        guesses = [self.drafts.next(row, most) if self._writes(row) else [] for row in self.active]
        width = max(map(len, guesses))
        padded = [ids + [-1] * (width - len(ids)) for ids in guesses]
        return torch.tensor(padded, dtype=torch.long, device=self.actions.device).reshape(len(guesses), width)

    def read(self, logits: Tensor, guesses: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Writes on in every active row, one token and, as far as its guesses come true, one more for each of these.

        Args:
            logits: (n, 1 + G, V), after what the row wrote last and after each of its guesses.
            guesses: (n, G) ids; None for none.

        Returns:
            The last token that each row has written, (n,) ids, and at how many of the 1 + G places the row has written one,
            (n,): at none if it is finished.
        """
        free = logits.index_fill(-1, self.banned, -torch.inf)
        if not self.tokens[0]:
            for row, chain in enumerate(self.chains):
                if chain is not False and self.room:  # else it acts at once
                    self._only_tags(free[row, 0], chain)
        log, action_log = free.log_softmax(-1), logits[..., self.actions].log_softmax(-1)
        words, probs = self._words(free, log).tolist(), action_log.exp().cpu().numpy()
        expected = guesses.tolist() if guesses is not None else [[]] * len(self.active)
        last, count, going = [self.vlm.pad_id] * len(self.active), [0] * len(self.active), self.going()
        for k in range(logits.shape[1]):
            for at in going:
                last[at] = self._choose_row(self.active[at], words[at][k], log[at, k], action_log[at, k], probs[at, k])
                count[at] += 1
                self.drafts.told(self.active[at], last[at])
            going = [at for at in going
                     if self._writes(self.active[at]) and k < len(expected[at]) and last[at] == expected[at][k]]  # fmt: skip
        for at, row in enumerate(self.active):
            if count[at] and self._writes(row):
                self._look_ahead(row, words[at][count[at]:], probs[at, count[at]:], expected[at][count[at]:])
        self.done = not any(map(self._writes, range(len(self.probs))))
        return torch.tensor(last, device=logits.device), torch.tensor(count, device=logits.device)

    def _look_ahead(self, row: int, words: list[int], probs: np.ndarray, expected: list[int]) -> None:
        """Takes what comes out at the places behind a wrong guess, where nothing can be written yet, as the next guesses.

        Args:
            row: which one.
            words: what would come next there in a chain.
            probs: (len(words), 256), of the actions there.
            expected: what the draft says there, -1 for nothing; whether it is an action there is taken from it.
        """
        expected = [token for token in expected if token >= 0]
        if self.drafts.next(row, len(expected)) != expected:  # it goes on elsewhere: these places are not the next ones
            return
        acts = self.actions[probs[: len(expected)].argmax(-1)].tolist()
        found = zip(expected, words, acts, strict=False)
        self.drafts.better(row, [act if old in self.acts else word for old, word, act in found])

    def _words(self, free: Tensor, log: Tensor) -> Tensor:
        """What is said next at each of these places if the chain goes on, (n, T) ids: the likeliest word, or a drawn one.

        Args:
            free: logits of what may be said, (n, T, V).
            log: its log probabilities.
        """
        words = free.argmax(-1)
        if self.medians is not None:
            words = self.medians(words.flatten(), free.flatten(0, 1)).view_as(words)
        at = [k for k, row in enumerate(self.active) if self.draws[row] is not None]
        if at:
            # the k-th token of a row is drawn with its k-th number, wherever a pass begins
            draws = np.stack([self.draws[self.active[k]][len(self.tokens[self.active[k]]) :][: log.shape[1]] for k in at])
            probs = log[at].exp()
            below = (probs * (probs >= KEPT * probs.amax(-1, keepdim=True))).cumsum(-1)
            words[at] = (below <= torch.tensor(draws, dtype=log.dtype, device=log.device)[..., None] * below[..., -1:]).sum(-1)
        return words

    def going(self) -> list[int]:
        """Positions among the active rows of those that are not finished."""
        return [k for k, row in enumerate(self.active) if self._writes(row)]

    def _writes(self, row: int) -> bool:
        """Whether its action is not whole yet."""
        return len(self.probs[row]) < ACTION_DIM

    def leave_finished(self) -> list[int]:
        """Positions of the rows to go on with, once a quarter of them is finished; else nothing."""
        going = self.going()
        if len(going) > 0.75 * len(self.active):
            return []
        self.active = [self.active[k] for k in going]
        return going

    def _only_tags(self, free: Tensor, chain: Reasoning | None) -> None:
        """How a chain may begin: after one that is given only with the tag of a later field (or the action), so that given
        fields stay as they are; else with words, also where a policy has learnt to act without any (`reasoning_dropout`)."""
        given = chain.to_dict() if isinstance(chain, Reasoning) else {}
        if not given:
            free[[self.tag[0], self.vlm.eos_id]] = -torch.inf
        else:
            later = FIELDS[max(map(FIELDS.index, given)) + 1 :]
            openings = [self.vlm.encode(f" {tag}")[0] for tag in (*(TAGS[f] for f in later), ACTION_TAG)]
            kept = free[openings]
            free.fill_(-torch.inf)
            free[openings] = kept

    def _choose_row(self, row: int, greedy: int, free_log: Tensor, action_log: Tensor, probs: np.ndarray) -> int:
        if self.forced[row] == []:
            return self._act(row, action_log, probs)
        if self.forced[row] is None and (greedy == self.vlm.eos_id or len(self.tokens[row]) >= self.room):
            self.forced[row] = list(self.tag)
        token = self.forced[row].pop(0) if self.forced[row] else greedy
        self.tokens[row].append(token)
        self.logprobs[row].append(float(free_log[token]))
        if self.forced[row] is None and self.tokens[row][-len(self.tag):] == self.tag:
            self.forced[row] = []
        return token

    def _act(self, row: int, log: Tensor, probs: np.ndarray) -> int:
        """One action dimension: remembers its distribution and goes on with the most likely token.

        Also when the expectation will be executed: the mean of two likely bins may be a token that never was in the data,
        and the next dimension would be read after it.
        """
        chosen = int(probs.argmax())
        self.probs[row].append(probs)
        token = int(self.actions[chosen])
        self.tokens[row].append(token)
        self.logprobs[row].append(float(log[chosen]))
        return token

    def predictions(self) -> list[Prediction]:
        """Everything said so far."""
        return [self._prediction(row) for row in range(len(self.tokens))]

    def _prediction(self, row: int) -> Prediction:
        count = len(self.tokens[row]) - len(self.probs[row])
        written = self.vlm.decode_chain(self.tokens[row][:count])
        chain = self.chains[row]
        given = chain if isinstance(chain, Reasoning) else Reasoning()
        parsed = Reasoning.parse_partial(written)
        probs = np.stack(self.probs[row]) if len(self.probs[row]) == ACTION_DIM else None
        return Prediction(
            reasoning=given.replace(**{f: getattr(parsed, f) for f in FIELDS if getattr(given, f) is None}),
            action=None if probs is None else self._action(probs),
            text=(given.to_text() + written).strip(),
            tokens=self.vlm.tokenizer.convert_ids_to_tokens(self.tokens[row]),
            logprobs=np.array(self.logprobs[row], np.float32),
            action_probs=probs,
        )

    def _action(self, probs: np.ndarray) -> np.ndarray:
        if self.mode == "mode":
            return decode(probs.argmax(-1), self.stats)
        return expectation(probs, self.stats)
