"""Oracle: Chromium, which opens the report as a reader would, and says what it asked for and complained of."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from report_world import EVIL
from test_report import page, report, world

__all__ = ["page", "world"]

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no Chromium here (Debian: apt-get install chromium chromium-driver)"
)
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


@pytest.fixture(scope="module")
def driver(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Yield a browser with the page open, every fold unfolded and every chart drawn."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        shown_on(driver, 1280, dark=False)
        driver.get(page.as_uri())
        driver.execute_script(
            "document.querySelectorAll('main details').forEach((fold) => { fold.open = true; })"
        )
        driver.execute_script("dispatchEvent(new Event('beforeprint'))")  # draws all, in view or not
        until(driver, "return !document.querySelector('[data-chart]:not([data-drawn])')")
        yield driver
    finally:
        driver.quit()


def shown_on(driver: Any, width: int, dark: bool) -> None:
    """Make the browser a screen of this width and colour scheme."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def until(driver: Any, script: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not driver.execute_script(script):
        assert time.monotonic() < deadline, f"waited in vain for {script}"
        time.sleep(0.05)


def asked(driver: Any) -> set[str]:
    """Return the addresses asked for since the last look, the browser's own pages left out."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    return {request["request"]["url"] for request in sent if not request["documentURL"].startswith("chrome")}


def test_it_opens_without_a_complaint_or_a_request(driver: Any, page: Path) -> None:
    assert [entry["message"] for entry in driver.get_log("browser")] == []
    assert {url for url in asked(driver) if not url.startswith("data:")} == {page.as_uri()}
    assert driver.execute_script("return window.hacked") is None


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_the_screen_and_follows_the_scheme(
    driver: Any, width: int, dark: bool, tmp_path: Path
) -> None:
    shown_on(driver, width, dark)
    until(driver, f"return window.innerWidth === {width}")
    until(driver, "return document.documentElement.scrollWidth <= window.innerWidth", seconds=20)
    colour = "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
    assert (max(driver.execute_script(colour)) < 64) == dark
    driver.save_screenshot(str(tmp_path / "page.png"))
    light = np.asarray(Image.open(tmp_path / "page.png").convert("L"))
    assert (np.median(light) < 64) == dark
    assert light.std() > 5, "something is drawn"


def test_markup_is_seen_as_text(driver: Any) -> None:
    assert EVIL in driver.execute_script("return document.querySelector('blockquote').textContent")
    assert EVIL in driver.execute_script("return document.querySelector('.facts').textContent")
    assert (
        driver.execute_script("return document.querySelectorAll('img:not([src^=\"data:image/png\"])').length")
        == 0
    )


def test_a_script_that_is_not_the_pages_own_would_not_run(driver: Any) -> None:
    """Were something not escaped after all, the page's policy would hold it; this also proves the test can fail."""
    driver.execute_script(
        "const own = document.createElement('div');"
        'own.innerHTML = \'<img src="data:," onerror="window.hacked = 1">\'; document.body.append(own)'
    )
    until(driver, "return document.querySelector('body > div:last-child img').complete")
    assert driver.execute_script("return window.hacked") is None
    assert any("Content Security Policy" in entry["message"] for entry in driver.get_log("browser"))
    driver.execute_script("document.querySelector('body > div:last-child').remove()")


def test_the_keyboard_reaches_and_works_everything(driver: Any) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        ActionChains(driver).send_keys(*keys).perform()

    def focused(script: str) -> Any:
        return driver.execute_script(f"const it = document.activeElement; return {script}")

    shown_on(driver, 1280, dark=False)
    driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
    press(Keys.TAB)
    assert focused("it.className") == "skip"
    assert focused("it.getBoundingClientRect().left") >= 0, "the link shows when it has the focus"
    press(Keys.TAB, "d")
    assert focused("it.id") == "theme"
    assert driver.execute_script("return document.documentElement.dataset.theme") == "dark"
    seen = set()
    for _ in range(50):
        press(Keys.TAB)
        assert focused("getComputedStyle(it).outlineStyle !== 'none'"), focused("it.outerHTML.slice(0, 200)")
        seen.add(focused("it.tagName + (it.type ?? '')"))
    assert {"A", "SUMMARY", "DIV", "INPUTcheckbox"} <= seen
    marks = "return document.querySelectorAll('#lra-accuracy-text [aria-roledescription=point]').length"
    before = driver.execute_script(marks)
    driver.execute_script("document.querySelector('[data-scope=lra-accuracy] input').focus()")
    press(Keys.SPACE)
    until(driver, f"{marks} < {before}")
    driver.execute_script("document.querySelector('#filter').focus()")
    press("image wise_adaptive seed1 quick")
    assert driver.execute_script("return document.querySelector('#filtered').textContent") == "1 run"
    driver.execute_script("document.documentElement.dataset.theme = ''; localStorage.clear()")


def test_everything_has_a_name(driver: Any) -> None:
    nameless = driver.execute_script("""
      const named = (it) => it.ariaLabel || it.alt || it.textContent.trim() || it.labels?.length
        || it.querySelector("caption, summary, figcaption, [aria-label]");
      return [...document.querySelectorAll("a, img, input, select, table, summary, [tabindex='0'], [role=group]")]
        .filter((it) => !named(it)).map((it) => it.outerHTML.slice(0, 120));
    """)
    assert nameless == []
    labels = driver.execute_script(
        "return [...document.querySelectorAll('.plot svg')].map((it) => it.parentElement.ariaLabel ?? it.ariaLabel)"
    )
    assert len(labels) > 20
    assert all(labels)
    lost = "[...document.querySelectorAll('.toc a')].filter((link) => !document.querySelector(link.hash))"
    assert driver.execute_script(f"return {lost}.length") == 0
    ids = driver.execute_script("return [...document.querySelectorAll('[id]')].map((it) => it.id)")
    assert len(ids) == len(set(ids))


def test_a_picture_can_be_taken(world: Path) -> None:
    assert report(world, "--screenshot", str(world / "docs" / "page.png")) == (0, "")
    assert (world / "docs" / "page.png").read_bytes().startswith(b"\x89PNG")
