"""A vision-language model behind one small face: pictures and text in, hidden states out.

The model is a plain `transformers` SmolVLM. This file knows how its prompt is laid out (bos, image tokens,
text), which of its tokens are actions, and how to run it without computing what nobody reads: the loss asks
for hidden states and takes logits only where there is a label, and the policy writes against a
cache.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from radlite.actions import BINS
from radlite.decoder import Decoder
from radlite.errors import RadliteError

NAMES = ("radlite-tiny",)  # bases that ship in the package
PROMPT = "What action should the robot take to {instruction}?"  # ECoT's question, instruction in lower case
LINEAR = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "out_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
    "fc1",
    "fc2",
    "proj",
)


def action_token(k: int) -> str:
    """The token of action bin k, 0..255."""
    return f"<a{k}>"


@dataclass
class VLM:
    """A SmolVLM with its tokenizer and the numbers one has to know about it.

    Attributes:
        name: name or folder it was loaded from.
        model: the `transformers` model, or a `peft` model around it.
        tokenizer: its tokenizer; every action bin is one token.
        image_size: side of the square picture it sees, pixels.
        image_tokens: how many tokens one picture takes.
        image_token_id: the id that stands where a picture's features go.
        action_ids: int64 (256,), ids of the action bins.
        sha256: of the weights, configuration and vocabulary it was loaded from; "" if built in memory.
    """

    name: str
    model: nn.Module
    tokenizer: PreTrainedTokenizerBase
    image_size: int
    image_tokens: int
    image_token_id: int
    action_ids: Tensor = field(repr=False)
    sha256: str = ""

    # --------------------------------------------------------------------------------------------------- text
    @property
    def bos_id(self) -> int:
        """Id of the token that begins every sequence."""
        return self.tokenizer.bos_token_id

    @property
    def eos_id(self) -> int:
        """Id of the token that ends a robot sample."""
        return self.tokenizer.eos_token_id

    @property
    def pad_id(self) -> int:
        """Id of padding."""
        return self.tokenizer.pad_token_id

    @property
    def vocabulary(self) -> int:
        """Rows of the embedding, unused ones included."""
        return self.base.get_input_embeddings().weight.shape[0]

    @property
    def never_in_text(self) -> list[int]:
        """Ids that a chain cannot hold: specials but eos, action tokens, rows without a token."""
        special = {
            i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special and i != self.eos_id
        }
        unused = range(len(self.tokenizer), self.vocabulary)
        return sorted(special | set(self.action_ids.tolist()) | set(unused))

    def prompt_text(self, instruction: str) -> str:
        """The question that is put to the robot (ECoT's wording)."""
        return PROMPT.format(instruction=instruction.strip().rstrip(".").lower())

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text: no specials are added, and none can be smuggled in ("<a5>" is spelt)."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def decode(self, ids: list[int]) -> str:
        """Text of token ids."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def prompt_ids(self, instruction: str) -> list[int]:
        """[bos], the picture's places, and the question; the chain goes on with " TASK: ..."."""
        return [
            self.bos_id,
            *[self.image_token_id] * self.image_tokens,
            *self.encode(self.prompt_text(instruction)),
        ]

    # ----------------------------------------------------------------------------------------------- pictures
    def pixel_values(self, frames: np.ndarray | Tensor) -> Tensor:
        """Frames uint8 (B, H, W, 3) -> float32 (B, 1, 3, S, S) in [-1, 1], on the CPU."""
        frames = torch.as_tensor(np.array(frames) if isinstance(frames, np.ndarray) else frames)  # copied: may be read-only
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != torch.uint8 or 0 in frames.shape:
            raise RadliteError(
                "frames as uint8 (B, H, W, 3)", f"{frames.dtype} {tuple(frames.shape)}", "convert them first"
            )
        x = _resized(frames.permute(0, 3, 1, 2).float(), self.image_size)  # (B, 3, S, S)
        return (x / 127.5 - 1)[:, None]

    def same_size(self, frames: list[np.ndarray]) -> np.ndarray:
        """Frames uint8 (H, W, 3) of any sizes as one array; resized to what is seen unless all are alike."""
        if len({f.shape for f in frames}) == 1:
            return np.stack(frames)
        rows = [
            _resized(torch.as_tensor(f.copy()).permute(2, 0, 1)[None].float(), self.image_size)
            for f in frames
        ]
        return torch.cat(rows).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()

    # -------------------------------------------------------------------------------------------------- model
    @property
    def base(self) -> nn.Module:
        """The `transformers` model itself, out of its `peft` wrapper if it has one."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.model.parameters()).device

    def image_features(self, pixel_values: Tensor) -> Tensor:
        """(B, 1, 3, S, S) -> what the decoder gets of each picture, (B, image_tokens, D).

        Goes straight to tower and connector: the model's own entry drops pictures of zeros as padding.
        """
        core = self.base.model
        pixels = pixel_values.flatten(0, 1).to(self.device, core.dtype)
        return core.connector(core.vision_model(pixels).last_hidden_state)

    def embed(self, input_ids: Tensor, image_features: Tensor | None) -> Tensor:
        """(B, T) ids, with picture features (B, image_tokens, D) in their places -> (B, T, D)."""
        embeds = self.base.get_input_embeddings()(input_ids)
        places = input_ids == self.image_token_id
        wanted = 0 if image_features is None else self.image_tokens
        if not (places.sum(1) == wanted).all():
            found = sorted(set(places.sum(1).tolist()))
            raise RadliteError(
                f"{wanted} image tokens in every row", f"{found}", "build rows with VLM.prompt_ids"
            )
        if image_features is None:
            return embeds
        return embeds.masked_scatter(places[..., None], image_features.to(embeds.dtype))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        pixel_values: Tensor | None = None,
        image_features: Tensor | None = None,
    ) -> Tensor:
        """Last hidden states before the output layer.

        Args:
            input_ids: (B, T), right padded.
            attention_mask: (B, T), 1 for tokens and 0 for padding, or None without padding.
            pixel_values: (B, 1, 3, S, S), or None for text alone.
            image_features: (B, image_tokens, D) instead of pixels, to compute them once.

        Returns:
            (B, T, D); `lm_head` makes logits of any part of it.
        """
        if image_features is None and pixel_values is not None:
            image_features = self.image_features(pixel_values)
        embeds = self.embed(input_ids, image_features)
        text = self.base.model.text_model
        return text(inputs_embeds=embeds, attention_mask=attention_mask, use_cache=False).last_hidden_state

    def lm_head(self, hidden: Tensor) -> Tensor:
        """Hidden states (..., D) -> logits (..., V)."""
        return self.base.lm_head(hidden)

    def decoder(
        self, input_ids: Tensor, attention_mask: Tensor, pixel_values: Tensor | None, room: int
    ) -> Decoder:
        """Starts writing after left-padded prompts (B, T), with room for that many tokens; see `Decoder`."""
        features = None if pixel_values is None else self.image_features(pixel_values)
        text, length = self.base.model.text_model, input_ids.shape[1] + room
        return Decoder(text, self.embed(input_ids, features), attention_mask, length)

    # --------------------------------------------------------------------------------------------------- LoRA
    @property
    def lora_targets(self) -> str:
        """Regex of the linear layers that LoRA adapts: all, vision tower included, but the output layer."""
        return r".*\.(" + "|".join(LINEAR) + ")"

    @property
    def lora_token_rows(self) -> list[int]:
        """Embedding rows trained beside LoRA: actions, the end of a sequence, and all words of a small vocabulary."""
        rows = {*self.action_ids.tolist(), self.eos_id}
        vocabulary = self.tokenizer.get_vocab()
        if len(vocabulary) < 8192:
            rows |= {i for token, i in vocabulary.items() if re.fullmatch(r"(##)?[A-Za-z :]+", token)}
        return sorted(rows)


def _resized(x: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, size, size); averages over what a new pixel covers when it shrinks."""
    if x.shape[-2:] == (size, size):
        return x
    return nn.functional.interpolate(x, (size, size), mode="bilinear", antialias=True, align_corners=False)


# ---------------------------------------------------------------------------------------------------- loading
def wrap(model: nn.Module, tokenizer: PreTrainedTokenizerBase, name: str = "memory", sha256: str = "") -> VLM:
    """A VLM around a SmolVLM model that is already in memory.

    Raises:
        RadliteError: another class of model, or a tokenizer without the 256 action tokens.
    """
    config = model.config
    if config.model_type != "smolvlm":
        raise RadliteError(
            "a SmolVLM model", f"{config.model_type} in {name}", f"use one of {', '.join(NAMES)}"
        )
    ids = torch.tensor(tokenizer.convert_tokens_to_ids([action_token(k) for k in range(BINS)]))
    if len(ids.unique()) != BINS:
        raise RadliteError(
            f"the action tokens <a0>..<a{BINS - 1}>",
            f"a tokenizer without them in {name}",
            f"use one of {', '.join(NAMES)} or a base made by radlite.tiny",
        )
    vision = config.vision_config
    tokens = (vision.image_size // vision.patch_size // config.scale_factor) ** 2
    return VLM(name, model, tokenizer, vision.image_size, tokens, config.image_token_id, ids, sha256)


def best_device() -> str:
    """cuda, mps or cpu: the best there is."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def base_folder(name: str | Path) -> Path:
    """The folder of a shipped base or of one on disk."""
    folder = (
        Path(str(resources.files("radlite"))) / "weights" / str(name) if str(name) in NAMES else Path(name)
    )
    if not (folder / "config.json").is_file():
        raise RadliteError(
            f"a model: one of {', '.join(NAMES)}, or a folder with config.json",
            str(name),
            "check the name or the path",
        )
    return folder


def fingerprint(folder: Path) -> str:
    """SHA-256 over weights, configuration and vocabulary of a base."""
    files = [folder / "config.json", folder / "tokenizer.json", *sorted(folder.glob("*.safetensors"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def load_vlm(
    name: str | Path = "radlite-tiny",
    dtype: torch.dtype = torch.float32,
    device: str | None = "cpu",
    attention: str | None = None,
    quantize: str | None = None,
) -> VLM:
    """Loads a base, offline, from safetensors only.

    Args:
        name: "radlite-tiny", or a folder written by `save_pretrained`.
        dtype: of the weights in memory.
        device: "cpu", "cuda", "mps", or None for the best there is.
        attention: "eager" or "sdpa"; None takes eager on a CPU, where it trains faster, else sdpa.
        quantize: only None so far.

    Raises:
        RadliteError: an unknown name (the known ones are listed), damaged files, another kind of model.
    """
    if quantize is not None:
        raise RadliteError(
            "quantize=None", repr(quantize), "load the model in full; 4-bit weights are not supported yet"
        )
    folder = base_folder(name)
    device = device or best_device()
    if sum(f.stat().st_size for f in folder.glob("*.safetensors")) < 1 << 28:
        transformers_logging.disable_progress_bar()  # a bar over a few megabytes is noise
    try:
        if AutoConfig.from_pretrained(folder, local_files_only=True).model_type != "smolvlm":
            raise ValueError("config.json is not that of a SmolVLM")
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            attn_implementation=attention or ("eager" if torch.device(device).type == "cpu" else "sdpa"),
        )  # fmt: skip
        return wrap(model.to(device).eval(), tokenizer, str(name), fingerprint(folder))
    except RadliteError:
        raise
    except Exception as error:  # transformers, tokenizers and safetensors each have their own kinds
        raise RadliteError(
            f"a whole SmolVLM base in {folder}",
            f"{type(error).__name__}: {str(error)[:200]}",
            "install radlite again, or save the base again with save_pretrained",
        ) from error
