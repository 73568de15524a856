"""Image models of transformers, run by torch: SigLIP, SigLIP 2, CLIP, DINOv2 and DINOv3.

What is known of one unloaded is in `image_models`; the same at int8, in `onnx`.
"""

from collections.abc import Sequence
from typing import Any

from lakehouse.models import device, pretrained
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders.pictures import Pictures
from lakehouse.models.embedders.texts import Texts
from lakehouse.models.network import Launched, Network, Tensors
from lakehouse.settings import TransformersEmbedder

_READ_IN_PYTHON = frozenset({"spatial_shapes"})
"""Of NaFlex: on a GPU, each picture's shape would be waited for."""

_UNUSED = ("embeddings.mask_token",)
"""Of DINO's training."""


class Images:
    """An `Embedder` of frames: the output that the model's authors call its image feature, or else
    its pooled one. Raises UserError, when made, for what can't be loaded."""

    def __init__(self, settings: TransformersEmbedder, threads: int) -> None:
        self._network = loaded(settings, threads)
        self._pictures = Pictures(settings.model, settings.revision)
        self.batch_size = self._network.placement.batch_size

    def prepare(self, items: Sequence[bytes]) -> Tensors:
        """See `BatchModel.prepare`."""
        return self._network.pinned(self._pictures.tensors(items))

    def launch(self, prepared: Tensors) -> Launched:
        """See `BatchModel.launch`."""
        return self._network.launch(self._features, prepared, _READ_IN_PYTHON)

    def collect(self, launched: Launched) -> Rows:
        """See `BatchModel.collect`."""
        return self._network.collect(launched)

    def _features(self, **tensors: Any) -> Any:
        return image_features(self._network.module, **tensors)


class JointImages(Images):
    """A `JointEmbedder`, for models with a text side."""

    def __init__(self, settings: TransformersEmbedder, threads: int) -> None:
        super().__init__(settings, threads)
        self._texts = Texts(settings.model, settings.revision, self._network)

    def embed_texts(self, texts: Sequence[str]) -> Rows:
        """See `JointEmbedder.embed_texts`."""
        return self._texts.embed(texts)


def loaded(settings: TransformersEmbedder, threads: int) -> Network:
    """The whole model on its device. Raises UserError where it can't be loaded."""
    placement = device.choose(settings.device, settings.precision, settings.batch_size, threads)
    module = pretrained.network(settings.model, settings.revision, _UNUSED)
    return Network(module, placement)


def image_features(module: Any, **tensors: Any) -> Any:
    """The rows of pictures, of any kind of model that is supported."""
    found = getattr(module, "get_image_features", module)(**tensors)
    return getattr(found, "pooler_output", found)
