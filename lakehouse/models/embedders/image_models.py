"""What is known of an image model without loading it: its kind, its vectors' length, its version.

Running one belongs to `transformers` and `onnx`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import UserError
from lakehouse.models import pretrained, weights
from lakehouse.models.embedders.protocol import EmbedderDescriptor
from lakehouse.settings import TransformersEmbedder
from lakehouse.tables.fingerprint import fingerprint

_CODE = 1  # raise it when vectors change without a change of what `version` hashes

Configuration = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """A kind of model, as `model_type` in its configuration names it.

    `dimensions` reads the length of a vector. `reads_texts` tells whether it puts texts into the
    space of its pictures. `has_one_size` tells whether it takes all pictures at one size.
    """

    dimensions: Callable[[Configuration], int]
    reads_texts: bool = False
    has_one_size: bool = True


def _of_vision(configuration: Configuration) -> int:
    return int((configuration.get("vision_config") or {}).get("hidden_size", 768))


# What a configuration leaves out has the value that transformers gives it.
KINDS: Mapping[str, Kind] = {
    "siglip": Kind(_of_vision, reads_texts=True),  # and SigLIP 2 of a fixed size
    "siglip2": Kind(_of_vision, reads_texts=True, has_one_size=False),  # NaFlex
    "clip": Kind(lambda found: int(found.get("projection_dim", 512)), reads_texts=True),
    "dinov2": Kind(lambda found: int(found.get("hidden_size", 768))),
    "dinov2_with_registers": Kind(lambda found: int(found.get("hidden_size", 768))),
    "dinov3_vit": Kind(lambda found: int(found.get("hidden_size", 384))),
    "dinov3_convnext": Kind(lambda found: int((found.get("hidden_sizes") or [768])[-1])),
}


def describe(settings: TransformersEmbedder) -> EmbedderDescriptor:
    """The descriptor; loads nothing and asks no network.

    Raises UserError for a folder without a model, a kind that isn't supported, and dimensions that
    are set wrong, or can't be known yet.
    """
    configuration = pretrained.configuration(settings.model, settings.revision)
    if configuration is None and settings.dimensions is None:
        raise UserError(
            f"model {settings.model} isn't on this machine, so the length of its vectors isn't "
            "known; set `dimensions`, or download the model first"
        )
    dimensions = settings.dimensions or 0
    if configuration is not None:
        dimensions = _checked(settings, configuration).dimensions(configuration)
    return EmbedderDescriptor(
        model=weights.shown_name(settings.model),
        version=version(settings),
        dimensions=dimensions,
    )


def version(settings: TransformersEmbedder) -> str:
    """Changes with the weights, this code, and int8. Where and how fast the model runs is no part:
    what that changes of a vector is rounding."""
    of_weights = pretrained.identity(settings.model, settings.revision)
    digest = fingerprint(of_weights, settings.precision == "int8")
    return f"transformers-{_CODE}-{digest[:12]}"


def kind(settings: TransformersEmbedder) -> Kind:
    """The kind of the model, whose configuration is asked for at the hub where it isn't on this
    machine. Raises UserError where the model can't be had or isn't what the settings say."""
    found = pretrained.configuration(settings.model, settings.revision)
    if found is None:
        found = pretrained.configuration_at_hub(settings.model, settings.revision)
    return _checked(settings, found)


def _checked(settings: TransformersEmbedder, configuration: Configuration) -> Kind:
    named = str(configuration.get("model_type"))
    if named not in KINDS:
        raise UserError(
            f"model {settings.model} is of type {named}, which is not supported as an image model; "
            f"take one of {', '.join(KINDS)}"
        )
    found = KINDS[named].dimensions(configuration)
    if settings.dimensions not in (None, found):
        raise UserError(
            f"vectors of model {settings.model} have {found} dimensions; "
            f"correct or remove `dimensions` = {settings.dimensions}"
        )
    return KINDS[named]
