"""What differs between families of vision-language models: a page each, behind one face (docs/add-a-model.md)."""

from __future__ import annotations

from radlite.families.family import Family
from radlite.families.qwen3_vl import Qwen3VL
from radlite.families.smolvlm import SmolVLM

FAMILIES: dict[str, type[Family]] = {"smolvlm": SmolVLM, "qwen3_vl": Qwen3VL}
"""`model_type` of a `transformers` configuration -> how to drive it."""

__all__ = ["FAMILIES", "Family"]
