"""A policy: pictures and instructions in, a chain of reasoning and an action out.

`predict` writes the chain token by token (greedy, batched, with a key-value cache), then `ACTION:`, then seven tokens that
can only be action tokens. A chain may be given in part, and the policy goes on from it: that is how one changes its mind.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from radlite.actions import ActionStats, encode
from radlite.adapter import load_adapter, merged_statistics
from radlite.bases import load_vlm
from radlite.decoder import Decoder
from radlite.drafts import MOST
from radlite.errors import RadliteError
from radlite.precision import autocast
from radlite.reasoning import Reasoning
from radlite.vlm import VLM
from radlite.writer import Prediction, Writer, given_ids

MAX_REASONING = 400  # tokens of a chain before ACTION: is forced, whatever was taught
UNKNOWN_LENGTH = 176  # tokens of the longest chain, where an adapter does not say


@dataclass
class Policy:
    """A vision-language model with action statistics, ready to act.

    Attributes:
        vlm: the model.
        stats: of the robot data it was trained on; None for a bare base, which cannot act.
        longest_chain: tokens of the longest chain it was taught. One that rambles a quarter beyond that is cut off and
            acts: a batch waits for its longest row. 0: it was taught actions only, and acts at once.
        precision: in which pictures and prompts are read: "bf16", "fp16", "no", or None for what suits, as in training
            (`radlite.precision.chosen`). What is written is always computed in the precision of the weights.
    """

    vlm: VLM
    stats: ActionStats | None = None
    longest_chain: int = UNKNOWN_LENGTH
    precision: str | None = None

    @property
    def name(self) -> str:
        """Name of the base."""
        return self.vlm.name

    @property
    def room(self) -> int:
        """Tokens after which a chain is cut off."""
        return min(MAX_REASONING, self.longest_chain * 5 // 4)

    def predict(self, images: np.ndarray | Sequence[np.ndarray], instructions: Sequence[str] | str,
                reasoning: Reasoning | Sequence[Reasoning | None] | bool | None = None, stream: bool = False,
                decode: str = "expectation", seeds: Sequence[int | None] | None = None,
                drafts: Sequence[Prediction | None] | None = None
                ) -> list[Prediction] | Iterator[list[Prediction]]:
        """Reasons and acts on a batch of pictures.

        Args:
            images: uint8 (B, H, W, 3), or a list of uint8 (H, W, 3).
            instructions: one a picture, or one for all.
            reasoning: None writes the whole chain, also where acting at once is likelier; a (partial) chain, or one for each
                picture, is continued after its last field, and what it says stays as it is; False acts without any reasoning.
            stream: yield the growing predictions after every pass instead of returning the last ones: after every token, or
                with a draft after as many as it got right.
            decode: "expectation": the mean over action bins, and for a number of the chain that is one token the median
                over its scale; "mode": the most likely token everywhere.
            seeds: one a picture, of a chain that is drawn: each token among those that are at least `writer.KEPT` times as likely
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
        vlm, room = self.vlm, self.room
        writer = Writer(vlm, self.stats, chains, mode, room, seeds, drafts)
        ids, mask = vlm.left_padded([vlm.prompt_ids(i) + given_ids(vlm, c) for i, c in zip(instructions, chains, strict=True)])
        with autocast(self.precision, vlm.device):
            decoder = vlm.decoder(ids, mask, vlm.pixel_values(images).to(vlm.device), room + 16 + MOST)
            hidden = decoder.start()  # (B, D)
        tokens, _ = writer.read(vlm.lm_head(hidden[:, None]).float())
        while not writer.done:
            yield from ([writer.predictions()] if stream else [])
            if kept := writer.leave_finished():
                decoder.keep(kept)
                tokens = tokens[kept]
            tokens = self._go_on(decoder, writer, tokens)
        yield writer.predictions()

    def _go_on(self, decoder: Decoder, writer: Writer, tokens: Tensor) -> Tensor:
        """Reads what every row wrote last and what it is expected to write next; the last token that it writes, (n,) ids."""
        guesses = writer.guesses()
        ids = torch.cat([tokens[:, None], guesses.clamp(min=0)], 1)  # (n, 1 + G)
        tokens, counts = writer.read(self.vlm.lm_head(decoder.step(ids)).float(), guesses)
        decoder.accept(counts)
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


def load_policy(name: str = "radlite-tiny", adapter: str | Path | None = None, quantize: str | None = None,
                device: str | None = None) -> Policy:
    """Any rung of the ladder, ready to act.

    Args:
        name: "radlite-tiny", a name of the ladder, owner/name on the Hub, or a folder with a `transformers` model.
        adapter: "rad" or "ecot" (shipped), or a folder written by `train`; None loads the model as it is: a bare base knows no
            action, one that `radlite export` has merged does.
        quantize: "nf4" keeps the language decoder in four bits, as QLoRA trains it; None keeps all whole (rounded, yet
            not packed, for an adapter that undoes rounding).
        device: "cuda", "mps", "cpu", or None: the best there is.

    Raises:
        RadliteError: an unknown model or adapter, an adapter of another base, a damaged file.
    """
    vlm = load_vlm(name, quantize=quantize, device=device)
    stats, longest = load_adapter(vlm, adapter) if adapter is not None else merged_statistics(vlm)
    if hasattr(vlm.model, "merge_and_unload") and not vlm.quantize:  # into four bits it would be rounded
        vlm.model = vlm.model.merge_and_unload()  # one product a layer instead of three
    vlm.model.eval()
    return Policy(vlm, stats, UNKNOWN_LENGTH if longest is None else longest)


def true_bins(policy: Policy, action: np.ndarray) -> np.ndarray:
    """Bins (7,) of a true action under this policy's statistics, to read `action_probs` against."""
    return encode(action, policy.stats)
