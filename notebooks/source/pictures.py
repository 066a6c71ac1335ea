"""Pictures of what one should see: runs the notebooks in JupyterLab and a browser, and keeps what named cells show.

    RADLITE_PRESET=laptop python notebooks/source/pictures.py            all of them, into notebooks/images
    RADLITE_PRESET=laptop python notebooks/source/pictures.py 00 05      only those of these notebooks

Needs what the browser tests need (`make test-browser` installs it). A quarter of an hour on two cores, most of it for 03.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from PIL import Image

HOME = Path(__file__).resolve().parents[1]  # notebooks/
sys.path.insert(0, str(HOME.parent / "tests" / "browser"))
from harness import ROOT, LabPage, open_notebook, start_browser, start_lab  # noqa: E402

# notebook -> picture -> how the cell's code begins, and keys for its player
PICTURES = {
    "00_start_here": {"00_told": ("told = {", ""), "00_playground": ("radlite.playground(", "")},
    "01_reasoning_chains": {"01_two_kinds": ("radlite.play(robot[0]", "ArrowRight " * 6)},
    "03_mixed_data_training": {"03_curves": ("curves_figure({", ""), "03_fields": ("accuracy_figure(", "")},
    "04_does_it_act": {"04_rates": ("cells = {arm.upper()", "")},
    "05_see_what_it_thinks": {"05_beside": ("radlite.play((frames", "ArrowRight " * 8), "05_tokens": ('token_view(inside["ECoT"]', "")},
    "06_change_its_mind": {"06_paths": ("runs = {", "")},
    "08_your_own_data": {"08_both": ("kept_back = list(", "ArrowRight " * 3)},
}  # fmt: skip
WIDTH = 1300  # of the window, pixels
COLOURS = 256


def take(page: LabPage, path: Path, begins: str, keys: str) -> None:
    """Keeps what the cell whose code begins so shows now."""
    number = next(k for k, source in enumerate(_sources(page)) if source.startswith(begins))
    shown = page.page.locator(".jp-Notebook > .jp-WindowedPanel-outer .jp-Cell").nth(number).locator(".jp-OutputArea").first
    shown.scroll_into_view_if_needed()
    for key in keys.split():
        shown.get_by_role("slider").press(key)
    page.page.wait_for_timeout(1500)  # figures draw themselves
    shown.screenshot(path=path)
    Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size // 1000} KB", flush=True)


def _sources(page: LabPage) -> list[str]:
    return page.page.evaluate("Array.from(jupyterapp.shell.currentWidget.content.model.cells, c => c.sharedModel.source)")


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes notebooks/images.")
    parser.add_argument("notebooks", nargs="*", help="how their names begin (default: all)")
    asked = tuple(parser.parse_args(argv).notebooks) or ("",)
    (HOME / "images").mkdir(exist_ok=True)
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    (ROOT / "runs").mkdir(exist_ok=True)  # what 03 has trained is there when one takes its pictures again
    with tempfile.TemporaryDirectory() as folder, start_browser() as browser:
        with start_lab(Path(folder) / "lab", {"OMP_NUM_THREADS": threads, "HF_HUB_OFFLINE": "1"}) as lab:
            for part in ("data_samples", "runs"):
                (lab.folder / part).symlink_to(ROOT / part)
            for name in filter(lambda name: name.startswith(asked), PICTURES):
                content = nbformat.read(HOME / f"{name}.ipynb", as_version=4)
                wanted = tuple(begins for begins, _ in PICTURES[name].values())
                last = max(k for k, cell in enumerate(content.cells) if cell.source.startswith(wanted))
                content.cells = content.cells[: last + 1]  # nobody sees what comes after
                page = open_notebook(browser, lab, content, f"notebooks/{name}.ipynb")
                page.page.set_viewport_size({"width": WIDTH, "height": 1400})
                page.run_all(1800)
                for picture, (begins, keys) in PICTURES[name].items():
                    take(page, HOME / "images" / f"{picture}.png", begins, keys)
                assert not page.failures(), page.failures()  # that its own pictures are not there yet is no failure
                page.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
