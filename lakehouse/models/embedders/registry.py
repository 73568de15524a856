"""From the settings of an embedder to its descriptor, or to the embedder itself."""

from lakehouse.models.embedders import descriptor
from lakehouse.models.embedders.protocol import Embedder, EmbedderDescriptor
from lakehouse.settings import EmbedderSettings


def describe(settings: EmbedderSettings) -> EmbedderDescriptor:
    """What identifies the embedder; loads nothing."""
    del settings  # one backend so far
    return descriptor.DESCRIPTOR


def load(settings: EmbedderSettings) -> Embedder:
    """The embedder, ready to work."""
    del settings
    return descriptor.VisualDescriptor()
