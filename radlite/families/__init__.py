"""What differs between families of vision-language models: a page each, behind one face (docs/add-a-model.md)."""

from __future__ import annotations

from radlite.errors import RadliteError
from radlite.families.family import Family
from radlite.families.qwen3_vl import Qwen3VL
from radlite.families.smolvlm import SmolVLM

FAMILIES: dict[str, type[Family]] = {"smolvlm": SmolVLM, "qwen3_vl": Qwen3VL}
"""`model_type` of a `transformers` configuration -> how to drive it."""


def family_of(kind: str, name: object) -> type[Family]:
    """The family of a `model_type`; `name` says whose it is.

    Raises:
        RadliteError: there is none.
    """
    if kind not in FAMILIES:
        raise RadliteError("a model of a family that radlite drives", f"{kind} in {name}, not of {' or '.join(FAMILIES)}",
                           "docs/add-a-model.md adds a family")
    return FAMILIES[kind]


__all__ = ["FAMILIES", "Family", "family_of"]
