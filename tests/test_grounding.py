"""Grounding DINO, really run: a random model of a few thousand weights, made here and loaded from a folder."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    SwinConfig,
)

from radlite.annotate.grounding import REVISIONS, GroundingDino, _query, _text
from radlite.errors import RadliteError

WORDS = "a an red blue green white can plate tape mug bowl drawer ##s ' -".split()


def tokenizer():
    """WordPiece over a few words and letters, special tokens at BERT's numbers, which the model's masks rely on."""
    special = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    letters = [p + c for c in "abcdefghijklmnopqrstuvwxyz0123456789" for p in ("", "##")]
    rest = iter([*WORDS, *(c for c in letters if c not in WORDS)])
    vocab = {special.get(k) or next(rest, f"[unused{k}]"): k for k in range(1030)}
    return BertTokenizerFast(vocab=vocab, do_lower_case=True)


def save(folder):
    torch.manual_seed(0)
    vision = SwinConfig(image_size=64, patch_size=4, embed_dim=12, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 2], window_size=2,
                        out_indices=[2, 3, 4])  # fmt: skip
    text = BertConfig(vocab_size=1030, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    config = GroundingDinoConfig(
        backbone_config=vision, text_config=text, d_model=32, num_queries=20, encoder_layers=1, decoder_layers=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2, max_text_len=64,
        disable_custom_kernels=True, init_std=0.5,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).eval().save_pretrained(folder)
    images = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(images, tokenizer()).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save(tmp_path_factory.mktemp("dino"))


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(5)]


@pytest.fixture(scope="module")
def dino(folder):
    """Without thresholds: everything that the model proposes."""
    return GroundingDino(folder, 0.0, 0.0, device="cpu", batch=4)


def numbers(found):
    return np.array([[*f.box, f.score] for f in found]), [f.name for f in found]


def same(one, other):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        (left, names), (right, others) = numbers(a), numbers(b)
        assert names == others
        np.testing.assert_allclose(left, right, atol=1e-4)


# ------------------------------------------------------------------------------------------------ the real thing
def test_it_says_what_transformers_says(folder, dino, pictures):
    """Boxes are those of the processor's own post-processing, scores those of the words' tokens."""
    processor = GroundingDinoProcessor.from_pretrained(folder)
    model = GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=pictures[0], text="a red can. a plate.", return_tensors="pt")
    words = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    assert words == "[CLS] a red can . a plate . [SEP]".split()
    with torch.inference_mode():
        said = model(**inputs)
    [theirs] = processor.post_process_grounded_object_detection(said, threshold=0.0, text_threshold=0.0)
    fits = said.logits[0].sigmoid().numpy()
    expected = {"Red can": fits[:, [2, 3]].max(1), "plate": fits[:, 6]}
    [found] = dino.detect(pictures[:1], ["Red can", "plate"])
    assert len(found) > 5
    boxes = theirs["boxes"].clamp(0, 1).numpy()
    for thing in found:
        query = np.abs(boxes - thing.box).max(1).argmin()
        np.testing.assert_allclose(thing.box, boxes[query], atol=1e-4)
        assert thing.score == pytest.approx(expected[thing.name][query], abs=1e-4)
    scores = [f.score for f in found]
    assert scores == sorted(scores, reverse=True)
    some = GroundingDino(folder, float(np.median(scores)), 0.0, device="cpu").detect(pictures[:1], ["Red can", "plate"])
    same(some, [[f for f in found if f.score > np.median(scores)]])


def test_batches_are_single_pictures(folder, dino, pictures):
    """Also where sizes change on the way."""
    mixed = [*pictures[:3], pictures[3][:32], pictures[4]]
    single = [dino.detect([p], ["can", "blue tape"])[0] for p in mixed]
    same(dino.detect(iter(mixed), ["can", "blue tape"]), single)
    assert not np.allclose(numbers(single[0])[0][:5], numbers(single[1])[0][:5], atol=1e-4)  # pictures matter


def test_names_that_do_not_fit_into_one_text_get_several(dino, pictures):
    names = [f"{colour} {thing} {n}" for colour in ("red", "blue") for thing in ("can", "mug", "plate") for n in "12345"]
    prompts = dino._prompts(names)
    assert len(prompts) > 1 and [name for _, part in prompts for name, _ in part] == names
    assert all(tokens["input_ids"].shape[1] <= 64 for tokens, _ in prompts)
    for tokens, part in prompts:
        for name, places in part:
            assert dino._loaded[1].decode(tokens["input_ids"][0, places]) == name
    assert len({f.name for f in dino.detect(pictures[:1], names)[0]}) > 1


def test_nothing_asked_nothing_loaded(tmp_path, pictures):
    assert GroundingDino(tmp_path / "none").detect(pictures, []) == [()] * 5


# ------------------------------------------------------------------------------------------------ names
CAN, TAPE, PLATE = "red can", "blue tape", "blue plate"  # places 2 3, 6 7, 10 11 of "[CLS] a red can. a blue tape. a blue plate."


def named(fits, box=(0.5, 0.5, 0.2, 0.4)):
    """The names of boxes for which some places of the text fit by so much."""
    rows = np.zeros((len(fits), 64), np.float32)
    for row, fit in zip(rows, fits, strict=True):
        row[list(fit)] = list(fit.values())
    names = [(name, np.isin(np.arange(14), places)) for name, places in ((CAN, (2, 3)), (TAPE, (6, 7)), (PLATE, (10, 11)))]
    found = GroundingDino("unused")._named(rows, np.tile(box, (len(fits), 1)).astype(np.float32), names)
    return [(f.name, round(f.score, 3)) for f in found]


def test_a_box_gets_the_name_that_most_tokens_fit():
    assert named([{2: 0.5, 3: 0.4}]) == [(CAN, 0.5)]
    assert named([{3: 0.5}]) == [(CAN, 0.5)]  # a part of it
    assert named([{6: 0.4, 10: 0.5}]) == [(PLATE, 0.5)]  # "blue" of both: the one that fits better
    assert named([{6: 0.35, 7: 0.4, 10: 0.5}]) == [(TAPE, 0.4)]  # more of it
    assert named([{2: 0.35, 3: 0.25, 6: 0.34}]) == [(CAN, 0.35)]


def test_a_box_without_a_name_or_a_shape_is_dropped():
    assert named([{1: 0.9, 4: 0.8, 12: 0.9}]) == []  # articles and full stops
    assert named([{2: 0.29, 3: 0.29}]) == []  # below the threshold of boxes
    assert named([{2: np.nan}]) == [] and named([{2: 0.9}], (np.nan, 0.5, 0.1, 0.1)) == []
    assert named([{2: 0.9}], (1.5, 0.5, 0.1, 0.1)) == []  # outside the picture
    assert len(named([{2: 0.9}, {}, {7: 0.9}])) == 2


def test_the_whole_of_a_short_name_is_more_than_a_part_of_a_long_one():
    names = [("red can", np.array([0, 1, 1, 0], bool)), ("plate", np.array([0, 0, 0, 1], bool))]
    [found] = GroundingDino("unused")._named(np.array([[0, 0.5, 0.1, 0.4]]), np.full((1, 4), 0.5), names)
    assert (found.name, found.score) == ("plate", 0.4)


def test_a_box_is_cut_at_the_picture():
    names = [("can", np.array([True]))]
    [found] = GroundingDino("unused")._named(np.ones((1, 64)), np.array([[0.0, 0.5, 0.5, 0.5]]), names)
    assert found.box == (0, 0.25, 0.25, 0.75)


@given(st.lists(st.text("ab .?-'é罐A9", max_size=12), min_size=1, max_size=4))
@settings(max_examples=40)
def test_the_text_is_lower_case_with_full_stops_and_says_where_each_name_is(names):
    queries = [_query(f"can {name}") for name in names]
    text, spans = _text(queries)
    assert [text[a:b] for a, b in spans] == queries
    assert text == text.lower() and text.endswith(".") and text.count(".") == len(names) and "?" not in text


def test_a_name_is_asked_for_as_words():
    assert _text([_query("The Red can"), _query("orange. ball?")])[0] == "a red can. an orange ball."


@pytest.mark.parametrize("names", [["can", "Can"], ["can", "the can"], ["?!"], ["[SEP] can"], ["a\nb"], [""]])
def test_names_that_cannot_be_asked_for(dino, pictures, names):
    with pytest.raises(RadliteError, match="name"):
        dino.detect(pictures[:1], names)


# ------------------------------------------------------------------------------------------------ what goes wrong
def test_without_network_it_says_how_to_get_the_weights(pictures, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RadliteError, match="connect to the network once.*--objects FILE.*--objects none") as error:
        GroundingDino("nobody/has-this").detect(pictures[:1], ["can"])
    assert "nobody/has-this" in error.value.expected


def test_the_default_is_one_commit():
    assert GroundingDino().revision == REVISIONS[GroundingDino().model] and len(GroundingDino().revision) == 40
    assert GroundingDino(revision="main").revision == "main" and GroundingDino("owner/other").revision is None


def test_the_identity_is_that_of_the_weights_and_thresholds(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    told = {GroundingDino(folder).identity, GroundingDino(folder, 0.4).identity, GroundingDino(other).identity}
    assert len(told) == 3 and GroundingDino(folder).identity in told
    assert REVISIONS[GroundingDino().model] in GroundingDino().identity


def test_weights_come_from_safetensors_only(folder, pictures, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "broken")
    weights = broken / "model.safetensors"
    torch.save({}, broken / "pytorch_model.bin")
    weights.write_bytes(weights.read_bytes()[:1000])
    for _ in range(2):
        with pytest.raises(RadliteError, match="a whole Grounding DINO.*--objects FILE"):
            GroundingDino(broken, device="cpu").detect(pictures[:1], ["can"])
        weights.unlink(missing_ok=True)


def test_another_kind_of_model_is_refused(pictures, tmp_path):
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(RadliteError, match="grounding-dino.*bert"):
        GroundingDino(tmp_path).detect(pictures[:1], ["can"])
    with pytest.raises(RadliteError, match="config.json"):
        GroundingDino(tmp_path / "none").detect(pictures[:1], ["can"])


@pytest.mark.parametrize("picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), None])
def test_what_is_no_picture(dino, picture):
    with pytest.raises(RadliteError, match="uint8"):
        dino.detect([picture], ["can"])


@pytest.mark.parametrize("wrong", [{"box_threshold": 2}, {"text_threshold": -1}, {"batch": 0}, {"box_threshold": float("nan")}])
def test_what_makes_no_sense(wrong):
    with pytest.raises(RadliteError, match="thresholds"):
        GroundingDino(**wrong)
