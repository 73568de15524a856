"""Who is let in, how the command is started, and that no request brings the server down."""

import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from lakehouse.errors import UserError
from lakehouse.web.app import create_app
from tests.lakes import Site
from tests.queried import first_clip
from tests.web_sites import browsing

ROOT = Path(__file__).parent.parent
TOKEN = "a-token-of-the-tests"
COMMAND = [sys.executable, "-c", "from assets.command_line.app import main; main()", "serve"]
EXAMPLES = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class TestToken:
    @pytest.fixture
    def client(self, lake: Site, tmp_path: Path) -> Iterator[TestClient]:
        with browsing(lake, tmp_path, token=TOKEN) as client:
            yield client

    @pytest.mark.parametrize(
        ("address", "headers"),
        [
            ("/", {}),
            ("/api/clips", {}),
            ("/static/browser.css", {}),
            ("/?token=another-token-here", {}),
            ("/?token=", {}),
            ("/", {"Authorization": f"Bearer {TOKEN}x"}),
            ("/", {"Authorization": f"Basic {TOKEN}"}),
            ("/", {"Authorization": "Bearer"}),
            ("/", {"Cookie": f"kennel_session={TOKEN}"}),
            ("/", {"Cookie": "kennel_session"}),
            ("/nowhere", {}),
        ],
    )
    def test_without_it_nothing_is_told(
        self, client: TestClient, address: str, headers: dict[str, str]
    ) -> None:
        answer = client.get(address, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "rex" not in answer.text

    def test_is_taken_from_a_header_under_any_host(self, client: TestClient) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Host": "kennel.example"}
        assert client.get("/api/clips", headers=headers).status_code == 200

    def test_in_an_address_it_becomes_a_cookie_that_scripts_and_other_sites_lack(
        self, client: TestClient
    ) -> None:
        first = client.get(f"/?verdict=passed&token={TOKEN}", follow_redirects=False)
        assert (first.status_code, first.headers["location"]) == (303, "/?verdict=passed")
        assert "HttpOnly" in first.headers["set-cookie"]
        assert "SameSite=lax" in first.headers["set-cookie"]
        assert TOKEN not in first.headers["set-cookie"]
        assert client.get("/api/clips").status_code == 200

    def test_in_an_address_it_leads_to_no_other_host(self, client: TestClient) -> None:
        for path in ("//evil.example/", "/%5Cevil.example/"):
            client.cookies.clear()
            url = f"http://127.0.0.1{path}?token={TOKEN}"
            answer = client.get(url, follow_redirects=False)
            assert re.match(r"/[^/\\]", answer.headers["location"])

    def test_is_not_asked_of_who_looks_whether_the_server_is_well(self, client: TestClient) -> None:
        assert client.get("/healthz").json() == {"status": "ok"}

    @pytest.mark.parametrize("token", ["short", "with a space in its middle"])
    def test_one_that_can_be_guessed_or_not_be_sent_is_refused(
        self, lake: Site, token: str
    ) -> None:
        with pytest.raises(UserError, match="16 or more"):
            create_app(lake.settings, token)


def test_without_a_token_only_names_of_this_machine_are_answered(
    lake: Site, tmp_path: Path
) -> None:
    with browsing(lake, tmp_path) as client:
        for host, status in (
            ("localhost:8765", 200),
            ("[::1]:8765", 200),
            ("kennel.example", 421),
            ("127.0.0.1.evil.example:8765", 421),
        ):
            assert client.get("/api/clips", headers={"Host": host}).status_code == status


def test_browsers_are_told_to_run_and_load_nothing_from_elsewhere(
    lake: Site, tmp_path: Path
) -> None:
    with browsing(lake, tmp_path) as client:
        for address in ("/", f"/clips/{first_clip(lake)}", "/days/2026-01-02", "/nowhere"):
            answer = client.get(address)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert not re.search(r"<style|\sstyle=|\son[a-z]+=|https?://", answer.text)
            assert re.findall(r"<script[^>]*>", answer.text) == [
                '<script src="/static/browser.js" defer>'
            ]


class TestFuzz:
    @pytest.fixture(scope="class")
    def client(self, lake: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
        with browsing(lake, tmp_path_factory.mktemp("previews"), query_s=2.0) as client:
            yield client

    def test_no_request_that_the_document_allows_or_forbids_fails_the_server(
        self, client: TestClient
    ) -> None:
        document = client.get("/api/openapi.json").json()
        schema = schemathesis.openapi.from_dict(document)
        modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        tried = 0
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in modes:
                cases = operation.as_strategy(generation_mode=mode)

                @EXAMPLES
                @given(case=cases)
                def ask(case: schemathesis.Case) -> None:
                    nonlocal tried
                    tried += 1
                    sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
                    kept = ("method", "url", "params", "data", "json")
                    wanted = {name: sent[name] for name in kept if name in sent}
                    answer = client.request(**wanted)
                    assert answer.status_code < 500, (wanted, answer.text[:500])

                with suppress(Unsatisfiable):  # nothing can be wrong with what takes nothing
                    ask()
        assert tried > 100

    @EXAMPLES
    @given(
        name=st.sampled_from(
            ["q", "where", "camera", "robot", "first_day", "from_time", "like", "by", "page"]
        ),
        value=st.text(max_size=40) | st.sampled_from(["'", '"', "\0", "a AND", "NOT", "(", "*:*"]),
    )
    def test_no_text_in_a_form_fails_the_server(
        self, client: TestClient, name: str, value: str
    ) -> None:
        assert client.get("/", params={name: value}).status_code < 500

    @EXAMPLES
    @given(wanted=st.text(st.sampled_from("bytes=-0123456789,; "), max_size=30))
    def test_no_range_fails_the_server(self, client: TestClient, lake: Site, wanted: str) -> None:
        address = f"/clips/{first_clip(lake)}/video.mp4"
        answer = client.get(address, headers={"Range": wanted})
        assert answer.status_code in {200, 206, 416}


class TestCommand:
    def environment(self, lake: Site, tmp_path: Path, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "LAKEHOUSE_BUCKET": lake.settings.bucket,
            "LAKEHOUSE_LAKE": lake.settings.lake,
            "LAKEHOUSE_WEB__CACHE_FOLDER": str(tmp_path / "previews"),
            **more,
        }

    def test_serves_until_it_is_stopped_and_never_writes_the_token_down(
        self, lake: Site, tmp_path: Path
    ) -> None:
        with subprocess.Popen(
            [*COMMAND, "--port", "0"],
            cwd=tmp_path,
            env=self.environment(lake, tmp_path, KENNEL_WEB_TOKEN=TOKEN),
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            assert command.stderr is not None
            said = command.stderr.readline()
            port = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=TOKEN", said)
            assert port, said
            connection = http.client.HTTPConnection("127.0.0.1", int(port[1]), timeout=30)
            connection.request("GET", f"/api/clips?token={TOKEN}")
            with connection.getresponse() as answer:
                assert answer.status == 303
            connection.close()
            command.send_signal(signal.SIGTERM)
            said += command.stderr.read()
        assert said.endswith("stopped\n")
        assert TOKEN not in said
        assert command.returncode == 0

    def test_without_a_token_no_other_host_is_served(self, lake: Site, tmp_path: Path) -> None:
        refused = subprocess.run(
            [*COMMAND, "--host", "0.0.0.0"],
            cwd=tmp_path,
            env=self.environment(lake, tmp_path),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert refused.returncode == 2
        assert refused.stderr == (
            "error: 0.0.0.0 can be reached from other machines; set KENNEL_WEB_TOKEN to a token "
            "for it\n"
        )
