"""Buckets that tell of their objects: to a queue of SQS, or as the text that they would push."""

import json
import time
from uuid import uuid4

import boto3

from lakehouse.settings import S3Settings
from lakehouse.storage.events.event import Delivery, Event, EventSource
from lakehouse.storage.s3 import S3Bucket

HEARD = ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]
KEY = "rex/front/2026-01-02/a b+ü 中.mp4"


def notification(bucket: str, key: str, name: str = "ObjectCreated:Put") -> bytes:
    """What a server writes of one object; the key as S3 encodes it."""
    place = {"bucket": {"name": bucket}, "object": {"key": key}}
    return json.dumps({"Records": [{"eventName": name, "s3": place}]}).encode()


def queue_of(bucket: S3Bucket, s3: S3Settings) -> str:
    """A queue that hears of a bucket; the test of its notification lies in it."""
    server = {"endpoint_url": s3.endpoint, "region_name": s3.region}
    session = boto3.session.Session()
    sqs = session.client("sqs", **server)
    url = str(sqs.create_queue(QueueName=f"events-{uuid4().hex}")["QueueUrl"])
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    session.client("s3", **server).put_bucket_notification_configuration(
        Bucket=bucket.name,
        NotificationConfiguration={
            "QueueConfigurations": [
                {"QueueArn": attributes["Attributes"]["QueueArn"], "Events": HEARD}
            ]
        },
    )
    return url


def events(deliveries: list[Delivery]) -> list[Event]:
    return [event for delivery in deliveries for event in delivery.events]


def taken_within(seconds: float, source: EventSource) -> list[Delivery]:
    """What arrives first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if deliveries := source.take():
            return deliveries
        time.sleep(0.02)
    raise AssertionError(f"no event within {seconds} s")
