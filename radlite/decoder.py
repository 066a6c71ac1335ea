"""Writing: a decoder with a key-value cache that copies nothing to grow.

`transformers` grows its cache by copying all of it for every token. Here the buffers have their final
length from the start.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicLayer

from radlite.errors import RadliteError


class _RoomyLayer(DynamicLayer):
    """Keys and values of one layer in buffers of their final length: a new token copies only itself.

    The buffers are in the precision of the weights, also where prompts are read in another one. What is not written yet is
    zero: it is masked, and a masked number must still be a number.
    """

    def __init__(self, room: int, dtype: torch.dtype) -> None:
        super().__init__()
        self._room, self.dtype = room, dtype
        self.places: tuple[Tensor, Tensor] | None = None  # rows (B, 1) and slots (B, T) of what is read next
        self.end = 0  # slots in use, of the longest row

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        self.device, self.is_initialized = key_states.device, True
        b, heads, _, d = key_states.shape
        self._buffers = [x.new_zeros(b, heads, self._room, d, dtype=self.dtype) for x in (key_states, value_states)]
        self.keys, self.values = (x[:, :, :0] for x in self._buffers)

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Writes (B, heads, T, d) to `places`, or from the beginning; returns views of all that is in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            if self.places is None:
                buffer[:, :, : self.end] = new
            else:
                rows, slots = self.places
                buffer[rows, :, slots] = new.transpose(1, 2).to(self.dtype)
        self.keys, self.values = (x[:, :, : self.end] for x in self._buffers)
        return self.keys, self.values

    def keep(self, rows: list[int]) -> None:
        """Goes on with these rows only, positions in ascending order; they move up within their buffers."""
        for buffer in self._buffers:
            for k, row in enumerate(rows):
                if k != row:
                    buffer[k, :, : self.end] = buffer[row, :, : self.end]
        self._buffers = [x[: len(rows)] for x in self._buffers]
        self.keys, self.values = (x[:, :, : self.end] for x in self._buffers)


class Decoder:
    """Writes against a key-value cache, one token a row at a time, or several that one expects and then accepts in part.

    `start()` gives the hidden state (B, D) after the prompt, `step(ids (B, T))` those after each of these tokens. Rows
    need not go on equally far: `accept` says how many of the last tokens count, and the others are forgotten.

    Args:
        text_model: a `transformers` decoder without its output layer.
        inputs: arguments of the model for left-padded prompts: embeddings (B, T, D), pictures included, positions (B, T) or
            (3, B, T), and what its family adds.
        attention_mask: (B, T), 1 for tokens and 0 for padding.
        length: tokens that there will be at most, prompt and those that are not accepted included.
        shift: how much further the positions of what is written are than if all tokens of the prompt were counted.
    """

    def __init__(
        self, text_model: nn.Module, inputs: dict[str, Any], attention_mask: Tensor, length: int, shift: int = 0
    ) -> None:
        self._model, self._inputs, self._length = text_model, inputs, length
        b, width = attention_mask.shape
        self._prompt = attention_mask
        self._ends = torch.full((b,), width, device=attention_mask.device)  # slots that a row has filled
        self._padding = width - attention_mask.sum(1) - shift
        # what a row may look at once it has got that far
        self._seen = torch.cat([attention_mask.bool(), attention_mask.new_ones(b, length - width).bool()], 1)
        layers, self._dtype = text_model.config.num_hidden_layers, text_model.dtype
        self._cache = Cache(layers=[_RoomyLayer(length, self._dtype) for _ in range(layers)])

    def start(self) -> Tensor:
        """Reads the prompts; call it once, under `autocast` if one likes."""
        self._place(None, self._prompt.shape[1])
        return self._run(self._prompt, **self._inputs)[:, -1]

    def step(self, tokens: Tensor) -> Tensor:
        """Reads more tokens, ids (B, T); hidden states (B, T, D), each after its token. `accept` has to say which count.

        Raises:
            RadliteError: more than there is room for.
        """
        slots = self._ends[:, None] + torch.arange(tokens.shape[1], device=tokens.device)  # (B, T)
        end = int(slots.max()) + 1
        if end > self._length:
            raise RadliteError(f"at most {self._length} tokens", f"{end}", "ask for more room in VLM.decoder")
        self._place((torch.arange(len(slots), device=slots.device)[:, None], slots), end)
        may = self._seen[:, None, :end] & (torch.arange(end, device=slots.device) <= slots[..., None])  # (B, T, end)
        mask = torch.zeros(may.shape, dtype=self._dtype, device=may.device).masked_fill(~may, torch.finfo(self._dtype).min)
        embeds, positions = self._model.get_input_embeddings()(tokens), slots - self._padding[:, None]
        return self._run(mask[:, None], inputs_embeds=embeds, position_ids=positions)

    def accept(self, counts: Tensor) -> None:
        """Keeps the first `counts` (B,) of the tokens of the last `step`."""
        self._ends = self._ends + counts

    def keep(self, rows: list[int]) -> None:
        """Goes on with these rows only, in ascending order: what is finished need not be computed."""
        positions = torch.tensor(rows, device=self._ends.device)
        self._seen, self._ends, self._padding = (x[positions] for x in (self._seen, self._ends, self._padding))
        for layer in self._cache.layers:
            layer.keep(rows)

    def _place(self, places: tuple[Tensor, Tensor] | None, end: int) -> None:
        for layer in self._cache.layers:
            layer.places, layer.end = places, end

    def _run(self, mask: Tensor, **inputs: Any) -> Tensor:
        out = self._model(attention_mask=mask, past_key_values=self._cache, use_cache=True, **inputs)
        return out.last_hidden_state.to(self._dtype)
