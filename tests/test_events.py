"""Where events come from: a queue of MiniStack's SQS, and a spool. `test_listener` fills that."""

from pathlib import Path
from typing import Any

import boto3
import pytest

from lakehouse.errors import UserError
from lakehouse.settings import S3Settings
from lakehouse.storage.events.spool import Spool
from lakehouse.storage.events.sqs import SqsQueue
from lakehouse.storage.s3 import S3Bucket
from tests.told import KEY, events, notification, queue_of, taken_within

PUT = notification("footage", "a.mp4")


class TestQueue:
    @pytest.fixture
    def sqs(self, s3_settings: S3Settings) -> Any:
        return boto3.session.Session().client(
            "sqs", endpoint_url=s3_settings.endpoint, region_name=s3_settings.region
        )

    @pytest.fixture
    def url(self, s3_bucket: S3Bucket, s3_settings: S3Settings) -> str:
        return queue_of(s3_bucket, s3_settings)

    @pytest.fixture
    def queue(self, url: str, s3_settings: S3Settings) -> SqsQueue:
        queue = SqsQueue(url, s3_settings)
        queue.done(delivery.receipt for delivery in queue.take())
        return queue

    def test_the_test_of_a_notification_is_delivered_without_events(
        self, url: str, s3_settings: S3Settings
    ) -> None:
        (test,) = SqsQueue(url, s3_settings).take()
        assert (test.events, test.problem) == ((), None)

    def test_hears_what_is_put_and_removed(self, queue: SqsQueue, s3_bucket: S3Bucket) -> None:
        s3_bucket.put(KEY, b"footage")
        s3_bucket.remove(KEY)
        heard = events(taken_within(5, queue))
        assert {event.kind for event in heard} == {"created", "removed"}
        assert {event.key_in(s3_bucket.url) for event in heard} == {KEY}

    def test_delivers_again_what_was_not_acknowledged(
        self, queue: SqsQueue, s3_bucket: S3Bucket, s3_settings: S3Settings, sqs: Any
    ) -> None:
        s3_bucket.put(KEY, b"footage")
        (first,) = taken_within(5, queue)
        assert queue.take() == []
        # As if the minute were over for which it is hidden.
        sqs.change_message_visibility(
            QueueUrl=queue.url, ReceiptHandle=first.receipt, VisibilityTimeout=0
        )
        after_a_crash = SqsQueue(queue.url, s3_settings)
        (again,) = taken_within(5, after_a_crash)
        assert again.events == first.events

    def test_never_delivers_again_what_another_process_acknowledged(
        self, queue: SqsQueue, s3_bucket: S3Bucket, s3_settings: S3Settings, sqs: Any
    ) -> None:
        for number in range(25):
            s3_bucket.put(f"rex/front/2026-01-02/{number}.mp4", b"footage")
        deliveries = taken_within(5, queue)
        assert len(deliveries) == 25
        SqsQueue(queue.url, s3_settings).done(delivery.receipt for delivery in deliveries)
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        left = sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=counts)["Attributes"]
        assert set(left.values()) == {"0"}

    def test_delivers_what_is_no_notification_with_the_reason(
        self, queue: SqsQueue, sqs: Any
    ) -> None:
        sqs.send_message(QueueUrl=queue.url, MessageBody='{"Records": 1}')
        (delivery,) = taken_within(5, queue)
        assert delivery.events == ()
        assert "Records" in (delivery.problem or "")
        queue.done([delivery.receipt])

    def test_passes_over_receipts_that_it_does_not_know(self, queue: SqsQueue) -> None:
        queue.done(["no receipt"])

    def test_a_queue_that_is_not_there_is_named(self, s3_settings: S3Settings) -> None:
        queue = SqsQueue(f"{s3_settings.endpoint}/000000000000/none", s3_settings)
        with pytest.raises(UserError, match=r"000000000000/none does not exist; correct"):
            queue.take()

    @pytest.mark.usefixtures("aws_environment")
    def test_a_server_that_is_down_is_named(self) -> None:
        with pytest.raises(UserError, match=r"http://127.0.0.1:9/1/q can't be reached"):
            SqsQueue("http://127.0.0.1:9/1/q", S3Settings()).take()

    @pytest.mark.parametrize("url", ["queue", "s3://queue", "http://me:secret@host/1/q"])
    def test_an_address_that_is_none_is_refused_and_not_quoted(self, url: str) -> None:
        with pytest.raises(UserError, match=r"events\.queue_url must be like") as refused:
            SqsQueue(url, S3Settings())
        assert "secret" not in str(refused.value)


class TestSpool:
    def test_delivers_the_oldest_first_until_it_is_acknowledged(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path / "spool")
        for name in (b"first", b"second"):
            spool.add(PUT.replace(b"a.mp4", name))
        after_a_crash = Spool(tmp_path / "spool")
        deliveries = after_a_crash.take()
        assert [event.key for event in events(deliveries)] == ["first", "second"]
        assert after_a_crash.take() == deliveries
        after_a_crash.done([deliveries[0].receipt])
        assert spool.take() == deliveries[1:]

    def test_acknowledging_twice_does_no_harm(self, tmp_path: Path) -> None:
        spool = Spool(tmp_path)
        spool.add(PUT)
        (delivery,) = spool.take()
        spool.done([delivery.receipt, delivery.receipt])
        assert list(tmp_path.iterdir()) == []

    def test_a_receipt_never_removes_a_file_elsewhere(self, tmp_path: Path) -> None:
        elsewhere = tmp_path / "kept.json"
        elsewhere.write_bytes(b"")
        Spool(tmp_path / "spool").done([str(elsewhere), "../kept.json"])
        assert elsewhere.exists()

    def test_what_is_no_notification_is_delivered_with_the_reason(self, tmp_path: Path) -> None:
        (tmp_path / "1.json").write_bytes(PUT[:-2])
        (delivery,) = Spool(tmp_path).take()
        assert delivery.events == ()
        assert "Invalid JSON" in (delivery.problem or "")

    def test_files_that_are_being_written_are_not_there_yet(self, tmp_path: Path) -> None:
        (tmp_path / ".1.json.part").write_bytes(PUT)
        (tmp_path / ".1.json").write_bytes(PUT)
        assert Spool(tmp_path).take() == []

    def test_a_folder_that_nothing_was_laid_into_is_empty(self, tmp_path: Path) -> None:
        assert Spool(tmp_path / "spool").take() == []

    def test_a_spool_that_is_no_folder_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"")
        for look in (Spool(file).take, lambda: Spool(file).add(PUT)):
            with pytest.raises(UserError, match=r"the spool .*/file: .*set events.spool"):
                look()
