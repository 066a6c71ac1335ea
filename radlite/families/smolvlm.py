"""SmolVLM and SmolVLM2: a SigLIP tower, pixel shuffle, a Llama decoder. The tiny base is one of them.

One view and no tiles: a 512-pixel picture is 64 tokens instead of about a thousand.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from radlite.families.family import Family

FAKE, WHOLE, END = "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"


class SmolVLM(Family):
    """`SmolVLMForConditionalGeneration`."""

    kind = "smolvlm"
    decoder = "model.text_model"
    apart = ("model.vision_model", "model.connector")
    projector = ("model.connector",)
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "gate_proj", "up_proj", "down_proj", "fc1", "fc2", "proj")

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(config, tokenizer)
        vision = config.vision_config
        self.image_size = vision.image_size
        self.image_tokens = (vision.image_size // vision.patch_size // config.scale_factor) ** 2

    def turn(self, picture: bool) -> tuple[list[int], list[int]]:
        """The processor's layout of one untiled picture: bos User: <fake> <global> image... <fake> question <end> Assistant:"""
        image = [self.image_token_id] * self.image_tokens if picture else []
        if FAKE not in self.tokenizer.get_vocab():  # the tiny base has no turns, only a question
            return [self.tokenizer.bos_token_id, *image], []
        fake, whole, end = self.tokenizer.convert_tokens_to_ids([FAKE, WHOLE, END])
        image = [fake, whole, *image, fake] if picture else []
        return [self.tokenizer.bos_token_id, *self.words("User:"), *image], [end, *self.words("\nAssistant:")]

    def pixels(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, 1, 3, S, S): one tile, the whole picture."""
        return x[:, None]

    def features(self, model: nn.Module, pixels: Tensor) -> Tensor:
        """Straight through tower and connector: the model's own entry drops pictures of zeros as padding."""
        core = model.model
        return core.connector(core.vision_model(pixels.flatten(0, 1)).last_hidden_state)

    def entry(self, ids: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Pictures as they are."""
        return {"pixel_values": pixels}
