"""The tiny base: its tokenizer, its structured weights, and the wrapper that runs it."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import AutoModelForImageTextToText, AutoTokenizer, PreTrainedTokenizerFast

from radlite import tiny
from radlite.bases import load_vlm, wrap
from radlite.errors import RadliteError
from radlite.reasoning import ACTION_TAG, TAGS

WORDS = ["Put the red can on the plate.", "move forward left", "gripper", "The arm is open."]
CHAIN = (
    " TASK: Put the red can on the plate. PLAN: 1. Move to the can. 2. Grasp it. VISIBLE OBJECTS: a red can"
    " [157, 89, 157, 189], plate [1, 2, 3, 40] SUBTASK REASONING: The gripper at [157, 89] is open, 12 cm"
    " high and 6 cm left, 57 cm back. MOVE: move forward left GRIPPER POSITION: [157, 89, 157, 95, 255, 0]"
    " ACTION:"
)


@pytest.fixture(scope="module")
def tokenizer():
    return tiny.build_tokenizer(WORDS)


@pytest.fixture(scope="module")
def model(tokenizer):
    torch.set_num_threads(1)
    return tiny.build_model(tokenizer, seed=0)


@pytest.fixture(scope="module")
def folder(tokenizer, model, tmp_path_factory):
    path = tmp_path_factory.mktemp("base")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def vlm(folder):
    return load_vlm(folder)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 256, (2, tiny.IMAGE_SIZE, tiny.IMAGE_SIZE, 3), dtype=np.uint8)


def pieces(tokenizer, text):
    return tokenizer.convert_ids_to_tokens(
        tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
    )


# -------------------------------------------------------------------------------------------------- tokenizer
FRAGMENTS = [
    "##",
    "#",
    "12, 34",
    ", ",
    "[",
    "],",
    " 3 cm left",
    " 41 cm up",
    "TASK:",
    "MOVE REASONING:",
    "<a7>",
    "<eos>",
    "1.",
]


@settings(max_examples=300, deadline=None)
@given(
    text=st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(st.characters(max_codepoint=127)))).map(
        "".join
    )
)
def test_ascii_round_trips_byte_for_byte(vlm, text):
    ids = vlm.encode(text)
    assert vlm.decode(ids) == text
    assert not {0, 1, 2, 3, 4, *vlm.action_ids.tolist()} & set(
        ids
    )  # no special, though the text may name one


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_only_other_characters_are_unknown(vlm, text):
    ids = vlm.encode(text)
    assert ids.count(vlm.tokenizer.unk_token_id) == sum(ord(c) > 127 for c in text)
    assert vlm.decode(ids) == "".join(c if ord(c) < 128 else "<unk>" for c in text)


def test_very_long_words_are_spelt(vlm):
    for text in ("a" * 5000, "1" * 5000, " " * 5000, "7, " * 2000, "#" * 5000):
        assert vlm.decode(vlm.encode(text)) == text


def test_a_place_is_an_x_token_and_a_y_token(tokenizer):
    assert pieces(tokenizer, " [157, 89, 0, 255]") == [" [", "157", "##, 89", ", ", "0", "##, 255", "]"]
    for c in range(256):
        assert pieces(tokenizer, f"{c}, {255 - c}") == [str(c), f"##, {255 - c}"]
    for text in (" 12 cans", " 1. Move", " 300", " 7, 8 cm left"):  # a count or a length is no coordinate
        assert not set(pieces(tokenizer, text)) & {str(c) for c in range(10, 256)}


def test_a_length_a_tag_and_an_action_are_one_token_each(tokenizer):
    for n in tiny.CM_VALUES:
        for word in tiny.DIRECTIONS:
            assert pieces(tokenizer, f" {n} cm {word}") == [f" {n} cm {word}"]
    for tag in (*TAGS.values(), ACTION_TAG):
        assert pieces(tokenizer, tag) == [tag] and pieces(tokenizer, f" {tag}") == [f" {tag}"]
    assert pieces(tokenizer, " 6 cm lefty")[0] != " 6 cm left"
    assert (
        len({tokenizer.convert_tokens_to_ids(f"<a{k}>") for k in range(256)} - {tokenizer.unk_token_id})
        == 256
    )


def test_words_of_the_list_are_one_token_and_a_chain_is_short(tokenizer):
    assert pieces(tokenizer, "Put the red can") == ["Put", " the", " red", " can"]
    assert pieces(tokenizer, "What action should the robot take to move")[:3] == [
        "What",
        " action",
        " should",
    ]
    assert pieces(tokenizer, " cat") == [" ", "##c", "##a", "##t"]
    known = tiny.build_tokenizer([CHAIN])
    assert len(pieces(known, CHAIN)) <= 82
    assert "".join(p.removeprefix("##") for p in pieces(known, CHAIN)) == CHAIN


# ------------------------------------------------------------------------------------------------------ model
def test_size_and_widths_fit_four_bit_loading(model, tokenizer):
    assert 3e6 < sum(p.numel() for p in model.parameters()) < 5.2e6
    assert model.config.text_config.vocab_size % 64 == 0 and model.config.text_config.vocab_size >= len(
        tokenizer
    )
    assert model.lm_head.weight is model.get_input_embeddings().weight
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            assert layer.in_features % 64 == 0 and layer.out_features % 64 == 0, name


def test_same_seed_same_weights_and_the_global_generator_is_left_alone(model, tokenizer):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again, other = tiny.build_model(tokenizer, seed=0), tiny.build_model(tokenizer, seed=1)
    assert torch.equal(torch.rand(1), expected)
    for (name, a), b, c in zip(model.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b) and a.isfinite().all(), name
        assert torch.equal(a, c) == (a.std() == 0), name  # only norms and biases are the same for all seeds


def test_neighbouring_numbers_have_neighbouring_rows(model, tokenizer):
    row = {t: model.lm_head.weight[tokenizer.convert_tokens_to_ids(t)].detach() for t in tiny.number_tokens()}
    for form in ("{}", "##, {}", "<a{}>"):
        rows = torch.stack([row[form.format(c)] for c in range(256)])
        nearest = (torch.cdist(rows, rows) + 1e3 * torch.eye(256)).argmin(1)
        assert ((nearest - torch.arange(256)).abs() <= 3).float().mean() > 0.95

    def far(a, b):
        return (row[a] - row[b]).norm()

    assert far(" 6 cm left", " 7 cm left") < 0.8 * far(" 6 cm left", " 20 cm left")
    assert far(" 30 cm left", " 31 cm left") < 0.8 * far(" 30 cm left", " 30 cm right")
    norms = torch.stack(list(row.values())).norm(dim=1)
    ordinary = model.lm_head.weight[tokenizer.convert_tokens_to_ids([" the", " red", "."])].norm(dim=1).mean()
    assert 0.7 < norms.min() / ordinary and norms.max() / ordinary < 1.5


def test_lengths_far_apart_are_unlike_also_mirrored_ones():
    values = torch.arange(-40, 41) / 40
    rows = nn.functional.normalize(tiny.wave_features(values, 24), dim=1)
    alike, apart = rows @ rows.T, (values[:, None] - values).abs() * 40
    near, far = alike[(apart > 0.5) & (apart < 1.5)], alike[apart > 9.5]
    assert near.min() > 0.8 and far.max() < 0.4  # 1 cm apart against 10 cm and more
    mirrored = (rows * rows.flip(0)).sum(1)  # n cm left and n cm right
    assert mirrored[values.abs() * 40 > 2.5].max() < 0.6


def test_renewed_rows_keep_places_words_and_what_a_kind_has_in_common(model, tokenizer):
    rows = model.lm_head.weight.detach()
    trained = rows + torch.randn(rows.shape, generator=torch.Generator().manual_seed(3)) * 0.02
    renewed = tiny.renewed_rows(tokenizer, trained)
    numbers = tiny.number_tokens()
    lengths = tokenizer.convert_tokens_to_ids([t for t, (block, *_) in numbers.items() if block not in "xy"])
    same = torch.ones(len(rows), dtype=torch.bool)
    same[lengths] = False
    assert torch.equal(renewed[same], trained[same]) and (renewed[lengths] != trained[lengths]).any(1).all()
    left = tokenizer.convert_tokens_to_ids([f" {n} cm left" for n in tiny.CM_VALUES])
    behind = slice(tiny.KIND[0], None)
    assert torch.allclose(renewed[left][:, behind], trained[left][:, behind].mean(0).expand(41, -1), atol=1e-6)
    assert tiny.renewed_rows(tokenizer, renewed)[left].isfinite().all()


def test_image_tokens_name_their_place_in_the_words_of_the_coordinates(vlm, tokenizer, frames):
    features = vlm.image_features(vlm.pixel_values(frames)).detach()  # (B, N, D)
    cells = round(features.shape[1] ** 0.5)
    centre = (np.arange(cells) + 0.5) * 256 / cells
    for block, form, truth in (
        ("x", "{}", np.tile(centre, cells)),
        ("y", "##, {}", np.repeat(centre, cells)),
    ):
        channels = slice(*tiny.CHANNELS[block])
        rows = vlm.base.lm_head.weight[
            tokenizer.convert_tokens_to_ids([form.format(c) for c in range(256)])
        ].detach()
        alike = nn.functional.cosine_similarity(features[:, :, None, channels], rows[:, channels], dim=-1)
        assert (np.abs(alike.argmax(-1).numpy() - truth) < 128 / cells).mean() > 0.95


WITHOUT_RADLITE = """
import json, sys, torch
from transformers import AutoModelForImageTextToText, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1]).eval()
given = json.load(open(sys.argv[2]))
text = tokenizer(given["text"], add_special_tokens=False)["input_ids"]
ids = torch.tensor([[tokenizer.bos_token_id] + [model.config.image_token_id] * given["image_tokens"] + text])
side = model.config.vision_config.image_size
pixels = torch.linspace(-1, 1, 3 * side * side).reshape(1, 1, 3, side, side)
with torch.no_grad():
    logits = model(input_ids=ids, pixel_values=pixels).logits[0, -1]
assert not any(name.split(".")[0] == "radlite" for name in sys.modules)
back, kind = tokenizer.decode(text), type(model).__name__
print(json.dumps({"ids": ids.tolist(), "back": back, "class": kind, "logits": logits.tolist()}))
"""


def test_plain_transformers_give_the_same_ids_and_logits(folder, vlm, tmp_path):
    (tmp_path / "given.json").write_text(json.dumps({"text": CHAIN, "image_tokens": vlm.image_tokens}))
    command = [sys.executable, "-I", "-c", WITHOUT_RADLITE, str(folder), str(tmp_path / "given.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    theirs = json.loads(done.stdout.splitlines()[-1])
    ids = torch.tensor([[vlm.tokenizer.bos_token_id, *[vlm.image_token_id] * vlm.image_tokens, *vlm.encode(CHAIN)]])
    pixels = torch.linspace(-1, 1, 3 * vlm.image_size**2).reshape(1, 1, 3, vlm.image_size, vlm.image_size)
    with torch.no_grad():
        ours = vlm.lm_head(vlm.forward(ids, None, pixels))[0, -1]
    assert theirs["ids"] == ids.tolist() and theirs["back"] == CHAIN
    assert theirs["class"] == "SmolVLMForConditionalGeneration"
    torch.testing.assert_close(torch.tensor(theirs["logits"]), ours, atol=1e-4, rtol=1e-3)
    assert not [
        f.name for f in folder.iterdir() if f.suffix not in (".json", ".safetensors")
    ]  # nothing that could run


# ---------------------------------------------------------------------------------------------------- wrapper
def batch_of(vlm, instructions, left=False):
    rows = [vlm.prompt_ids(i) for i in instructions]
    width = max(map(len, rows))
    pads = [[vlm.pad_id] * (width - len(r)) for r in rows]
    ids = torch.tensor([p + r if left else r + p for r, p in zip(rows, pads, strict=True)])
    return ids, (ids != vlm.pad_id).long()


def test_prompt_is_ecots_question_behind_the_picture(vlm):
    assert (
        vlm.prompt_text("Put the Red can on the plate. ")
        == "What action should the robot take to put the red can on the plate?"
    )
    ids = vlm.prompt_ids("Put the red can on the plate")
    assert ids[0] == vlm.tokenizer.bos_token_id and ids[1 : 1 + vlm.image_tokens] == [vlm.image_token_id] * vlm.image_tokens
    assert vlm.decode(ids[1 + vlm.image_tokens :]) == vlm.prompt_text("put the red can on the plate")
    assert vlm.image_tokens == (tiny.IMAGE_SIZE // tiny.PATCH // tiny.SHUFFLE) ** 2


def test_pixels_are_scaled_and_large_frames_averaged(vlm):
    size = vlm.image_size
    grey = np.zeros((2, size, size, 3), np.uint8)
    grey[1] = 255
    x = vlm.pixel_values(grey)
    assert x.shape == (2, 1, 3, size, size) and x.dtype == torch.float32
    assert x[0].unique().tolist() == [-1] and x[1].unique().tolist() == [1]
    large = np.zeros((1, 2 * size, 2 * size, 3), np.uint8)
    large[:, :, size:, 0] = 200  # red on the right half
    x = vlm.pixel_values(large)[0, 0]
    assert x[0, :, -4:].mean() > 0.5 and x[0, :, :4].mean() == -1 and x[1:].mean() == -1
    checks = (np.indices((1, 4 * size, 4 * size)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, -1)
    assert vlm.pixel_values(checks)[..., 8:-8, 8:-8].abs().max() < 0.1  # averaged, not sampled
    mixed = vlm.same_size([large[0], grey[1]])
    assert mixed.shape == (2, size, size, 3) and mixed.dtype == np.uint8 and (mixed[1] == 255).all()
    assert vlm.same_size([large[0], large[0]]).shape == (2, 2 * size, 2 * size, 3)


@pytest.mark.parametrize(
    "bad", [np.zeros((96, 96, 3), np.uint8), np.zeros((1, 96, 96, 3)), np.zeros((1, 96, 96, 4), np.uint8)]
)
def test_other_pictures_are_refused(vlm, bad):
    with pytest.raises(RadliteError, match="uint8"):
        vlm.pixel_values(bad)


@torch.no_grad()
def test_forward_is_the_models_own(vlm, model, frames):
    ids, mask = batch_of(vlm, ["put the red can on the plate", "stop"])
    pixels = vlm.pixel_values(frames)
    hidden = vlm.forward(ids, mask, pixels)
    theirs = model(input_ids=ids, attention_mask=mask, pixel_values=pixels).logits
    torch.testing.assert_close(vlm.lm_head(hidden)[mask.bool()], theirs[mask.bool()], atol=1e-4, rtol=1e-3)
    features = vlm.image_features(pixels)
    assert features.shape == (2, vlm.image_tokens, tiny.WIDTH)
    torch.testing.assert_close(vlm.forward(ids, mask, image_features=features), hidden)
    alone = vlm.forward(ids[1:, : mask[1].sum()], None, pixels[1:])[0]  # no padding, no neighbour
    torch.testing.assert_close(hidden[1, : mask[1].sum()], alone, atol=1e-5, rtol=1e-4)
    zero = torch.zeros_like(pixels)  # the model's own entry would drop it as padding
    assert vlm.image_features(zero).shape == features.shape


@torch.no_grad()
def test_text_alone_and_wrong_counts_of_image_tokens(vlm, frames):
    text = torch.tensor([[vlm.tokenizer.bos_token_id, *vlm.encode(" move forward left")]])
    assert vlm.forward(text, None).shape == (1, text.shape[1], tiny.WIDTH)
    with pytest.raises(RadliteError, match="image tokens"):
        vlm.forward(text, None, vlm.pixel_values(frames[:1]))
    with pytest.raises(RadliteError, match="image tokens"):
        vlm.forward(batch_of(vlm, ["stop"])[0], None)


@torch.no_grad()
def test_decoder_with_cache_and_left_padding_agrees_with_forward(vlm, frames):
    chain = vlm.encode(CHAIN)[:12]
    ids, mask = batch_of(vlm, ["put the red can on the plate", "stop"], left=True)
    decoder = vlm.decoder(ids, mask, vlm.pixel_values(frames), len(chain))
    states = [decoder.start()]
    for t in chain:
        states.append(decoder.step(torch.tensor([[t], [t]]))[:, 0])
        decoder.accept(torch.ones(2, dtype=torch.long))
    for row in range(2):
        whole = torch.tensor([ids[row][mask[row].bool()].tolist() + chain])
        hidden = vlm.forward(whole, None, vlm.pixel_values(frames[row : row + 1]))[0, -len(chain) - 1 :]
        torch.testing.assert_close(torch.stack(states)[:, row], hidden, atol=1e-4, rtol=1e-3)
    with pytest.raises(RadliteError, match="room"):
        decoder.step(torch.tensor([[5], [5]]))


def test_ids_that_a_chain_cannot_hold(vlm):
    never = set(vlm.never_in_text)
    assert never >= {vlm.pad_id, vlm.tokenizer.bos_token_id, vlm.image_token_id, *vlm.action_ids.tolist()}
    assert not never & {vlm.eos_id, *vlm.encode(CHAIN)}
    assert max(never) == vlm.base.config.text_config.vocab_size - 1 or len(vlm.tokenizer) % 64 == 0


def test_lora_trains_all_linears_and_only_the_rows_it_names(folder, frames):
    vlm = load_vlm(folder)
    rows = vlm.lora_token_rows
    linears = {n for n, m in vlm.model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}
    before = vlm.base.get_input_embeddings().weight.detach().clone()
    vlm.model = get_peft_model(
        vlm.model, LoraConfig(r=4, target_modules=vlm.family.lora_targets, trainable_token_indices=rows)
    )
    assert {
        n.removeprefix("base_model.model.") for n, m in vlm.model.named_modules() if hasattr(m, "lora_A")
    } == linears
    ids, mask = batch_of(vlm, ["put the red can on the plate", "stop"])
    optimizer = torch.optim.SGD([p for p in vlm.model.parameters() if p.requires_grad], lr=1.0)
    vlm.lm_head(vlm.forward(ids, mask, vlm.pixel_values(frames))).square().mean().backward()
    optimizer.step()
    after = vlm.model.merge_and_unload().get_input_embeddings().weight
    moved = set((after != before).any(1).nonzero().flatten().tolist())
    assert moved and moved <= set(rows) and moved >= set(vlm.action_ids.tolist())
    assert not {vlm.tokenizer.convert_tokens_to_ids(t) for t in ("157", "##, 89", "<image>")} & set(rows)


# ---------------------------------------------------------------------------------------------------- loading
def test_loading_says_what_is_wrong(folder, tmp_path):
    with pytest.raises(RadliteError, match="radlite-tiny"):
        load_vlm("gpt-9")
    with pytest.raises(RadliteError, match="quantize"):
        load_vlm(folder, quantize="int1")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(RadliteError, match="a whole base"):
        load_vlm(broken)
    (broken / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(RadliteError, match="not of smolvlm or qwen3_vl"):
        load_vlm(broken)


def test_fingerprint_follows_the_weights(folder, vlm, tmp_path):
    assert vlm.sha256 == load_vlm(folder).sha256 and len(vlm.sha256) == 64
    model = AutoModelForImageTextToText.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight[7, 7] += 1
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    assert load_vlm(tmp_path).sha256 != vlm.sha256


def test_a_tokenizer_without_actions_is_refused(model, tokenizer):
    assert wrap(model, tokenizer).action_ids.tolist() == list(range(5, 261))
    words = Tokenizer(WordLevel({"<unk>": 0}, unk_token="<unk>"))
    with pytest.raises(RadliteError, match="action tokens"):
        wrap(model, PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>"))
