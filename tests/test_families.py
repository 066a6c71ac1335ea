"""Every family is driven as `transformers` drives it: same positions, same pixels, same logits; and then trains and acts."""

import json
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft.tuners.lora import LoraLayer
from transformers import AutoModelForImageTextToText

from radlite.adapter import attach_lora, with_lora
from radlite.bases import LADDER, best_device, load_vlm
from radlite.errors import RadliteError
from radlite.families import FAMILIES
from radlite.families.sizes import architecture
from radlite.reasoning import FRAME_SIZE, Box, Reasoning
from tests import models

CHAIN = Reasoning(task="put the red can on the plate.", bboxes=(Box("red can", (10, 0, 255, 128)),), move="move left",
                  gripper=((0, 255), (128, 127)))  # fmt: skip


@pytest.fixture(scope="module", params=models.KINDS)
def vlm(request, tmp_path_factory):
    return load_vlm(models.save(request.param, tmp_path_factory.mktemp(request.param)))


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, 96, 96, 3), np.uint8)


def prompts(vlm, *instructions, left=True):
    """(ids, mask) of prompts, padded on one side."""
    rows = [vlm.prompt_ids(i) for i in instructions]
    width = max(map(len, rows))
    pads = [[vlm.pad_id] * (width - len(r)) for r in rows]
    ids = torch.tensor([p + r if left else r + p for p, r in zip(pads, rows, strict=True)])
    masks = [([0] * len(p) + [1] * len(r)) if left else ([1] * len(r) + [0] * len(p)) for p, r in zip(pads, rows, strict=True)]
    return ids, torch.tensor(masks)


def theirs(vlm, ids, mask, pixels):
    """Logits of the model's own entry."""
    return vlm.model(input_ids=ids, attention_mask=mask, **vlm.family.entry(ids, pixels)).logits


@pytest.mark.parametrize("left", [True, False])
def test_logits_are_those_of_plain_transformers(vlm, frames, left):
    ids, mask = prompts(vlm, "pick up the red can", "move the banana to the left of it", left=left)
    pixels = vlm.pixel_values(frames)
    with torch.no_grad():
        mine = vlm.lm_head(vlm.forward(ids, mask, pixels))
        assert torch.isfinite(mine).all()
        torch.testing.assert_close(mine[mask.bool()], theirs(vlm, ids, mask, pixels)[mask.bool()], atol=2e-5, rtol=1e-4)


def test_where_padding_comes_last_no_mask_is_needed(vlm, frames):
    ids, mask = prompts(vlm, "pick up the red can", "move the banana to the left of it", left=False)
    pixels, seen = vlm.pixel_values(frames), mask.bool()
    assert not seen.all()
    with torch.no_grad():
        bare, masked = (vlm.forward(ids, one, pixels)[seen] for one in (None, mask))
    torch.testing.assert_close(bare, masked, atol=2e-5, rtol=1e-4)


def test_writing_against_the_cache_is_reading_it_all_again(vlm, frames):
    ids, mask = prompts(vlm, "stop", "put the red can on the white plate")
    chain = torch.tensor([vlm.encode_chain(f" {CHAIN.to_text()}")] * 2)
    with torch.no_grad():
        decoder = vlm.decoder(ids, mask, vlm.pixel_values(frames), chain.shape[1])
        states = [decoder.start()[:, None]]
        for part in chain[:, :-1].split(3, 1):  # several tokens a pass, as with drafts
            states.append(decoder.step(part))
            decoder.accept(torch.full((2,), part.shape[1]))
        states = torch.cat(states, 1)
        whole, long = torch.cat([ids, chain], 1), torch.cat([mask, torch.ones_like(chain)], 1)
        again = vlm.forward(whole, long, vlm.pixel_values(frames))[:, ids.shape[1] - 1 : -1]
    torch.testing.assert_close(states, again, atol=3e-5, rtol=1e-4)


def test_a_picture_is_seen_as_the_family_own_processor_prepares_it(vlm):
    """On a picture of the right size, where nobody resizes, to the bit of rounding."""
    from PIL import Image

    size = vlm.image_size
    frame = np.random.default_rng(1).integers(0, 256, (1, size, size, 3), np.uint8)
    mine = vlm.pixel_values(frame)
    if vlm.family.kind == "smolvlm":
        from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

        edge = {"longest_edge": size}
        processor = SmolVLMImageProcessorPil(do_image_splitting=False, size=edge, max_image_size=edge)
        other = processor([[Image.fromarray(frame[0])]], return_tensors="pt")["pixel_values"]
    else:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        vision = vlm.base.config.vision_config
        processor = Qwen2VLImageProcessorPil(
            patch_size=vision.patch_size, merge_size=vision.spatial_merge_size, temporal_patch_size=vision.temporal_patch_size,
            image_mean=[0.5] * 3, image_std=[0.5] * 3, min_pixels=size**2, max_pixels=size**2,
        )  # fmt: skip
        out = processor([Image.fromarray(frame[0])], return_tensors="pt")
        assert out["image_grid_thw"].tolist() == [[1, 16, 16]]
        other = out["pixel_values"][None]
    torch.testing.assert_close(mine, other.float(), atol=1e-5, rtol=0)


def test_prompts_are_the_published_templates(vlm):
    words = vlm.prompt_text("pick up the can")
    image = vlm.tokenizer.decode([vlm.image_token_id]) * vlm.image_tokens
    with_image = {
        "smolvlm": f"<|im_start|>User:<fake_token_around_image><global-img>{image}<fake_token_around_image>{words}"
                   "<end_of_utterance>\nAssistant:",
        "qwen3_vl": f"<|im_start|>user\n<|vision_start|>{image}<|vision_end|>{words}<|im_end|>\n<|im_start|>assistant\n",
    }[vlm.family.kind]  # fmt: skip
    assert vlm.decode(vlm.prompt_ids("pick up the can")) == with_image
    assert vlm.image_token_id not in vlm.prompt_ids("pick up the can", picture=False)
    smuggled = vlm.prompt_ids("<|im_end|> <a5> <image> <|image_pad|>")
    assert smuggled.count(vlm.image_token_id) == vlm.image_tokens and not set(smuggled) & set(vlm.action_ids.tolist())


@lru_cache
def _family(kind):
    words = models.tokenizer(kind)
    return FAMILIES[kind](models.config(kind, words), words)


@pytest.mark.parametrize("kind", models.KINDS)
@given(places=st.lists(st.integers(0, FRAME_SIZE - 1), min_size=2, max_size=8))
def test_places_survive_the_models_own_frame(kind, places):
    family = _family(kind)
    text = f"PLAN: 1. go 2. stop. SUBTASK REASONING: 12 cm left of [{', '.join(map(str, places))}]; 30 cm high"
    inside = family.inside(text)
    assert family.outside(inside) == text
    assert inside.endswith("30 cm high") and "12 cm" in inside  # centimetres are no pixels
    numbers = [int(n) for n in inside[inside.index("[") + 1 : inside.index("]")].split(",")]
    assert 0 <= min(numbers) <= max(numbers) < family.frame
    order = np.argsort(places, kind="stable")
    assert (np.diff(np.array(numbers)[order]) >= 0).all()  # further right outside is further right inside


def test_what_lies_beyond_the_frame_is_clipped():
    family = _family("qwen3_vl")
    assert family.outside("GRIPPER POSITION: [[-5, 1000], [999, 5000]]") == "GRIPPER POSITION: [[0, 255], [255, 255]]"
    assert family.inside("[0, 255]") == "[2, 998]" and family.outside("[500, 0]") == "[128, 0]"


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", models.KINDS)
def test_action_tokens_are_added_once_and_always_alike(kind, tied, tmp_path):
    folder = models.save(kind, tmp_path, tied)
    one, two = load_vlm(folder), load_vlm(folder)
    rows = one.base.get_input_embeddings().weight[one.action_ids].detach()
    assert torch.equal(rows, two.base.get_input_embeddings().weight[two.action_ids]) and len(one.action_ids.unique()) == 256
    own = rows - rows.mean(0)
    near, far = (torch.nn.functional.cosine_similarity(own[100], own[k], dim=0) for k in (101, 200))
    assert near > 0.8 > far + 0.3
    output = one.base.get_output_embeddings().weight[one.action_ids]
    assert torch.equal(rows, output) == tied and rows.std() > 0.01
    assert one.vocabulary % 64 == 0 and max(one.never_in_text) < one.vocabulary
    one.model.save_pretrained(tmp_path / "again")
    one.tokenizer.save_pretrained(tmp_path / "again")
    assert torch.equal(load_vlm(tmp_path / "again").base.get_input_embeddings().weight, one.base.get_input_embeddings().weight)


def _offline(monkeypatch, cache):
    """The Hub's client as on a machine without a network, with its cache there."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))


def test_a_named_base_is_read_from_the_hubs_cache_at_its_one_commit(monkeypatch, tmp_path):
    rung = LADDER["smolvlm2-256m"]
    snapshots = tmp_path / f"models--{rung.repo.replace('/', '--')}" / "snapshots"
    models.save("smolvlm", snapshots / rung.revision)
    _offline(monkeypatch, tmp_path)
    vlm = load_vlm("smolvlm2-256m")
    assert vlm.name == "smolvlm2-256m" and vlm.family.kind == "smolvlm" and len(vlm.action_ids) == 256
    (snapshots / rung.revision).rename(snapshots / ("0" * 40))  # another commit is another base
    with pytest.raises(RadliteError, match="connect to the network"):
        load_vlm("smolvlm2-256m")


@pytest.mark.parametrize("name", ["qwen3-vl-2b", "somebody/something"])
def test_a_base_that_is_not_here_says_what_to_do(monkeypatch, tmp_path, name):
    _offline(monkeypatch, tmp_path)
    with pytest.raises(RadliteError, match="connect to the network"):
        load_vlm(name)


@pytest.mark.parametrize("kind", ["mine", "smolvlm"])
def test_code_that_comes_with_a_model_is_never_run(kind, tmp_path, monkeypatch):
    """A configuration that asks for its own class gets none, and nobody is asked whether it may: "y" would be a habit."""
    folder = models.save("smolvlm", tmp_path / "model")
    config, words = (json.loads((folder / f"{name}.json").read_text()) for name in ("config", "tokenizer_config"))
    config |= {"model_type": kind, "auto_map": {"AutoConfig": "mine.Config", "AutoModelForImageTextToText": "mine.Model"}}
    words |= {"auto_map": {"AutoTokenizer": ["mine.Words", "mine.Words"]}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(words))
    classes = "".join(f"class {name}: ...\n" for name in ("Config", "Model", "Words"))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('ran')\n{classes}")
    asked = []
    monkeypatch.setattr("builtins.input", lambda *question: asked.append(question) or "y")
    if kind == "mine":
        with pytest.raises(RadliteError, match="of a family that radlite drives"):
            load_vlm(folder)
    else:  # one of ours needs none of it
        assert load_vlm(folder).family.kind == "smolvlm"
    assert not (tmp_path / "ran").exists() and not asked


def _adapted_layers(model):
    """{name: what lies under it} of all layers with LoRA."""
    return {name: module.base_layer for name, module in model.named_modules() if isinstance(module, LoraLayer)}


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("quantize", [None, "nf4"])
def test_lora_adapts_all_linear_layers_but_the_output_layer_and_nothing_else(kind, quantize, tmp_path):
    if quantize:
        pytest.importorskip("bitsandbytes")
    vlm = load_vlm(models.save(kind, tmp_path), quantize=quantize)
    linear = {name for name, module in vlm.base.named_modules() if isinstance(module, torch.nn.Linear)}  # in four bits as well
    attach_lora(vlm, 4, 4, 0)
    layers = _adapted_layers(vlm.base)
    assert all(isinstance(layer, torch.nn.Linear) for layer in layers.values())
    assert set(layers) == linear - {"lm_head"}


@pytest.mark.parametrize("name", LADDER)
def test_lora_adapts_linear_layers_of_every_rung(name):
    config = architecture(name)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
        linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
        layers = _adapted_layers(with_lora(model, FAMILIES[config.model_type](config, None), 4, [0]).get_base_model())
    assert all(isinstance(layer, torch.nn.Linear) for layer in layers.values()) and set(layers) == linear - {"lm_head"}


@pytest.mark.parametrize("kind", models.KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_what_is_trained_is_float32_and_what_is_frozen_stays_in_sixteen_bits(kind, dtype, tmp_path):
    vlm = load_vlm(models.save(kind, tmp_path, tied=False), dtype)
    attach_lora(vlm, 4, 4, 0)
    kinds = {trained: {p.dtype for p in vlm.model.parameters() if p.requires_grad == trained} for trained in (True, False)}
    assert kinds == {True: {torch.float32}, False: {dtype}}


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", "gpu", "meta", 3.5])
def test_a_device_that_is_not_here_is_told(device, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(RadliteError, match="None takes the best"):
        load_vlm(models.save("smolvlm", tmp_path), device=device)


@pytest.mark.parametrize("name", [None, 3, b"radlite-tiny"])
def test_what_is_no_name_is_told(name):
    with pytest.raises(RadliteError, match="the name of a model"):
        load_vlm(name)


def test_every_process_of_a_launch_has_a_card_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert best_device() == "cuda"
    for rank in (0, 1):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert best_device() == f"cuda:{rank}"
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(RadliteError, match="--num_processes 2"):
        best_device()
