"""The Dagster UI in a real browser, over a day of two cameras: what `lakehouse ingest` left there.

Skipped where no chromium and chromedriver are installed.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from lakehouse.tables.partition import Partition
from tests.chromium import all_of, needs_chromium, one_of, until
from tests.commands import lakehouse
from tests.lakes import PARTITION, film, site
from tests.orchestrated import read_by_dagster

DAY = PARTITION.day.isoformat()
HOSTILE = Partition(PARTITION.day, "rex-<img src=x onerror=alert(1)>")
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A webserver over an instance in which a lake was ingested."""
    folder = tmp_path_factory.mktemp("orchestrated")
    made = site(folder / "site")
    made.put("a.mp4", film(("yard", 2), ("cellar", 2)))
    made.put("broken.mp4", b"not a film", HOSTILE)
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    with pytest.MonkeyPatch.context() as environment:
        read_by_dagster(made, environment, folder)
        environment.setenv("DAGSTER_HOME", str(home))
        assert lakehouse("ingest").code == 0
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "dagster_webserver", "-m", "assets.definitions"]
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    assert server.stdout is not None
    assert any("Serving dagster-webserver on" in line for line in server.stdout)
    yield f"http://127.0.0.1:{port}"
    server.terminate()
    server.communicate()


@pytest.fixture
def ui(chrome: Chrome) -> Iterator[Chrome]:
    """The browser; an error on its console fails the test."""
    chrome.set_window_size(1500, 1800)
    chrome.get_log("browser")
    yield chrome
    assert [line for line in chrome.get_log("browser") if line["level"] == "SEVERE"] == []


def showing(ui: Chrome, *texts: str) -> None:
    """Wait until the page shows each of these."""
    for text in texts:
        until(ui, lambda b, text=text: text in b.execute_script("return document.body.innerText"))


def click(ui: Chrome, label: str) -> None:
    until(ui, lambda b: [of for of in all_of(b, "button, a, span") if of.text == label])[0].click()


def cells(ui: Chrome) -> list[list[str]]:
    """The tables' rows, read in one go: the page draws itself anew at any time."""
    return ui.execute_script(
        "return [...document.querySelectorAll('table tr')].map("
        "row => [...row.querySelectorAll(':scope > td')].map(cell => cell.innerText))"
    )


def test_an_asset_shows_what_it_is_whose_and_of_what(ui: Chrome, address: str) -> None:
    ui.get(f"{address}/assets/caption_embeddings")
    showing(ui, "A vector for each caption", "footage", "lance", "Column name")
    showing(ui, "Made of captions (text).")


def test_a_partition_shows_its_ledger_and_a_contact_sheet(ui: Chrome, address: str) -> None:
    key = quote(f"{PARTITION.camera}|{DAY}")
    ui.get(f"{address}/assets/captions?view=partitions&partition={key}")
    showing(ui, "Materialized", "contact_sheet", "rejection_rate", "0.5")
    shown = cells(ui)
    assert ["passed", "2", "50.0%"] in shown
    assert ["rejected: dark", "2", "50.0%"] in shown
    click(ui, "[Show Markdown]")
    picture = until(ui, lambda b: one_of(b, "img[src^='data:image/jpeg']"))
    until(ui, lambda _: picture.get_property("naturalWidth") == 2 * 160)


def test_the_check_of_the_ledger_can_be_read(ui: Chrome, address: str) -> None:
    ui.get(f"{address}/assets/clips?view=checks")
    showing(ui, "ledger_closes", "blocking", "is accounted for:", "Evaluation result")


def test_a_days_report_is_a_table_in_which_names_are_text(ui: Chrome, address: str) -> None:
    ui.get(f"{address}/assets/daily_report?view=partitions&partition={DAY}")
    showing(ui, "Materialized", "report")
    click(ui, "[Show Markdown]")
    showing(ui, "rejected for", HOSTILE.camera, "not a video")
    assert not all_of(ui, "img[src='x']")
