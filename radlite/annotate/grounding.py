"""Things found by their names with Grounding DINO (Liu et al., arXiv 2303.05499), as ECoT and RAD do.

The names become one text, "a red can. a plate."; for every box that the model proposes it says how well each token of the text
fits. A box gets the name of which most tokens fit (partial phrases are common: "can" of "red can"), counted by their places in
the text, so that the "blue" of "blue tape" is not that of "blue plate". Nothing is loaded before the first picture; weights are
safetensors, and no code of a repository runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np

from radlite.annotate.evidence import Found
from radlite.annotate.nouns import checked_name
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.show.video import as_frame

DEFAULT = "IDEA-Research/grounding-dino-tiny"
REVISIONS = {DEFAULT: "a2bb814dd30d776dcf7e30523b00659f4f141c71"}
"""Repository -> commit, so that the weights under a name never change."""

KINDS = ("grounding-dino", "mm-grounding-dino")  # model types whose answers are read alike
FILES = ("*.json", "*.txt", "*.safetensors")
_ANOTHER_WAY = "or give boxes with `--objects FILE`, or do without them with `--objects none`"


class GroundingDino:
    """An `ObjectDetector`.

    Args:
        model: folder written by `save_pretrained`, or owner/name on the Hub, which is fetched once (0.7 GB for the default).
        box_threshold: least score of a box, 0..1 (ECoT 0.3).
        text_threshold: least score of a token that counts as part of a box's name, 0..1 (ECoT 0.2).
        device: "cpu", "cuda", "mps", or None for the best there is.
        revision: commit or branch on the Hub; by default the one that this was written for.
        batch: pictures at a time.

    Raises:
        RadliteError: thresholds or a batch that make no sense; at the first picture, weights that are not there or are no
            Grounding DINO's.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT,
        box_threshold: float = 0.3,
        text_threshold: float = 0.2,
        device: str | None = None,
        revision: str | None = None,
        batch: int = 4,
    ) -> None:
        if not (0 <= box_threshold <= 1 and 0 <= text_threshold <= 1 and batch >= 1):
            found = f"{box_threshold}, {text_threshold}, {batch}"
            raise RadliteError("thresholds from 0 to 1 and a batch of at least 1", found, "ECoT has 0.3 and 0.2")
        self.model, self.box_threshold, self.text_threshold = str(model), box_threshold, text_threshold
        self.device, self.revision, self.batch = device, revision or REVISIONS.get(str(model)), batch

    @cached_property  # a folder's weights are read once, not for every clip
    def identity(self) -> str:
        """What the answers depend on besides pictures and names; of a folder, its weights."""
        weights = self.revision
        if (Path(self.model) / "config.json").is_file():
            from radlite.bases import fingerprint

            weights = fingerprint(Path(self.model))[:24]
        return f"{self.model} {weights}, thresholds {self.box_threshold:g} and {self.text_threshold:g}"

    def detect(self, pictures: Iterable[np.ndarray], names: Sequence[str]) -> list[tuple[Found, ...]]:
        """The things of each picture, uint8 (H, W, 3) RGB, best first; a name is found anywhere from never to often.

        Raises:
            RadliteError: names that are the same to the model, or that hold no word; pictures of another kind.
        """
        if not names:
            return [() for _ in pictures]
        prompts = self._prompts(names)
        found: list[tuple[Found, ...]] = []
        for batch in _batches(pictures, self.batch):
            answers = zip(*(self._ask(batch, *prompt) for prompt in prompts), strict=True)
            found += [tuple(sorted((f for part in answer for f in part), key=lambda f: -f.score)) for answer in answers]
        return found

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        """Model, tokenizer and picture processor."""
        from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
        from transformers import AutoModelForZeroShotObjectDetection as Detector

        from radlite.bases import best_device

        folder = self._folder()
        try:
            kind = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
            if kind not in KINDS:
                raise RadliteError(f"a model of type {' or '.join(KINDS)}", quoted(kind), f"choose {DEFAULT}")
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            images = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model = Detector.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_safetensors=True)
        except RadliteError:
            raise
        except Exception as error:  # transformers, tokenizers and safetensors each have their own kinds
            found = f"{type(error).__name__}: {quoted(str(error)[:200])}"
            raise RadliteError(f"a whole Grounding DINO in {folder}", found, f"save or fetch it again, {_ANOTHER_WAY}") from error
        return model.to(self.device or best_device()).eval(), tokenizer, images

    def _folder(self) -> Path:
        """Where the weights lie; those on the Hub are fetched into its own cache."""
        folder = Path(self.model)
        if (folder / "config.json").is_file():
            return folder
        if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", self.model):
            expected = "Grounding DINO: a folder with config.json, or owner/name on the Hub"
            raise RadliteError(expected, quoted(self.model), f"check the path, {_ANOTHER_WAY}")
        from radlite.bases import fetched

        try:
            return fetched(self.model, self.revision, [*FILES])
        except RadliteError as error:
            raise RadliteError(error.expected, quoted(error.found), f"{error.fix}, {_ANOTHER_WAY}") from error

    def _prompts(self, names: Sequence[str]) -> list[tuple[Any, list[tuple[str, np.ndarray]]]]:
        """Texts that fit the model: tokens of each, and its names with the places (bool) that their words have there."""
        model, tokenizer, _ = self._loaded
        queries = {name: _query(name) for name in map(checked_name, names)}
        if len(set(queries.values())) < len(names):
            raise RadliteError("names that differ in their words", quoted(names), "leave out what is named twice")
        prompts, most = [], model.config.max_text_len
        waiting = list(queries)
        while waiting:
            for count in range(len(waiting), 0, -1):
                text, spans = _text([queries[name] for name in waiting[:count]])
                tokens = tokenizer(text, return_offsets_mapping=True, return_token_type_ids=True, return_tensors="pt")
                if tokens["input_ids"].shape[1] <= most:
                    break
            offsets = tokens.pop("offset_mapping")[0].numpy()
            places = [(offsets[:, 0] >= a) & (offsets[:, 1] <= b) & (offsets[:, 1] > offsets[:, 0]) for a, b in spans]
            prompts.append((tokens, list(zip(waiting[:count], places, strict=True))))
            waiting = waiting[count:]
        return prompts

    def _ask(self, batch: list[np.ndarray], tokens: Any, names: list[tuple[str, np.ndarray]]) -> list[list[Found]]:
        """What the model finds of one text in pictures of one size."""
        import torch

        model, _, images = self._loaded
        inputs = {key: value.expand(len(batch), -1) for key, value in tokens.items()}
        inputs |= images(images=batch, return_tensors="pt", input_data_format="channels_last")
        with torch.inference_mode():
            said = model(**{key: value.to(model.device) for key, value in inputs.items()})
        fits = said.logits.sigmoid().float().cpu().numpy()  # (B, queries, most tokens)
        boxes = said.pred_boxes.float().cpu().numpy()  # (B, queries, 4): middle and size, as fractions
        return [self._named(f, b, names) for f, b in zip(fits, boxes, strict=True)]

    def _named(self, fits: np.ndarray, boxes: np.ndarray, names: list[tuple[str, np.ndarray]]) -> list[Found]:
        """Boxes (Q, 4) with the name of which the largest part fits; those that fit none well enough are dropped."""
        length = len(names[0][1])
        of_each = [np.nan_to_num(fits[:, :length][:, places]) for _, places in names]
        scores = np.stack([part.max(1) for part in of_each], 1)  # (Q, names)
        shares = np.stack([(part > self.text_threshold).mean(1) for part in of_each], 1)
        best = np.lexsort((scores, shares), axis=1)[:, -1]
        rows = np.arange(len(boxes))
        corners = np.clip(np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1), 0, 1)
        good = (scores[rows, best] > self.box_threshold) & (shares[rows, best] > 0) & np.isfinite(corners).all(1)
        good &= (corners[:, 2:] > corners[:, :2]).all(1)
        return [Found(names[best[k]][0], tuple(corners[k].tolist()), float(scores[k, best[k]])) for k in np.flatnonzero(good)]


def _batches(pictures: Iterable[np.ndarray], most: int) -> Iterator[list[np.ndarray]]:
    """Pictures of one size, some at a time: padding would change what is found."""
    for _, same in groupby(map(as_frame, pictures), key=np.shape):
        while batch := list(islice(same, most)):
            yield batch


def _query(name: str) -> str:
    """A name as the model knows words: lower case, and nothing that would end a phrase or be a special token."""
    words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*", name.lower())
    words = words[1:] if words[:1] in (["a"], ["an"], ["the"]) else words
    if not words:
        raise RadliteError("a thing's name with a word in it", quoted(name), "call it by a few plain words, such as 'red can'")
    return " ".join(words)


def _text(queries: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """ "a red can. a plate." and where the words of each query stand in it."""
    text, spans = "", []
    for query in queries:
        text += "an " if query[0] in "aeiou" else "a "
        spans.append((len(text), len(text) + len(query)))
        text += query + ". "
    return text.rstrip(), spans
