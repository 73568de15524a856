"""Ingests of the same partitions at once, beside maintenance and replaced objects."""

from benchmarks.place import place
from benchmarks.races import race, report


def test_racing_ingests_come_to_what_an_undisturbed_one_makes() -> None:
    with place(on_s3=False) as here:
        found = race(here, processes=3, rounds=1, recordings=6)
    assert found.ingests == 6
    assert found.hold, report(found)
