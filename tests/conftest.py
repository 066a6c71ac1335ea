"""What every test gets: no network, few threads, and the same examples each time."""

from __future__ import annotations

import os
import socket

# Before anything imports torch or transformers, which read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MKL_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings  # noqa: E402

settings.register_profile("radlite", deadline=None, derandomize=True)
settings.load_profile("radlite")


class NetworkBlocked(RuntimeError):
    """A test reached for the network. No OSError, so that code which retries on those cannot swallow it."""


def _blocked(*args: object, **kwargs: object) -> None:
    raise NetworkBlocked(f"tests are offline, and this one asked for {args[:2]}")


def _local_only(name: str):
    original = getattr(socket.socket, name)

    def guarded(self: socket.socket, *args: object) -> object:
        if self.family != getattr(socket, "AF_UNIX", None):  # processes of one machine talk through AF_UNIX
            _blocked(*args)
        return original(self, *args)

    return guarded


# Methods rather than the class: every socket there is, TLS ones included, inherits them.
for _name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, _name, _local_only(_name))
for _name in ("getaddrinfo", "gethostbyname"):
    setattr(socket, _name, _blocked)
