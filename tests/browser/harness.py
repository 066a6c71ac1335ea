"""A real JupyterLab in a real browser: what the tests in this folder stand on.

    with start_lab(folder) as lab, start_browser() as browser:
        page = open_notebook(browser, lab, notebook([code("import radlite")]))
        page.run_all()
        page.shot("what_it_looks_like")     # runs/browser/what_it_looks_like.png
        page.check()                        # no failed cell, no console error, nothing asked from outside

The server listens on loopback with a token, in a folder and with settings of its own; its port is free at that moment.
pytest itself opens no network socket: Playwright talks to Chromium through pipes, and Chromium to the server.
The fixtures `lab`, `browser` and `open_lab` are in conftest.py.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, Request, sync_playwright
from playwright.sync_api import Error as PlaywrightError

ROOT = Path(__file__).resolve().parents[2]
SHOTS = ROOT / "runs" / "browser"
WINDOW = {"width": 1280, "height": 1150}
# What JupyterLab says about itself, whatever is opened in it.
KNOWN_NOISE: tuple[str, ...] = ()


# ------------------------------------------------------------------------------------------------ notebooks
def code(source: str) -> Any:
    """A code cell."""
    return nbformat.v4.new_code_cell(source)


def notebook(cells: Sequence[Any]) -> Any:
    """A notebook of these cells for the kernel of this Python."""
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return nbformat.v4.new_notebook(cells=list(cells), metadata={"kernelspec": kernel})


# ------------------------------------------------------------------------------------------------ server and browser
@dataclass(frozen=True)
class Lab:
    """A running server: its address, its token and the folder that it shows."""

    url: str
    token: str
    folder: Path


@contextmanager
def start_lab(folder: Path, environment: dict[str, str] | None = None) -> Iterator[Lab]:
    """JupyterLab over `folder`, on 127.0.0.1, until the block ends. `environment` is added to that of the kernels."""
    token, home, root = secrets.token_hex(16), folder / ".home", folder / "files"
    root.mkdir(parents=True)
    _write_settings(home / "settings")
    names = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
             "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "spaces", "IPYTHONDIR": "ipython"}  # fmt: skip
    private = {name: str(home / part) for name, part in names.items()}
    options = [f"--ServerApp.root_dir={root}", f"--IdentityProvider.token={token}", "--ServerApp.ip=127.0.0.1",
               "--ServerApp.port=0", "--ServerApp.open_browser=False", "--ServerApp.allow_root=True", "--LabApp.news_url=None",
               "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--expose-app-in-browser"]  # fmt: skip
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], cwd=root, stdout=log, stderr=log,
            env={**os.environ, **private, "OMP_NUM_THREADS": "1", **(environment or {})},
        )  # fmt: skip
    try:
        yield Lab(_address(home / "runtime", server, folder / "server.log"), token, root)
    finally:
        server.terminate()  # it ends its kernels, then itself
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _write_settings(folder: Path) -> None:
    """Every cell is in the page, also those that are scrolled away; nothing is proposed or fetched."""
    settings = {
        "notebook-extension/tracker": {"windowingMode": "none"},
        "apputils-extension/notification": {"checkForUpdates": False, "fetchNews": "false"},
    }
    for name, values in settings.items():
        path = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(values))


def _address(runtime: Path, server: subprocess.Popen, log: Path, patience: float = 60) -> str:
    """Where the server listens, from the file in which it says so."""
    end = time.monotonic() + patience
    while time.monotonic() < end and server.poll() is None:
        for path in runtime.glob("jpserver-*.json"):
            try:
                return json.loads(path.read_text())["url"]
            except ValueError:
                pass  # half written
        time.sleep(0.1)
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Chromium without a window: the one in RADLITE_CHROMIUM, else the distribution's, else Playwright's own."""
    named = os.environ.get("RADLITE_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    root = hasattr(os, "geteuid") and os.geteuid() == 0  # Chromium's sandbox refuses to run as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=named, args=["--no-sandbox"] if root else [])
        try:
            yield browser
        finally:
            browser.close()


# ------------------------------------------------------------------------------------------------ one notebook
@dataclass
class LabPage:
    """A notebook that is open in the browser.

    Attributes:
        page: Playwright's page, for everything that is not here.
        errors: what was written to the console as an error or thrown, in order.
        outside: addresses other than the server's own that were asked for.
    """

    page: Page
    lab: Lab
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def run_all(self, seconds: float = 60) -> None:
        """Run > Run All Cells; returns when the last cell has ended, or at the first that fails."""
        self.command("notebook:run-all-cells", seconds)

    def close(self) -> None:
        """End the kernel and close the page."""
        self.command("kernelmenu:shutdown")
        self.page.close()

    def failures(self) -> list[str]:
        """The text of every error output."""
        return self.page.locator('[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()

    def check(self) -> None:
        """No cell failed, nothing was complained of, nothing was asked from outside."""
        assert not self.failures()
        assert not self.errors and not self.outside

    def cells(self) -> int:
        """How many cells the notebook has now."""
        return self.page.evaluate(f"{_NOTEBOOK}.model.cells.length")

    def command(self, name: str, seconds: float = 30, **arguments: Any) -> None:
        """Run one of JupyterLab's commands, for instance `apputils:change-theme`, and wait until it has ended."""
        ended = "jupyterapp.commands.execute(name, given).then(() => true)"
        late = f"new Promise((done) => setTimeout(done, {1000 * seconds}, false))"
        in_time = self.page.evaluate(f"([name, given]) => Promise.race([{ended}, {late}])", [name, arguments])
        assert in_time, f"{name} did not end in {seconds} s"

    def theme(self, name: str) -> None:
        """Change JupyterLab's theme: "JupyterLab Light" or "JupyterLab Dark"."""
        self._splash_gone()
        self.command("apputils:change-theme", theme=name)
        light = "false" if "Dark" in name else "true"
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")
        self._splash_gone()

    def _splash_gone(self) -> None:
        """JupyterLab's splash fades for 0.2 s; one shown meanwhile is taken away twice, and the second time throws."""
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def shot(self, name: str, of: Locator | None = None) -> Path:
        """A screenshot of the window, or of one thing in it, into runs/browser/."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        (of or self.page).screenshot(path=path)
        return path

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(noise in message.text for noise in KNOWN_NOISE):
            self.errors.append(f"{message.text} ({message.location.get('url')})")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((self.lab.url, self.lab.url.replace("http", "ws", 1), "data:", "blob:")):
            self.outside.append(request.url)


_NOTEBOOK = "jupyterapp.shell.currentWidget.content"
_READY = """() => window.jupyterapp?.shell.currentWidget?.content?.model?.cells?.length > 0 &&
    jupyterapp.shell.currentWidget.sessionContext?.session?.kernel?.status === "idle" """


def open_notebook(browser: Browser, lab: Lab, content: Any, name: str | None = None) -> LabPage:
    """Write `content` (an nbformat notebook) into the lab's folder and open it; returns when its kernel is there.

    `name` is a path inside that folder; by default one that is free, because JupyterLab keeps a kernel a path.
    """
    name = name or f"test_{len(list(lab.folder.glob('test_*.ipynb')))}.ipynb"
    path = lab.folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(content, path)
    opened = LabPage(browser.new_page(viewport=WINDOW), lab)
    opened.page.on("console", opened._on_console)
    opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.page.on("request", opened._on_request)
    _visit(opened.page, f"{lab.url}lab/tree/{name}?token={lab.token}&reset")
    opened.page.wait_for_function(_READY, timeout=60_000)
    return opened


def _visit(page: Page, address: str, patience: float = 30) -> None:
    """A server that has just been started may not listen yet."""
    end = time.monotonic() + patience
    while True:
        try:
            page.goto(address)
            return
        except PlaywrightError as error:
            if "ERR_CONNECTION_REFUSED" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.2)
