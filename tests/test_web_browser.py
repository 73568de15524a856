"""The clip browser in a real browser: Chromium, headless, driven by Selenium.

Skipped where no chromium and chromedriver are installed.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from lakehouse.settings import WebSettings
from lakehouse.tables.schemas import FRAMES
from lakehouse.web.app import create_app
from tests.chromium import all_of, needs_chromium, one_of, until
from tests.lakes import PARTITION, Site, film, site
from tests.queried import REAR
from tests.videos import moving, record

FETCHED = """const [address, done] = arguments;
fetch(address).then((answer) => answer.blob()).then((blob) => done(blob.size), () => done(0));"""
"""How many bytes a link leads to."""
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def patrol(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A day of two cameras, with footage of every kind."""
    made = site(tmp_path_factory.mktemp("patrol"))
    made.put("a.mp4", film(("yard", 3), ("hall", 2), ("cellar", 2)))
    made.put("broken.mp4", b"not a film")
    made.put("a.mp4", film(("hall", 2), ("yard", 5)), REAR)
    hevc = {"x265-params": "keyint=12:log-level=none"}
    made.put("hevc.mp4", record(moving(60), codec="libx265", options=hevc), REAR)
    for partition in (PARTITION, REAR):
        made.run(partition)
    return made


@pytest.fixture(scope="module")
def address(patrol: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folders = [tmp_path_factory.mktemp(name) for name in ("previews", "exports")]
    web = WebSettings(cache_folder=folders[0], exports_folder=folders[1])
    app = create_app(patrol.settings.model_copy(update={"web": web}))
    config = uvicorn.Config(app, port=0, log_level="warning")
    server = uvicorn.Server(config)
    listening = config.bind_socket()
    listening.listen()  # who comes before it has started waits, as for `lakehouse serve`
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def browser(chrome: Chrome, address: str) -> Iterator[Chrome]:
    """The browser at the first page; what it has to complain about fails the test."""
    chrome.set_window_size(1440, 900)
    chrome.get(address)
    chrome.get_log("browser")
    yield chrome
    assert chrome.get_log("browser") == []


def press(browser: Chrome, *keys: str) -> None:
    one_of(browser, "body").send_keys(*keys)


def arrived(browser: Chrome, part: str) -> None:
    state = "return document.readyState"
    until(browser, lambda b: part in b.current_url and b.execute_script(state) == "complete")


def test_a_clip_is_found_by_words_without_a_mouse(browser: Chrome) -> None:
    press(browser, "/")
    until(browser, lambda b: b.switch_to.active_element.get_attribute("id") == "q")
    browser.switch_to.active_element.send_keys("rex-rear", Keys.ENTER)
    arrived(browser, "q=rex-rear")
    assert "rex-rear" in all_of(browser, ".card")[0].text
    press(browser, "j")
    assert browser.switch_to.active_element == all_of(browser, ".card")[0]
    browser.switch_to.active_element.send_keys("j")
    assert browser.switch_to.active_element == all_of(browser, ".card")[1]
    browser.switch_to.active_element.send_keys("k")
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    arrived(browser, "/clips/")
    assert "rex-rear" in one_of(browser, "h1").text


def test_filters_leave_the_clips_that_fit(browser: Chrome, address: str) -> None:
    one_of(browser, ".cameras summary").click()
    one_of(browser, "input[name=camera][value=rex-front]").click()
    one_of(browser, "select[name=verdict]").send_keys("rejected")
    one_of(browser, "input[name=where]").send_keys("darkness_p50 > 0.9", Keys.ENTER)
    arrived(browser, "verdict=rejected")
    assert [badge.text for badge in all_of(browser, ".card .badge")] == ["rejected: dark"]
    one_of(browser, ".reset").click()
    until(browser, lambda b: b.current_url == f"{address}/")
    assert len(all_of(browser, ".card")) > 4


def test_a_card_plays_its_frames_while_it_has_the_focus(browser: Chrome) -> None:
    press(browser, "j")
    picture = browser.switch_to.active_element.find_element(By.TAG_NAME, "img")
    still = picture.get_attribute("src")
    until(browser, lambda _: picture.get_attribute("src") != still)
    browser.execute_script("document.activeElement.blur()")
    assert picture.get_attribute("src") == still


def test_a_clip_plays_and_seeks_by_keys(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/?verdict=passed&camera=rex-front")
    one_of(browser, ".card").click()
    arrived(browser, "/clips/")
    video = one_of(browser, "video")
    until(browser, lambda _: video.get_property("readyState") >= 2)
    assert video.get_property("currentSrc").endswith("/video.mp4")
    assert video.get_property("duration") == pytest.approx(3, abs=0.15)
    press(browser, " ")
    until(browser, lambda _: video.get_property("currentTime") > 0.3)
    press(browser, " ")
    assert video.get_property("paused")
    browser.execute_script("arguments[0].currentTime = 0.5", video)
    press(browser, Keys.ARROW_RIGHT)
    until(browser, lambda _: not video.get_property("seeking"))
    assert video.get_property("currentTime") == pytest.approx(1.5, abs=0.01)
    all_of(browser, "[data-seek]")[-1].click()
    last_s = float(all_of(browser, "[data-seek]")[-1].get_attribute("data-seek"))
    until(browser, lambda _: abs(video.get_property("currentTime") - last_s) < 0.01)
    assert video.get_property("error") is None


def test_a_clip_of_a_codec_that_it_lacks_plays_as_a_preview(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/?where=codec%20%3D%20%27hevc%27")
    one_of(browser, ".card").click()
    arrived(browser, "/clips/")
    video = one_of(browser, "video")
    until(browser, lambda _: video.get_property("readyState") >= 2)
    browser.execute_script("arguments[0].play()", video)
    until(browser, lambda _: video.get_property("currentTime") > 0.2)


def test_another_camera_shows_the_same_moment(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/?verdict=passed&camera=rex-front&where=start_s%20%3E%202")
    one_of(browser, ".card").click()
    arrived(browser, "/clips/")
    other = one_of(browser, "[data-others] .card")
    assert "rex-rear" in other.text
    assert "same offset in the recording of the same name" in other.text
    offset_s = float(other.get_attribute("href").partition("#t=")[2])
    other.click()
    until(browser, lambda b: "#t=" in b.current_url)
    assert "rex-rear" in one_of(browser, "h1").text
    until(browser, lambda b: abs(one_of(b, "video").get_property("currentTime") - offset_s) < 0.01)


def test_a_rejected_clip_says_why(browser: Chrome, address: str) -> None:
    browser.get(f"{address}/?verdict=rejected")
    one_of(browser, ".card").click()
    arrived(browser, "/clips/")
    assert one_of(browser, ".verdict").text == "Rejected: dark."
    row = one_of(browser, ".signals tr.bad")
    assert row.text.startswith("darkness")
    value, level = (row.find_element(By.CSS_SELECTOR, part).rect for part in (".value", ".level"))
    assert value["x"] + value["width"] > level["x"]


def test_the_timeline_of_a_day_leads_to_its_clips(browser: Chrome) -> None:
    one_of(browser, "nav a[href='/days']").click()
    arrived(browser, "/days")
    one_of(browser, ".day").click()
    arrived(browser, f"/days/{PARTITION.day}")
    kinds = {rect.get_attribute("class") for rect in all_of(browser, ".timeline a rect")}
    assert {"passed", "rejected"} <= kinds
    assert "not a video" in one_of(browser, ".timeline .error").text
    one_of(browser, ".timeline a rect.rejected").click()
    arrived(browser, "/clips/")
    assert one_of(browser, ".verdict").text == "Rejected: dark."


@pytest.mark.parametrize("width_px", [390, 1440])
def test_clips_are_ticked_exported_and_fetched(
    browser: Chrome, address: str, width_px: int
) -> None:
    with seen_at(browser, width_px):
        browser.get(f"{address}/?verdict=passed")
        for tick in all_of(browser, "input[name=clip]")[:2]:
            tick.click()
        button = one_of(browser, ".export button")
        assert button.text == "Export 2 ticked clips"
        button.click()
        arrived(browser, "/exports/")
        until(browser, lambda b: all_of(b, "[data-state=done]"))
        assert one_of(browser, ".sums").text.startswith("done")
        links = [link.get_attribute("href") for link in all_of(browser, "a[download]")]
        assert len(links) == 5
        sizes = [browser.execute_async_script(FETCHED, link) for link in links]
        assert all(size > 100 for size in sizes)
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= width_px
        one_of(browser, "nav a[href='/exports']").click()
        arrived(browser, "/exports")
        assert "2 ticked clips" in one_of(browser, ".day").text


def test_the_clips_of_a_search_are_exported_and_removed_again(
    browser: Chrome, address: str
) -> None:
    browser.get(f"{address}/?camera=rex-front&where=darkness_p50%20%3E%200.9")
    one_of(browser, ".export button").click()
    arrived(browser, "/exports/")
    until(browser, lambda b: all_of(b, "[data-state=done]"))
    assert "darkness_p50 > 0.9" in one_of(browser, ".title").text
    next(b for b in all_of(browser, "button") if b.text == "Remove the files").click()
    until(browser, lambda b: b.current_url == f"{address}/exports")
    assert "darkness_p50" not in one_of(browser, "main").text


def test_clips_like_a_picture_are_found(browser: Chrome, patrol: Site, tmp_path: Path) -> None:
    (dark, *_) = [
        row["jpeg"]
        for row in patrol.rows(FRAMES, "jpeg", "clip_id", where=PARTITION.predicate)
        if row["clip_id"] in patrol.sql("FROM verdicts WHERE NOT passed")["clip_id"].to_list()
    ]
    (tmp_path / "dark.jpg").write_bytes(dark)
    one_of(browser, ".more summary").click()
    one_of(browser, "input[type=file]").send_keys(str(tmp_path / "dark.jpg"))
    arrived(browser, "image=")
    assert all_of(browser, ".card .badge")[0].text == "rejected: dark"
    assert one_of(browser, ".example").get_property("naturalWidth") > 0


@pytest.mark.parametrize("width_px", [390, 1440])
def test_no_page_scrolls_sideways(browser: Chrome, address: str, width_px: int) -> None:
    clip = one_of(browser, ".card").get_attribute("href")
    asked = f"{address}/?by=words&q=motion&robot=rex&from_time="
    days = (f"{address}/days", f"{address}/days/{PARTITION.day}")
    with seen_at(browser, width_px):
        for page in (address, asked, clip, *days, f"{address}/exports"):
            browser.get(page)
            assert browser.execute_script("return innerWidth") == width_px
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width <= width_px, page


@contextmanager
def seen_at(browser: Chrome, width_px: int) -> Iterator[None]:
    """A screen so wide. A window has a least width; what the page is told has none."""
    screen = {"width": width_px, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
