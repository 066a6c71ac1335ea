"""Memory told beforehand against the tensors themselves."""

import gc
import importlib
import json
import shutil
import sys
import warnings
import weakref
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from radlite.adapter import with_lora
from radlite.bases import LADDER, SHIPPED, is_small, load_vlm, suited_dtype
from radlite.cli import main
from radlite.collate import IGNORE, Batch
from radlite.cross_entropy import cross_entropy
from radlite.errors import RadliteError
from radlite.loss import rad_loss
from radlite.memory.plan import Memory, card_dtype, configuration, memory
from radlite.memory.trace import Storages
from radlite.vlm import recompute_layers
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
    """Within 1%, of every class of model as the loader has it, whole and in four bits, and of both optimisers."""
    if quantize:
        pytest.importorskip("bitsandbytes")
    told = memory(folder, quantize, batch=2, tokens=300, rank=8)
    vlm = load_vlm(folder, quantize=quantize)
    weights = bytes_of([*vlm.base.parameters(), *vlm.base.buffers()]) + (quantised_bytes(vlm.base) if quantize else 0)
    assert abs(told.weights - weights) <= 0.01 * weights
    model = with_lora(vlm.model, vlm.family, 8, vlm.lora_token_rows)
    adapters = bytes_of([*model.parameters(), *model.buffers()]) + (quantised_bytes(model) if quantize else 0) - weights
    assert abs(told.adapters - adapters) <= 0.01 * adapters
    trained = [p for p in model.parameters() if p.requires_grad]
    moments = moments_of(torch.optim.AdamW(trained))
    assert abs(told.optimizer - moments) <= 0.01 * moments


@pytest.mark.parametrize("rank", [8, 32])
def test_moments_in_eight_bits_are_those_of_the_tensors(folder, rank):
    """Of tensors too small to be packed, too: most of a tiny model's are."""
    library = pytest.importorskip("bitsandbytes")
    told = memory(folder, batch=1, tokens=200, rank=rank, optimizer="paged_adamw_8bit")
    vlm = load_vlm(folder)
    model = with_lora(vlm.model, vlm.family, rank, vlm.lora_token_rows)
    trained = [p for p in model.parameters() if p.requires_grad]
    with warnings.catch_warnings(action="ignore"):  # a CPU has no pages
        moments = moments_of(library.optim.PagedAdamW8bit(trained))
    assert abs(told.optimizer - moments) <= 0.01 * moments
    assert rank == 32 or any(p.numel() < 4096 for p in trained)  # which are in float32


def moments_of(optimizer):
    """Bytes of all tensors in the state of an optimiser after one step, each storage once."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    optimizer.step()
    return bytes_of([t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)])


def test_a_small_folder_is_told_in_the_precision_it_is_loaded_in(folder, tmp_path, monkeypatch):
    """The loader keeps a small base in float32, and so does what is told; a larger one is bfloat16 on a card."""
    vlm, size = load_vlm(folder), sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    assert suited_dtype("cuda", is_small(size)) == torch.float32 == vlm.base.dtype
    config = configuration(folder)
    assert card_dtype(folder, config) == torch.float32
    monkeypatch.setattr("radlite.memory.plan.is_small", lambda found: found != size)  # the same rule, asked the same
    assert card_dtype(folder, config) == torch.bfloat16
    hollow = tmp_path / "hollow"  # as a repository whose weights have not been fetched
    shutil.copytree(folder, hollow, ignore=shutil.ignore_patterns("*.safetensors"))
    monkeypatch.setattr("radlite.memory.plan.is_small", lambda found: abs(found - size) < 0.05 * size)
    assert card_dtype(hollow, config) == torch.float32


def test_a_small_folder_is_told_whole(tmp_path):
    folder = models.save("smolvlm", tmp_path)
    assert memory(folder, batch=1, tokens=120, rank=4) == memory(folder, batch=1, tokens=120, rank=4, dtype=torch.float32)


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


class Real(TorchDispatchMode):
    """Counts what real tensors hold; shares nothing with `radlite.memory.trace`."""

    def __init__(self):
        super().__init__()
        self.live, self.most, self.known = 0, 0, weakref.WeakSet()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and t.untyped_storage() not in self.known:
                s = t.untyped_storage()
                self.known.add(s)
                self.live += s.nbytes()
                weakref.finalize(s, self.freed, s.nbytes())
                self.most = max(self.most, self.live)
        return out

    def freed(self, size):
        self.live -= size


@pytest.fixture
def as_on_a_card(monkeypatch):
    """What autocast does on a card and not on a CPU: LayerNorm in float32; and peft asks whether a card's is on."""
    plain, on = torch.nn.functional.layer_norm, torch.is_autocast_enabled

    def layer_norm(x, shape, weight=None, bias=None, eps=1e-5):
        return plain(x.float(), shape, weight.float(), bias.float(), eps)

    def apply():
        monkeypatch.setattr(torch.nn.functional, "layer_norm", layer_norm)
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind="cpu": on(kind))

    return apply


@pytest.mark.parametrize(("quantize", "dtype"), [(None, None), ("nf4", torch.bfloat16)], ids=str)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["all kept", "checkpointing"])
@pytest.mark.parametrize("kind", [*models.KINDS, "radlite-tiny"])
def test_what_the_trace_says_is_what_a_real_step_holds(kind, checkpointing, quantize, dtype, base, tmp_path, as_on_a_card):
    """One step of the same model with the loss that training takes, with real tensors, counted by an independent counter.

    As on a card: LoRA in float32, products in bf16, with all the copies that this makes.
    """
    if quantize:
        pytest.importorskip("bitsandbytes")
    folder = base if kind == "radlite-tiny" else models.save(kind, tmp_path)
    told = memory(folder, quantize, batch=1, tokens=300, rank=64, checkpointing=checkpointing, dtype=dtype)
    as_on_a_card()
    vlm = load_vlm(folder, dtype, quantize=quantize)
    vlm.model = with_lora(vlm.model, vlm.family, 64, vlm.lora_token_rows).train()
    if checkpointing:
        recompute_layers(vlm.base)
    ids = torch.full((1, 300), vlm.eos_id)
    ids[:, : vlm.image_tokens] = vlm.image_token_id
    labels = ids.index_fill(1, torch.arange(vlm.image_tokens + 24), IGNORE)
    optimizer = torch.optim.AdamW([p for p in vlm.model.parameters() if p.requires_grad], foreach=True)  # as on a card
    moments_of(optimizer)  # which are told apart
    optimizer.zero_grad()
    with Real() as real:
        real.known.update(p.untyped_storage() for p in (*vlm.base.parameters(), *vlm.base.buffers()))
        frames = torch.zeros(1, vlm.image_size, vlm.image_size, 3, dtype=torch.uint8)
        batch = Batch(ids, torch.ones_like(ids), labels, torch.ones(1, 300), torch.ones_like(ids), vlm.pixel_values(frames))
        with torch.autocast("cpu", torch.bfloat16):
            loss = rad_loss(vlm, batch, detail=False).total
        loss.backward()
        optimizer.step()
    assert told.activations + told.logits == pytest.approx(real.most, rel=0.1)


def test_gradients_of_lora_are_float32(tmp_path):
    """The base may be bfloat16: what is trained is not, and a step holds the gradient of each of its numbers in four bytes."""
    folder = models.save("qwen3_vl", tmp_path)
    least = memory(folder, batch=1, tokens=120, rank=512, dtype=torch.bfloat16)
    assert least.activations >= least.optimizer  # gradients and a root of the second moments: as large as the two moments


def test_every_switch_goes_its_way(tmp_path):
    folder = models.save("qwen3_vl", tmp_path)
    plain = memory(folder, batch=4, tokens=400, checkpointing=False)
    assert memory(folder, batch=4, tokens=400).activations < 0.8 * plain.activations
    assert memory(folder, batch=8, tokens=400, checkpointing=False).activations > 1.7 * plain.activations
    assert memory(folder, "nf4", batch=4, tokens=400).weights < plain.weights
    packed = memory(folder, batch=4, tokens=400, optimizer="paged_adamw_8bit").optimizer
    assert plain.optimizer < 4 * packed < 3 * plain.optimizer  # small tensors stay whole, and blocks have scales
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


@pytest.mark.parametrize("wish", [
    {"quantize": "int3"}, {"optimizer": "sgd"}, {"optimizer": ["adamw"]}, {"tokens": 20}, {"batch": 0}, {"rank": 0},
    {"batch": 2.5}, {"rank": "8"}, {"tokens": None}, {"batch": True},
], ids=str)  # fmt: skip
def test_wrong_wishes(wish, tmp_path):
    with pytest.raises(RadliteError):
        memory(models.save("smolvlm", tmp_path), **wish)


def test_an_unknown_name(capsys):
    assert main(["memory", "--model", "gpt-9"]) != 0
    assert "qwen3-vl-2b" in capsys.readouterr().err
    assert main(["memory"]) == 2 and "--card" in capsys.readouterr().err
    assert Memory(int(200e9), 0, 0, 0, 0).card is None


@pytest.mark.parametrize("kind", ["evil", "qwen3_vl"])
def test_code_that_comes_with_a_model_is_never_run(kind, tmp_path, monkeypatch):
    """Not even by who answers yes to the question that transformers would ask."""
    folder = models.save("qwen3_vl", tmp_path)
    about = json.loads((folder / "config.json").read_text())
    auto = {"AutoConfig": "evil.Evil", "AutoModelForImageTextToText": "evil.Evil", "AutoTokenizer": "evil.Evil"}
    (folder / "config.json").write_text(json.dumps(about | {"model_type": kind, "auto_map": auto}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Evil: pass\n")
    asked = []
    monkeypatch.setattr("builtins.input", lambda text="": asked.append(text) or "y")
    if kind == "evil":
        with pytest.raises(RadliteError):
            memory(folder, batch=1, tokens=120, rank=4)
    else:  # a known class is built by transformers' own code
        assert memory(folder, batch=1, tokens=120, rank=4).total
    assert not asked and not (tmp_path / "ran").exists()


def _about(text=None, part=None, **changes):
    def spoil(folder):
        about = json.loads((folder / "config.json").read_text())
        (about[part] if part else about).update(changes)
        (folder / "config.json").write_text(json.dumps(about) if text is None else text)

    return spoil


@pytest.mark.parametrize("spoil", [
    _about("{}"), _about("{"), _about("[]"), _about(""), _about(model_type="llama"),
    _about(part="text_config", hidden_size=-64), _about(part="text_config", hidden_size="many"),
    _about(part="text_config", hidden_size=65), _about(part="vision_config", hidden_size=63),
    _about(part="vision_config", patch_size=0), _about(part="text_config", vocab_size=None),
    lambda folder: [f.unlink() for f in folder.glob("*token*")],
    lambda folder: (folder / "tokenizer.json").write_text("{"),
], ids=["empty", "broken", "list", "nothing", "other class", "negative", "word", "odd", "odd tower", "no patch", "no words",
        "no tokenizer", "broken tokenizer"])  # fmt: skip
def test_files_of_which_no_model_can_be_built(spoil, tmp_path, capsys):
    folder = models.save("smolvlm", tmp_path)
    spoil(folder)
    assert main(["memory", "--model", str(folder), "--batch", "1", "--tokens", "120"]) == 2
    assert capsys.readouterr().err.startswith("radlite: expected")


def test_which_rungs_fit_a_card(monkeypatch, capsys):
    """Every rung with its total, four bits where the ladder says so; the rule is that of the smallest card."""
    sizes = dict(zip([*SHIPPED, *LADDER], (0.1, 1.8, 2.5, 4.6, 7.0, 12.1), strict=True))
    asked = []

    def told(name, quantize, *more):
        asked.append((name, quantize, *more[:2]))
        return Memory(int(1e9 * sizes[name]), 0, 0, 0, 0)

    monkeypatch.setattr("radlite.memory.plan.memory", told)
    assert main(["memory", "--card", "8", "--batch", "2", "--tokens", "500", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rungs"]
    assert asked == [(n, LADDER[n].quantize if n in LADDER else None, 2, 500) for n in sizes]
    assert [r["total_gb"] for r in rows] == [*sizes.values()] and [r["fits"] for r in rows] == [True] * 5 + [False]
    assert {"weights_gb", "adapters_gb", "optimizer_gb", "activations_gb", "logits_gb"} < set(rows[0])
    assert main(["memory", "--card", "6.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.endswith(" fits")] == [*sizes][:4]
    assert [line.split()[0] for line in lines if line.endswith("does not fit")] == [*sizes][4:]
    assert main(["memory", "--card", "4", "--model", "qwen3-vl-2b"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "does not fit on a card of 4 GB; fits on one of 6 GB"
    assert main(["memory", "--card", "8", "--model", "qwen3-vl-2b", "--json"]) == 0
    one = json.loads(capsys.readouterr().out)
    assert one["fits"] is True and one["card_gb"] == 6

    def too_few(name, *more):
        if name in SHIPPED:
            raise RadliteError("169 tokens or more", "150", "a picture and its question come before the chain")
        return told(name, *more)

    monkeypatch.setattr("radlite.memory.plan.memory", too_few)  # one rung's pictures take more tokens than another's
    assert main(["memory", "--card", "8", "--tokens", "150", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rungs"]
    assert rows[0]["fits"] is None and "169 tokens" in rows[0]["why"] and rows[1]["fits"]


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


# ---------------------------------------------------------------------------------------------------- the benchmark
SETTING = {"batch": 2, "tokens": 120, "rank": 4, "checkpointing": True, "optimizer": "adamw"}


@pytest.fixture
def bench(monkeypatch):
    """benchmarks/memory.py, which measures where there is a card."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    yield importlib.import_module("memory")
    for name in ("memory", "machine"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("quantize", [None, "nf4"])
@pytest.mark.parametrize("kind", models.KINDS)
def test_the_benchmarks_random_models_are_those_that_are_told(kind, quantize, tmp_path, bench):
    """The same bytes, whole and in four bits; and they train, here on the CPU."""
    if quantize:
        pytest.importorskip("bitsandbytes")
    folder = models.save(kind, tmp_path)
    vlm = bench.random_vlm(folder, quantize, 4, "cpu")
    told = memory(folder, quantize, batch=1, tokens=120, rank=4)
    held = bytes_of([*vlm.model.parameters(), *vlm.model.buffers()]) + (quantised_bytes(vlm.model) if quantize else 0)
    assert held == pytest.approx(told.weights + told.adapters, rel=0.01)
    found = bench.measured(folder, quantize, "cpu", 1, **SETTING)
    assert found["measured_gb"] is None and found["samples_per_s"] > 0


def test_too_little_memory_is_a_row(bench, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(bench, "memory", lambda *_, **__: Memory(1, 1, 1, 1, 1))
    monkeypatch.setattr(bench, "measured", full)
    row = bench.row("qwen3-vl-8b", "batch of sixteen", "nf4", "cuda", 2)
    assert row["batch"] == 16 and row["measured_gb"] is None and "suffice" in row["why"]
    assert "suffice" in bench.markdown([row], "a card")
    monkeypatch.setattr(bench, "measured", lambda *_, **__: {"measured_gb": 11.87, "samples_per_s": 3.5})
    assert "| 11.87 | 3.5 |" in bench.markdown([bench.row("qwen3-vl-8b", "8-bit moments", "nf4", "cuda", 2)], "a card")


def test_without_a_card_the_measured_columns_are_empty_and_say_so(bench, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bench, "memory", lambda *_, **__: Memory(int(1e9), 1, 1, 1, 1))
    monkeypatch.setattr("sys.argv", ["memory.py", "--out", str(tmp_path / "out")])
    bench.main()
    rows = json.loads((tmp_path / "out" / "memory.json").read_text())["results"]["rows"]
    assert json.loads(capsys.readouterr().out)["results"]["rows"] == rows
    assert {r["model"] for r in rows} == {*SHIPPED, *LADDER}
    assert all(r["measured_gb"] is r["samples_per_s"] is None and r["why"] == "no CUDA card here" for r in rows)
    page = (tmp_path / "out" / "memory.md").read_text()
    assert "no CUDA card here" in page and page.count("| 1.00 |  |  |") == len(rows)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card here")
@pytest.mark.parametrize(("name", "quantize"), [("smolvlm2-256m", None), ("qwen3-vl-2b", "nf4")])
@pytest.mark.parametrize("switch", [{}, {"checkpointing": False}, {"optimizer": "paged_adamw_8bit"}], ids=str)
def test_the_total_is_what_a_card_measures(name, quantize, switch, bench):
    """Within 10% of the peak, at the real size."""
    setting = bench.SETTING | {"batch": 2} | switch
    found = bench.measured(name, quantize, "cuda", 2, **setting)
    assert memory(name, quantize, **setting).total / 1e9 == pytest.approx(found["measured_gb"], rel=0.1)
