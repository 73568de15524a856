"""Image models of a few thousand random weights, each saved to a folder with all that it needs.

Their weights are wide enough for pictures to differ: otherwise every vector would equal every other
one, and a comparison prove nothing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers

WORDS = (
    "a robot dog walks past a red valve in the boiler room and along a dark corridor to gate b "
    "where water lies on the floor near a blue pump"
)
_TOWER = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
_VISION = _TOWER | {"image_size": 32, "patch_size": 8}
_SIZE = {"height": 32, "width": 32}
_GAIN = 1.4


def siglip(folder: Path) -> None:
    """With SigLIP's own tokenizer, of sentencepiece."""
    _save_siglip(folder)
    model = str(folder / "spiece")
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(WORDS.split() * 4),
        model_prefix=model,
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    transformers.SiglipTokenizer(f"{model}.model").save_pretrained(folder)


def siglip2(folder: Path) -> None:
    """SigLIP 2 of a fixed size: SigLIP with Gemma's tokenizer, which keeps upper case."""
    _save_siglip(folder)
    _gemma(transformers.GemmaTokenizer).save_pretrained(folder)


def siglip2_naflex(folder: Path) -> None:
    """SigLIP 2 for pictures of any shape."""
    text = _TOWER | {"vocab_size": len(_gemma_words()), "max_position_embeddings": 64}
    vision = _TOWER | {"patch_size": 8, "num_patches": 16}
    config = transformers.Siglip2Config(text_config=text, vision_config=vision)
    _save(transformers.Siglip2Model(config), folder)
    transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=24).save_pretrained(folder)
    _gemma(transformers.Siglip2Tokenizer).save_pretrained(folder)


def clip(folder: Path) -> None:
    """CLIP, whose vectors have another length than its layers."""
    words = {letter + end: None for letter in _letters() for end in ("", "</w>")}
    names = [*words, "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer({name: n for n, name in enumerate(names)}, merges=[])
    text = _TOWER | {
        "vocab_size": len(names),
        "max_position_embeddings": 77,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = transformers.CLIPConfig(text_config=text, vision_config=_VISION, projection_dim=40)
    _save(transformers.CLIPModel(config), folder)
    processor = transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=_SIZE)
    processor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def dinov2(folder: Path) -> None:
    """DINOv2, which crops."""
    config = transformers.Dinov2Config(**{**_VISION, "mlp_ratio": 2})
    _save(transformers.Dinov2Model(config), folder)
    processor = transformers.BitImageProcessor(size={"shortest_edge": 40}, crop_size=_SIZE)
    processor.save_pretrained(folder)


def dinov3(folder: Path) -> None:
    """DINOv3 as a transformer."""
    config = transformers.DINOv3ViTConfig(**_VISION, num_register_tokens=4)
    _save(transformers.DINOv3ViTModel(config), folder)
    transformers.DINOv3ViTImageProcessor(size=_SIZE).save_pretrained(folder)


def dinov3_convnext(folder: Path) -> None:
    """DINOv3 as a convolutional network."""
    config = transformers.DINOv3ConvNextConfig(
        hidden_sizes=[8, 16, 24, 40],
        depths=[1, 1, 2, 1],
        image_size=32,
        layer_scale_init_value=0.5,
    )
    _save(transformers.DINOv3ConvNextModel(config), folder)
    transformers.DINOv3ViTImageProcessor(size=_SIZE).save_pretrained(folder)


JOINT: Mapping[str, Callable[[Path], None]] = {
    "siglip": siglip,
    "siglip2": siglip2,
    "siglip2_naflex": siglip2_naflex,
    "clip": clip,
}
MAKERS: Mapping[str, Callable[[Path], None]] = JOINT | {
    "dinov2": dinov2,
    "dinov3": dinov3,
    "dinov3_convnext": dinov3_convnext,
}


def _save_siglip(folder: Path) -> None:
    text = _TOWER | {"vocab_size": 400, "max_position_embeddings": 64}
    config = transformers.SiglipConfig(text_config=text, vision_config=_VISION)
    _save(transformers.SiglipModel(config), folder)
    transformers.SiglipImageProcessor(size=_SIZE).save_pretrained(folder)


def _save(model: Any, folder: Path) -> None:
    torch.manual_seed(0)
    for weights in model.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=_GAIN / weights[0].numel() ** 0.5)
    model.save_pretrained(folder)


def _gemma(kind: Any) -> Any:
    names = _gemma_words()
    tokenizer = kind(vocab={name: n for n, name in enumerate(names)}, merges=[])
    tokenizer.padding_side = "right"
    return tokenizer


def _gemma_words() -> list[str]:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    return [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *_letters()]


def _letters() -> list[str]:
    return [chr(code) for code in range(33, 127)]
