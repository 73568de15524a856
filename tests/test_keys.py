"""What keys say by a pattern, and which listings cover a partition."""

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lakehouse.errors import UserError
from lakehouse.storage.keys import KeyFields, KeyPattern, Mismatch

DEFAULT = "{robot}/{camera}/{day}/{name}"
PATTERNS = [
    DEFAULT,
    "{camera}/{day}/{name}",
    "{day}/{robot}-{camera}/{name}",
    "{day}/{camera}_{name}.mp4",
    "raw/{robot}.{camera}.{day}.mkv",
    "{name}/{day}/{camera}",
    "{robot}/{name}/{day}-{camera}.mp4",
]
DAY = date(2026, 2, 28)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{robot}/{day}/{name}", "camera"),
        ("{camera}/{name}", "day"),
        ("{camera}/{day}/{camera}", "twice"),
        ("{camera}/{day}/{speed}", "can only be"),
        ("{camera}/{day}/{}", "can only be"),
        ("{camera}/{day}/{name", "braces"),
        ("{camera}/{day}/name}", "braces"),
        ("{{camera}}/{day}", "braces"),
        ("{robot}{camera}/{day}", "touch"),
        ("/{camera}/{day}", "starts with"),
        ("", "needs"),
    ],
)
def test_a_pattern_that_can_not_work_is_refused_with_its_problem(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        KeyPattern.parse(text)


def test_a_key_says_robot_camera_day_and_name() -> None:
    assert KeyPattern.parse(DEFAULT).match("go2/front/2026-02-28/a.mp4") == KeyFields(
        robot="go2", camera="go2-front", day=DAY, name="a.mp4"
    )


def test_without_a_robot_the_camera_is_the_partition() -> None:
    assert KeyPattern.parse("{camera}/{day}/{name}").match("front/2026-02-28/a.mp4") == KeyFields(
        robot=None, camera="front", day=DAY, name="a.mp4"
    )


def test_without_a_name_the_last_part_of_the_key_is_it() -> None:
    fields = KeyPattern.parse("{camera}/{day}.mp4").match("front/2026-02-28.mp4")
    assert isinstance(fields, KeyFields)
    assert fields.name == "2026-02-28.mp4"


def test_a_last_name_may_lie_in_folders() -> None:
    fields = KeyPattern.parse(DEFAULT).match("go2/front/2026-02-28/run 1/take 2/a.mp4")
    assert isinstance(fields, KeyFields)
    assert fields.name == "run 1/take 2/a.mp4"


def test_a_name_before_other_fields_may_not_lie_in_folders() -> None:
    assert isinstance(KeyPattern.parse("{name}/{day}/{camera}").match("a/b/2026-02-28/c"), Mismatch)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("front/2026-02-28/a.mp4", f"does not fit {DEFAULT}"),
        ("go2//2026-02-28/a.mp4", f"does not fit {DEFAULT}"),
        ("go2/front/2026-2-28/a.mp4", f"does not fit {DEFAULT}"),
        ("go2/front/20260228/a.mp4", f"does not fit {DEFAULT}"),
        ("go2/front/２０２６-02-28/a.mp4", f"does not fit {DEFAULT}"),
        ("go2/front/2026-02-28/", f"does not fit {DEFAULT}"),
        ("go2/front/2026-02-30/a.mp4", "2026-02-30 is no day"),
        ("go2/front/0000-01-01/a.mp4", "0000-01-01 is no day"),
        (
            "go2/a|b/2026-02-28/a.mp4",
            "camera 'a|b' holds '|', which Dagster partitions can't carry",
        ),
        (
            "a...b/front/2026-02-28/a.mp4",
            "robot 'a...b' holds '...', which Dagster partitions can't carry",
        ),
        ("go\n2/front/2026-02-28/a", "robot 'go\\n2' holds characters that can't be printed"),
        (
            "go2/\u202efront/2026-02-28/a",
            "camera '\\u202efront' holds characters that can't be printed",
        ),
    ],
)
def test_a_key_that_can_not_be_read_says_why(key: str, reason: str) -> None:
    assert KeyPattern.parse(DEFAULT).match(key) == Mismatch(key, reason)


def test_a_key_made_to_be_slow_is_judged_at_once() -> None:
    pattern = KeyPattern.parse("{robot}-{camera}-{day}-{name}")
    assert isinstance(pattern.match("-" * 1024), Mismatch)


def test_a_partition_with_dashes_is_covered_by_each_of_its_readings() -> None:
    assert KeyPattern.parse(DEFAULT).prefixes(DAY, "a-b-c") == (
        "a-b/c/2026-02-28/",
        "a/b-c/2026-02-28/",
    )


def test_a_partition_that_no_key_can_say_needs_no_listing() -> None:
    assert KeyPattern.parse(DEFAULT).prefixes(DAY, "front") == ()


def test_no_listing_repeats_another() -> None:
    pattern = KeyPattern.parse("{robot}-{name}/{camera}/{day}")
    assert pattern.prefixes(DAY, "a-b-c") == ("a-",)


def test_format_refuses_what_would_be_read_otherwise() -> None:
    pattern = KeyPattern.parse("{day}/{robot}-{camera}/{name}")
    with pytest.raises(ValueError, match="no key"):
        pattern.format(KeyFields("a-b", "a-b-c", DAY, "x"))


# Without the signs that the patterns put between fields, which a value may hold only by chance.
values = st.text(
    st.characters(categories=["L", "N", "P", "S"], exclude_characters="/|-._"),
    min_size=1,
    max_size=6,
)
days = st.dates()


@given(st.sampled_from(PATTERNS), values, values, days, values)
def test_what_a_key_was_made_of_is_read_back(
    text: str, robot: str, camera: str, day: date, name: str
) -> None:
    pattern = KeyPattern.parse(text)
    has_robot = "{robot}" in text
    said = KeyFields(
        robot=robot if has_robot else None,
        camera=f"{robot}-{camera}" if has_robot else camera,
        day=day,
        name=name if "{name}" in text else f"{robot}.{camera}.{day.isoformat()}.mkv",
    )
    assert pattern.match(pattern.format(said)) == said


ambiguous = st.text(st.sampled_from("ab-_.2"), min_size=1, max_size=5)


@given(st.sampled_from(PATTERNS), ambiguous, ambiguous, days, ambiguous)
def test_every_key_of_a_partition_lies_under_one_of_its_prefixes(
    text: str, robot: str, camera: str, day: date, name: str
) -> None:
    pattern = KeyPattern.parse(text)
    key = text.format(robot=robot, camera=camera, day=day.isoformat(), name=name)
    fields = pattern.match(key)
    assume(isinstance(fields, KeyFields))
    assert isinstance(fields, KeyFields)
    covering = [p for p in pattern.prefixes(fields.day, fields.camera) if key.startswith(p)]
    assert len(covering) == 1
    assert pattern.format(fields) == key
