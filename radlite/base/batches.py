"""What the base reads at a step: pictures, and sentences as token batches that say which tokens are paid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from radlite.base.data import CLASSES, GRID, View, read_views
from radlite.base.drills import drills
from radlite.base.facts import Piece, facts, told
from radlite.tiny import IMAGE_SIZE, IMAGE_TOKENS, PATCH, number_tokens

HELD_OUT = 512  # last pictures, never trained on
CM_PER_UNIT, PIXELS_PER_UNIT = 40.0, 128.0


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
            gain = torch.tensor(rng.uniform(0.78, 1.22, (len(index), 3, 1, 1)), dtype=torch.float32)
            shift = torch.tensor(rng.uniform(-0.15, 0.15, (len(index), 1, 1, 1)), dtype=torch.float32)
            x = (
                x * gain
                + shift
                + 0.02
                * torch.randn(x.shape, generator=torch.Generator().manual_seed(int(rng.integers(1 << 31))))
            )
        return x[:, None].clamp(-1, 1)


def coarser(cells: np.ndarray, side: int = IMAGE_SIZE // PATCH) -> np.ndarray:
    """Classes of (N, 16 * 16) cells for (N, side * side) patches: the commonest by area, the bare table counting less."""
    fine = np.arange(GRID * side) // side  # both ways alike: the cell of every finest step
    result = np.empty((len(cells), side * side), np.uint8)
    for start in range(0, len(cells), 1000):
        part = np.asarray(cells[start : start + 1000]).reshape(-1, GRID, GRID)
        area = np.zeros((len(part), side, side, len(CLASSES)), np.float32)
        for row in range(side):
            for column in range(side):
                rows, columns = (fine[k * GRID : (k + 1) * GRID] for k in (row, column))
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

    def rows(self, pieces: list[list[Piece]]) -> list[tuple[list[int], list[bool]]]:
        """Token ids and loss flags of lists of pieces."""
        ids = iter(self.tokenizer([text for row in pieces for text, _ in row], add_special_tokens=False)["input_ids"])
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
        """Random facts about each view; input_ids, attention_mask and labels (-100 where unpaid), right padded: (B, T)."""
        words = Random(int(rng.integers(1 << 62)))
        return self._padded([facts(v, words, count) for v in views], IMAGE_TOKENS)

    def drill_batch(self, size: int, rng: np.random.Generator, count: int, views: Sequence[View] = ()) -> dict[str, Tensor]:
        """The same for text without a picture: `size` rows of drills, and one for each view that is told and not shown."""
        words = Random(int(rng.integers(1 << 62)))
        rows = [drills(words, count) for _ in range(size)] + [told(v, words, max(1, count // 2)) for v in views]
        return self._padded(rows, 0)

    def unsaid(self, views: list[View], size: int) -> Tensor:
        """Which of `size` embedding rows stand for tokens never asked for: actions, tags, words of plans; (size,) bool."""
        mask, rng = torch.ones(size, dtype=torch.bool), Random(0)
        for ids, paid in self.rows([facts(view, rng, 5) for view in views] + [drills(rng, 5) for _ in range(5_000)]):
            mask[[i for i, asked in zip(ids, paid, strict=True) if asked]] = False
        return mask

    def _padded(self, pieces: list[list[Piece]], image_tokens: int) -> dict[str, Tensor]:
        rows = self.rows(pieces)
        head = [self.tokenizer.bos_token_id, *[self.image_id] * image_tokens]
        width = len(head) + max(len(r[0]) for r in rows)
        ids = torch.full((len(rows), width), self.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        labels = torch.full_like(ids, -100)
        for k, (tokens, flags) in enumerate(rows):
            end = len(head) + len(tokens)
            ids[k, :end] = torch.tensor(head + tokens)
            mask[k, :end] = 1
            labels[k, len(head) : end] = torch.tensor([t if f else -100 for t, f in zip(tokens, flags, strict=True)])
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


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
