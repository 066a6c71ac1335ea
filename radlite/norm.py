"""RMSNorm in fewer passes over memory: y = w x / rms(x), with its gradient written out (Zhang and Sennrich 2019).

`transformers` squares, averages, scales and weighs one after the other, each over a tensor as large as its input, and goes back
over as many. The sums are the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm


class _Norm(torch.autograd.Function):
    """x (..., D), frozen weight (D,) and epsilon: (..., D)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_()
        inverse = square.div_(x.shape[-1]).add_(epsilon).rsqrt_()  # (..., 1)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        weighed = grad * weight
        along = torch.linalg.vecdot(weighed, x)[..., None]  # what of it only lengthens x
        along.mul_(inverse.pow(3)).div_(-x.shape[-1])
        return weighed.mul_(inverse).addcmul_(x, along), None, None


class _Fused:
    """A norm's forward, where it is the very same: all in float32, weight frozen."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        plain = hidden_states.dtype == self.weight.dtype == torch.float32 and not self.weight.requires_grad
        if not plain or hidden_states.is_meta:
            return super().forward(hidden_states)
        return _Norm.apply(hidden_states, self.weight, self.variance_epsilon)


class FusedLlamaNorm(_Fused, LlamaRMSNorm):
    """Of SmolVLM's decoder."""


class FusedQwenNorm(_Fused, Qwen3VLTextRMSNorm):
    """Of Qwen3-VL's."""


FUSED = {LlamaRMSNorm: FusedLlamaNorm, Qwen3VLTextRMSNorm: FusedQwenNorm}


def fuse_norms(model: nn.Module) -> None:
    """Gives the norms of a decoder whose weights are frozen that forward, in place; names and parameters stay."""
    for module in model.modules():
        module.__class__ = FUSED.get(type(module), type(module))
