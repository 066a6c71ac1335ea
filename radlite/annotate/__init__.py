"""Annotation: a video goes in, a chain of reasoning for every frame comes out (the RAD paper, section on labelling human video).

Each stage stands alone behind a Protocol of one method in `evidence` and `narrator`; what a stage does not know it leaves unknown
(NaN, None, an absent field), it never invents. `annotate` runs them all. Names are loaded when they are first used: a stage in an
environment of its own needs no more than it imports itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "annotate": "pipeline", "AnnotateConfig": "pipeline", "Annotation": "pipeline",
    "Clip": "clip", "load_clip": "clip",
    "Hand": "evidence", "Found": "evidence", "GripperTrack": "evidence", "ObjectTrack": "evidence", "View": "evidence",
    "HandDetector": "evidence", "ObjectDetector": "evidence", "Narrator": "narrator", "Evidence": "narrator",
    "MediaPipeHands": "mediapipe_hands", "RecordedHands": "landmarks", "read_landmarks": "landmarks",
    "write_landmarks": "landmarks", "gripper_track": "hands",
    "GroundingDino": "grounding", "RecordedObjects": "object_file", "read_objects": "object_file",
    "write_objects": "object_file", "object_names": "nouns", "object_tracks": "objects",
    "Noise": "simulated", "simulated_found": "simulated", "simulated_tracks": "simulated", "simulated_gripper": "simulated",
    "fit_pixels": "gripper_pixels", "robot_track": "gripper_pixels", "project": "gripper_pixels",
    "Axes": "motion", "triangulate": "motion", "Motion": "hindsight", "motion_in_view": "hindsight",
    "annotate_many": "many", "list_clips": "manifest", "ClipStore": "clip_store", "Recipe": "recipe",
    "motion_in_space": "hindsight", "RuleNarrator": "narrate", "Endpoint": "endpoint", "load_narrator": "vlm_narrator",
}  # fmt: skip

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'radlite.annotate' has no attribute {name!r}")
    return getattr(import_module(f"radlite.annotate.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
