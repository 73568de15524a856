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
