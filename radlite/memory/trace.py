"""A training step on tensors without contents: what is made and freed is counted, storage by storage.

Attention and four bits are told apart from what `transformers` would do with such tensors: neither FlashAttention nor
bitsandbytes works on them, so what these keep is written down here.
"""

from __future__ import annotations

import weakref

import torch
from torch import Tensor, nn
from torch.overrides import wrap_torch_function
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

TRACED = "radlite_traced"  # name of the attention below
BLOCK, NESTED = 64, 256  # NF4: weights with one scale, and scales with one scale of their own
TABLES = 16 * 4 + 256 * 4 + 4  # of a layer: NF4's sixteen values, those of its scales, their mean; float32


class Storages(TorchDispatchMode):
    """Bytes of all storages that live, and the most there were at once (since the last `lap`)."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    def know(self, *tensors: Tensor) -> None:
        """These are there already and are not counted."""
        for tensor in tensors:
            self._known[tensor.untyped_storage()] = True

    def lap(self) -> int:
        """The most there were since the last lap; another begins."""
        most, self.peak = self.peak, self.now
        return most

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage() not in self._known:
                storage, size = tensor.untyped_storage(), tensor.untyped_storage().nbytes()
                self._known[storage] = True
                weakref.finalize(storage, self._freed, size)
                self.now += size
                self.peak = max(self.peak, self.now)
        return result

    def _freed(self, size: int) -> None:
        self.now -= size


class _Unpacked(torch.autograd.Function):
    """A product with weights that are made whole for it and thrown away, forward and backward, as bitsandbytes does.

    Autocast does not reach into it, as it does not reach into bitsandbytes' own.
    """

    @staticmethod
    def forward(ctx, x: Tensor, rows: int, columns: int) -> Tensor:
        ctx.shape = rows, columns
        _whole = x.new_empty(rows, columns)  # there while the product is made
        return x.new_empty(*x.shape[:-1], rows)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        _whole = gradient.new_empty(ctx.shape)
        return gradient.new_empty(*gradient.shape[:-1], ctx.shape[1]), None, None


class FourBits(nn.Linear):
    """Stands for a linear layer in NF4: packed weight, scales, and their scales."""

    def __init__(self, layer: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features, count = layer.in_features, layer.out_features, layer.weight.numel()
        sizes = (count // 2, -(-count // BLOCK), 4 * -(-count // (BLOCK * NESTED)), TABLES)
        self.weight = nn.Parameter(torch.empty(sum(sizes), dtype=torch.uint8), requires_grad=False)
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        product = _Unpacked.apply(x, self.out_features, self.in_features)
        return product.clone()  # by peft, in case somebody changes a view of it in place


class _Attention(torch.autograd.Function):
    """Attention that never holds its matrix: keeps what goes in, what comes out and one number a row (FlashAttention)."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, out, query.new_empty(query.shape[:-1], dtype=torch.float32))
        return out

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple:
        query, key, value, *_ = ctx.saved_tensors
        _sums = query.new_empty(query.shape, dtype=torch.float32)  # of the queries' gradient, block by block
        return torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)


@wrap_torch_function(lambda query, key, value: (query, key, value))
def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, heads, T, d) each, keys and values of maybe fewer heads -> (B, heads, T, d); `radlite.memory.autocast` knows of it."""
    return _Attention.apply(query, key, value)


def _attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *_, **__) -> tuple[Tensor, None]:
    return attention(query, key, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(TRACED, _attend)
AttentionMaskInterface.register(TRACED, lambda *_, **__: None)
