"""The page in a real browser: it loads nothing, draws, finds, filters and links; hostile records do no harm."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evolvent.ranking.result import write_result
from evolvent.report.page.compared import compared
from evolvent.report.page.report import write_report
from evolvent.report.page.source import read_sources
from tests.processes import LONG_S
from tests.report.page.runs import HOSTILE, evolutions, store_replies, whole_run, write

webdriver = pytest.importorskip("selenium.webdriver")
pytest.importorskip("vl_convert")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="there is no Chromium with its driver")
QUIET = ("no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking", "disable-component-update")


class Browser:
    """A headless Chromium with a page of ours."""

    def __init__(self) -> None:
        options = webdriver.ChromeOptions()
        for switch in ("headless", "disable-sync", "disable-quic", *QUIET):
            options.add_argument(f"--{switch}")
        options.binary_location = CHROMIUM
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        self.driver.set_script_timeout(LONG_S)

    def open(self, page: Path, fragment: str = "", *, dark: bool = False, width: int = 1280) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get(page.as_uri() + fragment)
        webdriver.support.wait.WebDriverWait(self.driver, LONG_S).until(
            lambda _: self.run("return document.body.dataset.drawn")
        )

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def until(self, script: str) -> Any:
        return webdriver.support.wait.WebDriverWait(self.driver, LONG_S).until(lambda _: self.run(script))

    def requests(self) -> list[str]:
        messages = [json.loads(one["message"])["message"] for one in self.driver.get_log("performance")]
        sent = [one["params"]["request"]["url"] for one in messages if one["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith(("file:", "about:", "data:"))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    import selenium.webdriver.support.wait  # noqa: F401

    found = Browser()
    yield found
    found.driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(whole_run(tmp_path_factory.mktemp("runs") / "run")).page


def test_it_draws_every_figure_and_asks_for_nothing(browser: Browser, page: Path) -> None:
    browser.open(page)
    drawn = "return [...document.querySelectorAll('.plot')].map((one) => one.querySelectorAll('svg path').length)"
    assert min(browser.run(drawn)) > 3
    assert browser.driver.get_log("browser") == [] and browser.requests() == []


def test_search_filters_keys_and_links_lead_to_a_record(browser: Browser, page: Path) -> None:
    browser.open(page, "#r=s3%2Fr1%2Ft1")
    detail = browser.until("return document.querySelector('#detail').innerText")
    assert "seed 3" in detail and "Mend sock 3" in detail and "answer" in detail
    assert browser.run("return document.querySelector('#detail ins').textContent") == " and more"
    browser.run("document.querySelector('#search').value = 'SOCK 11'; " + FOUND)
    assert browser.until("return document.querySelector('#count').textContent.startsWith('4 of')")
    browser.run(f"document.querySelector('[name=status]').value = 'eliminated'; {FOUND}")
    assert browser.until("return document.querySelector('#count').textContent.startsWith('0 of')") is True
    browser.run(f"document.querySelector('#filters').reset(); {FOUND}")
    browser.until("return document.querySelector('#count').textContent.startsWith('68 of')")
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'j' }))")
    assert browser.until("return location.hash !== '#r=s3%2Fr1%2Ft1' && location.hash")
    browser.run("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }))")
    assert browser.until("return document.querySelector('#detail').hidden")


RAW = "return [...document.querySelectorAll('#detail .raw')].map((one) => one.textContent.slice(0, 40))"
FOUND = "document.querySelector('#filters').dispatchEvent(new Event('input'))"


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1280, True)])
def test_a_telephone_and_the_dark(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, "#r=s3", dark=dark, width=width)
    assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    light = browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light != dark


@pytest.mark.parametrize("width", [390, 1280])
def test_no_name_in_a_figure_is_cut(browser: Browser, tmp_path: Path, width: int) -> None:
    folders = {name: whole_run(tmp_path / name) for name in ("a", "b")}
    ranked = compared(read_sources(list(folders.values())).runs)
    assert ranked is not None
    [ranking] = ranked.rankings
    orders = [replace(order, figure=f"trial:{order.figure}_of_embedded_sums") for order in ranking.orders]
    of_all = {"candidates": folders, "fates": {name: {} for name in folders}}
    write_result(replace(ranked, folder=tmp_path, rankings=[replace(ranking, orders=orders)], **of_all))
    browser.open(write_report(tmp_path).page, width=width)
    assert browser.run(OUTSIDE) == []


OUTSIDE = """
    const found = [];
    for (const svg of document.querySelectorAll(".plot svg")) {
      const all = svg.getBoundingClientRect();
      for (const text of svg.querySelectorAll("text")) {
        const own = text.getBoundingClientRect();
        const out = [all.left - own.left, own.right - all.right, all.top - own.top, own.bottom - all.bottom];
        if (own.width && Math.max(...out) > 0.5) found.push([text.textContent, ...out]);
      }
    }
    return found;
"""


def test_hostile_records_do_no_harm(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    evolved = evolutions(HOSTILE, reason=HOSTILE[1])
    write(folder, "evolve", evolved)
    store_replies(folder, evolved, [f"raw {text}" for text in HOSTILE for _ in (1, 2)])
    browser.open(write_report(folder).page)
    for n, text in enumerate(HOSTILE):
        browser.run(f"location.hash = '#r=s{n}'")
        browser.until(f"return document.querySelector('#detail h3')?.textContent.startsWith('seed {n} ')")
        shown = browser.run("return document.querySelector('#detail .text').textContent")
        text = text.replace("\u202e", "\\u202e").replace("\u202c", "\\u202c")  # nothing on the page is turned by it
        assert shown.replace("\ufffd", "\0").startswith(text[:40].replace("\ufffd", "\0"))
        raw = browser.run(RAW)
        lost = sum((n + round) % 3 == 0 for round in (1, 2))
        assert [one.replace("\ufffd", "\0") for one in raw] == [f"raw {text}"[:40].replace("\ufffd", "\0")] * lost
        assert browser.run("return document.title") == "run · evolvent"
        assert browser.run("return document.querySelectorAll('#detail script, #detail img, #detail svg').length") == 0
        assert browser.run("return document.documentElement.scrollWidth - innerWidth") <= 0
    assert browser.driver.get_log("browser") == [] and browser.requests() == []
