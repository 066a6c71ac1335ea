"""Qwen3-VL: a tower that hands features of several of its layers to the first layers of a Qwen3 decoder (DeepStack),
positions in time, height and width (M-RoPE), and places in thousandths of the picture.

A picture of 256 pixels is the smallest that the model was trained with: 16 x 16 patches, four of which are one token.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedTokenizerBase

from radlite.families.family import Family, counted

PATCHES = 16  # a side; 256 pixels where a patch has 16


class Qwen3VL(Family):
    """`Qwen3VLForConditionalGeneration`."""

    kind = "qwen3_vl"
    frame = 1000
    decoder = "model.language_model"
    apart = ("model.visual",)
    projector = ("model.visual.merger", "model.visual.deepstack_merger_list")
    linear = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
              "qkv", "attn.proj", "linear_fc1", "linear_fc2")  # fmt: skip; the patches' own "proj" is a convolution

    def __init__(self, config: PretrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(config, tokenizer)
        vision = config.vision_config
        self._merge, self._frames = vision.spatial_merge_size, vision.temporal_patch_size
        self.image_size = PATCHES * vision.patch_size
        self._side = PATCHES // self._merge
        self.image_tokens = self._side**2

    def turn(self, picture: bool) -> tuple[list[int], list[int]]:
        """The chat template's layout: a turn of the user's with picture and question, then the assistant's begins."""
        special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
        begin, end, start, stop = self.tokenizer.convert_tokens_to_ids(special)
        image = [start, *[self.image_token_id] * self.image_tokens, stop] if picture else []
        return [begin, *self.words("user\n"), *image], [end, *self.words("\n"), begin, *self.words("assistant\n")]

    def pixels(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, patches, 3 * frames * p * p): patches that become one token side by side, the picture twice."""
        b, m, p, s = len(x), self._merge, self.image_size // PATCHES, self._side
        x = x.reshape(b, 3, s, m, p, s, m, p).permute(0, 2, 5, 3, 6, 1, 4, 7)  # (B, s, s, m, m, 3, p, p)
        return x[..., None, :, :].expand(*x.shape[:6], self._frames, p, p).reshape(b, PATCHES**2, -1)

    def features(self, model: nn.Module, pixels: Tensor) -> Tensor:
        """Merged features beside those of the deeper layers, (B, image_tokens, D * (1 + layers))."""
        shape = torch.tensor([[1, PATCHES, PATCHES]] * len(pixels), device="cpu" if pixels.is_meta else pixels.device)
        seen = model.model.visual(pixels.flatten(0, 1), grid_thw=shape, return_dict=True, **self._places(pixels))
        every = torch.cat([seen.pooler_output, *seen.deepstack_features], -1)
        return every.reshape(len(pixels), self.image_tokens, -1)

    def entry(self, ids: Tensor, pixels: Tensor) -> dict[str, Tensor]:
        """Patches of all pictures in one row, how many there are a side, and which tokens are a picture's."""
        grid = torch.tensor([[1, PATCHES, PATCHES]] * len(pixels), device=pixels.device)
        return {"pixel_values": pixels.flatten(0, 1), "image_grid_thw": grid,
                "mm_token_type_ids": (ids == self.image_token_id).int()}  # fmt: skip

    @staticmethod
    def _places(pixels: Tensor) -> dict[str, Tensor]:
        """Where patches are, for pictures without contents (`radlite.memory`); else the tower finds out by itself."""
        if not pixels.is_meta:
            return {}
        count, whole = len(pixels) * PATCHES**2, {"dtype": torch.long, "device": "meta"}
        return {"interp_indices": torch.empty(count, 4, **whole), "interp_weights": pixels.new_empty(count, 4),
                "position_ids": torch.empty(count, 2, **whole)}  # fmt: skip

    def extras(self, ids: Tensor, features: Tensor | None, width: int) -> dict[str, Any]:
        """Features that are added behind the first layers, at the picture's places."""
        if features is None:
            return {}
        deep = features[..., width:].flatten(0, 1).split(width, -1)
        return {"visual_pos_masks": ids == self.image_token_id, "deepstack_visual_embeds": list(deep)}

    def positions(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(3, B, T): words count on alike in all three; a picture's tokens by row and column from where it begins."""
        image = (ids == self.image_token_id) & mask.bool()
        place = counted(mask)
        passed = image.cumsum(1)  # tokens of the picture so far, (B, T)
        words = place - passed + (passed > 0) * self._side  # where a word behind the picture stands
        begin = place - passed + 1  # where the picture begins, at its own tokens
        rows, columns = (passed - 1) // self._side, (passed - 1) % self._side
        return torch.stack([torch.where(image, begin + step, words) for step in (torch.zeros_like(rows), rows, columns)])

    @property
    def shift(self) -> int:
        """A picture of side x side tokens moves on by its side only."""
        return self._side - self.image_tokens
