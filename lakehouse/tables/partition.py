"""A partition of the lake: one day of one camera."""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, order=True)
class Partition:
    """`camera` is the partition value, `robot-camera`."""

    day: date
    camera: str

    @property
    def predicate(self) -> str:
        """The partition as a filter that Lance pushes down."""
        camera = self.camera.replace("'", "''")
        return f"day = date '{self.day.isoformat()}' AND camera = '{camera}'"

    def __str__(self) -> str:
        return f"{self.day.isoformat()} {self.camera}"
