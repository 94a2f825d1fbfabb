"""The page in a real browser: every control changes the picture, for every kind of user."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.control.runs import Run, actions_of, running, until, write_film
from tests.helpers import SIZE, frame_of, room_is_hidden
from vcam.backends.fake import FakeBackend
from vcam.catalogue import EngineSpec
from vcam.colour import ycbcr_of
from vcam.control.serve import Server
from vcam.frame import Frame, Matrix
from vcam.sources.memory import MemorySource

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
AXE = Path(os.environ.get("VCAM_AXE", Path(__file__).parent / "node_modules/axe-core/axe.min.js"))
SHOTS = os.environ.get("VCAM_SHOTS")
"""Folder for pictures of the page, if somebody wants to look at them."""


def missing(what: str) -> None:
    """Skip with a reason, or fail where CI requires a browser."""
    if "browser" in os.environ.get("VCAM_REQUIRE", "").split(","):
        pytest.fail(f"{what} is required here")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None or DRIVER is None:
        missing("Chromium with its driver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    driver.set_page_load_timeout(30)
    yield driver
    driver.quit()


class Page:
    """One page of one run."""

    def __init__(self, browser: Any, run: Run, address: str) -> None:
        self.browser, self.run = browser, run
        self.resize(1280, 900)
        browser.get_log("browser")
        browser.get("about:blank")
        browser.get(address)
        self.wait("return document.querySelectorAll('#engines input').length > 0")

    def js(self, code: str, *given: object) -> Any:
        return self.browser.execute_script(code, *given)

    def wait(self, code: str) -> None:
        assert until(lambda: self.js(code)), code

    def click(self, selector: str) -> None:
        assert until(lambda: self.js("return document.querySelector(arguments[0])", selector))
        self.js("document.querySelector(arguments[0]).click()", selector)

    def slide(self, selector: str, value: float) -> None:
        assert until(lambda: self.js("return document.querySelector(arguments[0])", selector))
        self.js(
            "const s = document.querySelector(arguments[0]); s.value = arguments[1];"
            "s.dispatchEvent(new Event('input', {bubbles: true}));"
            "s.dispatchEvent(new Event('change', {bubbles: true}))",
            selector,
            value,
        )

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.browser).send_keys(*keys).perform()

    def resize(self, width: int, height: int, scheme: str = "dark") -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        looks = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": looks})

    def seen(self, wanted: Callable[[Frame], bool]) -> None:
        """Wait until what is sent is so."""
        assert until(lambda: any(map(wanted, self.run.sink.frames[-1:]))), self.texts()

    def texts(self) -> str:
        return str(self.js("return document.getElementById('toasts').textContent"))


def spec_of(name: str, folder: Path) -> EngineSpec:
    return EngineSpec(name, name, "fp32", "person", folder / name, "", (64, 64), ("room", "person"))


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Page]:
    sources = {
        name: MemorySource([frame_of(person=person)], fps=30, live=True)
        for name, person in (("demo", (230, 200, 40)), ("webcam:/dev/video7", (40, 200, 230)))
    }
    (tmp_path / "config.toml").write_text("# mine\n[profile.meeting.run]\nmirror = true\n")
    with running(["color:#203040"], sources, {"two": FakeBackend()}) as run:
        actions = actions_of(run, tmp_path)
        house = actions.house
        cameras = [{"path": "/dev/video7", "card": "Desk camera", "problem": ""}]
        object.__setattr__(house, "engines", lambda: [spec_of(n, tmp_path) for n in ("one", "two")])
        object.__setattr__(house, "devices", lambda: {"cameras": cameras})
        object.__setattr__(
            house.settings, "read", lambda name: {"mirror": True} if name == "meeting" else {}
        )
        actions._doctor = (
            time.monotonic() + 1e6,
            {
                "checks": [
                    {
                        "name": "module",
                        "state": "problem",
                        "reason": "not loaded",
                        "fix": [
                            {
                                "command": "sudo modprobe v4l2loopback",
                                "needs_root": True,
                                "by_hand": False,
                            }
                        ],
                    }
                ]
            },
        )
        with Server(actions, tmp_path / "run") as server:
            yield Page(browser, run, server.open_page())
    logged = [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]
    assert not [e for e in logged if e["source"] != "network"], logged


def room(rgb: tuple[int, int, int]) -> Callable[[Frame], bool]:
    y, u, v = ycbcr_of(rgb, Matrix.BT601)
    return lambda f: abs(int(f.y[4, 4]) - y) + abs(int(f.u[2, 2]) - u) + abs(int(f.v[2, 2]) - v) < 9


def wanted(page: Page, key: str) -> object:
    return getattr(page.run.control.wanted, key)


def test_backgrounds_and_effects_change_what_is_sent(page: Page) -> None:
    page.seen(room((0x20, 0x30, 0x40)))
    page.click("#gallery input[value=color]")
    page.click("#back-options input[type=radio][value='#ff0000']")
    page.seen(room((255, 0, 0)))
    page.js(
        "const c = document.querySelector('#back-options input[type=color]'); c.value = '#0000ff';"
        "c.dispatchEvent(new Event('input'))"
    )
    page.seen(room((0, 0, 255)))
    page.click("#gallery input[value=blur]")
    page.seen(lambda f: not room((0, 0, 255))(f))
    page.slide("#p-blur-strength-main", 0.25)
    assert until(lambda: page.run.control.wanted.effects[0].values == {"strength": 0.25})
    page.wait("return document.getElementById('p-blur-strength').value == '0.25'")
    page.click("#gallery input[value=none]")
    page.seen(lambda f: not room_is_hidden(f))
    page.wait("return document.getElementById('back-hint').textContent == 'Others see your room'")
    page.click("#gallery input[value=vcam-dusk]")
    page.seen(room_is_hidden)
    assert [w.name for w in page.run.control.wanted.effects] == ["image"]
    page.click("#e-color")
    page.seen(room((0, 0, 255)))
    page.click("#room .effect:has(#e-color) button[aria-label$=earlier]:enabled:not([hidden])")
    assert until(lambda: [w.name for w in page.run.control.wanted.effects] == ["color", "image"])
    page.seen(lambda f: not room((0, 0, 255))(f))
    for name in ("teeth", "skin", "eyes", "lips"):
        page.click(f"#e-{name}")
        assert until(lambda name=name: name in page.run.control.wanted.ids())  # type: ignore[misc]
    assert page.run.control.wanted.effects[2].values == {"color": "#5682ab"}
    assert not page.js("return document.querySelector('.toast.bad')"), page.texts()


def test_a_film_of_the_folder_is_a_background(page: Page, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(exist_ok=True)
    film = write_film(tmp_path / "own" / "Waves.mp4", (0, 255, 0))
    page.js("window.dispatchEvent(new Event('focus'))")
    page.click("#gallery input[aria-label='Waves (film)']")
    page.seen(room((0, 255, 0)))
    assert page.run.control.wanted.effects[0].values == {"path": str(film)}
    page.wait("return document.querySelector('#gallery input:checked').ariaLabel == 'Waves (film)'")
    page.click("#gallery input[value=blur]")
    page.seen(lambda f: not room((0, 255, 0))(f))
    assert [w.name for w in page.run.control.wanted.effects] == ["blur"]


def test_camera_engine_pause_and_profiles_change_what_is_sent(page: Page, tmp_path: Path) -> None:
    page.slide("#p-feather", 3)
    page.slide("#p-grow", -2)
    assert until(lambda: (wanted(page, "feather"), wanted(page, "grow")) == (3, -2))
    page.click("#mirror")
    assert until(lambda: wanted(page, "mirror") is True)
    page.click("#engines input[value=two]")
    assert until(lambda: page.run.backends["two"].open)
    page.js(
        "const s = document.getElementById('source'); s.value = 'webcam:/dev/video7';"
        "s.dispatchEvent(new Event('change'))"
    )
    other = ycbcr_of((40, 200, 230), Matrix.BT601)[2]
    page.seen(lambda f: abs(int(f.v[SIZE[1] // 4, SIZE[0] // 4]) - other) < 12)
    page.click("#pause")
    page.seen(lambda f: bool((f.u == 128).all()))
    page.wait("return document.getElementById('state-text').textContent == 'Paused'")
    page.click("#pause")
    page.seen(lambda f: not (f.u == 128).all())
    page.wait("return document.getElementById('state-text').textContent.startsWith('Live')")
    page.js("document.getElementById('profile-name').value = 'talk'")
    page.click("#save button")
    page.wait("return document.querySelectorAll('#profiles button').length == 2")
    saved = (tmp_path / "config.toml").read_text()
    assert saved.startswith("# mine\n[profile.meeting.run]")
    assert "[profile.talk.run]" in saved
    page.run.control.set("mirror", False)
    page.click("#profiles button")
    assert until(lambda: wanted(page, "mirror") is True)
    page.click("#check")
    page.wait("return document.querySelector('#doctor code')?.textContent.includes('modprobe')")
    assert not page.js("return document.querySelector('.toast.bad')"), page.texts()


def test_a_picture_is_uploaded_and_a_bad_one_is_explained(page: Page, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    good, bad = tmp_path / "My <i>room.png", tmp_path / "bad.png"
    cv2.imwrite(str(good), np.full((90, 160, 3), (10, 120, 10), np.uint8))
    bad.write_text("<script>alert(1)</script>")
    chooser = page.browser.find_element(By.ID, "file")
    chooser.send_keys(str(good))
    page.seen(room((10, 120, 10)))
    assert page.js("return document.querySelector('#gallery input:checked').ariaLabel")
    assert not page.js("return document.querySelector('#gallery i')")
    chooser.send_keys(str(bad))
    page.wait("return document.querySelector('.toast.bad')?.textContent.includes('no PNG')")
    page.seen(room((10, 120, 10)))


def test_the_preview_shows_both_sides_of_the_handle_and_the_mask(page: Page) -> None:
    at = (
        "const c = document.getElementById('canvas');"
        "const d = c.getContext('2d').getImageData(c.width * arguments[0], 6, 1, 1).data;"
        "return [d[0], d[1], d[2]]"
    )
    page.press("2")
    page.wait(
        f"const [r, g, b] = (() => {{ {at.replace('arguments[0]', '0.1')} }})();"
        "return r > 200 && b > 200 && g < 90"
    )
    assert max(page.js(at, 0.9)) < 90
    page.js("document.getElementById('split').focus()")
    page.press(*["\ue014"] * 45)  # the right arrow
    page.wait(f"const [r] = (() => {{ {at.replace('arguments[0]', '0.9')} }})(); return r > 200")
    page.press("3")
    page.wait("return document.getElementById('tag-after').textContent.startsWith('Mask')")
    page.press("1")
    page.wait(f"const [r] = (() => {{ {at.replace('arguments[0]', '0.1')} }})(); return r < 90")


def test_keys_and_tabs_reach_everything(page: Page) -> None:
    page.press("p")
    assert until(lambda: wanted(page, "paused") is True)
    page.press("p", "m")
    assert until(lambda: (wanted(page, "paused"), wanted(page, "mirror")) == (False, True))
    page.press("?")
    page.wait("return document.getElementById('help').open")
    page.js("document.getElementById('keys-on').click()")
    page.press("\ue00c")  # escape
    page.press("p")
    time.sleep(0.3)
    assert wanted(page, "paused") is False, "shortcuts are off"
    page.js("document.getElementById('keys-on').click(); document.activeElement.blur()")
    seen = set()
    for _ in range(70):
        page.press("\ue004")  # tab
        seen.add(
            page.js("const e = document.activeElement; return e.id || e.value || e.textContent")
        )
    assert {
        "theme",
        "keys",
        "pause",
        "mirror",
        "shot",
        "upload",
        "e-teeth",
        "p-feather",
        "source",
        "measure",
        "profile-name",
        "save-default",
        "check",
    } <= seen


def test_it_fits_and_has_no_barriers(page: Page) -> None:
    for width, height in ((360, 780), (768, 1024), (1920, 1080)):
        for scheme in ("dark", "light"):
            page.resize(width, height, scheme)
            assert page.js("return document.documentElement.scrollWidth") <= width
            if SHOTS:
                time.sleep(2)
                page.browser.save_screenshot(f"{SHOTS}/page-{width}-{scheme}.png")
            if AXE.exists() and width != 768:
                page.js(AXE.read_text(encoding="utf-8"))
                found = page.browser.execute_async_script(
                    "axe.run(document).then(r => arguments[0](r.violations))"
                )
                assert not found, json.dumps([(v["id"], v["nodes"][0]["html"]) for v in found])
    if not AXE.exists():
        missing("axe-core (npm install axe-core)")


def test_two_pages_agree_and_go_on_after_a_restart(browser: Any, tmp_path: Path) -> None:
    source = MemorySource([frame_of()], fps=30, live=True)
    with running(["color:#ff0000"], {"demo": source}) as run:
        with Server(actions_of(run, tmp_path), tmp_path / "run") as server:
            page = Page(browser, run, server.open_page())
            first = browser.current_window_handle
            browser.switch_to.new_window("tab")
            second = Page(browser, run, server.open_page())
            second.click("#mirror")
            browser.switch_to.window(first)
            pressed = "return document.getElementById('mirror').getAttribute('aria-pressed')"
            page.wait(f"{pressed} == 'true'")
        page.wait("return !document.getElementById('lost').hidden")
    with (
        running(["color:#00ff00"], {"demo": source}) as run,
        Server(actions_of(run, tmp_path), tmp_path / "run") as server,
    ):
        server.open_page()
        page.wait("return document.getElementById('lost').hidden")
        page.wait(f"{pressed} == 'false'")
        page.click("#mirror")
        assert until(lambda: run.control.wanted.mirror)
        port = page.js("return location.port")
        browser.switch_to.new_window("tab")
        stranger = browser.current_window_handle
        browser.get(f"http://127.0.0.1:{port}/")
        page.wait("return document.getElementById('lost-command').textContent == 'vcam ui'")
        for handle in browser.window_handles:
            if handle not in (first, stranger):
                browser.switch_to.window(handle)
                browser.close()
        browser.switch_to.window(stranger)
        browser.close()
        browser.switch_to.window(first)
        browser.get("about:blank")
