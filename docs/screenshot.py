"""Takes docs/page.png of a running server: `python docs/screenshot.py URL OUT`. It needs Chromium and the dev extra."""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH, ITEMS, COLOURS = 860, 3, 64


def screenshot(url: str, out: Path) -> None:
    """Write the page down to its first items as a small PNG."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": WIDTH})
        page.goto(url)
        last = page.locator("ol.feed li").nth(ITEMS - 1).bounding_box()
        png = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": last["y"] + last["height"]})
        browser.close()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(out, optimize=True)


if __name__ == "__main__":
    screenshot(sys.argv[1], Path(sys.argv[2]))
