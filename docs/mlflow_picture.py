"""Take the screenshots of MLflow that the documents show, in a headless Chromium.

    python docs/mlflow_picture.py mlruns docs

writes mlflow.png (runs), mlflow_charts.png, mlflow_models.png (registry), mlflow_confusion.png (a node's confusion
matrix), and mlflow_nodes.png (the page of `hier compare --html`). It needs `pip install .[test]`, and Chromium with its
driver (Debian: `apt-get install chromium chromium-driver`).
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hier.hierarchy import load_tree
from hier.pipelines.tracking.compare import compare
from hier.pipelines.tracking.page import confusions, write_comparison
from hier.pipelines.tracking.runs import Store, store
from hier.pipelines.tracking.ui import page, prepare, serving
from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
CLOSE = (
    "[role=dialog] button[aria-label=Close]",
    "[data-component-id='mlflow.assistant.chat_panel.close']",
    "[data-component-id='mlflow.experiment_page.shared_view.dismiss']",
)  # what MLflow shows on top of its pages at first
PATIENCE = 60.0  # s
WORKFLOW = "workflowType=machine_learning"  # the part of MLflow that has runs and models in its menu
HIDE_PATH = """
for (const e of document.querySelectorAll("div, span")) {
    if (e.children.length == 0 && e.innerText.includes("file:///")) e.style.visibility = "hidden";
}
"""  # local paths do not belong in the documents


def chromium_and_driver() -> tuple[str, str] | None:
    """Their paths, or None if one is missing."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def chromium(width: int = 1600, height: int = 900) -> Iterator[WebDriver]:
    """A browser with an empty profile that can reach only this machine."""
    found = chromium_and_driver()
    if found is None:
        raise SystemExit("Chromium or chromedriver is missing: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = found[0]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for switch in (*SWITCHES, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(switch)
        driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found[1]))
        try:
            yield driver
        finally:
            driver.quit()


@dataclass(frozen=True)
class Pages:
    """MLflow's pages on a store, open in a browser."""

    driver: WebDriver
    address: str
    place: str
    client: Any
    experiment: str

    def runs(self, count: int) -> dict[str, dict[str, str]]:
        """Show the table of runs once `count` names are in it; the cells of each run by its name and by column."""
        self._show(self.place)
        self._until(lambda: len(_cells(self.driver)) >= count, f"{count} runs")
        return _cells(self.driver)

    def charts(self) -> str:
        """Show the charts of runs; the page's text."""
        self._show(f"{self.place}&compareRunsMode=CHART")
        self._until(lambda: "By epoch" in self._text(), "charts by epoch")
        self._until(lambda: bool(self.driver.find_elements(By.CSS_SELECTOR, ".plot-container .barlayer path")), "bars")
        return self._text()

    def run(self, name: str) -> str:
        """Show the newest run of that name; the page's text."""
        self._show(f"/experiments/{self.experiment}/runs/{self._id(name)}?{WORKFLOW}")
        self._until(lambda: name in self._text() and "Parameters" in self._text(), name)
        return self._text()

    def compared(self, names: list[str]) -> str:
        """Show MLflow's own comparison of runs; the page's text."""
        ids = ",".join(f'"{self._id(name)}"' for name in names)
        self._show(f'/compare-runs?runs=[{ids}]&experiments=["{self.experiment}"]&{WORKFLOW}')
        self._until(lambda: all(name in self._text() for name in names), ", ".join(names))
        return self._text()

    def confusion(self, name: str) -> tuple[int, int]:
        """Show the confusion matrix of a run; width and height of the picture in px, as it was logged."""
        self._show(f"/experiments/{self.experiment}/runs/{self._id(name)}/artifacts/confusion.png?{WORKFLOW}")
        found = "[...document.images].filter(i => i.complete && i.naturalWidth > 200 && i.alt != 'logo')"
        self._until(lambda: self.driver.execute_script(f"return {found}.length > 0"), "a confusion matrix")
        self.driver.execute_script(HIDE_PATH)
        width, height = self.driver.execute_script(f"const i = {found}[0]; return [i.naturalWidth, i.naturalHeight]")
        return width, height

    def models(self, names: list[str]) -> str:
        """Show the registered models once all `names` are there; the page's text."""
        self._show(f"/models?{WORKFLOW}")
        self._until(lambda: all(name in self._text() for name in names), ", ".join(names))
        return self._text()

    def model(self, name: str) -> dict[str, list[str]]:
        """Show the versions of a registered model; aliases by version, as the page has them."""
        self._show(f"/models/{name}?{WORKFLOW}")
        self._until(lambda: "Version 1" in self._text(), f"version 1 of {name}")
        versions: dict[str, list[str]] = {}
        for line in self._text().splitlines():
            if line.startswith("Version "):
                versions[line.removeprefix("Version ")] = []
            elif line.startswith("@") and versions:
                list(versions.values())[-1].append(line.removeprefix("@").strip())
        return versions

    def save(self, picture: Path) -> None:
        """Take a picture of the window."""
        picture.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(picture))

    def _id(self, name: str) -> str:
        found = self.client.search_runs([self.experiment], f"attributes.run_name = '{name}'", max_results=1)
        return str(found[0].info.run_id)

    def _show(self, place: str) -> None:
        self.driver.get("about:blank")  # an address that differs behind the # alone would not load the page again
        self.driver.get(page(self.address, place))

    def _text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def _until(self, there: Callable[[], bool], what: str) -> None:
        """Wait until `there` is true and no panel or dialog is on top."""
        try:
            WebDriverWait(self.driver, PATIENCE).until(lambda _: there())
        except TimeoutException:
            raise SystemExit(
                f"MLflow's page does not show {what} within {PATIENCE:.0f} s, but:\n{self._text()}"
            ) from None
        WebDriverWait(self.driver, PATIENCE).until(lambda _: self._clear())

    def _clear(self) -> bool:
        """Whether nothing is on top; if something is, click it away, dialogs before panels."""
        over = [e for one in CLOSE for e in self.driver.find_elements(By.CSS_SELECTOR, one) if e.is_displayed()]
        if over:
            self.driver.execute_script("arguments[0].click()", over[0])
        return not over


@contextmanager
def pages(where: Store) -> Iterator[Pages]:
    """Serve a store and open a browser on it."""
    place, sender = prepare(where), where.connect()
    with serving(where, "127.0.0.1", free_port()) as (_, address), chromium() as driver:
        yield Pages(driver, address, place, sender.client, sender.experiment)


def _cells(driver: WebDriver) -> dict[str, dict[str, str]]:
    """The grid keeps pinned columns in rows of their own: rows are joined by their index."""
    rows: dict[str, dict[str, str]] = driver.execute_script(
        """
        const rows = {};
        for (const cell of document.querySelectorAll(".ag-row [col-id]")) {
            const row = rows[cell.closest(".ag-row").getAttribute("row-index")] ??= {};
            row[cell.getAttribute("col-id")] = cell.innerText.trim().split("\\n").at(-1);
        }
        return rows;
        """
    )
    return {row["attributes.`Run Name`"]: row for row in rows.values() if row.get("attributes.`Run Name`")}


def free_port() -> int:
    """A free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def take_all(where: Store, folder: Path) -> None:
    """The screenshots."""
    with pages(where) as shown:
        names = {run.info.run_name for run in shown.client.search_runs([shown.experiment])}
        shown.runs(min(len(names), 12))
        shown.save(folder / "mlflow.png")
        shown.charts()
        shown.save(folder / "mlflow_charts.png")
        shown.driver.set_window_size(1400, 820)
        shown.models([model.name for model in shown.client.search_registered_models()][:8])
        shown.save(folder / "mlflow_models.png")
        shown.driver.set_window_size(1400, 940)
        shown.confusion(min(name for name in names if name.startswith("finer-2 ")))
        shown.save(folder / "mlflow_confusion.png")
        shown.driver.set_window_size(1160, 900)
        with tempfile.TemporaryDirectory() as made:
            tree = load_tree("wallpaper")
            entries = compare(where, tree, [])
            write_comparison(Path(made) / "nodes.html", tree, entries, confusions(where, entries))
            shown.driver.get((Path(made) / "nodes.html").as_uri())
            shown.save(folder / "mlflow_nodes.png")


if __name__ == "__main__":
    take_all(store(Path(sys.argv[1])), Path(sys.argv[2]))
