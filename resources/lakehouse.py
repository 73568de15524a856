"""The lakehouse as a Dagster resource: bucket, lake and stages from the settings."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from functools import cached_property

from dagster import ConfigurableResource, Failure

from lakehouse.engine.costs import Cost, cost_of, history_of
from lakehouse.engine.following import Follower
from lakehouse.engine.forecast import Forecast, forecast
from lakehouse.engine.local import StageReport, run_stage
from lakehouse.engine.retry import Retry
from lakehouse.engine.scan import partitions_of
from lakehouse.errors import UserError
from lakehouse.query.daily_report import DailyReport, bring_up_to_date
from lakehouse.query.standing import Standing, Standings
from lakehouse.query.tables import all_tables
from lakehouse.settings import Settings, VisionServer, load_settings
from lakehouse.stages.chain import chain, stages_of
from lakehouse.stages.stage import Made, Stage
from lakehouse.storage.address import open_bucket
from lakehouse.storage.bucket import Bucket, ObjectNotFound
from lakehouse.storage.keys import KeyPattern
from lakehouse.tables.lake import Lake, open_lake
from lakehouse.tables.partition import Partition
from lakehouse.tables.removal import remove_gone

Listener = Callable[[Stage, Made], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_followers: dict[tuple[str, Partition], Follower] = {}
"""Of the runs of this process; a follower outlives the step that it follows."""
_FOLLOWING = ("scores", "model_scores", "captions")


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell `listener` of every parent whose rows are made by runs inside the block, in this
    process: for progress. Captions that are made while clips are decoded are told of by a thread
    of their own. Dagster makes resources anew for a run, so none can carry it."""
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
        """See `engine.scan.partitions_of`."""
        return partitions_of(self.lake)

    def remove_gone(self) -> int:
        """Remove the rows of footage that is gone, if the settings say so; returns how many
        recordings. None while the bucket shows nothing at all: it may not be mounted."""
        if self.settings.removed_footage == "mark" or next(self.bucket.list(), None) is None:
            return 0
        return remove_gone(self.lake, all_tables(self.settings), self._is_absent)

    def _is_absent(self, key: str) -> bool:
        try:
            self.bucket.stat(key)
        except ObjectNotFound:
            return True
        return False

    def stages(self) -> tuple[Stage, ...]:
        """The whole chain."""
        return chain(self.settings, self.bucket, self.lake)

    def forecast(self, partition: Partition, retry: Retry | None) -> Forecast:
        """What a run of the chain would do in a partition."""
        with _mended_by_people():
            return forecast(self.settings, self.bucket, self.lake, partition, retry=retry)

    def costs(self, found: Forecast) -> list[Cost]:
        """What each stage of a forecast takes at most."""
        history = history_of(self.stages())
        return [cost_of(stage, history, found.partition.camera) for stage in found.stages]

    def standing(self, partition: Partition) -> Standing:
        """How a partition stands now."""
        return self._standings.of(partition)

    @cached_property
    def _standings(self) -> Standings:
        return Standings(self.lake, self.settings)

    def report_day(self, day: date) -> DailyReport:
        """Bring the report of a day up to date, and return it."""
        with _mended_by_people():
            return bring_up_to_date(self.lake, self.settings, day)

    def run_family(
        self, family: str, partition: Partition, run_id: str, *, retry: Retry | None
    ) -> list[StageReport]:
        """Bring every stage of a family up to date in one partition. What a follower of this run
        has done of it is told with it."""
        is_last = family == _FOLLOWING[-1]
        find = _followers.pop if is_last else _followers.get
        follower = find((run_id, partition), None)
        if follower is not None:
            follower.join()
        stages = stages_of(family, self.settings, self.bucket, self.lake)
        names = {stage.name for stage in stages}
        done = [report for report in follower.reports if report.stage in names] if follower else []
        return done + self._run(stages, partition, run_id, retry)

    def run_clips(
        self, partition: Partition, run_id: str, *, retry: Retry | None, then_captions: bool
    ) -> list[StageReport]:
        """Bring clips and frames up to date. With `then_captions`, what can be captioned elsewhere
        meanwhile is: the captions of a recording begin while the next is being decoded."""
        stages = stages_of("clips", self.settings, self.bucket, self.lake)
        following = self._following() if then_captions else ()
        if not following:
            return self._run(stages, partition, run_id, retry)
        telling = [_telling(stage) for stage in following]

        def sweep() -> list[StageReport]:
            return [
                run_stage(stage, partition, run_id, on_made=told)
                for stage, told in zip(following, telling, strict=True)
            ]

        follower = _followers[run_id, partition] = Follower(sweep)
        follower.start()
        try:
            return self._run(stages, partition, run_id, retry, follower.committed)
        finally:
            follower.end()

    def _following(self) -> tuple[Stage, ...]:
        """The stages up to captions that servers work on; none where there is no such captioner,
        or where a model of this process decides which clips are captioned: models of this process
        wait for their place in the pool."""
        servers = {
            f"captions:{name}"
            for name, of in self.settings.captioners.items()
            if isinstance(of, VisionServer)
        }
        scorers = self.settings.scorers.values()
        if not servers or not all(isinstance(scorer, VisionServer) for scorer in scorers):
            return ()
        return tuple(
            stage
            for family in _FOLLOWING
            for stage in stages_of(family, self.settings, self.bucket, self.lake)
            if family != "captions" or stage.name in servers
        )

    def _run(
        self,
        stages: Sequence[Stage],
        partition: Partition,
        run_id: str,
        retry: Retry | None,
        on_committed: Callable[[], None] | None = None,
    ) -> list[StageReport]:
        with _mended_by_people():
            return [
                run_stage(
                    stage,
                    partition,
                    run_id,
                    retry=retry,
                    max_attempts=self.settings.limits.attempts,
                    on_made=_telling(stage),
                    on_committed=on_committed,
                )
                for stage in stages
            ]


@contextmanager
def _mended_by_people() -> Iterator[None]:
    """What only a person can mend fails the step at once: trying it again would not help."""
    try:
        yield
    except UserError as error:
        raise Failure(description=str(error), allow_retries=False) from error


def _telling(stage: Stage) -> Callable[[Made], None] | None:
    listener = _listener.get()
    return None if listener is None else lambda made: listener(stage, made)
