"""`lakehouse clip`: one clip as an MP4."""

from pathlib import Path
from typing import Annotated

import typer

from assets.command_line.console import out
from lakehouse.query.clip import export_clip
from lakehouse.settings import load_settings
from lakehouse.storage.address import open_bucket
from lakehouse.tables.lake import open_lake


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(clip)


def clip(
    clip_id: Annotated[str, typer.Argument(help="As in the view `clips`.")],
    target: Annotated[Path, typer.Argument(help="The MP4 to write.")],
) -> None:
    """Write one clip as an MP4: not re-encoded, and exact to the frame at both ends."""
    settings = load_settings()
    bucket = open_bucket(settings.bucket, settings.s3)
    report = export_clip(open_lake(settings), bucket, clip_id, target)
    out.print(
        f"{target}: {report.packets} pictures copied, of which {report.pre_roll_frames} before "
        f"the clip are hidden by an edit list; audio: {report.audio}",
        markup=False,
        highlight=False,
    )
