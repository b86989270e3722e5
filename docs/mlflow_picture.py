"""Take the picture of MLflow's page that the README shows, in a headless Chromium.

    python docs/mlflow_picture.py mlruns docs/mlflow.png

needs `pip install .[test]`, and Chromium with its driver (Debian: `apt-get install chromium chromium-driver`).
"""

from __future__ import annotations

import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hier.pipelines.tracking import Store, store
from hier.pipelines.ui import page, prepare, serving
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)  # fmt: skip
PANELS = tuple(
    f"[data-component-id='mlflow.{name}']"
    for name in ("assistant.chat_panel.close", "experiment_page.shared_view.dismiss")
)
PATIENCE = 60.0  # s


def chromium_and_driver() -> tuple[str, str] | None:
    """Their paths, or None if one is missing."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def chromium(width: int = 1920, height: int = 880) -> Iterator[WebDriver]:
    """A browser with an empty profile that reaches this machine alone."""
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


def open_runs(driver: WebDriver, address: str, count: int) -> dict[str, dict[str, str]]:
    """Open the table of runs and wait for `count` names in it; the cells of each run by its name and by column."""
    driver.get(address)
    try:
        WebDriverWait(driver, PATIENCE).until(lambda _: len(_cells(driver)) >= count)
    except TimeoutException:
        text = driver.find_element(By.TAG_NAME, "body").text
        raise SystemExit(f"MLflow's page does not show {count} runs within {PATIENCE:.0f} s, but:\n{text}") from None
    for panel in PANELS:
        try:
            driver.find_element(By.CSS_SELECTOR, panel).click()
        except NoSuchElementException:
            continue
    WebDriverWait(driver, PATIENCE).until(lambda _: not driver.find_elements(By.CSS_SELECTOR, ", ".join(PANELS)))
    return _cells(driver)


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
    """A port of 127.0.0.1 that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def take(where: Store, picture: Path) -> dict[str, dict[str, str]]:
    """Show the runs of a store, and take a picture of the page; what it shows."""
    place, sender = prepare(where), where.connect()
    names = {run.info.run_name for run in sender.client.search_runs([sender.experiment])}
    with serving(where, "127.0.0.1", free_port()) as (_, address), chromium() as driver:
        shown = open_runs(driver, page(address, place), min(len(names), 12))
        picture.parent.mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(picture))
    return shown


if __name__ == "__main__":
    root, picture = (Path(a) for a in sys.argv[1:3])
    print(f"{len(take(store(root), picture))} names of runs in {picture}")
