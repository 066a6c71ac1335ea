"""Autocast for tensors without contents, which torch's own passes over: what a card casts, and which copies it keeps.

A training step on a card computes its products in bf16. LoRA's weights are float32, so each product makes copies of them, and of
float32 activations; the gradients of the weights are float32 again. All of it takes memory, so it has to be in the count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from radlite.memory.trace import attention

NARROW = {F.linear, F.conv2d, F.conv3d, torch.matmul, torch.bmm, torch.Tensor.matmul, torch.Tensor.__matmul__, attention}
WIDE = {F.layer_norm, F.softmax, torch.softmax}  # of what torch computes in float32 on a card, what these models use


class Autocast(TorchFunctionMode):
    """Casts what goes into a function as `torch.autocast("cuda", torch.bfloat16)` does.

    A float32 weight that is trained is copied once, and its copy is kept until the context ends.
    """

    def __init__(self) -> None:
        super().__init__()
        self._copies: dict[Tensor, Tensor] = {}

    def __exit__(self, *error) -> None:
        super().__exit__(*error)
        self._copies.clear()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        wanted = torch.bfloat16 if func in NARROW else torch.float32 if func in WIDE else None
        if wanted is not None:
            args, kwargs = tree_map_only(Tensor, lambda t: self._cast(t, wanted), (args, kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _cast(self, tensor: Tensor, wanted: torch.dtype) -> Tensor:
        if tensor.dtype == wanted or not tensor.is_floating_point():
            return tensor
        if not (tensor.is_leaf and tensor.requires_grad):  # frozen weights are cast every time
            return tensor.to(wanted)
        if tensor not in self._copies:
            self._copies[tensor] = tensor.to(wanted)
        return self._copies[tensor]
