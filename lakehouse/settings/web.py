"""The settings of the clip browser."""

from pathlib import Path

from pydantic import Field

from lakehouse.settings.group import Group


class WebSettings(Group):
    """How the clip browser, `lakehouse serve`, serves."""

    token_variable: str = "KENNEL_WEB_TOKEN"
    """The environment variable with the token that requests must carry; other hosts than this one
    need one."""
    cache_folder: Path = Path("~/.cache/kennel/web")
    """Where previews are kept that browsers can play."""
    cache_mb: int = Field(default=512, ge=16)
    """Of that folder at most; what was not looked at for longest goes first."""
    previews_at_once: int = Field(default=1, ge=1)
    """Made at the same time, each by a worker process; others wait."""
    preview_px: int = Field(default=640, ge=64, le=4096)
    """The longest side of a preview."""
    query_s: float = Field(default=10.0, gt=0)
    """A question to the tables that takes longer is ended."""
    refresh_s: float = Field(default=1.0, ge=0)
    """New commits are looked for this often at most."""
    exports_folder: Path = Path("~/.cache/kennel/exports")
    """Where exports that were asked for in the browser are written, a folder each."""
    exports_mb: int = Field(default=20480, ge=16)
    """Of that folder at most: an export that would need more is ended, and says so."""
    export_clips: int = Field(default=500, ge=1, le=5000)
    """Of one export from the browser at most; `lakehouse export` has no such bound."""
    export_workers: int = Field(default=2, ge=1, le=64)
    """Clips of an export that are written at once. One export is written at a time."""
