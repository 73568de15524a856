"""From the settings of an embedder to its descriptor, or to the embedder itself.

A backend is known here by its settings only; what it does stands in its own file.
"""

import threading
from collections.abc import Callable
from typing import Any, cast

from lakehouse.models.embedders import descriptor, image_models, sentences
from lakehouse.models.embedders.protocol import Embedder, EmbedderDescriptor, JointEmbedder
from lakehouse.settings import (
    DescriptorEmbedder,
    EmbedderSettings,
    SentenceEmbedder,
    TransformersEmbedder,
)

_loaded: dict[tuple[Any, ...], Embedder] = {}
_loading = threading.Lock()


def describe(settings: EmbedderSettings) -> EmbedderDescriptor:
    """What identifies the embedder; loads nothing and asks no network.

    Raises UserError for a model that can't be found, isn't supported, or whose vectors' length
    isn't known.
    """
    if isinstance(settings, DescriptorEmbedder):
        return descriptor.DESCRIPTOR
    return image_models.describe(settings)


def describe_captions(settings: SentenceEmbedder) -> EmbedderDescriptor:
    """The same for an embedder of captions."""
    return sentences.describe(settings)


def load(settings: EmbedderSettings, threads: int) -> Embedder:
    """The embedder, ready to work with so many threads where it runs on the CPU; loaded once in a
    process. Raises UserError for what can't work here."""
    if isinstance(settings, DescriptorEmbedder):
        return descriptor.VisualDescriptor()
    key = (
        image_models.version(settings),
        settings.device,
        settings.precision,
        settings.batch_size,
        settings.dimensions,
        threads,
    )
    return _once(key, lambda: _images(settings, threads))


def load_captions(settings: SentenceEmbedder, threads: int) -> Embedder:
    """The same for an embedder of captions."""
    network = settings.model_copy(update={"language": None})  # whatever is read with it
    key = (sentences.version(settings), network, threads)
    return _once(key, lambda: sentences.Sentences(settings, threads))


def load_joint(settings: EmbedderSettings, threads: int) -> JointEmbedder | None:
    """The embedder, if it puts texts into the space of its frames; else none."""
    if isinstance(settings, DescriptorEmbedder) or not image_models.kind(settings).reads_texts:
        return None
    return cast(JointEmbedder, load(settings, threads))


def _images(settings: TransformersEmbedder, threads: int) -> Embedder:
    """Backends are imported late, since transformers is slow to import."""
    reads_texts = image_models.kind(settings).reads_texts
    if settings.precision == "int8":
        from lakehouse.models.embedders import onnx  # noqa: PLC0415

        return (onnx.Int8JointImages if reads_texts else onnx.Int8Images)(settings, threads)
    from lakehouse.models.embedders import transformers  # noqa: PLC0415

    return (transformers.JointImages if reads_texts else transformers.Images)(settings, threads)


def _once(key: tuple[Any, ...], load_it: Callable[[], Embedder]) -> Embedder:
    with _loading:
        if key not in _loaded:
            _loaded[key] = load_it()
        return _loaded[key]
