"""The narrator that asks an OpenAI-compatible server: vLLM on a machine of yours, or a service such as Gemini's.

A question is POST {base}/chat/completions with the text and the contact sheet as a data URL. The key is read from the environment
at each question and kept nowhere. What a clip will cost can be told before anything is sent (`estimate`).
"""

from __future__ import annotations

import base64
import hashlib
import io
import ipaddress
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

import numpy as np
from PIL import Image

from radlite.annotate.dialogue import MAX_TOKENS, Reply, Turn, narrate_by, opening
from radlite.annotate.narrator import Evidence
from radlite.annotate.prompt import SIDE, moves_of, shown
from radlite.annotate.transport import Address, Limits, post
from radlite.errors import RadliteError
from radlite.escape import quoted
from radlite.reasoning import Reasoning

KEY, OPENAI_KEY, OPENAI_HOST = "RADLITE_API_KEY", "OPENAI_API_KEY", "api.openai.com"


@dataclass(frozen=True)
class Endpoint:
    """A narrator (`Narrator`) behind an OpenAI-compatible server.

    Args:
        base: address up to the version, such as "http://localhost:8000/v1".
        model: the server's name for the model, which has to see pictures.
        key: the environment variable that holds the key. By default RADLITE_API_KEY; for api.openai.com, and for nobody else,
            OPENAI_API_KEY where that one is not set.
        max_tokens: of an answer.
        limits: of time and tries.
        insecure: allow http to a host that is not this machine: who is in between reads clip and key.
        extra: more fields of the request, or others in place of ours; None takes one out, as in
            {"max_tokens": None, "max_completion_tokens": 4096}.

    Raises:
        RadliteError: an address that cannot be used.
    """

    base: str
    model: str
    key: str | None = None
    max_tokens: int = MAX_TOKENS
    limits: Limits = Limits()
    insecure: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_address(self.base, self.insecure)

    @property
    def identity(self) -> str:
        """What answers depend on; no key, nor anything of `extra` that could be one, can be read from it."""
        extra = hashlib.sha256(repr(sorted(self.extra.items())).encode()).hexdigest()[:12]
        return f"{self.model} at {self.base}, {self.max_tokens} tokens, {extra}"

    def narrate(self, evidence: Evidence) -> list[Reasoning]:
        """The T chains of a clip.

        Raises:
            RadliteError: no key, no answer within the limits, or two answers that cannot be used.
        """
        return narrate_by(self.ask, evidence)

    def ask(self, turns: list[Turn], picture: np.ndarray) -> Reply:
        """One question: turns of text, the picture with the first of the user's."""
        url = checked_address(self.base, self.insecure)
        fields = {"model": self.model, "messages": _messages(turns, picture), "temperature": 0, "max_tokens": self.max_tokens}
        fields = {name: value for name, value in {**fields, **self.extra}.items() if value is not None}
        address = Address(url, key_for(url.hostname, self.key))
        reply = _reply(post(address, json.dumps(fields).encode(), self.limits), address)
        return Reply(address.hidden(reply.text), reply.whole)  # JSON may have spelt the key otherwise


def key_for(host: str, name: str | None = None) -> str:
    """The key for a host from the environment variable of that name, or from the usual ones; "" for this machine without one.

    Raises:
        RadliteError: none, or one that no header can hold.
    """
    names = [name] if name else [KEY, *([OPENAI_KEY] if host == OPENAI_HOST else [])]
    found = next((n for n in names if os.environ.get(n, "").strip()), None)
    if found is None:
        if name or not _local(host):
            raise RadliteError(f"the key for {host} in {' or '.join(names)}", "nothing there", f"export {names[0]}=...")
        return ""
    key = os.environ[found].strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise RadliteError(f"a key of letters, digits and signs in {found}", "other characters in it", "copy the key anew")
    return key


def checked_address(base: str, insecure: bool = False) -> SplitResult:
    """Where questions go: {base}/chat/completions.

    Raises:
        RadliteError: an address that cannot be used, or could hold a key, which the message does not repeat; or http to a host
            that is not this machine.
    """
    fix = "give it as https://host/v1, or http://localhost:8000/v1; a key belongs in the environment"
    try:
        url = urlsplit(base.rstrip("/") + "/chat/completions")
        usable = url.scheme in ("http", "https") and url.hostname and url.port != 0 and url.hostname.encode("idna")
    except ValueError:
        usable = False
    plain, signs = re.fullmatch(r"[\x21-\x7e]+", base), [sign for sign in "@?#\\" if sign in base]
    if not (usable and plain) or signs:
        # what stands before an @, or behind a ?, may be a key, and no cut is safe: either sign may stand in a password
        found = f"one with {' and '.join(signs)} in it, which is not repeated here" if signs else quoted(base)
        raise RadliteError("an address without user, query and fragment", found, fix)
    if url.scheme == "http" and not (insecure or _local(url.hostname)):
        found = f"http to {url.hostname}, where others can read clip and key"
        raise RadliteError("https to a host that is not this machine", found, "use https, or allow http for it explicitly")
    return url


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _messages(turns: list[Turn], picture: np.ndarray) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = [{"role": turn.role, "content": turn.text} for turn in turns]
    asked = next(m for m in messages if m["role"] == "user")
    image = {"type": "image_url", "image_url": {"url": _data_url(picture)}}
    asked["content"] = [{"type": "text", "text": asked["content"]}, image]
    return messages


def _data_url(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _reply(text: str, address: Address) -> Reply:
    """The answer within the server's JSON; an empty one is "", which the dialogue refuses."""
    try:
        choice = json.loads(text)["choices"][0]
        content = choice["message"].get("content") or ""
        if not isinstance(content, str):
            raise TypeError("content that is no text")
        return Reply(content, choice.get("finish_reason") != "length")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        expected = f"a chat completion from {address.name}"
        raise RadliteError(expected, quoted(text), "check that the address is an OpenAI-compatible one") from None


# -------------------------------------------------------------------------------------------------------- the cost
@dataclass(frozen=True)
class Cost:
    """Tokens and money of one clip, estimated on the high side; `money` in the currency of the prices."""

    tokens_in: int
    tokens_out: int
    money: float

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out, self.money + other.money)


def estimate(evidence: Evidence, price_in: float = 0.0, price_out: float = 0.0) -> Cost:
    """What narrating a clip costs if the first answer can be used; a second one costs about as much again.

    Nothing is sent, and no tokenizer is asked: a token is taken for three bytes of text, and for 28 x 28 pixels of the picture
    (services differ; 768 x 768 pixels are 784 here). Tokens that a model thinks in are not known beforehand.

    Args:
        price_in, price_out: money for a million tokens.
    """
    for price in (price_in, price_out):
        if not (math.isfinite(price) and price >= 0):
            raise RadliteError("prices of 0 or more for a million tokens", f"{price}", "take them from the service's list")
    said = sum(math.ceil(len(turn.text.encode()) / 3) for turn in opening(evidence))
    frames, moves = len(shown(evidence)), len(moves_of(evidence))
    columns = min(3, frames)
    picture = math.ceil(SIDE * columns / 28) * math.ceil(SIDE * -(-frames // columns) / 28)
    # of JSON around sentences of about twenty words: a plan, six segments, and a reason for each movement
    written = 100 + 75 * min(6, len(evidence)) + 35 * moves
    return Cost(said + picture, written, ((said + picture) * price_in + written * price_out) / 1e6)
