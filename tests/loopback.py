"""This machine's own network for tests that need a server: everything else stays forbidden (see conftest)."""

from __future__ import annotations

import _socket
import socket


def let_through(patch):
    """Lets sockets reach this machine itself and nothing else; `conftest` forbids even that."""

    def guarded(name):
        def call(self, address, *args):
            assert self.family == getattr(socket, "AF_UNIX", None) or address[0] == "127.0.0.1", address
            return getattr(_socket.socket, name)(self, address, *args)

        return call

    def getaddrinfo(host, port, *_, **__):
        assert host in ("127.0.0.1", b"127.0.0.1"), host
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    for name in ("connect", "connect_ex", "bind"):
        patch.setattr(socket.socket, name, guarded(name))
    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    patch.setattr(socket, "getfqdn", lambda host: host)  # the server's name for itself
