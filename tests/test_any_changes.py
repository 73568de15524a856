"""Whatever changes, and however much at once: what is told before a run is what it then does."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from lakehouse.engine.retry import Retry
from lakehouse.settings import MeasuredCaptioner
from tests.forecasts import ATTIC, BROKEN, ROOMS, ingested_day, kept_word
from tests.lakes import LENIENT, PLACES, Site, film, key_of


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return ingested_day(tmp_path_factory.mktemp("pristine"))


def replaced(name: str, data: bytes) -> Callable[[Site], Site]:
    def change(site: Site) -> Site:
        site.put(name, data)
        return site

    return change


def removed(name: str) -> Callable[[Site], Site]:
    def change(site: Site) -> Site:
        (Path(site.settings.bucket) / key_of(name)).unlink(missing_ok=True)
        return site

    return change


def interrupted(stages: int) -> Callable[[Site], Site]:
    """A run that gets no further than the first stages."""

    def change(site: Site) -> Site:
        site.run(stages=site.stages()[:stages])
        return site

    return change


def under(**settings: Any) -> Callable[[Site], Site]:
    return lambda site: site.changed(**settings)


NAMES = st.sampled_from([ROOMS, ATTIC, BROKEN, "new.mp4"])
FOOTAGE = st.sampled_from(
    [b"no film", *(film((place, 2)) for place in PLACES), film(("hall", 2), ("yard", 2))]
)
CHANGES = st.one_of(
    st.builds(replaced, NAMES, FOOTAGE),
    st.builds(removed, NAMES),
    st.builds(interrupted, st.integers(1, 4)),
    st.sampled_from(
        [
            under(thresholds=LENIENT),
            under(clips={"min_clip_s": 2.5, "max_clip_s": 5.0}),
            under(captioners={"zh": MeasuredCaptioner(language="en")}),
        ]
    ),
)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(CHANGES, min_size=2, max_size=5), retries=st.booleans())
def test_any_changes_together_keep_the_word(
    pristine: Site, changes: list[Callable[[Site], Site]], retries: bool
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        changed = pristine.copied_to(folder)
        for change in changes:
            changed = change(changed)
        kept_word(changed, Retry() if retries else None)
    finally:
        shutil.rmtree(folder)
