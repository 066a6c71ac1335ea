"""Which stages annotate a clip, and how, as plain settings: they can be written down, and travel to another process or machine.

Stages themselves hold models and cannot. Each process makes them from the recipe, once for all its clips.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from radlite.annotate.evidence import HandDetector, ObjectDetector
from radlite.annotate.motion import Axes
from radlite.annotate.narrator import Narrator
from radlite.annotate.pipeline import AnnotateConfig
from radlite.errors import RadliteError

NOTHING, RULES = "none", "rules"


@dataclass(frozen=True)
class Recipe:
    """The stages of `annotate`, by name.

    Attributes:
        config: how a clip is read.
        hand_model: a `hand_landmarker.task` for MediaPipe; None takes what is installed.
        objects: "none", a file of boxes, or the name or folder of a Grounding DINO.
        names: of the things to look for; None takes the instruction's and the caption's.
        narrator: "rules", the name or folder of a model, or an OpenAI-compatible server's address.
        narrator_model: the server's name for the model.
        quantize: four bits ("nf4") for a narrator that runs here.
        text_threshold: score that a word of a name needs, of a Grounding DINO; None takes its own.

    Raises:
        RadliteError: an address that cannot be used or could hold a key, a server without the name of a model, or a threshold
            that is no score, or that nobody is to use.
    """

    config: AnnotateConfig = AnnotateConfig()
    hand_model: str | None = None
    objects: str = NOTHING
    names: tuple[str, ...] | None = None
    narrator: str = RULES
    narrator_model: str | None = None
    quantize: str | None = None
    text_threshold: float | None = None

    def __post_init__(self) -> None:
        if self.served:
            from radlite.annotate.endpoint import checked_address

            checked_address(self.narrator)  # now, before anything is said or done with it: it may hold a key
            if not self.narrator_model:
                raise RadliteError("--narrator-model with a server's address", "none", "give the server's name for the model")
        if self.text_threshold is not None:
            if not 0 <= self.text_threshold <= 1:
                raise RadliteError("a text threshold from 0 to 1", f"{self.text_threshold}", "ECoT has 0.2")
            if self.objects == NOTHING:
                raise RadliteError("a Grounding DINO as --objects, for --text-threshold", "none", "name one, or leave it out")

    @property
    def served(self) -> bool:
        """Whether a server puts the clips into words."""
        return "://" in self.narrator

    def to_text(self) -> str:
        """JSON, the same for the same settings."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Recipe:
        """Inverse of `to_text`."""
        told = json.loads(text)
        config, names = told.pop("config"), told.pop("names")
        axes = Axes(**config.pop("axes"))
        return cls(AnnotateConfig(**config, axes=axes), names=None if names is None else tuple(names), **told)

    def find_hands(self, recorded: str | Path | None = None) -> HandDetector:
        """MediaPipe, or what a file of landmarks holds."""
        if recorded:
            from radlite.annotate.landmarks import RecordedHands, read_landmarks

            return RecordedHands(read_landmarks(recorded))
        from radlite.annotate.mediapipe_hands import MediaPipeHands

        return MediaPipeHands(self.hand_model)

    def find_objects(self, recorded: str | Path | None = None) -> ObjectDetector | None:
        """Grounding DINO, what a file of boxes holds, or None."""
        recorded = recorded or (self.objects if Path(self.objects).is_file() and self.objects != NOTHING else None)
        if recorded:
            from radlite.annotate.object_file import read_objects

            return read_objects(recorded, self.config.fps)
        if self.objects == NOTHING:
            return None
        from radlite.annotate.grounding import GroundingDino

        told = {"box_threshold": self.config.box_threshold, "text_threshold": self.text_threshold}
        return GroundingDino(self.objects, **{name: value for name, value in told.items() if value is not None})

    def put_into_words(self) -> Narrator:
        """Rules, a server, or a model that runs here."""
        if self.narrator == RULES:
            from radlite.annotate.narrate import RuleNarrator

            return RuleNarrator()
        if self.served:
            from radlite.annotate.endpoint import Endpoint

            return Endpoint(self.narrator, self.narrator_model)
        from radlite.annotate.vlm_narrator import load_narrator

        return load_narrator(self.narrator, quantize=self.quantize)
