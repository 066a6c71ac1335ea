"""Pre-trains the tiny base: first the vision tower learns what is in each patch, then the whole model learns true sentences.

Run `python -m radlite.base.pretrain --out runs/base`.
A patch is named in the decoder's own words: its image token has to point along the embedding of "red can" where a red can
is (as CLIP aligns pictures and words), so that a name finds its place by likeness. What remains is an ordinary SmolVLM.
Resumable: state is written every few minutes, the order of samples is a function of (seed, step).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from radlite.base.batches import HELD_OUT, Meter, Pictures, Wording
from radlite.base.data import CLASSES, make_pictures
from radlite.base.facts import words
from radlite.bases import load_vlm
from radlite.errors import RadliteError
from radlite.precision import autocast
from radlite.tabletop.things import BASE_THINGS
from radlite.tiny import CHANNELS, IMAGE_TOKENS, STD, build_model, build_tokenizer, renewed_rows

CPU = torch.device("cpu")
CONTENT = CHANNELS["y"][1]  # channels behind those of places


@dataclass(frozen=True)
class PretrainConfig:
    """Sizes of the run. How the shipped weights were made is told in `radlite/weights/README.md`.

    `start` names a base (or its folder) to go on from; then `dense_steps` is best 0. `drill_batch` rows of `drills` lines
    of text without a picture come on top of every batch of pictures, and `told_batch` rows of sentences about a picture that is
    told and not shown. `renew` gives lengths and actions of `start` new rows.
    """

    pictures: int = 48_000
    dense_steps: int = 450
    text_steps: int = 3_000
    dense_batch: int = 96
    batch: int = 64
    sentences: int = 5
    drill_batch: int = 48
    drills: int = 4
    told_batch: int = 24
    rate: float = 1.5e-3
    dense_weight: float = 0.5
    seed: int = 0
    start: str = ""
    renew: bool = False


class PatchNames(nn.Module):
    """Logits of every patch over CLASSES: likeness of its image token and the words of a name, in the content channels.

    The bare table and the limbs have vectors of their own, which are thrown away after the pre-training.
    """

    def __init__(self, tokenizer, width: int) -> None:
        super().__init__()
        self.rest = nn.Parameter(torch.randn(CLASSES.index(BASE_THINGS[0]), width) * STD)  # table, limb
        self.log_scale = nn.Parameter(torch.tensor(3.4))
        pieces = tokenizer([f" {name}" for name in CLASSES[len(self.rest) :]], add_special_tokens=False)["input_ids"]
        table = torch.zeros(len(pieces), len(tokenizer))
        for row, ids in enumerate(pieces):
            table[row, ids] = 1.0
        self.register_buffer("words", table, persistent=False)  # (classes, V): which words make a name

    def forward(self, images: Tensor, embedding: Tensor) -> Tensor:
        """Image tokens (B, P, D) and the embedding table (V, D) -> (B, P, classes)."""
        with torch.autocast("cpu", enabled=False):
            names = self.words @ embedding[: self.words.shape[1]]
            names = torch.cat([self.rest, names])[:, CONTENT:]
            return self.log_scale.exp() * images.float()[..., CONTENT:] @ names.T


def image_tokens(model, pixels: Tensor) -> Tensor:
    """What the decoder gets of pictures (B, 1, 3, S, S): (B, 144, D)."""
    return model.model.connector(model.model.vision_model(pixels.flatten(0, 1)).last_hidden_state)


def text_loss(
    model, batch: dict[str, Tensor], images: Tensor | None, unsaid: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Next-token loss at paid positions given image tokens (B, P, D); returns loss, logits (N, V) and labels (N,).

    Tokens of the mask `unsaid` (V,), which no sentence asks for, stay out of the softmax and so keep the rows they were born
    with. Pushed down at every step they would all become one and the same vector, and whoever fine-tunes the base
    could not tell one action or one tag from another.
    """
    embeds = model.get_input_embeddings()(batch["input_ids"])
    if images is not None:
        embeds = torch.cat([embeds[:, :1], images.to(embeds.dtype), embeds[:, 1 + IMAGE_TOKENS :]], 1)
    out = model.model.text_model(
        inputs_embeds=embeds, attention_mask=batch["attention_mask"]
    ).last_hidden_state
    labels = batch["labels"][:, 1:]
    paid = labels != -100
    logits = model.lm_head(out[:, :-1][paid]).float()
    if unsaid is not None:
        out_of_play = unsaid.index_fill(0, labels[paid], False)
        logits = logits.masked_fill(out_of_play, -torch.inf)
    return nn.functional.cross_entropy(logits, labels[paid]), logits, labels[paid]


def evaluate(model, pictures: Pictures, wording: Wording, meter: Meter, head: PatchNames) -> dict[str, float]:
    """Held-out patch accuracy (not counting the bare table) and sentence errors, teacher-forced."""
    index = np.arange(pictures.train, pictures.train + HELD_OUT)
    logits, labels, right = [], [], []
    model.eval()
    with torch.no_grad(), autocast(None, CPU):
        for part in np.split(index, HELD_OUT // 128):
            images = image_tokens(model, pictures.pixels(part))
            truth = torch.from_numpy(pictures.patches[part].astype(np.int64))
            right.append((head(images, model.get_input_embeddings().weight).argmax(-1) == truth)[truth > 0])
            batch = wording.batch([pictures.views[i] for i in part], np.random.default_rng(int(part[0])), 9)
            _, a, b = text_loss(model, batch, images)
            logits.append(a), labels.append(b)
    model.train()
    result = meter.read(torch.cat(logits), torch.cat(labels))
    with torch.no_grad(), autocast(None, CPU):
        _, guess, truth = text_loss(model, wording.drill_batch(128, np.random.default_rng(1), 4), None)
    numbers = torch.from_numpy(meter.kind[truth.numpy()] != "word")
    drilled = float((guess.argmax(-1) == truth)[numbers].float().mean())
    return {"patches": float(torch.cat(right).float().mean()), **result, "drills": drilled}


def rate_at(step: int, config: PretrainConfig) -> float:
    """Warm-up, then a cosine, in each stage: the first that is run ends at 0.3 of the rate, text after patches at a fiftieth."""
    start, length = (
        (0, config.dense_steps) if step < config.dense_steps else (config.dense_steps, config.text_steps)
    )
    done = (step - start) / max(1, length)
    warm = min(1.0, (step - start + 1) / 60)
    floor = 0.3 if start == 0 else 0.02
    return config.rate * warm * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def pretrain(out: Path, config: PretrainConfig, log_every: int = 50) -> None:
    """Runs or resumes the whole pre-training; the finished base lands in `out/model`."""
    if not (out / "pictures" / "views.jsonl").exists():
        make_pictures(out / "pictures", config.pictures + HELD_OUT, config.seed)
    pictures = Pictures(out / "pictures", config.seed)
    tokenizer = build_tokenizer(words())
    model = _started(config, tokenizer)
    model.set_attn_implementation("eager")  # on a CPU half the time of sdpa at this size
    model.train()
    head = PatchNames(tokenizer, model.config.text_config.hidden_size)
    wording, meter = Wording(tokenizer), Meter(tokenizer)
    unsaid = wording.unsaid(pictures.views, len(model.get_input_embeddings().weight))
    params = [*model.parameters(), *head.parameters()]
    decay = [p for p in params if p.ndim > 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decay, "weight_decay": 0.02},
            {"params": [p for p in params if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=config.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    bundle = nn.ModuleDict({"model": model, "head": head})
    step = _resume(out, bundle, optimizer)
    began, last = time.time(), time.time()
    while step < config.dense_steps + config.text_steps:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, config)
        loss = _step(model, head, pictures, wording, unsaid, step, config)
        if not torch.isfinite(loss):
            raise RuntimeError(f"loss is not finite at step {step}")
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        if step % log_every == 0:
            row = {"step": step, "loss": round(loss.item(), 4), "seconds": round(time.time() - began)}
            if step % (log_every * 8) == 0:
                row |= {k: round(v, 3) for k, v in evaluate(model, pictures, wording, meter, head).items()}
            with (out / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        if time.time() - last > 300 or step == config.dense_steps + config.text_steps:
            _save(out, bundle, optimizer, step, tokenizer)
            last = time.time()


def _started(config: PretrainConfig, tokenizer) -> nn.Module:
    """The untrained base, or the one to go on from, which has to share the vocabulary."""
    if not config.start:
        return build_model(tokenizer, config.seed)
    vlm = load_vlm(config.start)
    if vlm.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise RadliteError("a base with today's vocabulary", f"another one in {config.start}", "pre-train from the beginning")
    if config.renew:
        table = vlm.model.get_input_embeddings().weight
        with torch.no_grad():
            table.copy_(renewed_rows(tokenizer, table))
    return vlm.model


def _step(
    model, head, pictures: Pictures, wording: Wording, unsaid: Tensor, step: int, config: PretrainConfig
) -> Tensor:
    """Forward pass of one step: patches only in the first stage, sentences and patches in the second."""
    dense = step < config.dense_steps
    index, rng = pictures.batch(step, config.dense_batch if dense else config.batch)
    with autocast(None, CPU):
        images = image_tokens(model, pictures.pixels(index, rng))
        truth = torch.from_numpy(pictures.patches[index].astype(np.int64))
        weight = torch.ones(len(CLASSES))
        weight[0] = 0.3
        logits = head(images, model.get_input_embeddings().weight)
        patches = nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), weight)
        if dense:
            return patches
        batch = wording.batch([pictures.views[i] for i in index], rng, config.sentences)
        loss = text_loss(model, batch, images, unsaid)[0] + config.dense_weight * patches
        if config.drill_batch:
            unseen = [pictures.views[i] for i in rng.choice(pictures.train, config.told_batch, replace=False)]
            drill = wording.drill_batch(config.drill_batch, rng, config.drills, unseen)
            loss = loss + text_loss(model, drill, None, unsaid)[0]
        return loss


def _save(out: Path, bundle: nn.ModuleDict, optimizer, step: int, tokenizer) -> None:
    """Weights and moments as safetensors, swapped in at once."""
    state = {f"weight/{k}": v for k, v in bundle.state_dict().items() if "lm_head" not in k}
    for i, moments in optimizer.state_dict()["state"].items():
        state |= {f"moment/{i}/{k}": torch.as_tensor(v) for k, v in moments.items()}
    save_file({k: v.contiguous() for k, v in state.items()}, out / "state.tmp", {"step": str(step)})
    os.replace(out / "state.tmp", out / "state.safetensors")
    (out / "step.json").write_text(json.dumps({"step": step}))
    bundle["model"].save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")


def _resume(out: Path, bundle: nn.ModuleDict, optimizer) -> int:
    if not (out / "state.safetensors").exists():
        return 0
    state = load_file(out / "state.safetensors")
    bundle.load_state_dict({k[7:]: v for k, v in state.items() if k.startswith("weight/")}, strict=False)
    bundle["model"].tie_weights()
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if key.startswith("moment/"):
            _, i, name = key.split("/")
            moments.setdefault(int(i), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(json.loads((out / "step.json").read_text())["step"])


def main() -> None:
    """Command line of the pre-training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/base"))
    for name, default in PretrainConfig().__dict__.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        parser.add_argument(f"--{name.replace('_', '-')}", **kind)
    args = vars(parser.parse_args())
    out = args.pop("out")
    pretrain(out, PretrainConfig(**args))


if __name__ == "__main__":
    main()
