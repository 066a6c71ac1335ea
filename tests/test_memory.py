"""Memory told beforehand against the tensors themselves."""

import gc
import json
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from radlite.adapter import with_lora
from radlite.bases import LADDER, load_vlm
from radlite.cli import main
from radlite.cross_entropy import cross_entropy
from radlite.errors import RadliteError
from radlite.memory.plan import Memory, memory
from radlite.memory.trace import Storages
from tests import models

MEGABYTE = 1_000_000


@pytest.fixture(scope="module", params=[*models.KINDS, "untied", "radlite-tiny"])
def folder(request, base, tmp_path_factory):
    """A base of every class, one with an output layer of its own, and the embedded one."""
    if request.param == "radlite-tiny":
        return base
    kind = "qwen3_vl" if request.param == "untied" else request.param
    return models.save(kind, tmp_path_factory.mktemp(request.param), tied=request.param != "untied")


def bytes_of(tensors):
    return sum(s.nbytes() for s in {t.untyped_storage() for t in tensors})


def quantised_bytes(model):
    """Of all layers in four bits: packed weights with everything that belongs to them."""
    states = [m.weight.quant_state for m in model.modules() if type(m).__name__ == "Linear4bit"]
    return bytes_of([t for s in states for t in (s.absmax, s.code, s.offset, s.state2.absmax, s.state2.code)])


@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_weights_adapters_and_moments_are_those_of_the_tensors(folder, quantize):
    """Within 1%, of every class of model, whole and in four bits."""
    if quantize:
        pytest.importorskip("bitsandbytes")
    told = memory(folder, quantize, batch=2, tokens=300, rank=8, dtype=torch.float32)
    vlm = load_vlm(folder, quantize=quantize)
    weights = bytes_of([*vlm.base.parameters(), *vlm.base.buffers()]) + (quantised_bytes(vlm.base) if quantize else 0)
    assert abs(told.weights - weights) <= 0.01 * weights
    model = with_lora(vlm.model, vlm.family, 8, vlm.lora_token_rows)
    adapters = bytes_of([*model.parameters(), *model.buffers()]) + (quantised_bytes(model) if quantize else 0) - weights
    assert abs(told.adapters - adapters) <= 0.01 * adapters
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained)
    for p in trained:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    moments = bytes_of([t for state in optimizer.state.values() for t in state.values()])
    assert abs(told.optimizer - moments) <= 0.01 * moments


def test_storages_are_counted_once_and_forgotten_when_freed():
    with Storages() as storages:
        a = torch.ones(MEGABYTE)
        b = a.view(1000, -1)[:10]
        assert storages.now == storages.peak == 4 * MEGABYTE
        c = a + 1
        del a, c
        gc.collect()
        assert (storages.now, storages.peak) == (4 * MEGABYTE, 8 * MEGABYTE) and b.sum() == 10_000  # b is a view and holds a
    assert storages.peak == 8 * MEGABYTE


def test_what_the_trace_says_is_what_a_real_step_holds(tmp_path):
    """One forward and backward pass of the same model with real tensors, counted by an independent counter."""

    class Real(TorchDispatchMode):
        live, most = 0, 0
        known = weakref.WeakSet()

        @classmethod
        def freed(cls, size):
            cls.live -= size

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            for t in tree_leaves(out):
                if isinstance(t, torch.Tensor) and t.untyped_storage() not in self.known:
                    s = t.untyped_storage()
                    self.known.add(s)
                    Real.live += s.nbytes()
                    weakref.finalize(s, Real.freed, s.nbytes())
                    Real.most = max(Real.most, Real.live)
            return out

    folder = models.save("smolvlm", tmp_path)
    told = memory(folder, batch=3, tokens=400, rank=8, checkpointing=False, dtype=torch.float32)
    vlm = load_vlm(folder, attention="sdpa")
    model = with_lora(vlm.model, vlm.family, 8, vlm.lora_token_rows).train()
    base = model.get_base_model()
    ids = torch.full((3, 400), vlm.tokenizer.eos_token_id)
    ids[:, : vlm.image_tokens] = vlm.image_token_id
    with Real() as real:
        for p in (*base.parameters(), *base.buffers()):
            real.known.add(p.untyped_storage())
        pixels = vlm.family.pixels(torch.zeros(3, 3, vlm.image_size, vlm.image_size))
        hidden = vlm.forward(ids, torch.ones_like(ids), pixels)[:, vlm.image_tokens + 24 :].flatten(0, 1)
        cross_entropy(vlm.lm_head, hidden, torch.zeros(len(hidden), dtype=torch.long), vlm.vocabulary)[0].sum().backward()
    assert abs(told.activations + told.logits - Real.most) <= 0.1 * Real.most


def test_every_switch_goes_its_way(tmp_path):
    folder = models.save("qwen3_vl", tmp_path)
    plain = memory(folder, batch=4, tokens=400, checkpointing=False)
    assert memory(folder, batch=4, tokens=400).activations < 0.8 * plain.activations
    assert memory(folder, batch=8, tokens=400, checkpointing=False).activations > 1.7 * plain.activations
    assert memory(folder, "nf4", batch=4, tokens=400).weights < plain.weights
    assert memory(folder, batch=4, tokens=400, optimizer="paged_adamw_8bit").optimizer * 4 == plain.optimizer
    assert memory(folder, batch=4, tokens=400, rank=64).adapters > plain.adapters


@pytest.mark.parametrize(("name", "most", "card"), [("qwen3-vl-2b", 6.0, 8), ("qwen3-vl-8b", 14.0, 16)])
def test_the_bars_of_the_ladder(name, most, card, capsys):
    """Offline, before anything is fetched; the sizes are those of the published weights."""
    command = ["memory", "--model", name, "--quantize", "nf4", "--batch", "4", "--tokens", "600", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    parts = [told[f"{part}_gb"] for part in ("weights", "adapters", "optimizer", "activations", "logits")]
    assert told["total_gb"] == pytest.approx(sum(parts), abs=1e-3) and min(parts) > 0 and told["total_gb"] <= most
    assert told["card_gb"] <= card
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert f"| {name} | NF4 | {told['total_gb']:.1f} GB | {told['card_gb']} GB |" in readme


# the files on the Hub are four times (SmolVLM2, float32) and twice (Qwen, bfloat16) as large: 1.03, 2.03, 4.26, 8.88, 17.53 GB
PUBLISHED = {"smolvlm2-256m": 256_484_928, "smolvlm2-500m": 507_482_304, "qwen3-vl-2b": 2_127_532_032,
             "qwen3-vl-4b": 4_437_815_808, "qwen3-vl-8b": 8_767_123_696}  # fmt: skip


@pytest.mark.parametrize("name", LADDER)
def test_architectures_have_as_many_weights_as_the_published_ones(name):
    from transformers import AutoModelForImageTextToText

    from radlite.families.sizes import architecture

    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(architecture(name))
    assert sum(p.numel() for p in model.parameters()) == PUBLISHED[name]


def test_wrong_wishes(tmp_path, capsys):
    folder = models.save("smolvlm", tmp_path)
    for wish in ({"quantize": "int3"}, {"optimizer": "sgd"}, {"tokens": 20}, {"batch": 0}, {"rank": 0}):
        with pytest.raises(RadliteError):
            memory(folder, **wish)
    assert main(["memory", "--model", "gpt-9"]) != 0
    assert "qwen3-vl-2b" in capsys.readouterr().err
    assert Memory(int(200e9), 0, 0, 0, 0).card is None


def test_losses_in_parts_are_the_losses(tmp_path):
    """Values and gradients, of the states and of the rows of the output layer."""
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 50)
    labels = torch.randint(50, (23,))
    results = []
    for limit in (1 << 28, 4 * 50 * 5):  # at once, and five at a time
        hidden = torch.linspace(-1, 1, 23 * 16).reshape(23, 16).requires_grad_()
        head.zero_grad()
        losses, right = cross_entropy(head, hidden, labels, 50, limit)
        (losses * torch.arange(23)).sum().backward()
        results.append((losses.detach(), right, hidden.grad, head.weight.grad.clone()))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two)


def test_memory_of_a_repository_fetches_what_describes_it_and_no_weights(tmp_path, monkeypatch):
    asked, folder = [], models.save("smolvlm", tmp_path)

    def fetched(repo, revision, allow_patterns, ignore_patterns):
        asked.append((repo, *allow_patterns))
        return str(folder)

    monkeypatch.setattr("radlite.bases.snapshot_download", fetched)
    assert memory("someone/something", batch=1, tokens=120, rank=4).total > 0
    assert asked and all(row[0] == "someone/something" and "*.json" in row and "*.safetensors" not in row for row in asked)
    load_vlm("someone/something")
    assert "*.safetensors" in asked[-1]
