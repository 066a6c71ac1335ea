"""The embedded base: a real SmolVLM of about 4 M parameters, with a tokenizer in which a number is a place.

A small model does not learn from text alone that "157" lies between "156" and "158". So here a coordinate,
a distance and an action bin are one token each, and the (tied) embedding row of such a token starts from
features of its value: a ramp, a square and sine/cosine waves. The position table of the vision tower starts
from the same waves in the same channels and the connector starts by passing them on, so an image token says
where it is in the words in which the decoder must answer. All of it is ordinary weights of an ordinary
`transformers` class, trained afterwards; nothing here runs at inference.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMForConditionalGeneration

from radlite.actions import BINS
from radlite.reasoning import ACTION_TAG, FRAME_SIZE, TAGS
from radlite.scales import CM_VALUES
from radlite.vlm import PROMPT, action_token

SPECIALS = ("<pad>", "<bos>", "<eos>", "<unk>", "<image>")
DIRECTIONS = {  # word -> (axis, sign); axes as in Bridge: x forward, y left, z up
    "left": ("lateral", 1), "right": ("lateral", -1), "forward": ("depth", 1), "back": ("depth", -1),
    "up": ("height", 1), "down": ("height", -1), "above": ("height", 1), "below": ("height", -1),
    "high": ("height", 1),
}  # fmt: skip

WIDTH, HEADS = 192, 3  # of both towers; heads of 64 are a fifth faster on a CPU than heads of 32
# 12x12 patches, each its own image token: four patches in one token (SHUFFLE 2) hid which of two things a name meant
IMAGE_SIZE, PATCH, SHUFFLE = 96, 8, 1
IMAGE_TOKENS = (IMAGE_SIZE // PATCH // SHUFFLE) ** 2
STD = 0.04  # of ordinary weights: 0.55 / sqrt(WIDTH), the ratio that GPT-2's 0.02 has at 768
CHANNELS = {  # which channels of the 192 start with features of which quantity
    "x": (0, 32), "y": (32, 64),
    "lateral": (64, 88), "depth": (88, 112), "height": (112, 136), "action": (136, 160),
}  # fmt: skip
KIND = (160, WIDTH)  # a random vector per kind of number: one direction of the output says "an x comes now"


# -------------------------------------------------------------------------------------------------- tokenizer
def number_tokens() -> dict[str, tuple[str, str, float]]:
    """Every token that is a number -> (channel block, kind, value in [-1, 1]).

    A coordinate c of the 256-pixel frame stands for the middle of its pixel, (c + 0.5) / 128 - 1. In "[157,
    89" the token of x is "157" and that of y ", 89", so that the two never share a row.
    """
    tokens = {}
    for c in range(FRAME_SIZE):
        tokens[str(c)] = ("x", "x", (2 * c + 1) / FRAME_SIZE - 1)
        tokens[f"##, {c}"] = ("y", "y", (2 * c + 1) / FRAME_SIZE - 1)
    for word, (axis, sign) in DIRECTIONS.items():
        tokens |= {f" {n} cm {word}": (axis, word, sign * n / CM_VALUES[-1]) for n in CM_VALUES}
    tokens |= {action_token(k): ("action", "action", (2 * k + 1) / BINS - 1) for k in range(BINS)}
    return tokens


def _tags() -> list[str]:
    """Tags, longest first so that "SUBTASK REASONING:" wins over "SUBTASK:"."""
    return sorted((*TAGS.values(), ACTION_TAG), key=len, reverse=True)


def _pattern() -> str:
    """The regex that cuts text into words. Runs are bounded, so that no input makes WordPiece quadratic."""
    return "|".join(
        (
            " ?(?:" + "|".join(map(re.escape, _tags())) + ")",
            r" ?[0-9]{1,9} cm (?:" + "|".join(DIRECTIONS) + r")(?![A-Za-z])",
            r" ?[0-9]{1,2}\.(?![0-9])",  # "1." of a plan
            r"[0-9]{1,9}, [0-9]{1,9}",  # a place: x token, y token
            r", (?=[0-9]+, [0-9])",  # between two places
            r" [0-9]{1,9}(?![0-9]*, [0-9])",  # any other number, spelt, so that x tokens stay coordinates
            r" ?\[",
            r"\],?",
            r" ?[A-Za-z]{1,64}",
            r"[\s\S]",
        )
    )


def _words(texts: Iterable[str]) -> list[str]:
    """Words of the texts in the form in which they occur, and each with a leading space as well; sorted."""
    split = pre_tokenizers.Split(Regex(_pattern()), "isolated")
    found = {piece for text in texts for piece, _ in split.pre_tokenize_str(text)}
    found = {word for word in found if re.fullmatch(r" ?[A-Za-z]+", word)}
    return sorted(found | {" " + word.lstrip(" ") for word in found})


def build_vocabulary(words: Iterable[str]) -> list[str]:
    """All tokens in the order of their ids: specials, action bins, other numbers, tags, characters, words."""
    characters = [chr(c) for c in range(128)]
    inside = [
        c for c in characters if re.match(r"[A-Za-z0-9 :,.\]]", c)
    ]  # what a word of two or more characters may hold
    tags = [space + tag for tag in _tags() for space in ("", " ")]
    glue = [", ", " [", "],", *(f" {n}." for n in range(1, 10)), *(f"{n}." for n in range(1, 10))]
    actions = [action_token(k) for k in range(BINS)]
    spelling = [*characters, *("##" + c for c in inside)]
    every = [
        *SPECIALS,
        *actions,
        *number_tokens(),
        *tags,
        *glue,
        *spelling,
        *_words([PROMPT.format(instruction=""), *words]),
    ]
    return list(dict.fromkeys(every))


def build_tokenizer(words: Iterable[str]) -> PreTrainedTokenizerFast:
    """A standard fast tokenizer that gives ASCII text back byte for byte; any other character is <unk>.

    Args:
        words: words or whole sentences of which every word becomes one token; all other words are spelt.
    """
    vocabulary = {token: i for i, token in enumerate(build_vocabulary(words))}
    tokenizer = Tokenizer(
        models.WordPiece(
            vocabulary, unk_token="<unk>", continuing_subword_prefix="##", max_input_chars_per_word=256
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(_pattern()), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(Regex("^##"), ""), decoders.Fuse()])
    special = [*SPECIALS, *(action_token(k) for k in range(BINS))]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
        padding_side="right",
    )


# ------------------------------------------------------------------------------------------------------ model
def build_config(tokenizer: PreTrainedTokenizerFast) -> SmolVLMConfig:
    """The tiny SmolVLM. Linear widths are multiples of 64, as 4-bit loading needs."""
    bos, eos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    vision = {
        "hidden_size": WIDTH, "intermediate_size": 512, "num_hidden_layers": 4, "num_attention_heads": HEADS,
        "image_size": IMAGE_SIZE, "patch_size": PATCH, "initializer_range": STD,
    }  # fmt: skip
    text = {
        "model_type": "llama", "vocab_size": math.ceil(len(tokenizer) / 64) * 64,
        "hidden_size": WIDTH, "intermediate_size": 512,
        "num_hidden_layers": 5, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "head_dim": WIDTH // HEADS, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
        "initializer_range": STD, "tie_word_embeddings": True,
        "bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad,
    }  # fmt: skip
    return SmolVLMConfig(
        vision_config=vision, text_config=text, scale_factor=SHUFFLE, tie_word_embeddings=True,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        bos_token_id=bos, eos_token_id=eos, pad_token_id=pad, initializer_range=STD,
    )  # fmt: skip


def wave_features(v: Tensor, channels: int, extent: float = 0.0) -> Tensor:
    """Features of values in [-1, 1], averaged over a window of width `extent`: (N,) -> (N, channels).

    [v, v^2, a sin(pi f v)..., a cos(pi f v)...] with f geometric from 0.5: up to 64 and a = 1 for a place (32 channels); up to
    16 and a falling with f for a length or an action, whose likeness then falls with the distance of two values. (Waves of
    0.5, 1, 2, 4... 32 made 20 cm left nearly as like 20 cm right as 21 cm left: on a grid of 1/40 those from 4 on all return
    every 20 cm.) Over a window a wave shrinks by sinc(f * extent / 2): a patch must not claim to know more than its width.
    """
    count = (channels - 2) // 2
    top, fall = (64.0, 0.0) if channels >= 32 else (16.0, 0.1)
    f = 0.5 * (top / 0.5) ** (torch.arange(count) / (count - 1))  # (F,)
    a = f**-fall
    a = a * (count / (a**2).sum()) ** 0.5
    phase = math.pi * v[:, None] * f  # (N, F)
    shrink = torch.sinc(f * extent / 2) * a
    return torch.cat([v[:, None], v[:, None] ** 2, phase.sin() * shrink, phase.cos() * shrink], dim=1)


def embedding_rows(tokenizer: PreTrainedTokenizerFast, rows: Tensor, generator: torch.Generator) -> Tensor:
    """Ordinary embedding rows (V, D) with those of numbers replaced by features of about the same norm."""
    rows, norm = rows.clone(), STD * WIDTH**0.5
    numbers = number_tokens()
    names = dict.fromkeys(kind for _, kind, _ in numbers.values())
    kinds = {kind: torch.randn(KIND[1] - KIND[0], generator=generator) for kind in names}
    for token, (block, kind, value) in numbers.items():
        (lo, hi), row = CHANNELS[block], torch.randn(WIDTH, generator=generator) * STD * 0.1
        row[lo:hi] += wave_features(torch.tensor([value]), hi - lo)[0] * feature_scale(hi - lo)
        row[KIND[0] : KIND[1]] += 0.5 * norm * kinds[kind] / kinds[kind].norm()
        rows[tokenizer.convert_tokens_to_ids(token)] = row
    return rows


def renewed_rows(tokenizer: PreTrainedTokenizerFast, rows: Tensor) -> Tensor:
    """Rows (V, D) of a trained base in which lengths and actions get their features anew, around the mean of their kind.

    For a base that learnt with other features: what all lengths of a kind have in common is kept.
    """
    rows, kinds = rows.clone(), {}
    for token, (block, kind, value) in number_tokens().items():
        if block not in ("x", "y"):
            kinds.setdefault((block, kind), []).append((tokenizer.convert_tokens_to_ids(token), value))
    for (block, _), members in kinds.items():
        (lo, hi), (ids, values) = CHANNELS[block], zip(*members, strict=True)
        ids = list(ids)
        rows[ids] = rows[ids].mean(0)
        rows[ids, lo:hi] += wave_features(torch.tensor(values), hi - lo) * feature_scale(hi - lo)
    return rows


def feature_scale(channels: int) -> float:
    """Amplitude at which wave features of that many channels have the norm of an ordinary embedding row."""
    return STD * WIDTH**0.5 / ((channels - 2) / 2) ** 0.5


def position_table(rows: Tensor, amplitude: float = 0.5) -> Tensor:
    """Vision position table (P, D) that says in channels x and y where each patch is, in [-1, 1]."""
    side = IMAGE_SIZE // PATCH
    centre = (2 * torch.arange(side) + 1) / side - 1  # (side,)
    rows = rows * 0.1
    for block, values in (("x", centre.repeat(side)), ("y", centre.repeat_interleave(side))):
        lo, hi = CHANNELS[block]
        rows[:, lo:hi] = amplitude * wave_features(values, hi - lo, extent=2 / side)
    return rows


def connector_weight(generator: torch.Generator) -> Tensor:
    """Connector (D, SHUFFLE^2 D): passes every channel on, the places' at the size of the coordinate tokens."""
    places = CHANNELS["y"][1]
    weight = torch.randn(WIDTH, SHUFFLE**2, WIDTH, generator=generator) * STD * 0.1
    weight[:places] *= 0.1
    index = torch.arange(WIDTH)
    weight[index, :, index] += torch.where(index < places, feature_scale(32), 1.5 * STD)[:, None] / SHUFFLE**2
    return weight.reshape(WIDTH, -1)


def _look_alike(attention: torch.nn.Module, generator: torch.Generator) -> None:
    """Lets one head start by looking at what is like the asking token and copying its place: "where is the red can?".

    Queries and keys are the same projection of the content channels, on the slow half of the rotary frequencies, where
    distance in the text hardly counts; values are the place channels, handed on to the place channels.
    """
    size, places = WIDTH // HEADS, CHANNELS["y"][1]
    rows = slice(size * (HEADS - 1), size * HEADS)
    slow = [i for i in range(size) if i % (size // 2) >= size // 4]
    project = torch.zeros(size, WIDTH)
    project[slow, places:] = torch.randn(len(slow), WIDTH - places, generator=generator) * 1.5 / (WIDTH - places) ** 0.5
    attention.q_proj.weight[rows] = project
    attention.k_proj.weight[rows] = project
    attention.v_proj.weight[rows] = torch.eye(size, WIDTH)
    attention.o_proj.weight[:, rows] = 0.5 * torch.eye(WIDTH, size)


def _patch_weight(weight: Tensor, generator: torch.Generator) -> Tensor:
    """Patch convolution (D, 3, P, P) that keeps variance and hardly touches the place channels."""
    weight = torch.randn(weight.shape, generator=generator) / weight[0].numel() ** 0.5
    weight[: CHANNELS["y"][1]] *= 0.1
    return weight


@torch.no_grad()
def build_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> SmolVLMForConditionalGeneration:
    """The untrained tiny base, float32, on the CPU; the same weights for the same tokenizer and seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SmolVLMForConditionalGeneration(build_config(tokenizer))
    generator = torch.Generator().manual_seed(seed)
    vision, text = model.model.vision_model, model.model.text_model
    for layers, names in (
        (vision.encoder.layers, ("out_proj", "fc2")),
        (text.layers, ("o_proj", "down_proj")),
    ):
        for name, weight in layers.named_parameters():
            if name.split(".")[-2] in names and name.endswith("weight"):
                weight /= (2 * len(layers)) ** 0.5  # residual branches add up
    for layer in text.layers[1:4]:
        _look_alike(layer.self_attn, generator)
    text.embed_tokens.weight.copy_(embedding_rows(tokenizer, text.embed_tokens.weight, generator))
    vision.embeddings.position_embedding.weight.copy_(
        position_table(vision.embeddings.position_embedding.weight)
    )
    patch = vision.embeddings.patch_embedding.weight
    patch.copy_(_patch_weight(patch, generator))
    model.model.connector.modality_projection.proj.weight.copy_(connector_weight(generator))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model.eval()
