"""Numbers as distributions: what is on one scale, and the median that a rare spike does not move."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from radlite.scales import Medians, scales
from radlite.tiny import DIRECTIONS, build_tokenizer, number_tokens

TOKENIZER = build_tokenizer(["red can"])
SIZE = len(TOKENIZER)


def _id(token):
    return TOKENIZER.convert_tokens_to_ids(token)


def _medians():
    return Medians(scales(TOKENIZER), SIZE, torch.device("cpu"))


def test_scales_hold_every_number_once_and_in_order():
    values = number_tokens()
    found = [TOKENIZER.convert_ids_to_tokens(ids.tolist()) for ids in scales(TOKENIZER)]
    every = [token for row in found for token in row]
    assert len(found) == 7 and len(every) == len(set(every))
    assert {t for t in values if not t.startswith("<a")} - set(every) == {
        f" 0 cm {word}" for word, (_, sign) in DIRECTIONS.items() if sign < 0
    }
    for row in found:
        numbers = [values[token][2] for token in row]
        assert numbers == sorted(set(numbers)) and len({values[token][0] for token in row}) == 1


def test_a_sharp_zero_beside_a_broad_belief_is_not_chosen():
    logits = torch.full((1, SIZE), -20.0)
    logits[0, _id(" 0 cm forward")] = 1.0  # the most likely single token
    for n in range(20, 27):
        logits[0, _id(f" {n} cm forward")] = 0.5
    greedy = logits.argmax(-1)
    assert greedy.item() == _id(" 0 cm forward")
    assert _medians()(greedy, logits).item() in {_id(f" {n} cm forward") for n in (22, 23)}


def test_words_and_actions_stay_as_they_are():
    ids = torch.tensor([_id("<a7>"), _id(" red"), TOKENIZER.eos_token_id])
    logits = torch.nn.functional.one_hot(ids, SIZE) * 9.0
    assert torch.equal(_medians()(ids, logits), ids)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 6), st.integers(0, 10_000))
def test_half_of_the_belief_lies_on_either_side(which, seed):
    ids = scales(TOKENIZER)[which]
    logits = torch.full((2, SIZE), -1e4)
    logits[:, ids] = torch.randn((2, len(ids)), generator=torch.Generator().manual_seed(seed)) * 3
    greedy = logits.argmax(-1)
    for row, token in enumerate(_medians()(greedy, logits).tolist()):
        at, belief = ids.tolist().index(token), logits[row, ids].softmax(-1)
        assert belief[:at].sum() <= 0.5 + 1e-5 and belief[at + 1 :].sum() <= 0.5 + 1e-5


def test_a_tokenizer_that_spells_its_numbers_has_no_scales():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, "<unk>")))
    assert scales(plain) == []
    medians = Medians(scales(plain), 2, torch.device("cpu"))
    assert medians(torch.tensor([1]), torch.zeros(1, 2)).item() == pytest.approx(1)
