"""`lakehouse sample`: synthetic footage with ground truth."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from assets.command_line.console import err, progress
from assets.command_line.options import parse_day
from lakehouse.errors import UserError
from lakehouse.sample.footage import BUCKET_FOLDER, TRUTH_FILE, SampleOptions, write_sample
from lakehouse.settings import load_settings

_DEFAULT = SampleOptions()


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sample)


def sample(
    folder: Annotated[Path, typer.Argument(help="Where to write bucket/ and the truth.")],
    seed: Annotated[int, typer.Option(help="Another seed, another patrol.")] = _DEFAULT.seed,
    size: Annotated[str, typer.Option(help="Width x height in pixels.")] = (
        f"{_DEFAULT.width}x{_DEFAULT.height}"
    ),
    fps: Annotated[int, typer.Option(help="Frames a second.")] = _DEFAULT.fps,
    duration: Annotated[float, typer.Option(help="Seconds a file.")] = _DEFAULT.duration_s,
    days: Annotated[int, typer.Option(min=1, max=31, help="Days in a row.")] = len(_DEFAULT.days),
    first_day: Annotated[str, typer.Option(help="YYYY-MM-DD.")] = _DEFAULT.days[0].isoformat(),
) -> None:
    """Write synthetic footage of patrolling robot dogs, with its ground truth as JSON.

    The same options give the same pictures. Known shots, some of them blurred, dark, over-exposed,
    noisy or still; stretches within a shot where it gets dark, the lens is covered or out of focus,
    or the dog stops; dogs that trot on the spot, and gates that swing before a standing one; one
    file in HEVC, one with a variable frame rate, one broken.
    """
    width, height = _parse_size(size)
    first = parse_day(first_day)
    assert first is not None
    options = SampleOptions(
        seed=seed,
        width=width,
        height=height,
        fps=fps,
        duration_s=duration,
        days=tuple(first + timedelta(days=number) for number in range(days)),
    )
    make_sample(folder, options)


def make_sample(folder: Path, options: SampleOptions) -> None:
    """Write the sample with a progress bar, and say where it lies."""
    with progress() as bar:
        task = bar.add_task("rendering sample footage", total=None)
        truth = write_sample(
            folder, options, load_settings().workers, on_file=lambda _: bar.advance(task)
        )
    err.print(
        f"{len(truth.files)} files in {folder / BUCKET_FOLDER}, their truth in "
        f"{folder / TRUTH_FILE}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _parse_size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise UserError(f"--size {text} is no size; write it as WIDTHxHEIGHT, such as 480x270")
    return int(width), int(height)
