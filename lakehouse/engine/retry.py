"""Which rows that failed are tried again, when somebody asks for it.

A changed object, a new stage version or new settings need no asking: such rows are stale.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

from lakehouse.stages.stage import Stage
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import Failed
from lakehouse.tables.schemas import RECORDINGS


@dataclass(frozen=True)
class Retry:
    """A filter; what fails all that is left open is tried again.

    `stage` is a stage or a family (`captions` or `captions:zh`), `key` a pattern of objects' keys
    with `*`, `error` a part of the error. Rows that were tried `limits.attempts` times are left out
    unless `given_up` is set.
    """

    stage: str = ""
    key: str = "*"
    error: str = ""
    given_up: bool = False

    def concerns(self, stage: str) -> bool:
        """Whether it is about the stage of this name."""
        return self.stage in ("", stage, stage.partition(":")[0])

    def to_json(self) -> str:
        """As a run's tag holds it."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Retry":
        """Raises ValueError or TypeError for what `to_json` did not write."""
        retry = Retry(**json.loads(text))
        if not all(isinstance(of, str) for of in (retry.stage, retry.key, retry.error)):
            raise TypeError("stage, key and error are texts")
        return retry


def retried(
    retry: Retry | None, stage: Stage, partition: Partition, max_attempts: int
) -> Callable[[Failed], bool]:
    """What tells of a failed parent of the stage whether it is tried again."""
    if retry is None or not retry.concerns(stage.name):
        return lambda _: False
    keys: dict[str, str] = {}
    if retry.key != "*":
        keys.update(stage.lake.read(RECORDINGS, partition, ["recording_id", "key"]).iter_rows())

    def is_retried(failed: Failed) -> bool:
        return (
            fnmatchcase(keys.get(failed.recording_id, ""), retry.key)
            and retry.error.casefold() in failed.error.casefold()
            and (retry.given_up or failed.attempts < max_attempts)
        )

    return is_retried
