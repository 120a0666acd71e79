"""Make the pictures of docs/console/: the console of a demo server, as Debian's Chromium shows it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

TARGET = Path(__file__).parents[1] / "docs" / "console"
PASSWORD = "correct horse battery"  # noqa: S105 - of an account that lives for these pictures
DESK, PHONE = {"width": 900, "height": 700}, {"width": 320, "height": 640}
MODEL = "models/text_classification_model"
SENTENCE = "The story is wonderful, but the ending was a bad surprise."
# What is kept of the pages of jobs: from the section headed so to the other.
PARTS = {"fine-tune": ("made", "measured"), "advice": ("recommendation", "variants")}
_START_SECONDS, _JOB_SECONDS = 120, 180
_MARGIN = 12.0
# A palette is enough for pages, and takes a third of the bytes.
_COLOURS = 64
_MOST_BYTES = 100_000


@contextmanager
def demo_server() -> Iterator[str]:
    """Run a demo server for as long as the block takes, and give its address."""
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.json"
        command = [sys.executable, "-c", "from reference_server.cli import main; main()", "serve", "--demo"]
        command += ["--port", "0", "--provider", "cpu", "--data-dir", f"{folder}/data"]
        with subprocess.Popen([*command, "--ready-file", str(ready)], stderr=subprocess.DEVNULL) as server:
            try:
                deadline = time.monotonic() + _START_SECONDS
                while not ready.exists():
                    if server.poll() is not None or time.monotonic() > deadline:
                        sys.exit("the demo server did not start; run `maas-server serve --demo` to see why")
                    time.sleep(0.1)
                yield json.loads(ready.read_text(encoding="utf-8"))["url"] + "/console"
            finally:
                server.terminate()


def main() -> None:
    """Make every picture."""
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("needs Debian's package chromium")
    TARGET.mkdir(exist_ok=True)
    with demo_server() as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _begin(browser, address)
        jobs = _worked(browser, address)
        for theme in ("light", "dark"):
            page = _logged_in(browser, address, theme=theme)
            _tried(page, address)
            _keep(page, f"try-{theme}", whole=True)
            page.goto(f"{address}/models")
            _keep(page, f"catalogue-{theme}")
            page.goto(f"{address}/{MODEL}")
            _keep(page, f"model-{theme}", whole=True)
            page.goto(f"{address}/{MODEL}/versions?a=1&b=2")
            _keep(page, f"versions-{theme}", whole=True)
            page.goto(f"{address}/fine-tunes")
            _keep(page, f"train-{theme}")
            for kind, job in jobs.items():
                page.goto(job)
                _keep(page, f"{kind}-{theme}", between=PARTS[kind])
        phone = _logged_in(browser, address, theme="dark", language="zh", size=PHONE)
        phone.goto(f"{address}/keys")
        _keep(phone, "keys-phone-dark", whole=True)
        browser.close()


def _begin(browser: Browser, address: str) -> None:
    """Register the account of the pictures."""
    page = browser.new_page(viewport=DESK)
    page.goto(f"{address}/register")
    page.fill("[name=email]", "ada@example.com")
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=name]", "ada")
    page.check("[name=accept_policy]")
    page.click("main button")
    page.close()


def _worked(browser: Browser, address: str) -> dict[str, str]:
    """Train a model and have it measured, and return the addresses of the two jobs."""
    page = _logged_in(browser, address, theme="light")
    page.goto(f"{address}/fine-tunes")
    page.fill("[name=name]", "sorter")
    page.fill("[name=train]", _rows())
    page.fill("[name=test]", "0.2")
    page.click("main form button:text-is('Train')")
    fine_tune = _ended(page)
    page.goto(f"{address}/models/sorter/advise")
    page.fill("[name=inputs]", _rows())
    page.fill("[name=target]", "label")
    page.fill("[name=time_budget_seconds]", "20")
    page.click("main form button:text-is('Measure')")
    advice = _ended(page)
    page.close()
    return {"fine-tune": fine_tune, "advice": advice}


def _ended(page: Page) -> str:
    """Wait until the page of a job has reloaded itself, and return its address."""
    page.wait_for_selector("text=Erase the job", timeout=_JOB_SECONDS * 1000)
    if page.is_visible(".fault"):
        sys.exit(f"the job failed: {page.inner_text('.fault')}")
    return page.url


def _rows() -> str:
    """Return rows as people paste them: what customers write, and which desk it is for."""
    said = {
        "delivery": ("the parcel is late", "the courier never came", "nothing has arrived yet"),
        "billing": ("my card was charged twice", "the invoice is wrong", "I want my money back"),
        "access": ("I cannot log in", "the password does not work", "my account is locked"),
    }
    openings = ("Hello,", "Sadly,", "Please help:", "Once more:", "Good morning,", "I think that", "Again,")
    ends = ("today.", "since Monday.", "again!", "and nobody answers.")
    rows = [
        f'"{opening} {what} {end}",{label}'
        for opening in openings
        for end in ends
        for label, all_of_it in said.items()
        for what in all_of_it
    ]
    return "\n".join(["text,label", *rows])


def _logged_in(
    browser: Browser, address: str, *, theme: str, language: str = "en", size: dict[str, int] = DESK
) -> Page:
    page = browser.new_page(viewport=size, color_scheme=theme, locale=language)
    page.goto(f"{address}/login")
    page.fill("[name=email]", "ada@example.com")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/models")
    return page


def _tried(page: Page, address: str) -> None:
    page.goto(f"{address}/{MODEL}/try")
    page.fill("textarea", SENTENCE)
    explain = page.locator("button[value=explain]")
    (explain if explain.count() else page.locator("button[value=predict]")).click()
    page.wait_for_selector("#answer")


def _keep(page: Page, name: str, *, whole: bool = False, between: tuple[str, str] | None = None) -> None:
    """Keep what is seen of a page, all of it, or its sections from the one headed so to the other."""
    file = TARGET / f"{name}.png"
    if between is None:
        page.screenshot(path=file, full_page=whole)
    else:
        first, last = (page.locator(f"section[aria-labelledby={head}]").bounding_box() for head in between)
        if first is None or last is None:
            sys.exit(f"the page of {name} has not the sections {' and '.join(between)}")
        height = last["y"] + last["height"] - first["y"] + 2 * _MARGIN
        clip = {"x": 0.0, "y": first["y"] - _MARGIN, "width": float(DESK["width"]), "height": height}
        page.screenshot(path=file, full_page=True, clip=clip)
    Image.open(file).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(file, optimize=True)
    if file.stat().st_size > _MOST_BYTES:
        sys.exit(f"{file.name} has {file.stat().st_size:,} bytes, more than the {_MOST_BYTES:,} it may have")


if __name__ == "__main__":
    main()
