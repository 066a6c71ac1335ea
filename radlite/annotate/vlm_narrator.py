"""The narrator that runs a vision-language model here: any image-text-to-text model of `transformers` that has a chat template.

It writes greedily, so that a clip has one narration. Models of a few hundred million weights seldom keep to the form; what they
write is then refused, never patched up.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from radlite.annotate.dialogue import MAX_TOKENS, Reply, Turn, narrate_by
from radlite.annotate.narrator import Evidence
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import Reasoning

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin


@dataclass(frozen=True, eq=False)
class VLMNarrator:
    """A narrator (`Narrator`) of a model and its processor in memory; see `load_narrator`.

    Args:
        model: it must have `generate`.
        processor: with a chat template.
        max_tokens: of an answer.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    max_tokens: int = MAX_TOKENS

    @property
    def identity(self) -> str:
        """What answers depend on, as far as names tell it."""
        config = self.model.config
        return f"{config.name_or_path} {getattr(config, '_commit_hash', None)}, {self.model.dtype}, {self.max_tokens} tokens"

    def narrate(self, evidence: Evidence) -> list[Reasoning]:
        """The T chains of a clip.

        Raises:
            RadliteError: a question longer than the model reads, or two answers that cannot be used.
        """
        return narrate_by(self.ask, evidence)

    def ask(self, turns: list[Turn], picture: np.ndarray) -> Reply:
        """One question: turns of text, the picture with the first of the user's."""
        import torch

        inputs = self._inputs(turns, picture)
        asked = inputs["input_ids"].shape[1]
        most = getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or asked + self.max_tokens
        if asked >= most:
            fix = "cut the clip into clips of one task each, or take a model that reads more"
            raise RadliteError(f"a question of less than {most} tokens", f"{asked}", fix)
        room = min(self.max_tokens, most - asked)
        with torch.inference_mode():
            ids = self.model.generate(**inputs, do_sample=False, num_beams=1, max_new_tokens=room)[0, asked:]
        text = self.processor.tokenizer.decode(ids, skip_special_tokens=True)
        return Reply(text, whole=len(ids) < room)

    def _inputs(self, turns: list[Turn], picture: np.ndarray) -> Any:
        """What the model is given, through its own chat template."""
        try:
            inputs = self.processor.apply_chat_template(
                self._messages(turns, picture), add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
            )
            return inputs.to(self.model.device, dtype=self.model.dtype)
        except Exception as error:  # templates, tokenizers and picture processors each have their own kinds
            found = f"{type(error).__name__}: {quoted(error)}"
            raise RadliteError("a model with a chat template that takes a picture", found, "choose an instruct model") from error

    def _messages(self, turns: list[Turn], picture: np.ndarray) -> list[dict[str, Any]]:
        """The turns as templates take them; what the system says comes first in the user's, for not all have such a turn."""
        system = [self._plain(turn.text) for turn in turns if turn.role == "system"]
        said = [(turn.role, self._plain(turn.text)) for turn in turns if turn.role != "system"]
        messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in said]
        image = {"type": "image", "image": Image.fromarray(picture)}
        first = "\n\n".join([*system, said[0][1]])
        messages[0]["content"] = [image, {"type": "text", "text": first}]
        return messages

    def _plain(self, text: str) -> str:
        """Text without the tokenizer's special tokens, which a template would not tell from its own."""
        known = self.processor.tokenizer.added_tokens_decoder.values()
        for token in sorted((t.content for t in known if t.special), key=len, reverse=True):
            text = text.replace(token, " ")
        return text


def load_narrator(
    name: str | Path, device: str | None = None, quantize: str | None = None, max_tokens: int = MAX_TOKENS
) -> VLMNarrator:
    """Loads a model and its processor, from safetensors only and without code of the repository.

    Args:
        name: a name of the ladder (`bases.LADDER`), a folder, or owner/name on the Hub, which is fetched once.
        device: "cpu", "cuda", "mps", or None for the best there is.
        quantize: "nf4" for models of the ladder's families; None keeps all weights.
        max_tokens: of an answer.

    Raises:
        RadliteError: no such model, damaged files, or a package that its processor needs.
    """
    from radlite.bases import base_folder, best_device, suited_dtype
    from radlite.quantize import check_quantize

    check_quantize(quantize)
    folder, device = base_folder(name), device or best_device()
    dtype = suited_dtype(device, small=False)
    try:
        return VLMNarrator(_model(folder, device, dtype, quantize), _processor(folder), max_tokens)
    except RadliteError:
        raise
    except Exception as error:  # transformers, tokenizers and safetensors each have their own kinds
        expected = f"a whole image-text-to-text model in {folder}"
        raise RadliteError(expected, f"{type(error).__name__}: {quoted(error)}", "fetch or save it again") from error


def _model(folder: Path, device: str, dtype: Any, quantize: str | None) -> PreTrainedModel:
    from transformers import AutoConfig, AutoModelForImageTextToText

    from radlite.families import family_of
    from radlite.quantize import four_bit, library

    how: dict[str, Any] = {}
    if quantize:
        library()
        family = family_of(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type, folder)
        how = {"quantization_config": four_bit(family, dtype), "device_map": {"": device}}
    model = AutoModelForImageTextToText.from_pretrained(
        folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True, **how
    )
    return (model if quantize else model.to(device)).eval()


def _processor(folder: Path) -> ProcessorMixin:
    from transformers import AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # a missing package shows as ImportError, or as something that comes of it
        found = f"{type(error).__name__}: {quoted(error)}"
        fix = "pip install torchvision num2words, which many of them need, or choose another model"
        raise RadliteError(f"the processor in {folder}", found, fix) from error
    if not getattr(processor, "chat_template", None) or not hasattr(processor, "image_processor"):
        found = f"{type(processor).__name__} without chat template or pictures"
        raise RadliteError(f"a processor for chats with pictures in {folder}", found, "choose an instruct model")
    return processor
