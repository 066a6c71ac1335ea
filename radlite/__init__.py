"""radlite: Reasoning through Action-free Data (RAD), small enough to teach.

Names are loaded when they are first used, so that `import radlite` and the simulator's worker processes stay light.
"""

from __future__ import annotations

import logging
import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# on a CPU torch keeps up to 1,024 kernels, one for every shape it has met, and with them some gigabytes after a training
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")

# on Linux, memory by two megabytes at a time instead of four kilobytes: an activation of 20 MB is 5,000 page faults otherwise
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

# on some processors bitsandbytes tells at every import that it might fetch a kernel from the Hub; it need not
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

_HOME = {
    "RadliteError": "errors", "Reasoning": "reasoning", "Box": "reasoning", "FIELDS": "reasoning",
    "ActionStats": "actions", "primitive": "actions", "primitives": "actions",
    "Episode": "episodes", "EpisodeDataset": "episodes", "Sample": "episodes", "write_dataset": "episodes",
    "Mixture": "mixture", "CollateConfig": "collate", "explain_batch": "collate", "rad_loss": "loss",
    "TrainConfig": "train", "read_log": "train",
    "Policy": "policy", "Prediction": "policy", "load_policy": "policy", "load_vlm": "bases",
    "rollout": "rollouts", "PolicyAgent": "rollouts", "reasoning_accuracy": "evaluate", "wilson": "stats",
    "look_inside": "introspect",
    "TabletopEnv": "tabletop.env", "collect": "tabletop.collect", "doctor": "health",
    "play": "show.player", "Player": "show.player", "edit": "show.editing", "Editor": "show.editor",
    "draw_prediction": "show", "write_report": "show", "write_mp4": "show", "read_video": "show",
    "LiveRun": "live", "playground": "show.playground",
}  # fmt: skip

__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'radlite' has no attribute {name!r}")
    return getattr(import_module(f"radlite.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
