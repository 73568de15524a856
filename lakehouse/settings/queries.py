"""What a question to the lake may cost, and when two clips look the same."""

from pydantic import Field

from lakehouse.settings.group import Group


class QuerySettings(Group):
    """Limits of somebody's SQL, and of search."""

    timeout_s: float = Field(default=60.0, gt=0)
    """A query that takes longer is stopped."""
    memory_mb: int = Field(default=2048, ge=64)
    """Of the database that answers; what needs more is refused."""
    answer_rows: int = Field(default=1_000_000, ge=1)
    """More rows than these are not shown; a file may hold them."""
    same_above: float = Field(default=0.995, ge=0)
    """A clip whose vector has a higher cosine to that of a better hit is folded into it; above 1,
    only clips of equal frames are."""
