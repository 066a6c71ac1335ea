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
from random import Random

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from radlite.base.data import CLASSES, GRID, View, make_pictures, read_views
from radlite.base.facts import facts, words
from radlite.tabletop.things import BASE_THINGS
from radlite.tiny import (
    CHANNELS,
    IMAGE_SIZE,
    IMAGE_TOKENS,
    PATCH,
    STD,
    build_model,
    build_tokenizer,
    number_tokens,
)

CONTENT = CHANNELS["y"][1]  # channels behind those of places
HELD_OUT = 512  # last pictures, never trained on
CM_PER_UNIT, PIXELS_PER_UNIT = 40.0, 128.0


@dataclass(frozen=True)
class PretrainConfig:
    """Sizes of the run. How the shipped weights were made is told in `radlite/weights/README.md`."""

    pictures: int = 48_000
    dense_steps: int = 450
    text_steps: int = 3_000
    dense_batch: int = 96
    batch: int = 64
    sentences: int = 7
    rate: float = 1.5e-3
    dense_weight: float = 0.5
    seed: int = 0


class Pictures:
    """Memory-mapped pictures with their views; `batch(step, size)` is a pure function of (seed, step)."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.patches = coarser(np.load(folder / "patches.npy", mmap_mode="r"))
        self.views = read_views(folder / "views.jsonl")
        self.seed, self.train = seed, len(self.views) - HELD_OUT

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.random.Generator]:
        """Indices (size,) and the generator that words this step's sentences."""
        rng = np.random.default_rng([self.seed, step])
        return np.sort(rng.choice(self.train, size, replace=False)), rng

    def pixels(self, index: np.ndarray, rng: np.random.Generator | None = None) -> Tensor:
        """(B, 1, 3, 96, 96) in [-1, 1]; with a generator, brightness, contrast and sensor noise vary a little."""
        x = torch.from_numpy(np.ascontiguousarray(self.images[index])).permute(0, 3, 1, 2).float() / 127.5 - 1
        if rng is not None:
            gain = torch.tensor(rng.uniform(0.88, 1.12, (len(index), 3, 1, 1)), dtype=torch.float32)
            shift = torch.tensor(rng.uniform(-0.08, 0.08, (len(index), 1, 1, 1)), dtype=torch.float32)
            x = (
                x * gain
                + shift
                + 0.02
                * torch.randn(x.shape, generator=torch.Generator().manual_seed(int(rng.integers(1 << 31))))
            )
        return x[:, None].clamp(-1, 1)


def coarser(cells: np.ndarray, side: int = IMAGE_SIZE // PATCH) -> np.ndarray:
    """Classes of (N, 16 * 16) cells for (N, side * side) patches: the commonest by area, the bare table counting less."""
    fine = np.stack([np.arange(GRID * side) // side] * 2)
    result = np.empty((len(cells), side * side), np.uint8)
    for start in range(0, len(cells), 1000):
        part = np.asarray(cells[start : start + 1000]).reshape(-1, GRID, GRID)
        area = np.zeros((len(part), side, side, len(CLASSES)), np.float32)
        for row in range(side):
            for column in range(side):
                rows, columns = (
                    fine[0][row * GRID : (row + 1) * GRID],
                    fine[1][column * GRID : (column + 1) * GRID],
                )
                for r, share in zip(*np.unique(rows, return_counts=True), strict=True):
                    for c, width in zip(*np.unique(columns, return_counts=True), strict=True):
                        area[np.arange(len(part)), row, column, part[:, r, c]] += share * width
        area[..., 0] *= 0.5
        result[start : start + 1000] = area.argmax(-1).reshape(len(part), -1)
    return result


class Wording:
    """Turns views into token batches."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer = tokenizer
        self.image_id = tokenizer.convert_tokens_to_ids("<image>")

    def rows(
        self, views: list[View], rng: np.random.Generator, count: int
    ) -> list[tuple[list[int], list[bool]]]:
        """Token ids and loss flags of random facts about each view."""
        words = Random(int(rng.integers(1 << 62)))
        pieces = [facts(v, words, count) for v in views]
        flat = [text for row in pieces for text, _ in row]
        ids = iter(self.tokenizer(flat, add_special_tokens=False)["input_ids"])
        rows = []
        for row in pieces:
            tokens, flags = [], []
            for _, paid in row:
                piece = next(ids)
                tokens += piece
                flags += [paid] * len(piece)
            rows.append((tokens, flags))
        return rows

    def batch(self, views: list[View], rng: np.random.Generator, count: int) -> dict[str, Tensor]:
        """input_ids, attention_mask and labels (-100 where unpaid), right padded: (B, T)."""
        rows = self.rows(views, rng, count)
        head = [self.tokenizer.bos_token_id, *[self.image_id] * IMAGE_TOKENS]
        width = len(head) + max(len(r[0]) for r in rows)
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for k, (tokens, flags) in enumerate(rows):
            end = len(head) + len(tokens)
            ids[k, :end] = torch.tensor(head + tokens)
            mask[k, :end] = 1
            labels[k, len(head) : end] = torch.tensor(
                [t if f else -100 for t, f in zip(tokens, flags, strict=True)]
            )
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


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


def text_loss(model, batch: dict[str, Tensor], images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Next-token loss at paid positions given image tokens (B, P, D); returns loss, logits (N, V) and labels (N,)."""
    embeds = model.get_input_embeddings()(batch["input_ids"])
    embeds = torch.cat([embeds[:, :1], images.to(embeds.dtype), embeds[:, 1 + IMAGE_TOKENS :]], 1)
    out = model.model.text_model(
        inputs_embeds=embeds, attention_mask=batch["attention_mask"]
    ).last_hidden_state
    labels = batch["labels"][:, 1:]
    paid = labels != -100
    logits = model.lm_head(out[:, :-1][paid]).float()
    return nn.functional.cross_entropy(logits, labels[paid]), logits, labels[paid]


class Meter:
    """Reads held-out predictions as errors in pixels and centimetres."""

    def __init__(self, tokenizer) -> None:
        table = number_tokens()
        self.kind = np.array(["word"] * (tokenizer.vocab_size + 512), dtype=object)
        self.value = np.zeros(len(self.kind))
        for token, (block, _, value) in table.items():
            i = tokenizer.convert_tokens_to_ids(token)
            self.kind[i], self.value[i] = block, value

    def read(self, logits: Tensor, labels: Tensor) -> dict[str, float]:
        guess, truth = logits.argmax(-1).numpy(), labels.numpy()
        result = {"words": float((guess == truth)[self.kind[truth] == "word"].mean())}
        for kind, unit in (
            ("x", PIXELS_PER_UNIT),
            ("y", PIXELS_PER_UNIT),
            *((a, CM_PER_UNIT) for a in ("lateral", "depth", "height")),
        ):
            mine = self.kind[truth] == kind
            error = np.abs(self.value[guess] - self.value[truth])[mine] * unit
            result[kind] = float(np.median(error))
            result[f"{kind}_mean"] = float(error.mean())
        return result


def evaluate(model, pictures: Pictures, wording: Wording, meter: Meter, head: PatchNames) -> dict[str, float]:
    """Held-out patch accuracy (not counting the bare table) and sentence errors, teacher-forced."""
    index = np.arange(pictures.train, pictures.train + HELD_OUT)
    logits, labels, right = [], [], []
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for part in np.split(index, HELD_OUT // 128):
            images = image_tokens(model, pictures.pixels(part))
            truth = torch.from_numpy(pictures.patches[part].astype(np.int64))
            right.append((head(images, model.get_input_embeddings().weight).argmax(-1) == truth)[truth > 0])
            batch = wording.batch([pictures.views[i] for i in part], np.random.default_rng(int(part[0])), 9)
            _, a, b = text_loss(model, batch, images)
            logits.append(a), labels.append(b)
    model.train()
    result = meter.read(torch.cat(logits), torch.cat(labels))
    return {"patches": float(torch.cat(right).float().mean()), **result}


def rate_at(step: int, config: PretrainConfig) -> float:
    """Warm-up, then a cosine to a fiftieth, once for each stage."""
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
    model = build_model(tokenizer, config.seed)
    model.set_attn_implementation("eager")  # on a CPU half the time of sdpa at this size
    model.train()
    head = PatchNames(tokenizer, model.config.text_config.hidden_size)
    wording, meter = Wording(tokenizer), Meter(tokenizer)
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
        loss = _step(model, head, pictures, wording, step, config)
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


def _step(model, head, pictures: Pictures, wording: Wording, step: int, config: PretrainConfig) -> Tensor:
    """Forward pass of one step: patches only in the first stage, sentences and patches in the second."""
    dense = step < config.dense_steps
    index, rng = pictures.batch(step, config.dense_batch if dense else config.batch)
    with torch.autocast("cpu", torch.bfloat16):
        images = image_tokens(model, pictures.pixels(index, rng))
        truth = torch.from_numpy(pictures.patches[index].astype(np.int64))
        weight = torch.ones(len(CLASSES))
        weight[0] = 0.3
        logits = head(images, model.get_input_embeddings().weight)
        patches = nn.functional.cross_entropy(logits.flatten(0, 1), truth.flatten(), weight)
        if dense:
            return patches
        batch = wording.batch([pictures.views[i] for i in index], rng, config.sentences)
        return text_loss(model, batch, images)[0] + config.dense_weight * patches


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
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    args = vars(parser.parse_args())
    out = args.pop("out")
    pretrain(out, PretrainConfig(**args))


if __name__ == "__main__":
    main()
