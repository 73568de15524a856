"""Example pictures that visitors search with: sent once, then named by an id in addresses.

What is kept is made anew by a worker process: nothing that a visitor sent is decoded here, or sent
to another. How long it is kept is `cache`.
"""

import hashlib

from lakehouse.engine.workers import TaskFailed, WorkerLost, Workers
from lakehouse.settings import Settings
from lakehouse.web.cache import Cache
from lakehouse.web.reading import NotFound, Refused
from lakehouse.web.tasks import ExampleTask, NotShowable

MOST_BYTES = 16 * 2**20
"""Of a picture that is sent."""


class Examples:
    """Pictures by id. For several threads."""

    def __init__(self, settings: Settings) -> None:
        web = settings.web
        self._deadline_s = settings.limits.deadline_s
        self._cache = Cache(web.cache_folder, web.cache_mb * 2**20)
        self._workers = Workers(1, settings.limits.memory_mb)

    def keep(self, picture: bytes) -> str:
        """The id of this picture. Raises Refused for bytes that are none."""
        image = hashlib.sha256(picture).hexdigest()[:32]
        try:
            self._cache.add(
                _name(image), self._workers.stream(ExampleTask(picture), self._deadline_s)
            )
        except (NotShowable, TaskFailed, WorkerLost) as error:
            raise Refused(f"an example can't be made of this: {error}") from error
        return image

    def read(self, image: str) -> bytes:
        """The picture as a JPEG. Raises NotFound."""
        file = self._cache.open(_name(image))
        if file is None:
            raise NotFound("this example picture isn't kept any more; choose it again")
        with file:
            return file.read()

    def close(self) -> None:
        """End what is being made."""
        self._workers.close()


def _name(image: str) -> str:
    return f"example-{image}.jpg"
