"""Take the screenshot of `hier app` that the documents show, in a headless Chromium.

    python docs/app_picture.py docs

writes app.png: the page with an example. With `--all` it also writes the page at a phone's width, and both in the dark,
to look at. It needs `pip install .[test]`, and Chromium with its driver (Debian: `apt-get install chromium
chromium-driver`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlflow_picture import chromium
from PIL import Image
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PATIENCE = 120.0  # s
WIDE, PHONE = (1280, 1120), (390, 844)


@contextmanager
def served(*words: str) -> Iterator[str]:
    """The address of `hier app` in a process of its own, on a free port."""
    command = [sys.executable, "-m", "hier", "app", "--no-browser", "--port", "0", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as server:
        assert server.stdout is not None
        try:
            line = server.stdout.readline()
            found = re.search(r"http://\S+", line)
            if found is None:
                raise SystemExit(f"the page is not served: {line or 'no word'}")
            yield found[0]
        finally:
            server.terminate()


@dataclass(frozen=True)
class Shown:
    """The page, open in a browser."""

    driver: WebDriver

    def open(self, address: str, width: int, height: int, dark: bool = False) -> None:
        """Load the page in a view of that size, in light or dark colours."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        self.driver.get(address)
        self.until("document.body.dataset.ready === 'yes'")

    def until(self, condition: str) -> None:
        """Wait until a condition in JavaScript is true."""
        WebDriverWait(self.driver, PATIENCE).until(lambda driver: driver.execute_script(f"return {condition}"))

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector names."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, name: str) -> str:
        """The text of the element of an id."""
        return self.find(f"#{name}").text

    @property
    def answers(self) -> int:
        """How many answers have been shown."""
        return int(self.driver.execute_script("return Number(document.body.dataset.answers || 0)"))

    def answered(self, before: int) -> None:
        """Wait for another answer than the first `before`, and until none is asked for."""
        self.until(f"Number(document.body.dataset.answers || 0) > {before}")
        self.until("!document.getElementById('busy').textContent.includes('looking')")

    def example(self, number: int = 0) -> None:
        """Choose an example, and wait for its answer."""
        before = self.answers
        self.driver.execute_script("document.getElementById('begin').open = true")
        self.driver.find_elements(By.CSS_SELECTOR, "#examples button")[number].click()
        self.answered(before)

    def save(self, path: Path) -> None:
        """A picture of the view, of few colours."""
        self.driver.save_screenshot(str(path))
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(200).save(path, optimize=True)


def main(folder: Path, everything: bool) -> None:
    """Take the pictures."""
    with served() as address, chromium(*WIDE) as driver:
        shown = Shown(driver)
        views = [("app", WIDE, False)]
        if everything:
            views += [("app-dark", WIDE, True), ("app-phone", PHONE, False), ("app-phone-dark", PHONE, True)]
        for name, size, dark in views:
            driver.delete_all_cookies()
            shown.open(address, *size, dark)
            if everything:
                shown.save(folder / f"{name}-start.png")
            shown.example(0)
            shown.save(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), "--all" in sys.argv)
