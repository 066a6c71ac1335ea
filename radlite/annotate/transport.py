"""One question over HTTP to a server that may be slow, busy, broken or hostile, with a key that must reach nobody else.

What holds whatever the server does: the time of one try and of all together, the size of an answer, and where the key goes. It
is sent in one header to the address that was given; a redirect is an error and is not followed; and it is cut out of every text
that comes from the server before anybody sees it.
"""

from __future__ import annotations

import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLCertVerificationError
from urllib.parse import SplitResult

from radlite.errors import RadliteError
from radlite.escape import quoted

MOST_REPLY = 1 << 20  # bytes of an answer; one of 4096 tokens has about 20 thousand
BUSY = (408, 429, 500, 502, 503, 504)  # worth another try


@dataclass(frozen=True)
class Limits:
    """What one question may take.

    Args:
        timeout: seconds for one try.
        budget: seconds for all tries together, waiting included.
        tries: how often it is sent at most; each that reached the model may be charged for.
    """

    timeout: float = 120.0
    budget: float = 300.0
    tries: int = 5


@dataclass(frozen=True)
class Address:
    """Where to send to, and the key, which no repr shows."""

    url: SplitResult
    key: str = field(default="", repr=False)

    @property
    def name(self) -> str:
        """The server's name and port, for messages."""
        return self.url.netloc

    def hidden(self, text: str) -> str:
        """Text of the server without the key, should it hold it."""
        return text.replace(self.key, "***") if self.key else text


class _Again(Exception):
    """A try that failed in a way that may pass.

    Args:
        reason: for the message, without the key.
        wait: seconds that the server asked for, if it did.
    """

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


def post(address: Address, body: bytes, limits: Limits) -> str:
    """Sends JSON and returns the body of the answer, with the key cut out.

    A busy server, a lost connection, a cut body and a timeout are tried again, after as long as the server asks for
    (Retry-After) or else about 1, 2, 4 ... seconds, as long as the budget has room for it.

    Raises:
        RadliteError: no answer within the limits, one that is too large, a redirect, or a refusal.
    """
    end, problem = time.monotonic() + limits.budget, "no time for one try"
    for k in range(limits.tries):
        left = end - time.monotonic()
        if left <= 0:
            break
        try:
            return address.hidden(_once(address, body, min(limits.timeout, left)))
        except _Again as again:
            problem, wait = str(again), again.wait
        wait = random.uniform(0.5, 1) * 2**k if wait is None else wait  # by chance: many clips may wait for one server
        if k + 1 == limits.tries or wait >= end - time.monotonic():
            break
        time.sleep(wait)
    expected = f"an answer from {address.name} within {limits.budget:g} s and {limits.tries} tries"
    raise RadliteError(expected, problem, "try again later, or allow more time")


def _once(address: Address, body: bytes, seconds: float) -> str:
    end = time.monotonic() + seconds
    with _response(address, body, seconds) as response:
        data, status = response.read(MOST_REPLY + 1), response.status
        if len(data) > MOST_REPLY:
            raise RadliteError(f"an answer of at most {MOST_REPLY >> 20} MiB", f"more from {address.name}", "check the address")
        if response.length or time.monotonic() >= end:
            raise _Again("an answer that was cut off")
        text = address.hidden(data.decode("utf-8", "replace"))
        if status in BUSY:
            raise _Again(f"HTTP {status}: {quoted(text)}", _asked_to_wait(response.getheader("Retry-After")))
        if status != 200:
            raise _refusal(address, status, text)
    return text


@contextmanager
def _response(address: Address, body: bytes, seconds: float) -> Iterator[HTTPResponse]:
    """The answer to one try; the connection is cut when its time is over, at whatever point it then is."""
    url, end = address.url, time.monotonic() + seconds
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection, watch = kind(url.hostname, url.port, timeout=seconds), None
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
    if address.key:
        headers["Authorization"] = f"Bearer {address.key}"
    try:
        connection.connect()
        watch = threading.Timer(max(end - time.monotonic(), 0), _cut, [connection.sock])
        watch.daemon = True
        watch.start()
        connection.request("POST", url.path, body, headers)
        with connection.getresponse() as response:
            yield response
    except SSLCertVerificationError as error:  # no second try makes it somebody else
        expected, found = f"{address.name} to prove who it is", quoted(error.verify_message)
        raise RadliteError(expected, found, "check the address, and the certificates of this machine") from None
    except (OSError, HTTPException) as error:
        late = isinstance(error, TimeoutError) or time.monotonic() >= end
        reason = f"no answer in {seconds:.3g} s" if late else f"{type(error).__name__}: {quoted(address.hidden(str(error)))}"
        raise _Again(reason) from None  # its traceback would hold the request
    finally:
        if watch:
            watch.cancel()
        connection.close()


def _cut(sock: socket.socket) -> None:
    """Ends a connection that another thread waits for; of the plain socket, since TLS would be taken apart under its reader."""
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _asked_to_wait(header: str | None) -> float | None:
    """Seconds of Retry-After, which is a number or a date; None where it is neither."""
    header = (header or "").strip()
    if re.fullmatch(r"[0-9]{1,9}", header):
        return float(header)
    try:
        when = parsedate_to_datetime(header)
        return max(0.0, (when.astimezone(UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _refusal(address: Address, status: int, text: str) -> RadliteError:
    if 300 <= status < 400:
        fix = "if you trust the other address give that one: the key is sent nowhere else"
        return RadliteError(f"an answer from {address.name}", f"HTTP {status}, a redirect", fix)
    if status in (401, 403):  # what the server says to it may quote the key in part
        found = f"HTTP {status}, {'the key was refused' if address.key else 'and no key was sent'}"
        return RadliteError(f"an answer from {address.name}", found, "check the environment variable that holds the key")
    fix = "check the address and the model's name"
    return RadliteError(f"an answer from {address.name}", f"HTTP {status}: {quoted(text)}", fix)
