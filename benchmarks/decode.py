"""What does our decode pass cost, beside a bare decode and beside the usual pipelines?

All contenders read the same files in turn, round after round, each run in a fresh process. Each
round gives one ratio to another contender's run of that round, and medians are printed. CPU
seconds count, children included, so that other loads on the machine matter little. Without
`--footage`, three minutes each of 1080p H.264 and HEVC are made, a quarter of them stand-still.
`ffmpeg` contenders need that program. How each contender works is in `contenders`.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contenders import CONTENDERS, NEED_FFMPEG, Rows, Run, run
from benchmarks.footage import command_line, footage_of_1080p, two_hours, videos
from lakehouse.video.probe import ProbeError, probe

_PEERS = ("bare_decode", "pyscenedetect", "three_decodes", "exact")

Round = dict[str, Run]
"""What each contender's run cost."""


def main() -> None:
    """Run all contenders over all files, interleaved."""
    parser = command_line(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=3, help="runs of everything; 3 by default")
    parser.add_argument(
        "--contenders",
        nargs="+",
        choices=CONTENDERS,
        default=list(CONTENDERS),
        help="only these; all by default",
    )
    parser.add_argument(
        "--two-hours",
        action="store_true",
        help="measure only exact's memory on a file of two hours, of 1.8 GB, made for it",
    )
    asked = parser.parse_args()
    names = [name for name in asked.contenders if _can_run(name)]
    if asked.two_hours:
        names, asked.rounds = ["exact"], 1
    all_rounds: list[Round] = []
    figures: dict[str, Any] = {}
    with videos(asked.footage, two_hours if asked.two_hours else footage_of_1080p) as files:
        for file in files:
            try:
                seconds = _seconds(file)
                rounds = [_round(file, names) for _ in range(asked.rounds)]
            except (ProbeError, RuntimeError) as error:
                print(f"{file.name}: left out, {error}", flush=True)
                continue
            costs = _costs(rounds, seconds)
            _print_costs(f"{file.name}, {seconds:.0f} s", costs)
            findings = _findings(rounds[0], file.stat().st_size)
            figures[file.name] = {**costs, "findings": findings}
            all_rounds += rounds
    if len(figures) > 1:
        figures["all files"] = _ratios(all_rounds)
        _print_costs("all files", figures["all files"])
    print(json.dumps(figures))


def _can_run(name: str) -> bool:
    if name in NEED_FFMPEG and not shutil.which("ffmpeg"):
        print(f"no ffmpeg program here: {name} is left out")
        return False
    return True


def _seconds(file: Path) -> float:
    with file.open("rb") as source:
        return probe(source).duration_s


def _round(file: Path, names: Sequence[str]) -> Round:
    runs = {}
    for name in names:
        runs[name] = run(name, file)
        print(f"{file.name}: {name} {runs[name].cpu_s:.1f} CPU s", file=sys.stderr, flush=True)
    return runs


def _costs(rounds: Sequence[Round], seconds: float) -> dict[str, dict[str, float]]:
    """Medians over the rounds, by contender and figure."""
    costs = {}
    for name, ratios in _ratios(rounds).items():
        runs = [a_round[name] for a_round in rounds]
        costs[name] = {
            "cpu_s_a_minute": round(median(each.cpu_s for each in runs) / seconds * 60, 3),
            "wall_s_a_minute": round(median(each.wall_s for each in runs) / seconds * 60, 3),
            **ratios,
            "peak_mb": round(median(each.peak_mb for each in runs)),
        }
        if runs[0].bytes_read is not None:
            costs[name]["mb_read"] = round(runs[0].bytes_read / 1e6, 2)
    return costs


def _ratios(rounds: Sequence[Round]) -> dict[str, dict[str, float]]:
    """Each contender's CPU in that of its peers in the same round, medians."""
    return {
        name: {
            f"x_{peer}": round(median(a[name].cpu_s / a[peer].cpu_s for a in rounds), 3)
            for peer in _PEERS
            if peer in rounds[0]
        }
        for name in rounds[0]
    }


def _print_costs(title: str, costs: dict[str, dict[str, float]]) -> None:
    columns = list(dict.fromkeys(column for figures in costs.values() for column in figures))
    print(f"\n{title}\n{'':14}" + "".join(f"{column:>17}" for column in columns))
    for name, figures in costs.items():
        cells = (figures.get(column, "") for column in columns)
        print(f"{name:14}" + "".join(f"{cell:>17}" for cell in cells), flush=True)


def _findings(runs: Round, size_bytes: int) -> dict[str, Any]:
    """What the cheaper ways change in the rows, or don't read, against `exact`."""
    found: dict[str, Any] = {}
    if "preview" in runs:
        read = runs["preview"].bytes_read or 0
        found["preview_share_read"] = round(read / size_bytes, 4)
    exact = runs["exact"].rows if "exact" in runs else None
    if exact and "split" in runs:
        found["split_rows_identical"] = runs["split"].rows == exact
    thrifty = runs["thrifty"].rows if "thrifty" in runs else None
    if exact and thrifty:
        found["thrifty"] = _thrift(exact, thrifty)
    for name, finding in found.items():
        print(f"{name}: {finding}", flush=True)
    return found


def _thrift(exact: Rows, thrifty: Rows) -> dict[str, Any]:
    """What thrifty left out, and whatever else is different."""
    cuts, kept = _cuts(exact), _cuts(thrifty)
    return {
        "frames_left_out": thrifty.frames_left_out,
        "cuts": len(cuts),
        "cuts_lost": len(cuts - kept),
        "cuts_extra": len(kept - cuts),
        "spans_changed": len(set(map(tuple, exact.spans)) ^ set(map(tuple, thrifty.spans))),
        "samples": _changes(exact, thrifty, exact.samples, thrifty.samples),
        "frames": _changes(exact, thrifty, exact.frames, thrifty.frames),
    }


def _cuts(rows: Rows) -> set[int]:
    return {start for start, _, boundary, _ in rows.spans if boundary == "cut"}


def _changes(
    exact: Rows, thrifty: Rows, before: dict[str, str], after: dict[str, str]
) -> dict[str, int]:
    """How many samples or frames differ, apart where that is expected: those left out, and those
    after them, whose motion is that since the last sample."""
    left_out = {p for p in before if any(a <= int(p) < b for a, b in thrifty.left_out)}
    in_order = pairwise(sorted(exact.samples, key=int))
    behind = {pts for last, pts in in_order if last not in thrifty.samples}
    changed = {pts for pts in before.keys() & after.keys() if before[pts] != after[pts]}
    lost = before.keys() - after.keys()
    return {
        "same": len(before.keys() & after.keys() - changed),
        "left_out": len(lost & left_out),
        "lost_elsewhere": len(lost - left_out),
        "changed_after_left_out": len(changed & behind),
        "changed_elsewhere": len(changed - behind),
        "new": len(after.keys() - before.keys()),
    }


if __name__ == "__main__":
    main()
