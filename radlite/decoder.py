"""Writing token by token: a decoder with a key-value cache that never moves what it holds.

`transformers` grows its cache by copying all of it for every token. Here the buffers have their final
length from the start.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from radlite.errors import RadliteError


class _RoomyLayer(DynamicLayer):
    """Keys and values of one layer in buffers of their final length: a new token copies only itself.

    The buffers are in the precision of the weights, also where prompts are read in another one.
    """

    def __init__(self, room: int, dtype: torch.dtype) -> None:
        super().__init__()
        self._room, self.dtype = room, dtype

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.device, self.is_initialized = key_states.device, True
        b, heads, _, d = key_states.shape
        self._buffers = [x.new_empty(b, heads, self._room, d, dtype=self.dtype) for x in (key_states, value_states)]
        self.keys, self.values = (x[:, :, :0] for x in self._buffers)

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Writes (B, heads, T, d) behind what is there; returns views of all of it."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[-2]
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = new
        self.keys, self.values = (x[:, :, :end] for x in self._buffers)
        return self.keys, self.values

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows only, (n,) positions."""
        used, old = self.get_seq_length(), self._buffers
        self._buffers = [x.new_empty(len(rows), *x.shape[1:]) for x in old]
        for buffer, x in zip(self._buffers, old, strict=True):
            buffer[:, :, :used] = x[rows, :, :used]
        self.keys, self.values = (x[:, :, :used] for x in self._buffers)


class Decoder:
    """Writes one token a row at a time against a key-value cache.

    `start()` gives the hidden state (B, D) after the prompt, `step(ids (B,))` the one after that token.

    Args:
        text_model: a `transformers` decoder without its output layer.
        embeds: (B, T, D), left-padded prompts, pictures included.
        attention_mask: (B, T), 1 for tokens and 0 for padding.
        length: tokens that there will be at most, prompt included.
    """

    def __init__(self, text_model: nn.Module, embeds: Tensor, attention_mask: Tensor, length: int) -> None:
        self._model, self._embeds, self._length = text_model, embeds, length
        b, self._used = attention_mask.shape
        self._mask = torch.cat([attention_mask, attention_mask.new_ones(b, length - self._used)], 1)
        layers, self._dtype = text_model.config.num_hidden_layers, text_model.dtype
        self._cache = Cache(layers=[_RoomyLayer(length, self._dtype) for _ in range(layers)])

    def start(self) -> Tensor:
        """Reads the prompts; call it once, under `autocast` if one likes."""
        mask = self._mask[:, : self._used]
        return self._run(self._embeds, (mask.cumsum(1) - 1).clamp(min=0))

    def step(self, tokens: Tensor) -> Tensor:
        """Reads one more token a row, ids (B,)."""
        if self._used == self._length:
            raise RadliteError(
                f"at most {self._length} tokens", "one more", "ask for more room in VLM.decoder"
            )
        self._used += 1
        return self._run(
            self._model.get_input_embeddings()(tokens[:, None]),
            self._mask[:, : self._used].sum(1, keepdim=True) - 1,
        )

    def keep(self, rows: list[int]) -> None:
        """Goes on with these rows only: what is finished need not be computed."""
        positions = torch.tensor(rows, device=self._mask.device)
        self._mask = self._mask[positions]
        for layer in self._cache.layers:
            layer.keep(positions)

    def _run(self, embeds: Tensor, positions: Tensor) -> Tensor:
        out = self._model(
            inputs_embeds=embeds, attention_mask=self._mask[:, : self._used], position_ids=positions,
            past_key_values=self._cache, use_cache=True,
        )  # fmt: skip
        return out.last_hidden_state[:, -1].to(self._dtype)
