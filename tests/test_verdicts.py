"""Verdicts: which clips pass, and why others don't."""

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.query.verdicts import RULES, judge
from lakehouse.settings import Thresholds
from lakehouse.tables.schemas import SCORES
from tests.lakes import LENIENT, PARTITION, Site

THRESHOLDS = Thresholds(
    max_darkness=0.75,
    max_over_exposed=0.5,
    min_sharpness=0.25,
    max_noise=12.0,
    max_stillness=0.875,
    min_texture=6.0,
)
GOOD = {
    "darkness_p50": 0.2,
    "over_exposed_p50": 0.0,
    "sharpness_p50": 0.8,
    "noise_p50": 1.0,
    "stillness": 0.1,
    "texture_p50": 30.0,
}
EDGES = {
    "darkness_p50": 0.75,
    "over_exposed_p50": 0.5,
    "sharpness_p50": 0.25,
    "noise_p50": 12.0,
    "stillness": 0.875,
    "texture_p50": 6.0,
}
UNLIT = {"sharpness_p50": 0.0, "noise_p50": 50.0, "stillness": 1.0, "texture_p50": 0.0}


def reasons(**measured: float | None) -> list[str]:
    """Why a clip that measures like this does not pass."""
    row = {"clip_id": "c", "recording_id": "r", **PARTITION.__dict__, **GOOD, **measured}
    scores = pl.DataFrame(pa.Table.from_pylist([row], schema=SCORES.schema))
    (verdict,) = judge(scores, THRESHOLDS).to_dicts()
    assert verdict["passed"] == (not verdict["reasons"])
    return list(verdict["reasons"])


def test_a_good_clip_passes() -> None:
    assert reasons() == []


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("darkness_p50", 0.8, "dark"),
        ("over_exposed_p50", 0.6, "over_exposed"),
        ("sharpness_p50", 0.2, "blurred"),
        ("noise_p50", 12.5, "noisy"),
        ("stillness", 0.95, "still"),
        ("texture_p50", 5.5, "empty"),
    ],
)
def test_each_measurement_has_its_reason(column: str, value: float, reason: str) -> None:
    assert reasons(**{column: value}) == [reason]


@pytest.mark.parametrize(("column", "value"), EDGES.items())
def test_what_measures_just_the_threshold_passes(column: str, value: float) -> None:
    assert reasons(**{column: value}) == []


def test_all_reasons_are_told() -> None:
    assert reasons(sharpness_p50=0.0, noise_p50=20.0) == ["blurred", "noisy"]


@pytest.mark.parametrize(
    ("column", "reason"), [("darkness_p50", "dark"), ("over_exposed_p50", "over_exposed")]
)
def test_where_nothing_can_be_seen_that_is_the_only_reason(column: str, reason: str) -> None:
    assert reasons(**{column: 1.0}, **UNLIT) == [reason]


def test_a_clip_of_a_single_sample_is_judged_without_its_motion() -> None:
    assert reasons(stillness=None) == []
    assert reasons(stillness=None, sharpness_p50=0.0) == ["blurred"]


def test_a_clip_of_which_nothing_was_measured_does_not_pass() -> None:
    assert reasons(**dict.fromkeys(GOOD)) == ["unmeasured"]


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({name: st.none() | st.floats(0, 256, width=32) for name in GOOD}))
def test_every_measurement_has_a_verdict(measured: dict[str, float | None]) -> None:
    why = reasons(**measured)
    assert set(why) <= set(RULES)
    assert len(why) == len(set(why))
    if "dark" in why:
        assert set(why) <= {"dark", "over_exposed"}


def test_the_view_judges_as_the_stages_do(lake: Site) -> None:
    scores = lake.lake.read(SCORES, None, SCORES.schema.names)
    judged = judge(scores, lake.settings.thresholds).sort("clip_id")
    assert lake.sql("SELECT * FROM verdicts ORDER BY clip_id").equals(judged)


def test_a_changed_threshold_changes_the_view_at_once(lake: Site) -> None:
    dark = "SELECT count(*) FROM verdicts WHERE NOT passed"
    assert lake.sql(dark).item() == 1
    assert lake.changed(thresholds=LENIENT).sql(dark).item() == 0
