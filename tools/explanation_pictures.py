"""Make the pictures of docs/interpretability/: a demo server's explanations in a notebook and in plots.

Each is made through the API, twice: for light pages and for dark ones. What a notebook shows is taken by
Debian's Chromium. The table and the digit are those of `maas-server models add`, which downloads 10 MB once.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from playwright.sync_api import sync_playwright

import maas_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matplotlib.axes import Axes
    from playwright.sync_api import Browser

TARGET = Path(__file__).parents[1] / "docs" / "interpretability"
MODEL = "text_classification_model"
SENTENCE = "The plot is thin and dull, but the music is lovely."
FLOWER = {"sepal_length": 6.1, "sepal_width": 2.8, "petal_length": 4.9, "petal_width": 1.7}
REVIEWS = (
    "A lovely day out.",
    "The plot is dull.",
    "Not bad at all.",
    "Awful, boring and long.",
    "I love it!",
    "The music is lovely and the story is great.",
    "A dull, boring film with a bad ending.",
    "Great food, but the service was awful.",
    "I love the food and the music.",
    "Not a great film, but not a bad one.",
    "The ending is awful.",
    "A great day and a great film.",
)
# Background and text of a page, in each theme as JupyterLab has them.
THEMES = {"light": ("#ffffff", "#1f1f1f"), "dark": ("#111111", "#e0e0e0")}
_WIDTH = 640
_SCALE = 1.5
_START_SECONDS = 120
# A palette is enough, and takes a third of the bytes.
_COLOURS = 96
_MOST_BYTES = 60_000
_FONT = "font:14px/1.5 system-ui,'DejaVu Sans',sans-serif"


@contextmanager
def demo_server() -> Iterator[maas_client.Client]:
    """Run a demo server with two listed models more for as long as the block takes, and give a client."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        data = ["--data-dir", f"{folder}/data"]
        serve = [*_server("serve"), "--demo", "--port", "0", "--provider", "cpu", *data]
        with subprocess.Popen([*serve, "--ready-file", str(ready)], stderr=subprocess.DEVNULL) as server:
            try:
                deadline = time.monotonic() + _START_SECONDS
                while not ready.exists():
                    if server.poll() is not None or time.monotonic() > deadline:
                        sys.exit("the demo server did not start; run `maas-server serve --demo` to see why")
                    time.sleep(0.1)
                for name in ("iris", "digits"):
                    subprocess.run([*_server("models"), "add", name, "--public", *data], check=True)
                told = json.loads(ready.read_text(encoding="utf-8"))
                with maas_client.Client(base_url=told["url"], api_key=told["api_key"]) as client:
                    yield client
            finally:
                server.terminate()


def _server(command: str) -> list[str]:
    return [sys.executable, "-c", "from reference_server.cli import main; main()", command]


def main() -> None:
    """Make every picture."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("needs Debian's package chromium")
    mpl.use("agg")
    TARGET.mkdir(exist_ok=True)
    with demo_server() as client:
        shown, drawn = explained(client)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for theme in THEMES:
            for name, html in shown.items():
                _keep(f"{name}-{theme}", _photographed(browser, html, theme))
            for name, draw in drawn.items():
                _keep(f"{name}-{theme}", _plotted(draw, theme))
        browser.close()


def explained(client: maas_client.Client) -> tuple[Mapping[str, str], Mapping[str, Callable[[], Axes]]]:
    """Explain; return what a notebook shows, by the picture's name, and what draws the plots."""
    why = client.explain(MODEL, text=SENTENCE)
    flower = client.explain("iris", inputs=FLOWER, budget=2000)
    both = client.model(MODEL).compare_explanations(1, 2, text=SENTENCE)
    reviews = [{"text": review} for review in REVIEWS]
    many = client.explain_many(MODEL, reviews, target="positive").wait()
    picture = _example_of(client, "digits")
    digit = client.explain("digits", image=picture, budget=2000)
    # The page tells some of these figures.
    sys.stdout.write("\n\n".join(map(str, (why, flower, both, many.importance, digit))) + "\n")
    shown = {"sentence": _html(why), "table": _html(flower), "versions": _html(both)}
    drawn = {
        "waterfall": why.plot,
        "curves": lambda: why.plot("curves"),
        "importance": lambda: many.plot(most=10),
        "digit": lambda: digit.plot("image", image=np.array(picture)),
    }
    return shown, drawn


def _example_of(client: maas_client.Client, model: str) -> list[list[int]]:
    example = client.models.get(model).example
    if example is None:
        sys.exit(f"the model {model} has no example")
    picture: list[list[int]] = example["image"]  # type: ignore[assignment] # of digits: rows of pixels
    return picture


def _html(thing: object) -> str:
    html: str = thing._repr_html_()  # type: ignore[attr-defined] # what a notebook asks for
    return html


def _photographed(browser: Browser, html: str, theme: str) -> bytes:
    background, text = THEMES[theme]
    page = browser.new_page(viewport={"width": _WIDTH, "height": 400}, device_scale_factor=_SCALE)
    page.set_content(
        f'<body style="margin:0;background:{background};color:{text};color-scheme:{theme};{_FONT}">'
        f'<div id="shown" style="padding:12px">{html}</div>'
    )
    taken = page.locator("#shown").screenshot()
    page.close()
    return taken


def _plotted(draw: Callable[[], Axes], theme: str) -> bytes:
    background, text = THEMES[theme]
    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    with plt.rc_context({**dict.fromkeys(names, text), **dict.fromkeys(grounds, background)}):
        figure = draw().figure
        target = io.BytesIO()
        figure.savefig(target, format="png", dpi=_WIDTH * _SCALE / 7)
        plt.close("all")
    return target.getvalue()


def _keep(name: str, content: bytes) -> None:
    file = TARGET / f"{name}.png"
    with Image.open(io.BytesIO(content)) as opened:
        opened.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    if file.stat().st_size > _MOST_BYTES:
        sys.exit(f"{file.name} has {file.stat().st_size:,} bytes, more than the {_MOST_BYTES:,} it may have")


if __name__ == "__main__":
    main()
