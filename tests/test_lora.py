"""LoRA's fused layer does what peft's does, to rounding, forward and backward, and leaves to peft what it does not cover."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from radlite.lora import FusedLinear, _MergedProduct, _Product, fuse, product_of


def adapted(bias: bool = True, dropout: float = 0.0, **more) -> tuple[nn.Module, nn.Module]:
    """A peft model of two linear layers with LoRA that does something, and its fused copy."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20, bias=bias), nn.SiLU(), nn.Linear(20, 8, bias=bias))
    model = get_peft_model(net, LoraConfig(r=4, lora_alpha=6, lora_dropout=dropout, target_modules=["0", "2"], **more))
    for name, p in model.named_parameters():
        if "lora_" in name:
            nn.init.normal_(p, std=0.3)
    fused = copy.deepcopy(model)
    fuse(fused)
    return model, fused


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(12,), (5, 12), (2, 3, 12), (4, 30, 12)])  # few rows, and so many that weights are merged
def test_outputs_and_gradients_are_those_of_peft(bias, shape):
    results = []
    for model in adapted(bias):
        torch.manual_seed(1)
        x = torch.randn(*shape, requires_grad=True)
        y = model(x)
        y.square().sum().backward()
        results.append([y, x.grad, *(p.grad for p in model.parameters() if p.requires_grad)])
    assert len(results[0]) == 6 and results[0][0].shape == (*shape[:-1], 8)
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("product", [_Product, _MergedProduct])
def test_the_products_have_the_gradient_of_finite_differences(product):
    torch.manual_seed(0)
    x, down, up = (torch.randn(*s, dtype=torch.double, requires_grad=True) for s in ((3, 5), (2, 5), (4, 2)))
    weight, bias = torch.randn(4, 5, dtype=torch.double), torch.randn(4, dtype=torch.double)
    assert torch.autograd.gradcheck(lambda *t: product.apply(t[0], weight, bias, t[1], t[2], 1.5), (x, down, up))


def test_weights_are_merged_for_many_rows_in_float32_only():
    weight = torch.empty(20, 12)
    assert [product_of(rows, weight) for rows in (1, 30, 31, 500)] == [_Product, _Product, _MergedProduct, _MergedProduct]
    assert product_of(500, weight.bfloat16()) is _Product


@pytest.mark.parametrize("rows", [3, 120])
def test_in_bfloat16_it_is_as_near_to_the_truth_as_peft(rows):
    errors = torch.zeros(2)
    for seed in range(8):
        torch.manual_seed(seed)
        x, results = torch.randn(rows, 12), []
        for precision, one in (("float32", adapted()[0]), *zip(("bfloat16",) * 2, adapted(), strict=True)):
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                y = one(x)
            assert y.dtype == getattr(torch, precision)
            y.float().square().sum().backward()
            results.append([y.detach().float(), *(p.grad for p in one.parameters() if p.requires_grad)])
        for true, *found in zip(*results, strict=True):
            errors += torch.stack([(f - true).norm() / true.norm() for f in found])
    theirs, ours = errors / (8 * 5)  # a mean over seeds, and the output and four gradients
    assert 1e-4 < ours < 1.2 * theirs < 0.02


def test_names_and_parameters_stay_those_of_peft():
    model, fused = adapted()
    assert sum(type(m) is FusedLinear for m in fused.modules()) == 2
    assert list(fused.state_dict()) == list(model.state_dict())
    trained = [[name for name, p in one.named_parameters() if p.requires_grad] for one in (model, fused)]
    assert trained[0] == trained[1]


@pytest.mark.parametrize("case", ["disabled", "merged", "dropout", "dora", "fp16", "two adapters"])
def test_everything_else_goes_through_peft(case):
    model, fused = adapted(dropout=0.5 if case == "dropout" else 0.0, use_dora=case == "dora")
    results, x = [], torch.ones(4, 12)
    for one in (model, fused):
        if case == "two adapters":
            one.add_adapter("other", LoraConfig(r=2, target_modules=["0", "2"], init_lora_weights=True))
            one.base_model.set_adapter(["default", "other"])
        if case == "merged":
            one.merge_adapter()
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.float16, enabled=case == "fp16"):
            if case == "disabled":
                with one.disable_adapter():
                    results.append(one(x))
            else:
                results.append(one(x))
    assert results[0].dtype == results[1].dtype and torch.equal(*results)


def test_a_layer_over_a_trained_weight_is_left_to_peft():
    model, fused = adapted()
    for one in (model, fused):
        one.base_model.model[0].base_layer.weight.requires_grad_(True)
        one(torch.ones(3, 12)).sum().backward()
    theirs, ours = (one.base_model.model[0].base_layer.weight.grad for one in (model, fused))
    assert theirs is not None and torch.allclose(ours, theirs)
