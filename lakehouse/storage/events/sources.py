"""From the settings to the sources of events that they name."""

from lakehouse.settings import Settings
from lakehouse.storage.events.event import EventSource
from lakehouse.storage.events.spool import Spool


def event_sources(settings: Settings) -> dict[str, EventSource]:
    """The sources by the names of their settings; nothing is opened yet.

    Raises UserError for an address that can't be a queue's.
    """
    sources: dict[str, EventSource] = {}
    if settings.events.queue_url:
        # boto3 is slow to import where the bucket pushes.
        from lakehouse.storage.events.sqs import SqsQueue  # noqa: PLC0415

        sources["queue_url"] = SqsQueue(settings.events.queue_url, settings.s3)
    if settings.events.spool:
        sources["spool"] = Spool(settings.events.spool)
    return sources
