"""The norm in fewer passes gives what transformers' gives, with the gradient of finite differences, and leaves the rest to it."""

import copy

import pytest
import torch

from radlite.norm import FUSED, _Norm, fuse_norms


def pair(kind: type) -> tuple[torch.nn.Module, torch.nn.Module]:
    """A norm of transformers with frozen weights of all sizes, and its fused copy."""
    torch.manual_seed(0)
    plain = kind(24, eps=1e-5)
    plain.weight.data.normal_()
    plain.weight.requires_grad_(False)
    fused = copy.deepcopy(plain)
    fuse_norms(fused)
    return plain, fused


@pytest.mark.parametrize("kind", FUSED)
def test_outputs_and_gradients_are_those_of_transformers(kind):
    results = []
    for norm in pair(kind):
        torch.manual_seed(1)
        x = (3 * torch.randn(2, 5, 24)).requires_grad_()
        y = norm(x)
        y.pow(3).sum().backward()
        results.append((y, x.grad))
    assert type(pair(kind)[1]) is FUSED[kind] and isinstance(pair(kind)[1], kind)
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_that_of_finite_differences():
    torch.manual_seed(0)
    x, weight = torch.randn(3, 7, dtype=torch.double, requires_grad=True), torch.randn(7, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda x: _Norm.apply(x, weight, 1e-3), (x,))


def test_a_row_of_zeros_stays_zero_and_has_a_finite_gradient():
    x = torch.zeros(1, 7, requires_grad=True)
    y = _Norm.apply(x, torch.ones(7), 1e-6)
    y.sum().backward()
    assert not y.any() and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("case", ["trained", "bfloat16"])
def test_a_trained_weight_and_sixteen_bits_are_left_to_transformers(case):
    results = []
    for norm in pair(next(iter(FUSED))):
        x = torch.linspace(-2, 2, 48).view(2, 24).to(torch.bfloat16 if case == "bfloat16" else torch.float32)
        norm.weight.requires_grad_(case == "trained")
        y = norm(x)
        if case == "trained":
            y.square().sum().backward()
        results.append([y, *([norm.weight.grad] if case == "trained" else [])])
    assert all(torch.equal(*both) and both[0].any() for both in zip(*results, strict=True))
