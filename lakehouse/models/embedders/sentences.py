"""Sentence-transformers models with mean pooling, without their package: texts to vectors.

MiniLM (all-MiniLM-L6-v2), whose weights come with the extra `torch`, is the one taken by default.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lakehouse.errors import UserError
from lakehouse.models import device, pretrained, weights
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders.protocol import EmbedderDescriptor
from lakehouse.models.network import Launched, Network, Tensors
from lakehouse.settings import MINILM_PACKAGE, SentenceEmbedder
from lakehouse.tables.fingerprint import fingerprint

_CODE = 1  # raise it when vectors change without a change of what `version` hashes
_MINILM = "all-MiniLM-L6-v2"
_UNUSED = ("pooler.",)
"""Of a network's own pooling, which models for sentences were not trained with."""
_LIMIT_TOKENS = 1 << 20
"""Above it, a tokenizer's limit means that it has none."""


_WAYS_OF_POOLING = (
    "cls_token",
    "max_tokens",
    "mean_tokens",
    "mean_sqrt_len_tokens",
    "weightedmean_tokens",
    "lasttoken",
)


@dataclass(frozen=True)
class _Rules:
    """How the model's texts are cut."""

    limit_tokens: int
    in_lower_case: bool


def describe(settings: SentenceEmbedder) -> EmbedderDescriptor:
    """The descriptor; loads nothing and asks no network.

    Raises UserError where MiniLM isn't installed, for a folder without a model, and dimensions
    that are set wrong, or can't be known yet.
    """
    model = _source(settings)
    configuration = pretrained.configuration(model, settings.revision)
    found = settings.dimensions if configuration is None else _dimensions(model, configuration)
    if found is None:
        raise UserError(
            f"model {model} isn't on this machine, so the length of its vectors isn't known; "
            "set `dimensions`, or download the model first"
        )
    _check_dimensions(settings, found)
    return EmbedderDescriptor(
        model=weights.shown_name(model) if settings.model else _MINILM,
        version=version(settings),
        dimensions=found,
    )


def version(settings: SentenceEmbedder) -> str:
    """Changes with the weights and this code."""
    digest = fingerprint(pretrained.identity(_source(settings), settings.revision))
    return f"sentences-{_CODE}-{digest[:12]}"


class Sentences:
    """An `Embedder` of texts: the mean over a text's tokens, at unit length. What exceeds the
    model's limit is cut off. Raises UserError, when made, for what can't be loaded."""

    def __init__(self, settings: SentenceEmbedder, threads: int) -> None:
        model, revision = _source(settings), settings.revision
        placement = device.choose(settings.device, "fp32", settings.batch_size, threads)
        module = pretrained.network(model, revision, _UNUSED)
        _check_dimensions(settings, _dimensions(model, module.config.to_dict()))
        self._tokenizer = pretrained.tokenizer(model, revision)
        self._rules = _rules(model, revision, self._tokenizer, module.config)
        self._network = Network(module, placement)
        self.batch_size = placement.batch_size

    def prepare(self, items: Sequence[str]) -> Tensors:
        """See `BatchModel.prepare`."""
        texts = [item.lower() if self._rules.in_lower_case else item for item in items]
        tokens = self._tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=self._rules.limit_tokens,
            return_tensors="pt",
        )
        return self._network.pinned(dict(tokens))

    def launch(self, prepared: Tensors) -> Launched:
        """See `BatchModel.launch`."""
        return self._network.launch(self._sentences, prepared)

    def collect(self, launched: Launched) -> Rows:
        """See `BatchModel.collect`."""
        return self._network.collect(launched)

    def _sentences(self, **tokens: Any) -> Any:
        of_tokens = self._network.module(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        means = (of_tokens * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return means / means.norm(dim=1, keepdim=True).clamp(min=1e-12)


def _source(settings: SentenceEmbedder) -> str:
    if settings.model:
        return settings.model
    try:
        return str(importlib.import_module(MINILM_PACKAGE).get_model_path())
    except ImportError as error:
        raise UserError(
            f"MiniLM isn't installed; run pip install -e '.[torch]', or set `model` ({error})"
        ) from error


def _dimensions(model: str, configuration: Mapping[str, Any]) -> int:
    found = configuration.get("hidden_size") or configuration.get("dim")  # of DistilBERT
    if not isinstance(found, int):
        raise UserError(
            f"model {model} is of type {configuration.get('model_type')}, which is not supported "
            "for texts; take an encoder such as BERT, RoBERTa or MPNet"
        )
    return found


def _check_dimensions(settings: SentenceEmbedder, found: int) -> None:
    if settings.dimensions not in (None, found):
        raise UserError(
            f"vectors of model {settings.model or _MINILM} have {found} dimensions; "
            f"correct or remove `dimensions` = {settings.dimensions}"
        )


def _rules(model: str, revision: str | None, tokenizer: Any, configuration: Any) -> _Rules:
    """As the files beside the model say; those of a bare encoder where there are none."""
    parts = _read(model, revision, "modules.json") or []
    for part in parts:
        kind = str(part.get("type")).rpartition(".")[2]
        if kind not in ("Transformer", "Pooling", "Normalize"):
            raise UserError(
                f"model {model} has a part of type {kind}, which is not supported; take a model "
                "of an encoder with mean pooling"
            )
        if kind == "Pooling":
            _check_pooling(model, _read(model, revision, f"{part['path']}/config.json") or {})
    told = _read(model, revision, "sentence_bert_config.json") or {}
    limits = [
        told.get("max_seq_length"),
        tokenizer.model_max_length,
        getattr(configuration, "max_position_embeddings", None),
    ]
    return _Rules(
        limit_tokens=min(limit for limit in limits if limit and limit < _LIMIT_TOKENS),
        in_lower_case=bool(told.get("do_lower_case")),
    )


def _check_pooling(model: str, told: Mapping[str, Any]) -> None:
    """Older models say it by one flag for each way of pooling, newer ones by a name or names."""
    named = told.get("pooling_mode")
    ways = [named] if isinstance(named, str) else list(named or [])
    flags = {"pooling_mode_" + way: way for way in _WAYS_OF_POOLING}
    ways += [way for flag, way in flags.items() if told.get(flag)]
    if ways not in ([], ["mean"], ["mean_tokens"]):
        raise UserError(
            f"model {model} pools by {', '.join(ways)}, which is not supported; "
            "take one that pools by the mean"
        )


def _read(model: str, revision: str | None, name: str) -> Any:
    file = pretrained.file_of(model, revision, name)
    if file is None:
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{name} of model {model} can't be read: {error}") from error
