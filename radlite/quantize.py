"""Four bits: NF4 with double quantisation, for the linear layers of the language decoder and for nothing else.

Tower, projector and output layer stay whole: they are small, and a tower in four bits sees badly. What was asked for is not
believed but looked at: after loading, the class of every linear layer is checked (`linears`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from radlite.errors import RadliteError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig

    from radlite.families import Family
    from radlite.vlm import VLM

CHOICES = ("nf4", None)
HEAD = "lm_head"
PARTS = ("tower", "projector", "decoder", "head")


def check_quantize(quantize: str | None) -> None:
    """Raises RadliteError for anything but "nf4" and None."""
    if quantize not in CHOICES:
        raise RadliteError("quantize 'nf4' or None", repr(quantize), "choose one of them")


def library() -> ModuleType:
    """bitsandbytes, or a RadliteError where it is not installed."""
    try:
        import bitsandbytes
    except ImportError as error:
        wanted = "bitsandbytes for four bits and 8-bit optimisers"
        raise RadliteError(wanted, "it is not installed", "pip install 'radlite[gpu]'") from error
    return bitsandbytes


def four_bit(family: type[Family], dtype: torch.dtype) -> BitsAndBytesConfig:
    """How `transformers` is to load a family in NF4: full names of what stays whole, the output layer among them.

    A list that is given replaces the library's own, which would spare the output layer, and it matches from the beginning of
    a name: a tower's last name alone would spare nothing.
    """
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=[*family.apart, HEAD],
    )  # fmt: skip


def linears(vlm: VLM) -> dict[str, dict[str, int]]:
    """How many linear layers of which class there are: part (`PARTS`) -> class name -> count."""
    found: dict[str, Counter[str]] = {part: Counter() for part in PARTS}
    for part, _, module in linear_layers(vlm):
        found[part][type(module).__name__] += 1
    return {part: dict(counts) for part, counts in found.items()}


def class_table(vlm: VLM) -> str:
    """`linears` as lines of text, a row for each part and class."""
    rows = [(part, kind, str(count)) for part, kinds in linears(vlm).items() for kind, count in kinds.items()]
    return "\n".join(f"{part:<10} {kind:<12} {count:>6}" for part, kind, count in [("part", "class", "layers"), *rows])


def linear_layers(vlm: VLM) -> Iterator[tuple[str, str, nn.Linear]]:
    """(part, name, layer) of every linear layer of the base; LoRA's own are none of it."""
    for name, module in vlm.base.named_modules():
        if isinstance(module, nn.Linear) and "lora_" not in name:
            yield part_of(vlm.family, name), name, module


def part_of(family: Family, name: str) -> str:
    """Where a layer of that name is, one of `PARTS`."""
    if name.startswith(HEAD):
        return "head"
    for part, names in (("projector", family.projector), ("tower", family.apart)):
        if name.startswith(tuple(f"{one}." for one in names)):
            return part
    return "decoder"


def secure(vlm: VLM) -> None:
    """Checks a model loaded in four bits, and makes it safe to train on a CPU.

    On a CPU with AVX512-BF16 a layer that predicts once repacks its weights for a faster product, never unpacks them, and
    from then on passes no gradient to what is below it (bitsandbytes 0.50.2: same loss, half of the gradient). So no layer may.

    Raises:
        RadliteError: a linear layer of the decoder that is whole, or one elsewhere that is not.
    """
    four_bits = library().nn.Linear4bit
    for part, name, module in linear_layers(vlm):
        quantised, wanted = isinstance(module, four_bits), part == "decoder"
        if quantised != wanted:
            raise RadliteError(f"{name} {'in four bits' if wanted else 'whole'}", type(module).__name__,
                               "this is a bug in how the model was loaded: report it with the versions of your packages")
        if quantised:
            if module.weight.quant_state is None:
                raise RadliteError(f"{name} with its quantisation", "none", "load the model again from its folder")
            module.support_avx512bf16_for_cpu = False


def unpacked(layer: nn.Linear) -> Tensor:
    """The weights (O, I) that a layer in four bits stands for, in its own precision."""
    return library().functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)


@torch.no_grad()
def round_weights(vlm: VLM, dtype: torch.dtype | None = None) -> None:
    """Puts into the decoder of a whole base the weights that its four bits would stand for, in place.

    `dtype` is the precision that they were rounded from; None: the one they are in.
    """
    four = library().functional
    for part, _, layer in linear_layers(vlm):
        if part == "decoder":
            packed, state = four.quantize_4bit(layer.weight.data.to(dtype), compress_statistics=True, quant_type="nf4")
            layer.weight.copy_(four.dequantize_4bit(packed, state))
