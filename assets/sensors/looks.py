"""What every sensor of footage asks of a partition, and the runs that follow.

Which partitions are looked at, and when, is for the sensors. They may overlap: what one has asked
for, none asks for again.
"""

from dataclasses import dataclass, field

import dagster as dg

from assets.partitions import cameras, partition_key
from assets.report import plan_tags
from lakehouse.engine.scan import partition_at
from lakehouse.stages.recordings import RecordingsStage
from lakehouse.storage.keys import Mismatch
from lakehouse.tables.fingerprint import fingerprint
from lakehouse.tables.partition import Partition
from lakehouse.tables.plan import make_plan
from resources.lakehouse import LakehouseResource


@dataclass
class Looks:
    """The looks of one tick: each partition is looked at once, by the recordings' own plan."""

    lakehouse: LakehouseResource
    instance: dg.DagsterInstance
    requests: dict[Partition, dg.RunRequest | None] = field(default_factory=dict)
    mismatch_count: int = 0

    def partition_of(self, key: str) -> Partition | None:
        """The partition of a key; those of none are counted."""
        settings = self.lakehouse.settings
        partition = partition_at(key, self.lakehouse.pattern, settings.first_day)
        if isinstance(partition, Mismatch):
            self.mismatch_count += 1
            return None
        return partition

    def look(self, partition: Partition) -> None:
        """Find out whether the partition needs a run."""
        if partition not in self.requests:
            self.requests[partition] = self._request(partition)

    def result(self, context: dg.SensorEvaluationContext, cursor: str) -> dg.SensorResult:
        """What was found, for Dagster; cameras that it doesn't know yet are added."""
        if self.mismatch_count:
            context.log.warning(
                f"{self.mismatch_count} objects do not fit the key pattern "
                f"{self.lakehouse.settings.key_pattern}"
            )
        wanted = {partition: run for partition, run in self.requests.items() if run}
        known = set(self.instance.get_dynamic_partitions(cameras.name or "")) if wanted else set()
        unknown = sorted({partition.camera for partition in wanted} - known)
        nothing = f"{len(self.requests)} partitions looked at, none needs a run"
        return dg.SensorResult(
            run_requests=list(wanted.values()),
            skip_reason=None if wanted else nothing,
            dynamic_partitions_requests=[cameras.build_add_request(unknown)] if unknown else [],
            cursor=cursor,
        )

    def _request(self, partition: Partition) -> dg.RunRequest | None:
        """The run that the partition needs, if any. The run key carries a digest of its objects,
        so that late footage asks for a new run, and what is asked for twice runs once."""
        lakehouse = self.lakehouse
        key = partition_key(partition)
        # Read before the plan: a run that ends in between must not be asked for twice.
        last_success = self._last_success(key)
        stage = RecordingsStage(
            lakehouse.lake,
            lakehouse.bucket,
            lakehouse.pattern,
            worker_count=1,
            limits=lakehouse.settings.limits,
            settle_s=lakehouse.settings.settle_s,
            is_in_a_hurry=True,  # what is being written is looked at in a later tick
        )
        recordings = stage.children(partition)
        objects = stage.parents(partition)
        plan = make_plan(objects, recordings)
        if plan.is_empty:
            return None
        if objects.is_empty() and next(iter(lakehouse.bucket.list()), None) is None:
            return None  # a bucket that is not mounted looks like this
        rows = sorted(objects.select("parent_id", "fingerprint").iter_rows())
        run_key = f"{key}|{fingerprint(lakehouse.lake.url, last_success, rows)}"
        if self._is_requested(run_key):
            return None
        return dg.RunRequest(run_key=run_key, partition_key=key, tags=plan_tags(plan))

    def _is_requested(self, run_key: str) -> bool:
        """Whether any sensor made a run of this key. Dagster compares a sensor's with its own."""
        made = dg.RunsFilter(tags={"dagster/run_key": run_key})
        return bool(self.instance.get_run_records(made, limit=1))

    def _last_success(self, key: str) -> str | None:
        """The partition's last run that succeeded. Run keys dedupe for ever, and footage that is
        moved away and back has the digest that it had before: only a run in between tells."""
        succeeded = dg.RunsFilter(
            tags={"dagster/partition": key}, statuses=[dg.DagsterRunStatus.SUCCESS]
        )
        records = self.instance.get_run_records(succeeded, limit=1)
        return records[0].dagster_run.run_id if records else None
