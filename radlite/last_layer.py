"""The last layer's feed-forward part only where somebody reads what comes out of it.

Every position but the labelled ones is there for others to look at, and what they look at are keys and values. After the last
attention nobody looks any more: on pictures, prompts and padding, more than half of a batch, that layer's feed-forward part, two
thirds of its work, is done for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def only_where(decoder: nn.Module, read: Tensor | None) -> Iterator[None]:
    """Lets `layers[-1].mlp` leave out positions; there the layer gives what went into it, to be ignored.

    A layer that is computed again for the backward pass, when this has ended, is left as it is, and so is a decoder in which
    these names mean nothing.

    Args:
        decoder: of `transformers`, without its output layer.
        read: bool (B, T), whose results count; None: all.
    """
    layer = decoder.layers[-1] if hasattr(decoder, "layers") else decoder
    if read is None or not hasattr(layer, "mlp") or getattr(layer, "gradient_checkpointing", False):
        yield
        return
    rows = read.flatten().nonzero().squeeze(1)  # (N,)

    def take(_, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0].flatten(0, 1).index_select(0, rows),)

    def put(_, args: tuple[Tensor], out: Tensor) -> Tensor:
        return out.new_zeros(read.numel(), out.shape[-1]).index_copy(0, rows, out).view(*read.shape, -1)

    hooks = (layer.mlp.register_forward_pre_hook(take), layer.mlp.register_forward_hook(put))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
