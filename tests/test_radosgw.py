"""Bucket and lake on a Ceph RADOS Gateway: a store that people run, and that checks signatures."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings, load_settings
from lakehouse.storage.s3 import S3Bucket
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.schemas import CLIPS
from tests import s3_chain
from tests.lakes import Site, at_once
from tests.radosgw import Gateway
from tests.s3_server import SECRET_KEY
from tests.test_tables import keys_in, replace_own_and_shared

_WRITERS = 16
_WRONG_SECRET = "another-secret-which-no-message-may-hold"


@pytest.fixture
def url(gateway: Gateway) -> str:
    """The address of a new, empty bucket."""
    return f"s3://{gateway.new_bucket()}"


@pytest.fixture
def site(tmp_path: Path, url: str, gateway_settings: S3Settings) -> Site:
    return s3_chain.site_on_s3(tmp_path, url, gateway_settings)


@pytest.fixture
def lake(url: str, gateway_settings: S3Settings) -> Lake:
    """A lake with an empty table of clips."""
    lake = open_lake(load_settings(lake=f"{url}/lake", s3=gateway_settings))
    lake.bootstrap([CLIPS])
    return lake


def test_the_chain_makes_the_rows_that_it_makes_on_a_disk(site: Site, tmp_path: Path) -> None:
    site.run()
    assert site.contents() == s3_chain.rows_on_a_disk(tmp_path / "disk")


def test_a_second_run_commits_nothing(site: Site) -> None:
    s3_chain.a_second_run_commits_nothing(site)


def test_a_replaced_object_is_made_anew_and_no_other(site: Site) -> None:
    s3_chain.a_replaced_object_is_made_anew_and_no_other(site)


def test_of_sixteen_writers_one_creates_the_object(url: str, gateway_settings: S3Settings) -> None:
    bucket = S3Bucket(url, gateway_settings)
    assert bucket.conditional_writes_hold()
    together = Barrier(_WRITERS)

    def write(token: bytes) -> bool:
        together.wait()
        return bucket.put_if_absent("lock", token)

    tokens = [f"writer {number}".encode() for number in range(_WRITERS)]
    with ThreadPoolExecutor(_WRITERS) as writers:
        created = list(writers.map(write, tokens))
    assert created.count(True) == 1
    assert bucket.open("lock").read() == tokens[created.index(True)]


def test_processes_that_replace_at_once_lose_no_row_and_write_none_twice(lake: Lake) -> None:
    assert at_once(4, replace_own_and_shared, lake) == [0] * 4
    own = {f"own{n}{turn}-{clip}" for n in range(4) for turn in range(3) for clip in (1, 2)}
    assert keys_in(lake) == sorted(own | {"shared-1", "shared-2", "shared-3"})
    shared = lake.read(CLIPS, None, ["run_id"], "recording_id = 'shared'")
    assert shared.get_column("run_id").n_unique() == 1


def _list_bucket(url: str, s3: S3Settings) -> None:
    list(S3Bucket(url, s3).list())


def _open_table(url: str, s3: S3Settings) -> None:
    open_lake(load_settings(lake=f"{url}/lake", s3=s3)).dataset(CLIPS)


@pytest.mark.parametrize("use", [_list_bucket, _open_table])
def test_a_wrong_secret_is_refused_in_one_line_without_it(
    url: str,
    gateway_settings: S3Settings,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[str, S3Settings], None],
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", _WRONG_SECRET)
    with pytest.raises(UserError) as refused:
        use(url, gateway_settings)
    message = str(refused.value)
    assert url.removeprefix("s3://") in message
    assert "credentials" in message or "AWS_SECRET_ACCESS_KEY" in message
    assert "\n" not in message
    assert _WRONG_SECRET not in message
    assert SECRET_KEY not in message
