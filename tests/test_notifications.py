"""What the text of a notification says, as each server writes it, and which objects it means."""

import json
from contextlib import suppress
from typing import Any
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.storage.events.event import Event
from lakehouse.storage.events.notification import NotANotificationError, events_of

KEY = "raw/rex/front/2026-01-02/a b+c%20d ü 中.mp4"


def record(name: str, key: str, source: str = "aws:s3") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": source,
        "eventName": name,
        "s3": {"bucket": {"name": "footage"}, "object": {"key": key, "size": 1, "eTag": "e"}},
    }


def notification(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": records})


def test_a_key_is_decoded_as_s3_encodes_it() -> None:
    text = notification(record("ObjectCreated:Put", quote_plus(KEY, safe="/")))
    assert events_of(text) == (Event("footage", KEY, "created"),)


def test_a_key_is_decoded_whether_its_slashes_are_encoded_or_not() -> None:
    text = notification(record("s3:ObjectCreated:Put", quote_plus(KEY), "minio:s3"))
    assert events_of(text) == (Event("footage", KEY, "created"),)


def test_the_gateways_keys_are_taken_as_they_are() -> None:
    text = notification(record("ObjectCreated:Put", KEY, "ceph:s3"))
    assert events_of(text) == (Event("footage", KEY, "created"),)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ObjectCreated:CompleteMultipartUpload", "created"),
        ("s3:ObjectCreated:Copy", "created"),
        ("ObjectRestore:Completed", "created"),
        ("ObjectRemoved:Delete", "removed"),
        ("ObjectRemoved:DeleteMarkerCreated", "removed"),
        ("LifecycleExpiration:Delete", "removed"),
        ("s3:ObjectLifecycle:Expiration:Current", "removed"),
    ],
)
def test_objects_are_created_and_removed_in_many_ways(name: str, kind: str) -> None:
    assert [event.kind for event in events_of(notification(record(name, "a")))] == [kind]


def test_what_else_happens_to_objects_is_no_event() -> None:
    tagged, put = record("ObjectTagging:Put", "a"), record("ObjectCreated:Put", "b")
    assert [event.key for event in events_of(notification(tagged, put))] == ["b"]


def test_the_test_of_a_notification_holds_no_event() -> None:
    assert events_of('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"}') == ()


def test_a_notification_that_sns_wrapped_is_unwrapped() -> None:
    inside = notification(record("ObjectCreated:Put", "a"))
    wrapped = json.dumps({"Type": "Notification", "TopicArn": "arn:...", "Message": inside})
    assert events_of(wrapped) == events_of(inside)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Invalid JSON"),
        ("\0\xff", "Invalid JSON"),
        ("[]", "should be an object"),
        ("{}", "no Records"),
        ('{"Message": "{}"}', "no Records"),
        ('{"Message": "no notification"}', "Invalid JSON"),
        ('{"Records": {}}', "Records: "),
        ('{"Records": [{"eventName": "ObjectCreated:Put"}]}', "Records.0.s3: Field required"),
        (
            '{"Records": [{"eventName": "x", "s3": {"bucket": {"name": "b"}, "object": {}}}]}',
            "Records.0.s3.object.key: Field required",
        ),
        ("[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_notification_is_named_and_not_quoted(text: str, said: str) -> None:
    with pytest.raises(NotANotificationError, match=said) as refused:
        events_of(text)
    assert "no notification" not in str(refused.value)
    assert len(str(refused.value)) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["Records", "Message", "Event", "eventName", "s3", "bucket", "key"]),
            inner,
        )
    ),
)


@given(st.binary() | JSON.map(json.dumps) | JSON.map(lambda held: json.dumps({"Records": held})))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    with suppress(NotANotificationError):
        assert isinstance(events_of(text), tuple)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_every_key_is_read_as_it_was_written(key: str) -> None:
    (event,) = events_of(notification(record("ObjectCreated:Put", quote_plus(key, safe="/"))))
    assert event.key == key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("s3://footage/raw", KEY.removeprefix("raw/")),
        ("s3://footage", KEY),
        ("s3://footage/ra", None),
        ("s3://footage/other", None),
        ("s3://foot", None),
        ("s3://footages/raw", None),
        ("/footage/raw", None),
        ("footage/raw", None),
    ],
)
def test_an_event_is_about_a_key_of_the_bucket_or_about_none(url: str, key: str | None) -> None:
    assert Event("footage", KEY, "created").key_in(url) == key


@pytest.mark.parametrize("name", [".hidden.mp4", "copying.mp4.part", "folder/", "a/../b.mp4"])
def test_an_event_about_what_no_listing_shows_is_about_no_key(name: str) -> None:
    assert Event("footage", f"raw/{name}", "created").key_in("s3://footage/raw") is None
