"""What every group of settings is."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

VariantName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
OwnerName = Annotated[str, Field(pattern=r"^(team:[A-Za-z0-9_]+|[^@\s]+@[^@\s]+\.[^@\s]+)$")]


class Group(BaseModel):
    """Frozen, finite, and without unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
