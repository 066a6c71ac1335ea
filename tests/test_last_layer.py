"""Leaving out what nobody reads of the last layer changes nothing of what is read, nor any gradient."""

from contextlib import nullcontext

import pytest
import torch

from radlite import vlm as models_face
from radlite.actions import ActionStats
from radlite.adapter import attach_lora
from radlite.bases import load_vlm
from radlite.collate import IGNORE, collate
from radlite.loss import rad_loss
from radlite.mixture import Mixture
from radlite.vlm import recompute_layers
from tests import models


def lesson(kind: str, folder, robot, human):
    """A tiny random model of a family with LoRA that does something, and a batch of robot and human frames."""
    vlm = load_vlm(models.save(kind, folder))
    attach_lora(vlm, 4, 8, 0)
    torch.manual_seed(0)
    for name, p in vlm.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    mixture = Mixture(robot, human, robot_per_batch=2)
    return vlm, collate(mixture.batch(0), vlm, ActionStats.fit(robot.actions()))


def step(vlm, batch) -> tuple[float, dict]:
    """Loss and gradients."""
    loss = rad_loss(vlm, batch, detail=False).total
    loss.backward()
    gradients = {name: p.grad for name, p in vlm.model.named_parameters() if p.requires_grad}
    vlm.model.zero_grad()
    return loss.item(), gradients


@pytest.mark.parametrize("recomputed", [False, True])
@pytest.mark.parametrize("kind", models.KINDS)
def test_loss_and_gradients_are_those_of_the_whole_layer(kind, recomputed, robot, human, tmp_path, monkeypatch):
    vlm, batch = lesson(kind, tmp_path, robot, human)
    vlm.model.train()
    if recomputed:
        recompute_layers(vlm.base)
    rows = []
    vlm.text_model.layers[-1].mlp.gate_proj.register_forward_hook(lambda _, args, out: rows.append(out[..., 0].numel()))
    loss, ours = step(vlm, batch)
    monkeypatch.setattr(models_face, "only_where", lambda *_: nullcontext())
    whole_loss, whole = step(vlm, batch)
    if recomputed:  # forward and again for the backward pass, whole each time
        assert rows == 4 * [batch.labels.numel()]
    else:
        assert rows == [int((batch.labels[:, 1:] != IGNORE).sum()), batch.labels.numel()] and rows[0] < rows[1]
    assert loss == pytest.approx(whole_loss, rel=1e-6)
    assert any(g.any() for name, g in ours.items() if "layers.2.mlp" in name)
    for name, gradient in whole.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_the_layer_is_whole_again_afterwards_even_after_an_error(robot, human, tmp_path):
    vlm, batch = lesson("smolvlm", tmp_path, robot, human)
    layer = vlm.text_model.layers[-1]
    with torch.no_grad():
        before = vlm.forward(batch.input_ids, None, batch.pixel_values)
        read = torch.zeros_like(batch.input_ids, dtype=torch.bool)
        read[:, -1] = True
        part = vlm.forward(batch.input_ids, None, batch.pixel_values, read=read)
        after = vlm.forward(batch.input_ids, None, batch.pixel_values)
    torch.testing.assert_close(part[read], before[read], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(part, before, atol=1e-3) and torch.equal(before, after)
    with pytest.raises(ZeroDivisionError), models_face.only_where(vlm.text_model, read):
        1 / 0  # noqa: B018
    assert not layer.mlp._forward_hooks and not layer.mlp._forward_pre_hooks


def test_a_decoder_of_other_parts_is_left_whole():
    with models_face.only_where(torch.nn.Linear(2, 2), torch.zeros(1, 3, dtype=torch.bool)):
        pass
    other = torch.nn.Module()
    other.layers = torch.nn.ModuleList([torch.nn.Linear(2, 2)])
    with models_face.only_where(other, torch.zeros(1, 3, dtype=torch.bool)):
        assert not other.layers[0]._forward_hooks
