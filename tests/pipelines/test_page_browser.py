"""The page of `hier app` in a real browser: a pointer, a finger's width, a keyboard, and the dark."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hier.pipelines.page.examples import EXAMPLES, SIDE
from PIL import Image

pytest.importorskip("selenium", reason="the browser is driven by selenium: pip install .[test]")
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

DOCS = Path(__file__).parents[2] / "docs"
pytestmark = pytest.mark.browser
DESK, PHONE = (1280, 1120), (390, 844)
CONTRAST = """
const parts = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => {
  const [r, g, b] = parts(c).map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = getComputedStyle(e).backgroundColor;
    if (parts(c)[3] !== 0) return c;
  }
};
const texts = [...document.querySelectorAll("h1, h2, p, span, li, button, a, label, td, th, output")].filter((e) =>
  e.offsetParent && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) &&
  !e.closest("[aria-disabled=true]"));
return texts.map((e) => {
  const [one, two] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
  return [(one + 0.05) / (two + 0.05), e.textContent.trim().slice(0, 40)];
}).sort((x, y) => x[0] - y[0])[0];
"""  # the least contrast of a text, and which, as WCAG 2.2 has it


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    if script("mlflow_picture").chromium_and_driver() is None:
        pytest.skip("no Chromium with chromedriver: apt-get install chromium chromium-driver")
    return script("app_picture")


@pytest.fixture(scope="module")
def address(picture: ModuleType) -> Iterator[str]:
    with picture.served() as made:
        yield made


@pytest.fixture(scope="module")
def driver(picture: ModuleType) -> Iterator[Any]:
    with picture.chromium(*DESK) as made:
        yield made


@pytest.fixture
def page(picture: ModuleType, address: str, driver: Any) -> Iterator[Any]:
    driver.delete_all_cookies()
    shown = picture.Shown(driver)
    shown.open(address, *DESK)
    yield shown
    told = [line["message"] for line in driver.get_log("browser")]
    assert [line for line in told if "status of 422" not in line] == []  # that is a bad file, which the page tells
    names = driver.execute_script("return performance.getEntriesByType('resource').map((e) => new URL(e.name).origin)")
    assert {f"{name}/" for name in names if name != "null"} <= {address}


def changed(page: Any, change: Any) -> None:
    """Do something, and wait for the answer to it."""
    before = page.answers
    change()
    page.answered(before)


def test_an_example_is_answered_with_everything_on_the_page(page: Any) -> None:
    page.example(0)
    assert page.text("headline") == EXAMPLES[0].group
    assert "sure" in page.find("#answer").get_attribute("class")
    assert len(page.driver.find_elements("css selector", "#table tbody tr")) == 17
    assert EXAMPLES[0].group in page.find("#table tr.taken").text
    assert page.driver.find_elements("css selector", "#ladder .rung")
    assert page.driver.find_elements("css selector", "#path .choice.taken")
    assert page.driver.find_elements("css selector", "#elements .centre")
    drawn, whole = (page.find(name).rect for name in ("#view image", "#stage"))
    assert drawn["width"] == pytest.approx(whole["width"], abs=4)


def test_files_are_listed_and_a_bad_one_is_told(page: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    page.example(0)
    changed(page, lambda: page.find("#files").send_keys(str(tmp_path / "noise.png")))
    assert page.text("headline").lower() == "not periodic"
    assert "none" in page.find("#answer").get_attribute("class")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    page.find("#files").send_keys(str(tmp_path / "bad.png"))
    page.until("!document.getElementById('error').hidden")
    assert "bad.png: " in page.text("error")
    listed = page.driver.find_elements("css selector", "#images .name")
    assert [name.text for name in listed] == ["Tiles.png", "noise.png"]
    changed(page, lambda: page.find("#images button").click())
    assert page.text("headline") == EXAMPLES[0].group
    page.find("[aria-label='Remove noise.png']").click()
    page.until("document.querySelectorAll('#images li').length === 1")
    page.driver.refresh()
    page.until("document.body.dataset.answers > 0")
    assert page.text("headline") == EXAMPLES[0].group, "a visit outlives a reload"


def test_a_region_is_drawn_and_moved(page: Any) -> None:
    page.example(0)
    changed(page, lambda: page.find("#region").click())
    view = page.find("#view")
    side = page.find("#view image").rect["width"]
    gesture = ActionChains(page.driver).move_to_element_with_offset(view, -round(0.45 * side), -round(0.45 * side))
    changed(page, gesture.click_and_hold().move_by_offset(round(0.6 * side), round(0.5 * side)).release().perform)
    box = [float(page.find("#view rect.frame").get_attribute(name)) for name in ("x", "y", "width", "height")]
    assert np.allclose(box, [0.05 * SIDE, 0.05 * SIDE, 0.6 * SIDE, 0.5 * SIDE], atol=4)
    asked = page.find("[data-kind=json]").get_attribute("href")
    assert "%22region%22" in asked
    corner = page.driver.find_elements("css selector", "#tools g[tabindex]")[3]
    changed(page, lambda: corner.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT))
    wider = float(page.find("#view rect.frame").get_attribute("width"))
    assert wider == pytest.approx(box[2] + 10)
    changed(page, lambda: page.find("#reset").click())
    assert not page.driver.find_elements("css selector", "#view rect.frame")


def test_the_lattice_is_dragged(page: Any) -> None:
    page.example(0)
    page.find("#lattice").click()
    _, a, _ = page.driver.find_elements("css selector", "#tools g[tabindex]")
    changed(page, ActionChains(page.driver).drag_and_drop_by_offset(a, 6, 4).perform)
    assert "lattice given: a = (" in page.text("notes")
    assert page.text("headline") == EXAMPLES[0].group, "refined, it is the same"
    changed(page, lambda: page.find("#refine").click())
    assert "not refined" in page.text("notes")


def test_the_tolerance_and_a_group_change_the_answer(page: Any) -> None:
    page.example(0)
    changed(page, lambda: page.find("#tolerance").send_keys(Keys.END))
    assert page.text("tolerance-shown") == "0.50"
    assert page.text("headline") == "p4m"
    changed(page, lambda: page.find("#tolerance").send_keys(Keys.HOME))
    assert page.text("headline") == "p4g"
    changed(page, lambda: page.find("#group option[value=p4m]").click())
    assert "p4m, as asked: refused" in page.text("notes")
    assert "p4m" in page.find("#table tr.asked").text
    assert page.text("headline") == "p4g"


def test_what_is_set_is_in_the_files(page: Any) -> None:
    page.example(0)
    changed(page, lambda: page.find("#group option[value=p4]").click())
    changed(page, lambda: page.find("#pixel-size").send_keys("0.1nm", Keys.TAB))
    got = page.driver.execute_async_script(
        "const done = arguments[0];"
        "fetch(document.querySelector('[data-kind=json]').href).then((r) => r.text()).then(done)"
    )
    found = json.loads(got)
    assert found["asked"]["group"] == "p4"
    assert found["pixel_size"]["unit"] == "nm"
    assert page.driver.find_elements("css selector", "[data-kind=cif]")
    assert not page.driver.find_elements("css selector", "[data-kind=corrected]"), "nothing was straightened"


def test_a_keyboard_is_enough(page: Any) -> None:
    def press(*keys: str) -> None:
        ActionChains(page.driver).send_keys(*keys).perform()

    def reach(selector: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            if page.driver.execute_script(f"return document.activeElement.matches({selector!r})"):
                return
        raise AssertionError(f"{selector} is not reached")

    reach("#files")
    reach("#examples button")
    changed(page, lambda: press(Keys.ENTER))
    reach("#lattice")
    press(Keys.ENTER)
    page.driver.execute_script("document.querySelectorAll('#tools g[tabindex]')[1].focus()")
    changed(page, lambda: press(Keys.ARROW_RIGHT))
    assert "lattice given" in page.text("notes")
    assert page.driver.execute_script("return document.activeElement.closest('#tools') !== null"), "the focus stays"
    reach("#group")
    reach("[data-kind=report]")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_it_fits_and_can_be_read(size: tuple[int, int], dark: bool, page: Any, address: str) -> None:
    page.open(address, *size, dark)
    for answered in (False, True):
        if answered:
            page.example(0)
        wide, window = page.driver.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, "nothing is cut off at the side"
        contrast, text = page.driver.execute_script(CONTRAST)
        assert contrast >= 4.5, text
    ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(ground[4:].split(",")[0]) < 60) == dark
    small = page.driver.execute_script(
        "return [...document.querySelectorAll('button, a.button, select, input[type=text]')]"
        ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 36).map((e) => e.outerHTML.slice(0, 60))"
    )
    assert small == [], "a finger hits it"
