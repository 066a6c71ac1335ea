"""`radlite setup hands`: one file from a server on this machine, checked, whole or not there."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from loopback import let_through

from radlite.annotate import hand_model
from radlite.annotate.hand_model import SHA256, URL, fetch_model, model_path
from radlite.cli import main
from radlite.errors import RadliteError

MODEL = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(MODEL).hexdigest()


class Server(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        self.server.asked.append(self.path)
        if self.path == "/away":
            return self.answer(302, b"", Location="file:///etc/hostname")
        if self.path == "/moved":
            return self.answer(302, b"", Location="/model")
        if self.path == "/none":
            return self.answer(404, b"no")
        if self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with pytest.raises(OSError):  # until the other side has had enough
                while True:
                    self.wfile.write(MODEL)
            return None
        if self.path == "/cut":
            return self.answer(200, MODEL[:999], length=len(MODEL))
        return self.answer(200, MODEL if self.path == "/model" else MODEL[:-1] + b"x")

    def answer(self, code, body, length=None, **headers):
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body) if length is None else length)} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    let_through(monkeypatch)
    running = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    running.asked = []
    threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    running.url = f"http://127.0.0.1:{running.server_port}"
    yield running
    running.shutdown()
    running.server_close()


def test_it_is_fetched_once_and_checked(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RADLITE_CACHE", str(tmp_path / "cache"))
    argv = ["setup", "hands", "--url", f"{server.url}/moved", "--sha256", DIGEST.upper()]
    assert main(argv) == 0
    assert model_path().read_bytes() == MODEL and [p.name for p in model_path().parent.iterdir()] == ["hand_landmarker.task"]
    printed = capsys.readouterr().out
    assert "fetched" in printed and DIGEST.upper() in printed and str(model_path()) in printed
    assert main(argv) == 0 and "is there already" in capsys.readouterr().out
    assert server.asked == ["/moved", "/model"]


def test_another_file_in_its_place_is_replaced(server, tmp_path):
    path = tmp_path / "m.task"
    path.write_bytes(b"old")
    assert fetch_model(path, f"{server.url}/model", DIGEST) == (path, True)
    assert path.read_bytes() == MODEL


REFUSED = {
    "/other": "SHA-256", "/none": "the answer 404.*copy that file", "/cut": "256,000 bytes.*found 999",
    "/endless": "at most 1 MiB",
    "/away": "file:///etc/hostname|not allowed|answer 302",
}  # fmt: skip


@pytest.mark.parametrize("place", REFUSED)
def test_what_is_refused_changes_nothing(server, place, tmp_path, monkeypatch):
    monkeypatch.setattr(hand_model, "MOST_BYTES", 1 << 20)
    path = tmp_path / "m.task"
    path.write_bytes(b"old")
    with pytest.raises(RadliteError, match=REFUSED[place]):
        fetch_model(path, server.url + place, DIGEST)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_the_published_checksum_holds_for_a_mirror_too(server, tmp_path, capsys):
    assert main(["setup", "hands", "--url", f"{server.url}/model", "--out", str(tmp_path / "m.task")]) == 2
    error = capsys.readouterr().err
    assert SHA256 in error and DIGEST in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_offline_says_where_to_put_the_file(server, tmp_path, capsys):
    server.shutdown()
    server.server_close()
    path = tmp_path / "new" / "m.task"
    assert main(["setup", "hands", "--url", f"{server.url}/model", "--out", str(path)]) == 2
    error = capsys.readouterr().err
    assert "within reach" in error and f"copy that file from elsewhere to {path}" in error and not path.exists()


@pytest.mark.parametrize("argument", [["--sha256", "abc"], ["--url", "file:///etc/hostname"], ["--url", "ftp://a/b"]])
def test_bad_arguments(argument, tmp_path, capsys):
    assert main(["setup", "hands", "--out", str(tmp_path / "m.task"), *argument]) == 2
    assert "expected" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_that_may_not_be_made(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RadliteError, match="to be able to write"):
        fetch_model(tmp_path / "file" / "m.task")


def test_where_the_model_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RADLITE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert model_path() == tmp_path / ".cache" / "radlite" / "hand_landmarker.task"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert model_path() == tmp_path / "x" / "radlite" / "hand_landmarker.task"
    monkeypatch.setenv("RADLITE_CACHE", str(tmp_path / "r"))
    assert model_path() == tmp_path / "r" / "hand_landmarker.task"
    assert URL.startswith("https://") and len(SHA256) == 64
