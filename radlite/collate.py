"""From samples to a batch: prompt | reasoning | action, and which of these tokens carry loss.

A robot sample ends `... ACTION:` + seven action tokens + end of sequence. A human sample ends with its reasoning: no
action, no `ACTION:` tag and no end of sequence, so that it never teaches the policy to stop where it ought to act.
Every token knows its role, so that losses can be told per field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from radlite.actions import ActionStats, encode
from radlite.episodes import EpisodeDataset, Sample
from radlite.errors import RadliteError
from radlite.reasoning import ACTION_TAG, FIELDS, FRAME_SIZE, MEMORY, Reasoning
from radlite.vlm import VLM

ROLES: tuple[str, ...] = ("pad", "image", "prompt", *FIELDS, "action", "eos")
"""What a token is; `Batch.roles` holds indices into this tuple."""
LENGTHS = 16  # sequences are padded to multiples of this: on a CPU every new shape costs a kernel (see radlite/__init__.py)
# what a blind row has of its chain, and whether it is paid
BLIND_FIELDS = {"subtask_reason": False, "subtask": True, "move_reason": True, "move": True}
IGNORE = -100  # torch's label for "no loss here"


@dataclass(frozen=True)
class CollateConfig:
    """How samples become loss.

    Attributes:
        action_weight: weight of the action's tokens (reasoning has 1); without it some 90 reasoning tokens drown seven.
        path_weight: weight of GRIPPER POSITION's tokens. Where the gripper will be is known to nobody, and its loss, more than
            half of the chain's, is mostly noise for all the rest.
        reasoning_dropout: share of robot samples that go without any reasoning (prompt, then action).
        field_dropout: probability with which each single field is left out.
        path_noise: share of robot samples that read a made-up path in GRIPPER POSITION (its labels stay true). The true
            one shows the frames to come, and so the action, more plainly than MOVE REASONING does; a policy that learnt
            to read it there follows its own vague path in a rollout and not its reasoning.
        crossed: share of blind rows whose way, move and action are another row's, against their SUBTASK REASONING. Elsewhere
            all of a chain agrees, and an action learnt from any part of it need not follow a way that is changed.
        plan_frames: task and plan carry loss in that many first frames of an episode; later ones read them as given, as in a
            rollout, which keeps what the first frame said. What a plan remembers (where a thing stood) cannot be seen
            later, and a policy made to say it nevertheless learns to guess. None: in all frames.
        mask_prompt: False also trains on the prompt, as ECoT's code does.
        fields: fields that are taught; the others are left out of every chain.
        human_fields: fields that human samples teach; None: the same.
    """

    action_weight: float = 3.0
    path_weight: float = 1.0
    reasoning_dropout: float = 0.0
    field_dropout: float = 0.0
    path_noise: float = 0.0
    crossed: float = 0.0
    plan_frames: int | None = None
    mask_prompt: bool = True
    fields: tuple[str, ...] = FIELDS
    human_fields: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name in ("reasoning_dropout", "field_dropout", "path_noise", "crossed"):
            if not 0 <= getattr(self, name) <= 1:
                raise RadliteError(f"{name} between 0 and 1", repr(getattr(self, name)), "give a probability")
        if self.plan_frames is not None and self.plan_frames < 1:
            raise RadliteError("plan_frames of at least 1, or None", repr(self.plan_frames), "a rollout writes its plan once")
        for name in ("action_weight", "path_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise RadliteError(f"{name} of at least 0", repr(getattr(self, name)), "1 weighs every token alike")
        for names in (self.fields, self.human_fields or ()):
            if set(names) - set(FIELDS):
                raise RadliteError(f"fields out of {', '.join(FIELDS)}", repr(names), "correct the name")


@dataclass
class Batch:
    """Right-padded tensors of B sequences of up to T tokens.

    input_ids, attention_mask, labels, roles: (B, T) int64; weights: (B, T) float32; pixel_values: as the family has them.
    labels[b, t] is the token that belongs at position t itself, or -100 where it carries no loss (not shifted); it is
    input_ids[b, t] but for a path that was made up (`path_noise`).
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    weights: Tensor
    roles: Tensor
    pixel_values: Tensor | None

    def to(self, device: str | torch.device) -> Batch:
        """The same batch on a device."""
        return Batch(**{name: value if value is None else value.to(device) for name, value in vars(self).items()})

    @property
    def weight(self) -> float:
        """Sum of the weights of all labels: what the loss is divided by."""
        return float(self.weights[:, 1:][self.labels[:, 1:] != IGNORE].sum())

    def rows(self, index: Sequence[int] | slice) -> Batch:
        """Some of its sequences, no wider than they need to be."""
        some = {name: value if value is None else value[index] for name, value in vars(self).items()}
        width = _width(int(some["attention_mask"].sum(1).max()))
        return Batch(**{name: value if name == "pixel_values" else value[:, :width] for name, value in some.items()})

    def parts(self, tokens: int) -> list[Batch]:
        """The same sequences in batches of at most that many tokens, padding included, or of one; like lengths together."""
        lengths = self.attention_mask.sum(1)
        order, parts = lengths.argsort(stable=True).tolist(), []
        while order:
            count = 1
            while count < len(order) and (count + 1) * int(lengths[order[count]]) <= tokens:
                count += 1
            parts.append(self.rows(order[:count]))
            order = order[count:]
        return parts


@dataclass
class _Row:
    """One sequence while it grows: what belongs there (ids), what the model reads there (seen)."""

    ids: list[int]
    seen: list[int]
    roles: list[int]
    paid: list[bool]

    def add(self, ids: list[int], role: str, paid: bool, seen: list[int] | None = None) -> None:
        self.ids += ids
        self.seen += ids if seen is None else seen
        self.roles += [ROLES.index(role)] * len(ids)
        self.paid += [paid] * len(ids)


def field_texts(reasoning: Reasoning) -> list[tuple[str, str]]:
    """(field, " TAG: content") for every field that is there, in order; joined they are " " + `to_text()`."""
    text = reasoning.to_text()
    return [(field, f" {text[start:end].strip()}") for field, (start, end) in reasoning.spans().items()]


def longest_chain(
    vlm: VLM, *datasets: EpisodeDataset | None, fields: tuple[str, ...] = FIELDS, most: int = 1_000
) -> int:
    """Tokens of the longest chain of `fields` in datasets, read at up to `most` frames of each, evenly spread."""
    longest = 0
    for data in filter(None, datasets):
        for k in np.unique(np.linspace(0, data.num_frames - 1, most).astype(int)):
            chain = data.reasoning(int(k))
            text = chain.to_text(fields) if chain else ""
            longest = max(longest, len(vlm.encode_chain(f" {text}")) if text else 0)
    return longest


def drop(sample: Sample, config: CollateConfig, rng: np.random.Generator) -> Reasoning:
    """The chain that this sample is taught with, after dropout. A human sample keeps its chain: it has nothing else."""
    chain = sample.reasoning or Reasoning()
    human = sample.action is None and config.human_fields is not None
    absent = [f for f in FIELDS if f not in (config.human_fields if human else config.fields)]
    whole = rng.random() < config.reasoning_dropout
    single = rng.random(len(FIELDS)) < config.field_dropout
    if whole and sample.action is not None:
        return Reasoning()
    return chain.without(*absent, *(f for f, gone in zip(FIELDS, single, strict=True) if gone))


def encode_sample(
    sample: Sample, vlm: VLM, stats: ActionStats | None, config: CollateConfig, rng: np.random.Generator
) -> _Row:
    """One sequence: prompt, then the fields of the chain, then, for a robot, the action."""
    row = _Row([], [], [], [])
    prompt = vlm.prompt_ids(sample.instruction)
    row.add(prompt, "prompt", not config.mask_prompt)
    for i, token in enumerate(prompt):
        if token == vlm.image_token_id:
            row.roles[i], row.paid[i] = ROLES.index("image"), False
    row.paid[0] = False  # nothing comes before the first token
    chain = drop(sample, config, rng)
    for field, text in field_texts(chain):
        remembered = field in MEMORY and config.plan_frames is not None and sample.step >= config.plan_frames
        row.add(vlm.encode_chain(text), field, not remembered)
    if sample.action is not None and chain.gripper and rng.random() < config.path_noise:
        _make_up_path(row, chain, vlm, rng)
    if sample.action is not None:
        if stats is None:
            raise RadliteError(
                "action statistics for a batch with robot samples",
                "stats=None",
                "fit them with ActionStats.fit(robot.actions())",
            )
        row.add(vlm.encode(f" {ACTION_TAG}"), "action", True)
        row.add(_action_ids(sample, vlm, stats), "action", True)
        row.add([vlm.eos_id], "eos", True)
    return row


def _make_up_path(row: _Row, chain: Reasoning, vlm: VLM, rng: np.random.Generator) -> None:
    """Lets the model read a random walk from the true present point; as long in tokens as the true path, or it stays."""
    walk = np.array(chain.gripper[0]) + 2 * rng.integers(-9, 10, (len(chain.gripper) - 1, 2)).cumsum(0)
    walk = np.clip(walk, 0, FRAME_SIZE - 2)
    made_up = chain.replace(gripper=(chain.gripper[0], *((int(x), int(y)) for x, y in walk)))
    seen, places = vlm.encode_chain(dict(field_texts(made_up))["gripper"]), row.roles.count(ROLES.index("gripper"))
    if len(seen) == places:
        row.seen[-places:] = seen


def _action_ids(sample: Sample, vlm: VLM, stats: ActionStats) -> list[int]:
    """The seven action tokens of a robot sample."""
    try:
        return vlm.action_ids[torch.from_numpy(encode(sample.action, stats))].tolist()
    except RadliteError as error:
        raise RadliteError(
            error.expected, f"{error.found} in episode {sample.episode}, step {sample.step}", error.fix
        ) from error


def collate(
    samples: Sequence[Sample],
    vlm: VLM,
    stats: ActionStats | None,
    config: CollateConfig = CollateConfig(),
    key: tuple[int, ...] = (0,),
) -> Batch:
    """Samples to a `Batch`.

    Args:
        samples: frames of robots and humans in any order.
        vlm: whose tokenizer and image size to use.
        stats: action percentiles of the robot data; may be None when no sample has an action.
        config: weights and dropout.
        key: seed of the dropout, for example (seed, step).

    Raises:
        RadliteError: no samples, an action where there are no statistics, or a NaN action.
    """
    if not samples:
        raise RadliteError("at least one sample", "none", "check the mixture's sizes")
    rng = np.random.default_rng(key)
    rows = [encode_sample(s, vlm, stats, config, rng) for s in samples]
    return _batch(rows, vlm, config, vlm.pixel_values([s.image for s in samples]))


def collate_blind(
    samples: Sequence[Sample],
    vlm: VLM,
    stats: ActionStats,
    config: CollateConfig = CollateConfig(),
    key: tuple[int, ...] = (0,),
) -> Batch:
    """Robot samples without their picture: instruction and SUBTASK REASONING are read, what follows from them is paid.

    Where the gripper and the thing are only the picture tells; which subtask, way, motion and action follow can be read off the
    words. Such a row has a third of the tokens, so that a policy sees more of them, and every distance often enough.

    In a crossed row (`CollateConfig.crossed`, drawn with `key`) MOVE REASONING, which follows from nothing before it, is read;
    MOVE and the action, which follow from it, are paid.
    """
    rng = np.random.default_rng(key)
    crossed = rng.random(len(samples)) < config.crossed
    rows = []
    for i, sample in enumerate(samples):
        row = _Row([], [], [], [])
        row.add(vlm.prompt_ids(sample.instruction, picture=False), "prompt", False)
        chain, acting = sample.reasoning or Reasoning(), samples[i - 1] if crossed[i] else sample
        other = acting.reasoning or Reasoning()
        chain = chain.replace(move_reason=other.move_reason, move=other.move)
        for name, text in field_texts(chain):
            if name in BLIND_FIELDS:
                row.add(vlm.encode_chain(text), name, BLIND_FIELDS[name] and not (crossed[i] and name == "move_reason"))
        row.add(vlm.encode(f" {ACTION_TAG}"), "action", False)
        row.add(_action_ids(acting, vlm, stats), "action", True)
        rows.append(row)
    return _batch(rows, vlm, config, None)


def _width(tokens: int) -> int:
    return -(-tokens // LENGTHS) * LENGTHS


def _batch(rows: list[_Row], vlm: VLM, config: CollateConfig, pixel_values: Tensor | None) -> Batch:
    """Rows as right-padded tensors."""
    width = _width(max(len(r.ids) for r in rows))

    def padded(values: list[list], fill: float, dtype: torch.dtype) -> Tensor:
        return torch.tensor([v + [fill] * (width - len(v)) for v in values], dtype=dtype)

    ids = padded([r.ids for r in rows], vlm.pad_id, torch.long)  # (B, T)
    seen = padded([r.seen for r in rows], vlm.pad_id, torch.long)
    paid = padded([r.paid for r in rows], False, torch.bool)
    roles = padded([r.roles for r in rows], ROLES.index("pad"), torch.long)
    weights = paid.float()
    for role, weight in (("action", config.action_weight), ("gripper", config.path_weight)):
        weights[roles == ROLES.index(role)] *= weight
    return Batch(
        input_ids=seen,
        attention_mask=padded([[1] * len(r.ids) for r in rows], 0, torch.long),
        labels=torch.where(paid & (weights > 0), ids, IGNORE),
        weights=weights,
        roles=roles,
        pixel_values=pixel_values,
    )


def explain_batch(batch: Batch, vlm: VLM, row: int = 0) -> str:
    """A table of one sequence for reading: position, token, role, weight of its loss ("-" where there is none)."""
    lines, images = [f"{'pos':>4}  {'token':<24}{'role':<16}loss"], 0
    for t in range(int(batch.attention_mask[row].sum())):
        role = ROLES[batch.roles[row, t]]
        if role == "image":
            images += 1
            continue
        if images:
            lines.append(f"{'':>4}  {f'<image> x {images}':<24}{'image':<16}-")
            images = 0
        token = vlm.tokenizer.convert_ids_to_tokens(int(batch.input_ids[row, t]))
        weight = f"{batch.weights[row, t]:g}" if batch.labels[row, t] != IGNORE else "-"
        lines.append(f"{t:>4}  {token!r:<24}{role:<16}{weight}")
    return "\n".join(lines)


def without_actions(sample: Sample) -> Sample:
    """The same frame as action-free data, for experiments that turn robot clips into videos."""
    return replace(sample, action=None, embodiment="human")
