"""Does the device ever wait for reading, decoding or commits? And does memory stay flat?

`python -m benchmarks.feeding`: stored frames are embedded by a device of known speed, through the
stage as it is, and beside it by the plain loop: read, decode, infer and write in turn. Then clips
are captioned by a server that has so many places and takes so long for a request. Device and server
are simulated, everything else is real; `--model FOLDER` takes a real image model instead of the
simulated device, on the GPU where there is one, and leaves the server out. For memory, run it with
`--clips 10000 --width 160 --height 96 --frames-per-s 1500 --answer-s 0.2`. Exit code 1 if the
device is busy for less than 95 % of the time after warm-up, or if the process grew by more than a
tenth in the second half of the clips.
"""

import argparse
import json
import resource
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from benchmarks.simulated import SimulatedDevice, WatchedDevice, simulated_server
from benchmarks.stored_clips import FRAMES_PER_CLIP, PARTITION, make_lake
from lakehouse.engine.local import run_stage
from lakehouse.models.embedders.descriptor import DESCRIPTOR
from lakehouse.models.embedders.pooling import pooled
from lakehouse.models.embedders.protocol import Embedder
from lakehouse.models.embedders.registry import load as load_embedder
from lakehouse.settings import (
    DescriptorEmbedder,
    EmbedderSettings,
    OpenAICaptioner,
    Thresholds,
    TransformersEmbedder,
    load_settings,
)
from lakehouse.stages.captions import CaptionsStage
from lakehouse.stages.clip_frames import clips_seen, clips_with_frames
from lakehouse.stages.embeddings import EmbeddingsStage
from lakehouse.stages.reuse import identity_of
from lakehouse.stages.scores import ScoresStage
from lakehouse.stages.stage import Made
from lakehouse.tables.commit import complete, replace_children
from lakehouse.tables.lake import Lake

_LEAST_BUSY = 0.95
_MOST_GROWTH = 0.10
_PLAIN_CLIPS = 400
"""Enough to see how it goes; it only becomes slower."""
_WARM_UP = 5  # batches, or as many rounds of requests
_MB = 2**20


Device = SimulatedDevice | WatchedDevice


@dataclass(frozen=True)
class _Watched(EmbeddingsStage):
    """The stage as it is, with a device that tells when it is busy."""

    device: Device = field(kw_only=True)

    def _model(self) -> Embedder:
        return self.device


@dataclass
class Memory:
    """What this process held when so many clips were made, in bytes."""

    every: int
    seen: list[tuple[int, int]] = field(default_factory=list)
    _made: int = 0

    def made(self, made: Made) -> None:
        """One more clip."""
        self._made += made.is_complete
        if self._made % self.every == 0:
            self.seen.append((self._made, _held_bytes()))

    def growth(self) -> float:
        """Of the second half of the clips, as a share of what was held at half of them."""
        half = self.seen[len(self.seen) // 2 - 1][1]
        return max(held for _, held in self.seen[len(self.seen) // 2 :]) / half - 1


def main() -> None:
    """Run all of it, and print figures side by side."""
    asked = _asked()
    with tempfile.TemporaryDirectory() as folder:
        of_lake = {"default": _embedder(asked)}
        settings = load_settings(lake=str(Path(folder) / "lake"), embedders=of_lake)
        lake = make_lake(settings, asked.clips, asked.width, asked.height)
        device = f"simulated device, {asked.frames_per_s:g} frames/s"
        print(
            f"{asked.clips} clips of {FRAMES_PER_CLIP} frames of {asked.width}x{asked.height}; "
            f"{asked.model or device} in batches of {asked.batch_size}",
            flush=True,
        )
        plain = _plain_loop(lake, asked)
        busy, memory = _fed(lake, asked)
        print(
            f"busy after warm-up: plain loop {plain:.1%}, fed {busy:.1%} ({busy / plain:.2f} x)",
            flush=True,
        )
        figures = {"busy_plain": plain, "busy_fed": busy, "ratio_fed_to_plain": busy / plain}
        least, memories = busy, {"embedding": memory}
        if asked.model is None:
            busy, memories["captioning"] = _captioned(lake, asked)
            figures["busy_captions"] = busy
            least = min(least, busy)
            print(
                f"simulated server of {asked.places} places, {asked.answer_s:g} s an answer: "
                f"busy after warm-up {busy:.1%}"
            )
    for name, of in memories.items():
        shown = ", ".join(f"{held // _MB} MB at {made}" for made, held in of.seen)
        print(f"memory while {name}: {shown}; growth in the second half {of.growth():+.1%}")
        figures[f"growth_{name}"] = of.growth()
    print(json.dumps({"clips": asked.clips, **figures}))
    if least < _LEAST_BUSY or max(of.growth() for of in memories.values()) > _MOST_GROWTH:
        sys.exit(1)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--width", type=int, default=640, help="of a frame, pixels")
    parser.add_argument("--height", type=int, default=360)
    parser.add_argument("--frames-per-s", type=float, default=120.0, help="of the device")
    parser.add_argument("--batch-size", type=int, default=32, help="frames")
    parser.add_argument("--model", help="a folder with an image model, such as SigLIP")
    parser.add_argument("--threads", type=int, default=2, help="that decode")
    parser.add_argument("--places", type=int, default=16, help="of the server")
    parser.add_argument("--answer-s", type=float, default=1.0, help="for one request")
    return parser.parse_args()


def _fed(lake: Lake, asked: argparse.Namespace) -> tuple[float, Memory]:
    """How busy the device is, and what the process holds meanwhile."""
    device = _device(asked)
    stage = _Watched(lake, "default", _embedder(asked), asked.threads, device=device)
    memory = Memory(max(1, asked.clips // 10))
    report = run_stage(stage, PARTITION, "benchmark", on_made=memory.made)
    assert report.made == asked.clips, report
    return device.timeline.busy_share(_WARM_UP), memory


def _plain_loop(lake: Lake, asked: argparse.Namespace) -> float:
    """How busy the device is if one batch is read, decoded, inferred and written after the other.
    Its rows are removed by what comes after: they are of another version."""
    device = _device(asked)
    stage = _Watched(lake, "default", _embedder(asked), asked.threads, device=device)
    clips = {row["clip_id"]: row for row in clips_seen(lake, PARTITION).iter_rows(named=True)}
    for batch in _batches(sorted(clips)[:_PLAIN_CLIPS], asked.batch_size // FRAMES_PER_CLIP):
        read = list(clips_with_frames(lake, PARTITION, batch))
        prepared = device.prepare([jpeg for clip in read for _, jpeg in clip.frames])
        vectors = device.collect(device.launch(prepared))
        rows = []
        for clip, of_clip in zip(
            read, vectors.reshape(len(read), -1, vectors.shape[1]), strict=True
        ):
            row = {
                **identity_of(clips[clip.clip_id]),
                "variant": "default",
                "model": "watched",
                "vector": pooled(of_clip).tolist(),
            }
            rows.append(complete(row, fingerprint="", stage_version="", run_id="plain", attempts=1))
        replace_children(lake, stage.table, batch, rows)
    return device.timeline.busy_share(_WARM_UP)


def _captioned(lake: Lake, asked: argparse.Namespace) -> tuple[float, Memory]:
    """How busy the places of a server are, and what this process holds meanwhile."""
    run_stage(ScoresStage(lake), PARTITION, "benchmark")
    memory = Memory(max(1, asked.clips // 10))
    with simulated_server(asked.places, asked.answer_s) as server:
        captioner = OpenAICaptioner(
            backend="openai",
            base_url=server.base_url,
            model="simulated",
            # As many again are on their way, as a server's queue would hold.
            max_in_flight=2 * asked.places,
        )
        stage = CaptionsStage(lake, "default", captioner, Thresholds(), {})
        report = run_stage(stage, PARTITION, "benchmark", on_made=memory.made)
        assert (report.made, report.failed) == (asked.clips, 0), report
        return server.busy_share(_WARM_UP * asked.places), memory


def _embedder(asked: argparse.Namespace) -> EmbedderSettings:
    if asked.model is None:
        return DescriptorEmbedder()
    return TransformersEmbedder(
        backend="transformers", model=asked.model, batch_size=asked.batch_size
    )


def _device(asked: argparse.Namespace) -> Device:
    if asked.model is not None:
        return WatchedDevice(load_embedder(_embedder(asked), asked.threads))
    return SimulatedDevice(asked.frames_per_s, asked.batch_size, DESCRIPTOR.dimensions)


def _batches(clip_ids: list[str], size: int) -> Iterator[list[str]]:
    left = iter(clip_ids)
    while batch := list(islice(left, size)):
        yield batch


def _held_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
