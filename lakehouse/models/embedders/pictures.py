"""From JPEGs to the tensors that an image model takes, by the model's own rules."""

from collections.abc import Sequence
from io import BytesIO

from lakehouse.models import pretrained
from lakehouse.models.device import hold_threads, required
from lakehouse.models.network import Tensors


class Pictures:
    """What is done to pictures before a model sees them. Raises UserError, when made, where the
    model doesn't come with it."""

    def __init__(self, model: str, revision: str | None) -> None:
        self._image = required("PIL.Image")
        self._processor = pretrained.image_processor(model, revision)

    def tensors(self, jpegs: Sequence[bytes]) -> Tensors:
        """One batch of them. May be called by several threads at once."""
        hold_threads(1)  # several prepare at once, and the steps are too small to be shared
        pictures = [self._image.open(BytesIO(jpeg)).convert("RGB") for jpeg in jpegs]
        return dict(self._processor(images=pictures, return_tensors="pt"))
