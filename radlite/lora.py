"""LoRA's layer in fewer passes over memory: y = x Wᵀ + s (x Aᵀ) Bᵀ, added up inside the matrix products (Hu et al. 2021).

peft computes the two terms, scales one and adds them, forward and backward, each over a tensor as large as the output. On a
small model that is a quarter of a step. The sums are the same; parameters, names and files stay peft's.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Product(torch.autograd.Function):
    """The product of rows x (N, I) with a frozen weight (O, I) and LoRA's down (R, I) and up (O, R): (N, O)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float) -> Tensor:
        narrow = x @ down.T
        out = x @ weight.T if bias is None else torch.addmm(bias, x, weight.T)
        ctx.save_for_backward(x, weight, down, up, narrow)
        ctx.scale = scale
        return out.addmm_(narrow, up.T, alpha=scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up, narrow = ctx.saved_tensors
        back = (grad @ up).mul_(ctx.scale)  # (N, R)
        of_x = (grad @ weight).addmm_(back, down) if ctx.needs_input_grad[0] else None
        return of_x, None, None, back.T @ x, (grad.T @ narrow).mul_(ctx.scale), None


class _MergedProduct(torch.autograd.Function):
    """The same by the weight W + s B A, made anew each time: of LoRA's six narrow products, two fall away, and no sum is left.

    It pays where rows are many, and in float32 only: in 16 bits a small s B A would be lost in W.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, weight, down, up)
        ctx.scale = scale
        return nn.functional.linear(x, torch.addmm(weight, up, down, alpha=scale), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, down, up = ctx.saved_tensors
        back = (grad @ up).mul_(ctx.scale)  # (N, R)
        of_x = grad @ torch.addmm(weight, up, down, alpha=ctx.scale) if ctx.needs_input_grad[0] else None
        return of_x, None, None, back.T @ x, (grad.T @ (x @ down.T)).mul_(ctx.scale), None


def product_of(rows: int, weight: Tensor) -> type[torch.autograd.Function]:
    """Merged where the narrow products that fall away are at least twice the work of merging, forward and backward."""
    many = weight.dtype == torch.float32 and rows * sum(weight.shape) > 4 * weight.numel()
    return _MergedProduct if many else _Product


class FusedLinear(Linear):
    """peft's LoRA layer, with those products where they are the very same: one active adapter, nothing dropped or merged."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        name, base = self.active_adapters[0], self.base_layer
        if args or kwargs or not self._plain(name, x):
            return super().forward(x, *args, **kwargs)
        parts = [x.reshape(-1, x.shape[-1]), base.weight, base.bias, self.lora_A[name].weight, self.lora_B[name].weight]
        if torch.is_autocast_enabled(x.device.type):  # each is cast once; peft casts x for every product
            parts = [None if p is None else p.to(torch.get_autocast_dtype(x.device.type)) for p in parts]
        rows = product_of(len(parts[0]), parts[1]).apply(*parts, self.scaling[name])
        return rows.view(*x.shape[:-1], -1)

    def _plain(self, name: str, x: Tensor) -> bool:
        off = self.disable_adapters or self.merged or len(self.active_adapters) > 1 or name not in self.lora_A
        if off or name in self.lora_variant or x.is_meta:
            return False  # "meta": a step that is only reckoned, for a card where autocast is on
        dropout, base = self.lora_dropout[name], self.base_layer
        kept = isinstance(dropout, nn.Identity) or dropout.p == 0 or not self.training
        frozen = not base.weight.requires_grad and (base.bias is None or not base.bias.requires_grad)
        same = x.dtype == base.weight.dtype == self.lora_A[name].weight.dtype
        if torch.is_autocast_enabled(x.device.type):
            same = x.device.type == "cpu" and torch.get_autocast_dtype("cpu") == torch.bfloat16
        return kept and frozen and same and self.lora_A[name].bias is None and self.lora_B[name].bias is None


def fuse(model: nn.Module) -> None:
    """Makes every LoRA layer over a plain linear layer a `FusedLinear`, in place; those over quantised ones stay peft's."""
    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is nn.Linear:
            module.__class__ = FusedLinear
