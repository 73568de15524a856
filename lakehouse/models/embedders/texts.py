"""The text side of a joint model: texts to vectors in the space of its pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from lakehouse.models import pretrained
from lakehouse.models.batch_model import Rows
from lakehouse.models.embedders.pooling import unit_rows
from lakehouse.models.network import Network, Tensors


class Texts:
    """The texts of a SigLIP, SigLIP 2 or CLIP that is loaded as `network`."""

    def __init__(self, model: str, revision: str | None, network: Network) -> None:
        self._network = network
        self._tokenizer = pretrained.tokenizer(model, revision)
        configuration = network.module.config
        self._is_siglip = configuration.model_type.startswith("siglip")
        self._limit_tokens = int(configuration.text_config.max_position_embeddings)

    def embed(self, texts: Sequence[str]) -> Rows:
        """One unit vector for each text; what exceeds the model's limit is cut off."""
        size = self._network.placement.batch_size
        rows = [
            self._network.collect(self._network.launch(self._features, self._tokens(batch)))
            for batch in (texts[start : start + size] for start in range(0, len(texts), size))
        ]
        return unit_rows(np.concatenate(rows))

    def _tokens(self, texts: Sequence[str]) -> Tensors:
        if not self._is_siglip:
            return dict(self._tokenize(list(texts), padding=True))
        # Both SigLIPs were trained on lower case (for SigLIP 2 of a fixed size, the tokenizer
        # doesn't see to it), filled up to the limit, and with attention to the filling.
        tokens = self._tokenize([text.lower() for text in texts], padding="max_length")
        return {"input_ids": tokens["input_ids"]}

    def _tokenize(self, texts: list[str], padding: bool | str) -> Any:
        return self._tokenizer(
            texts,
            padding=padding,
            truncation=True,
            max_length=self._limit_tokens,
            return_tensors="pt",
        )

    def _features(self, **tokens: Any) -> Any:
        found = self._network.module.get_text_features(**tokens)
        return getattr(found, "pooler_output", found)
