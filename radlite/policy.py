"""A policy: pictures and instructions in, a chain of reasoning and an action out.

`predict` writes the chain token by token (greedy, batched, with a key-value cache), then `ACTION:`, then seven tokens that
can only be action tokens. A chain may be given in part, and the policy goes on from it: that is how one changes its mind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from radlite.actions import ACTION_DIM, ActionStats, decode, encode, expectation
from radlite.adapter import load_adapter
from radlite.decoder import Decoder
from radlite.drafts import AHEAD, Drafts
from radlite.errors import RadliteError
from radlite.precision import autocast
from radlite.reasoning import ACTION_TAG, FIELDS, TAGS, Reasoning
from radlite.scales import Medians
from radlite.vlm import VLM, load_vlm

MAX_REASONING = 400  # tokens of a chain before ACTION: is forced, whatever was taught
KEPT = 0.2  # of the likeliest token's probability: what is less likely is never drawn
UNKNOWN_LENGTH = 176  # tokens of the longest chain, where an adapter does not say


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


@dataclass
class Policy:
    """A vision-language model with action statistics, ready to act.

    Attributes:
        vlm: the model.
        stats: of the robot data it was trained on; None for a bare base, which cannot act.
        longest_chain: tokens of the longest chain it was taught. One that rambles a quarter beyond that is cut off and
            acts: a batch waits for its longest row.
        precision: in which pictures and prompts are read: "bf16", "no", or None: bf16 where the processor has it, as in
            training. What is written is always computed in the precision of the weights.
    """

    vlm: VLM
    stats: ActionStats | None = None
    longest_chain: int = UNKNOWN_LENGTH
    precision: str | None = None

    @property
    def name(self) -> str:
        """Name of the base."""
        return self.vlm.name

    def predict(self, images: np.ndarray | Sequence[np.ndarray], instructions: Sequence[str] | str,
                reasoning: Reasoning | Sequence[Reasoning | None] | bool | None = None, stream: bool = False,
                decode: str = "expectation", seeds: Sequence[int | None] | None = None,
                drafts: Sequence[Prediction | None] | None = None
                ) -> list[Prediction] | Iterator[list[Prediction]]:
        """Reasons and acts on a batch of pictures.

        Args:
            images: uint8 (B, H, W, 3), or a list of uint8 (H, W, 3).
            instructions: one a picture, or one for all.
            reasoning: None writes the whole chain; a (partial) chain, or one for each picture, is continued after its last
                field, and what it says stays as it is; False acts without any reasoning.
            stream: yield the growing predictions after every pass instead of returning the last ones: after every token, or
                with a draft after up to three.
            decode: "expectation": the mean over action bins, and for a number of the chain that is one token the median
                over its scale; "mode": the most likely token everywhere.
            seeds: one a picture, of a chain that is drawn: each token among those that are at least `KEPT` times as likely
                as the likeliest. The same seed draws the same, whatever else is in the batch; None draws nothing.
            drafts: one a picture, what is likely to be said, for instance at the frame before, or None. It is only faster:
                what is said is the same (but for rounding, where two words are all but equally likely).

        Raises:
            RadliteError: wrong shapes or counts, or a policy without action statistics.
        """
        images, instructions, chains, decode = _checked(images, instructions, reasoning, decode, self)
        seeds = [None] * len(images) if seeds is None else list(seeds)
        fine = all(s is None or (isinstance(s, int | np.integer) and s >= 0) for s in seeds)
        if len(seeds) != len(images) or not fine:
            raise RadliteError(f"{len(images)} seeds >= 0 or None, one a picture", f"{seeds[:8]}", "give one for each picture")
        drafts = [None] * len(images) if drafts is None else list(drafts)
        if len(drafts) != len(images) or not all(d is None or isinstance(d, Prediction) for d in drafts):
            raise RadliteError(f"{len(images)} drafts, each a Prediction or None", f"{len(drafts)}, {drafts[:1]!r:.80}",
                               "give what `predict` returned for the frame before")
        states = self._generate(images, instructions, chains, decode, seeds, drafts, stream)
        if stream:
            return states
        *_, last = states
        return last

    @torch.inference_mode()
    def _generate(self, images: np.ndarray, instructions: list[str], chains: list[Reasoning | None], mode: str,
                  seeds: list[int | None], drafts: list[Prediction | None], stream: bool) -> Iterator[list[Prediction]]:
        vlm, room = self.vlm, min(MAX_REASONING, self.longest_chain * 5 // 4)
        writer = _Writer(vlm, self.stats, chains, mode, room, seeds, drafts)
        prompts = [vlm.prompt_ids(i) + writer.prefix(c) for i, c in zip(instructions, chains, strict=True)]
        width = max(map(len, prompts))
        pad = [[vlm.pad_id] * (width - len(p)) for p in prompts]
        ids = torch.tensor([q + p for q, p in zip(pad, prompts, strict=True)], device=vlm.device)  # (B, T) left padded
        mask = torch.tensor([[0] * len(q) + [1] * len(p) for q, p in zip(pad, prompts, strict=True)], device=vlm.device)
        with autocast(self.precision, vlm.device):
            decoder = vlm.decoder(ids, mask, vlm.pixel_values(images).to(vlm.device), room + 16 + AHEAD)
            hidden = decoder.start()  # (B, D)
        tokens = writer.choose(vlm.lm_head(hidden).float())
        while not writer.done:
            yield from ([writer.predictions()] if stream else [])
            if kept := writer.leave_finished():
                decoder.keep(kept)
                tokens = tokens[kept]
            tokens = self._go_on(decoder, writer, tokens)
        yield writer.predictions()

    def _go_on(self, decoder: Decoder, writer: _Writer, tokens: Tensor) -> Tensor:
        """Reads the last token of every row and what the row is expected to write next; the last one it writes, (n,) ids."""
        guesses = writer.guesses()  # (n, AHEAD), or (n, 0) where nobody expects anything
        ids = torch.cat([tokens[:, None], guesses.clamp(min=0)], 1)
        hidden = decoder.step(ids)  # (n, 1 + AHEAD, D)
        tokens, read = tokens.clone(), torch.zeros_like(tokens)
        # rows that are finished wait where they are until they may leave
        going = torch.tensor(writer.going(), device=tokens.device)
        for k in range(hidden.shape[1]):
            tokens[going] = writer.choose(self.vlm.lm_head(hidden[going, k]).float(), going.tolist())
            read[going] += 1
            if k == guesses.shape[1] or not len(going := going[tokens[going] == guesses[going, k]]):
                break
        decoder.accept(read)
        return tokens


def _checked(images, instructions, reasoning, mode, policy: Policy):
    """The arguments of `predict` as (array, list, list, mode), or a clear error."""
    if policy.stats is None:
        raise RadliteError("a policy with action statistics", "a base without an adapter",
                           "load it with load_policy(name, adapter=...), or train one with `radlite train`")
    if mode not in ("expectation", "mode"):
        raise RadliteError("decode 'expectation' or 'mode'", repr(mode), "choose one of them")
    frames = [np.asarray(f) for f in images]
    bad = [f"{f.dtype} {f.shape}" for f in frames
           if f.ndim != 3 or f.shape[-1] != 3 or f.dtype != np.uint8 or 0 in f.shape]
    if bad or not frames:
        raise RadliteError("pictures as uint8 (B, H, W, 3)", bad[0] if bad else "no picture", "pass a list even for one picture")
    if isinstance(instructions, str):
        instructions = [instructions] * len(frames)
    if reasoning is None or isinstance(reasoning, Reasoning | bool | str):
        reasoning = [reasoning] * len(frames)
    if len(instructions) != len(frames) or len(reasoning) != len(frames):
        raise RadliteError(f"{len(frames)} instructions and chains, one a picture",
                           f"{len(instructions)} instructions, {len(reasoning)} chains", "give one for each picture")
    for chain in reasoning:
        if not (chain is None or isinstance(chain, Reasoning | bool)):
            raise RadliteError("chains as Reasoning, None or False", repr(chain)[:80], "read text with Reasoning.from_text")
        if isinstance(chain, Reasoning):
            chain.validate()
    return policy.vlm.same_size(frames), list(instructions), list(reasoning), mode


class _Writer:
    """Chooses tokens for every row: reasoning first, then the tag, then seven action tokens."""

    def __init__(self, vlm: VLM, stats: ActionStats, chains: list, mode: str, room: int,
                 seeds: Sequence[int | None], drafts: Sequence[Prediction | None] | None = None) -> None:
        self.vlm, self.stats, self.chains, self.mode, self.room = vlm, stats, chains, mode, room
        self.tag = vlm.encode(f" {ACTION_TAG}")
        self.actions = vlm.action_ids.to(vlm.device)
        self.banned = torch.tensor(vlm.never_in_text, device=vlm.device)
        self.medians = Medians(vlm.tokenizer, vlm.vocabulary, vlm.device) if mode == "expectation" else None
        self.draws = [None if seed is None else np.random.default_rng(seed) for seed in seeds]
        rows = len(chains)
        self.drafts = Drafts([self._expected(draft) for draft in drafts or [None] * rows])
        for row, chain in enumerate(chains):
            for token in self.prefix(chain):
                self.drafts.told(row, token)
        self.tokens: list[list[int]] = [[] for _ in range(rows)]
        self.logprobs: list[list[float]] = [[] for _ in range(rows)]
        self.probs: list[list[np.ndarray]] = [[] for _ in range(rows)]
        self.active = list(range(rows))  # rows that the decoder still computes, in its order
        # tokens of the tag still to be forced; None while the row writes its chain
        self.forced: list[list[int] | None] = [list(self.tag) if c is False else None for c in chains]
        self.done = False

    def prefix(self, chain: Reasoning | bool | None) -> list[int]:
        """Tokens of a chain that is given."""
        text = chain.to_text() if isinstance(chain, Reasoning) else ""
        return self.vlm.encode(f" {text}") if text else []

    def _expected(self, draft: Prediction | None) -> list[int]:
        """Tokens of a draft: all of its chain, what was given to it included, and its action."""
        if draft is None:
            return []
        action = draft.tokens[-ACTION_DIM:] if draft.action is not None else []
        return self.vlm.encode(f" {draft.text}") + self.vlm.tokenizer.convert_tokens_to_ids(list(action))

    def guesses(self) -> Tensor:
        """What every active row is expected to write next, (n, AHEAD) ids, -1 for none; (n, 0) if nothing is expected at all."""
        guesses = [self.drafts.next(row, AHEAD) if len(self.probs[row]) < ACTION_DIM else [] for row in self.active]
        padded = [ids + [-1] * (AHEAD - len(ids)) for ids in guesses]
        return torch.tensor(padded, dtype=torch.long, device=self.actions.device)[:, : AHEAD if any(guesses) else 0]

    def choose(self, logits: Tensor, at: Sequence[int] | None = None) -> Tensor:
        """Next token of the active rows, or of those at these positions among them, from logits (n, V); (n,) ids."""
        rows = self.active if at is None else [self.active[k] for k in at]
        free = logits.index_fill(1, self.banned, -torch.inf)
        if not self.tokens[0]:
            for row, chain in enumerate(self.chains):
                self._only_tags(free[row], chain)
        free_log, action_log = free.log_softmax(-1), logits[:, self.actions].log_softmax(-1)
        greedy = self._words(rows, free, free_log).tolist()
        probs = action_log.exp().cpu().numpy() if any(map(self._acting, rows)) else [None] * len(greedy)
        chosen = [self._choose_row(row, *said) for row, *said in zip(rows, greedy, free_log, action_log, probs, strict=True)]
        for row, token in zip(rows, chosen, strict=True):
            self.drafts.told(row, token)
        self.done = all(len(p) == ACTION_DIM for p in self.probs)
        return torch.tensor(chosen, device=logits.device)

    def _words(self, rows: Sequence[int], free: Tensor, log: Tensor) -> Tensor:
        """What each of these rows would say next if it goes on with its chain, (n,) ids."""
        said = log.argmax(-1)
        said = said if self.medians is None else self.medians(said, free)
        drawn = [k for k, row in enumerate(rows) if self.draws[row]]
        if drawn:
            probs = log[drawn].exp()
            below = (probs * (probs >= KEPT * probs.amax(-1, keepdim=True))).cumsum(-1)
            at = torch.tensor([[self.draws[rows[k]].random() * (1 - 1e-6)] for k in drawn], device=log.device)
            said[drawn] = (below <= at * below[:, -1:]).sum(-1)
        return said

    def going(self) -> list[int]:
        """Positions among the active rows of those that are not finished."""
        return [k for k, row in enumerate(self.active) if len(self.probs[row]) < ACTION_DIM]

    def leave_finished(self) -> list[int]:
        """Positions of the rows to go on with, once a quarter of them is finished; else nothing."""
        going = self.going()
        if len(going) > 0.75 * len(self.active):
            return []
        self.active = [self.active[k] for k in going]
        return going

    def _only_tags(self, free: Tensor, chain: Reasoning | bool | None) -> None:
        """After a chain that is given only the tag of a later field (or the action) may come: given fields stay as they are."""
        given = chain.to_dict() if isinstance(chain, Reasoning) else {}
        if given:
            later = FIELDS[max(map(FIELDS.index, given)) + 1 :]
            openings = [self.vlm.encode(f" {tag}")[0] for tag in (*(TAGS[f] for f in later), ACTION_TAG)]
            kept = free[openings]
            free.fill_(-torch.inf)
            free[openings] = kept

    def _acting(self, row: int) -> bool:
        return self.forced[row] == [] and len(self.probs[row]) < ACTION_DIM

    def _choose_row(self, row: int, greedy: int, free_log: Tensor, action_log: Tensor, probs: np.ndarray | None) -> int:
        if self._acting(row):
            return self._act(row, action_log, probs)
        if self.forced[row] == []:
            return self.vlm.pad_id  # finished; what it is fed no longer matters
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
        written = self.vlm.tokenizer.decode(self.tokens[row][:count], skip_special_tokens=False)
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


def load_policy(name: str = "radlite-tiny", adapter: str | Path | None = None, quantize: str | None = None,
                device: str | None = None) -> Policy:
    """Any rung of the ladder, ready to act.

    Args:
        name: a known name ("radlite-tiny") or a folder with a `transformers` model.
        adapter: "rad" or "ecot" (shipped), or a folder written by `train`; None loads the bare base, which knows no action.
        quantize: None; 4-bit weights are not supported yet, anything else raises.
        device: "cuda", "mps", "cpu", or None: the best there is.

    Raises:
        RadliteError: an unknown model or adapter, an adapter of another base, a damaged file.
    """
    vlm = load_vlm(name, quantize=quantize, device=device)
    stats, longest = load_adapter(vlm, adapter) if adapter is not None else (None, None)
    if hasattr(vlm.model, "merge_and_unload"):
        vlm.model = vlm.model.merge_and_unload()  # one product a layer instead of three
    vlm.model.eval()
    return Policy(vlm, stats, longest or UNKNOWN_LENGTH)


def true_bins(policy: Policy, action: np.ndarray) -> np.ndarray:
    """Bins (7,) of a true action under this policy's statistics, to read `action_probs` against."""
    return encode(action, policy.stats)
