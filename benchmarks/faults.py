"""Does an ingest come through when a share of all requests to the store fails?

`lakehouse ingest` runs over a bucket of small recordings, bucket and lake on S3, through a proxy
that spoils requests and answers: connections cut, errors, answers lost after their effect, bodies
slow, broken off, or of a wrong length, garbled listings, and no answer at all. One run, and then
every row is compared with those of a run that nothing disturbed. Needs what the tests need.
"""

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass

from benchmarks import lakes_compared, small_bucket
from benchmarks.lakes_compared import Difference
from benchmarks.place import Place, place
from lakehouse.settings import Settings
from tests.fault_proxy import KINDS, FaultProxy, fault_proxy

_TIMEOUT_S = 2.0
"""A request that gets no answer costs this."""


@dataclass(frozen=True)
class Spoilt:
    """What came of a run through the proxy."""

    differences: list[Difference]
    requests: int
    injected: Counter[str]
    clean_s: float
    spoilt_s: float
    failure: str = ""
    """What the run said, if it failed."""

    @property
    def holds(self) -> bool:
        """Whether the run came through, and its tables are what they should be."""
        return not self.failure and all(of.is_none for of in self.differences)


def main() -> None:
    """Spoil, compare, print; exit code 1 on any difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=0.1, help="share of requests to spoil")
    parser.add_argument("--recordings", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0, help="of what is spoilt, and how")
    parser.add_argument("--endpoint", help="of S3; without it, a server is started")
    asked = parser.parse_args()
    with place(on_s3=True, endpoint=asked.endpoint) as here:
        endpoint = here.settings.s3.endpoint
        assert endpoint is not None
        with fault_proxy(endpoint, rate=asked.rate, seed=asked.seed) as proxy:
            found = ingest_through(proxy, here, asked.recordings)
    print(report(found))
    sys.exit(not found.holds)


def ingest_through(proxy: FaultProxy, here: Place, recordings: int) -> Spoilt:
    """Ingest so many recordings past the proxy, then through it."""
    small_bucket.make(here.folder / "objects", recordings)
    small_bucket.lay(here.folder / "objects" / small_bucket.VERSIONS[0], here.settings)
    clean, spoilt = here.with_lake("clean"), here.with_lake("spoilt")
    through = here.settings.s3.model_copy(
        update={"endpoint": proxy.endpoint, "timeout_s": _TIMEOUT_S}
    )
    clean_s, failure = _ingest(here, clean)
    if failure:
        raise RuntimeError(f"the run that nothing disturbs failed:\n{failure}")
    spoilt_s, failure = _ingest(here, spoilt.model_copy(update={"s3": through}))
    return Spoilt(
        differences=[]
        if failure
        else lakes_compared.differences(
            lakes_compared.contents(spoilt), lakes_compared.contents(clean)
        ),
        requests=proxy.requests,
        injected=proxy.injected.copy(),
        clean_s=clean_s,
        spoilt_s=spoilt_s,
        failure=failure,
    )


def report(found: Spoilt) -> str:
    """The figures, for people."""
    by_kind = ", ".join(f"{kind}: {found.injected[kind]}" for kind in KINDS)
    lines = [
        f"{found.injected.total()} of {found.requests} requests spoilt; {by_kind}",
        f"  ingest {found.spoilt_s:.1f} s, undisturbed {found.clean_s:.1f} s",
        found.failure and f"  the run failed:\n{found.failure}",
        lakes_compared.table_of(found.differences),
        f"  {'identical' if found.holds else 'NOT identical'}",
    ]
    return "\n".join(line for line in lines if line)


def _ingest(here: Place, settings: Settings) -> tuple[float, str]:
    """How long it took, and what it said if it failed."""
    started = time.monotonic()
    failed = here.start(settings, "ingest").wait()
    return time.monotonic() - started, here.said() if failed else ""


if __name__ == "__main__":
    main()
