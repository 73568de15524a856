"""The lakehouse as a Dagster resource: bucket, lake and stages from the settings."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

from dagster import ConfigurableResource, Failure

from lakehouse.engine.local import StageReport, run_stage
from lakehouse.errors import UserError
from lakehouse.query.views import all_tables
from lakehouse.settings import Settings, load_settings
from lakehouse.stages.chain import chain, stages_of
from lakehouse.stages.stage import Made, Stage
from lakehouse.storage.address import open_bucket
from lakehouse.storage.bucket import Bucket
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.schemas import RECORDINGS

Listener = Callable[[Stage, Made], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every parent whose rows are made by runs inside the block, in this
    process: for progress. Dagster makes resources anew for a run, so none can carry it."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


class LakehouseResource(ConfigurableResource):  # type: ignore[type-arg]
    """Settings come from the settings file and `LAKEHOUSE_*`, as for every command."""

    @cached_property
    def settings(self) -> Settings:
        """The settings of this process."""
        return load_settings()

    @cached_property
    def pattern(self) -> KeyPattern:
        """What keys mean."""
        return KeyPattern.parse(self.settings.key_pattern)

    @cached_property
    def bucket(self) -> Bucket:
        """Where footage lies."""
        return open_bucket(self.settings.bucket, self.settings.s3)

    @cached_property
    def lake(self) -> Lake:
        """The lake, with all tables created."""
        lake = open_lake(self.settings)
        lake.bootstrap(all_tables(self.settings))
        return lake

    def partitions(self) -> set[Partition]:
        """The partitions that the lake has recordings of."""
        held = self.lake.read(RECORDINGS, None, ["day", "camera"]).unique()
        return {Partition(day, camera) for day, camera in held.iter_rows()}

    def stages(self) -> tuple[Stage, ...]:
        """The whole chain."""
        return chain(self.settings, self.bucket, self.lake)

    def run_family(
        self, family: str, partition: Partition, run_id: str, *, retry_failed: bool
    ) -> list[StageReport]:
        """Bring every stage of a family up to date in one partition.

        What only a person can mend fails the step at once: trying it again would not help.
        """
        try:
            return [
                run_stage(
                    stage,
                    self.lake,
                    partition,
                    run_id,
                    retry_failed=retry_failed,
                    on_made=_telling(stage),
                )
                for stage in stages_of(family, self.settings, self.bucket, self.lake)
            ]
        except UserError as error:
            raise Failure(description=str(error), allow_retries=False) from error


def _telling(stage: Stage) -> Callable[[Made], None] | None:
    listener = _listener.get()
    return None if listener is None else lambda made: listener(stage, made)
