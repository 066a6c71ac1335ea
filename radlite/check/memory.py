"""Check of notebook 07: how many bytes does a model take that is trained with LoRA, whole or in four bits?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from radlite.check.report import Property, Result, Wrong, ask, number, run, short
from radlite.train_config import OPTIMIZERS

TOLERANCE = 0.005  # the scales of NF4 are a thirtieth of its bytes, their own scales a two-thousandth
PARTS = ("weights", "adapters", "optimizer")


@dataclass(frozen=True)
class Case:
    """Numbers of a model: in the decoder's linear layers, all others, and those that are trained on top."""

    decoder: int
    others: int
    trained: int
    nf4: bool
    optimizer: str = "adamw"

    @property
    def right(self) -> tuple[float, float, float]:
        """Bytes of the base, of what is trained, and of its moments."""
        packed = self.decoder / 2 + self.decoder / 64 + self.decoder / (64 * 256) * 4
        base = (packed if self.nf4 else 2 * self.decoder) + 2 * self.others
        return base, 4.0 * self.trained, float(OPTIMIZERS[self.optimizer] * self.trained)

    @property
    def arguments(self) -> tuple[Any, ...]:
        """In the order of the exercise."""
        return self.decoder, self.others, self.trained, self.nf4, self.optimizer


SMALL, LARGE = (4_096 * 64, 1_000_000, 8_192), (6_945_767_424, 1_821_052_656, 83_886_080)  # the second about qwen3-vl-8b


def training_bytes(student: Callable) -> Result:
    """Checks `training_bytes(decoder, others, trained, nf4, optimizer) -> (weights, adapters, optimizer)`, all in bytes.

    Args of the student's function: numbers in the linear layers of the language decoder; all other numbers of the base; trained
    numbers on top; whether the decoder's are in NF4 with double quantisation; "adamw" or "paged_adamw_8bit".
    """
    return run("training_bytes", student, (
        Property("a whole base has two bytes a number", "bfloat16: 16 bits for the decoder and for all others alike",
                 lambda f: _part(f, 0, [Case(*size, nf4=False) for size in (SMALL, LARGE)])),
        Property("NF4 takes the decoder and nothing else", "with nf4 the others keep their two bytes, and the decoder's fall to "
                 "about a quarter", _only_decoder),
        Property("the scales of NF4 count", "half a byte a number, one byte for every 64, and four for every 64 * 256",
                 lambda f: _part(f, 0, [Case(*size, nf4=True) for size in (SMALL, LARGE)])),
        Property("what is trained is float32", "four bytes for each trained number, whatever the base is in",
                 lambda f: _part(f, 1, [Case(*SMALL, nf4=False), Case(*LARGE, nf4=True)])),
        Property("the moments are two a trained number", "adamw has two float32, paged_adamw_8bit two bytes; the base has none",
                 lambda f: _part(f, 2, [Case(*size, nf4=True, optimizer=o) for size in (SMALL, LARGE) for o in OPTIMIZERS])),
    ))  # fmt: skip


def answer(function: Callable, case: Case) -> tuple[float, float, float]:
    """The student's three numbers."""
    found = ask(function, *case.arguments)
    if not isinstance(found, (tuple, list)) or len(found) != 3:
        raise Wrong(f"three numbers (weights, adapters, optimizer) should come out, and {short(found)} does")
    weights, adapters, optimizer = (number(value, name) for value, name in zip(found, PARTS, strict=True))
    return weights, adapters, optimizer


def _part(function: Callable, part: int, cases: list[Case]) -> None:
    for case in cases:
        found, right = answer(function, case)[part], case.right[part]
        if abs(found - right) > TOLERANCE * right:
            raise Wrong(f"{PARTS[part]} of {case.decoder:,} + {case.others:,} numbers, {case.trained:,} trained, nf4={case.nf4}, "
                        f"{case.optimizer}: {found:,.0f} bytes, and it is {right:,.0f}")


def _only_decoder(function: Callable) -> None:
    for decoder, others, trained in (SMALL, LARGE):
        with_more = answer(function, Case(decoder, 2 * others, trained, nf4=True))[0]
        base = answer(function, Case(decoder, others, trained, nf4=True))[0]
        whole = answer(function, Case(decoder, others, trained, nf4=False))[0]
        each = (with_more - base) / others
        if abs(each - 2) > 0.01:
            raise Wrong(f"with nf4 each number outside the decoder takes {each:.2f} bytes")
        left = (base - 2 * others) / (whole - 2 * others) if whole != 2 * others else 0
        if not 0.24 < left < 0.30:
            raise Wrong(f"with nf4 the decoder takes {left:.2f} times what it takes whole")
