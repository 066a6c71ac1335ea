"""Imported by every Python that starts with this folder on its path: sockets reach this machine and nothing beyond."""

import ipaddress
import socket


class Offline(RuntimeError):
    """A notebook reached for the network. No OSError, so that code which retries on those cannot swallow it."""


def _here(host: object) -> bool:
    """Whether a host is this machine."""
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback
    except ValueError:
        return False


def _guard_method(name: str) -> None:
    original = getattr(socket.socket, name)

    def guarded(self: socket.socket, *args: object) -> object:
        address = args[-1]  # connect(address), sendto(data[, flags], address)
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _here(address[0]):
            raise Offline(f"notebooks run offline, and this one asked for {address!r}")
        return original(self, *args)

    setattr(socket.socket, name, guarded)


def _guard_lookup(name: str) -> None:
    original = getattr(socket, name)

    def guarded(host: object, *args: object, **named: object) -> object:
        if not _here(host):
            raise Offline(f"notebooks run offline, and this one asked for {host!r}")
        return original(host, *args, **named)

    setattr(socket, name, guarded)


for _name in ("connect", "connect_ex", "sendto"):
    _guard_method(_name)
for _name in ("getaddrinfo", "gethostbyname"):
    _guard_lookup(_name)
