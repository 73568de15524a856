"""A vision-language model of a few megabytes with random weights: Qwen2.5-VL in all but sense.

Only making it belongs here. It sees its frames and follows a grammar, so answers differ by clip and
most of them end; what they say means nothing.
"""

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

_SEED = 0
_HIDDEN = 128
_LONGEST = 16384
_SPREAD = 0.3
"""Of the weights: wide, so that what is seen decides what is said."""
_WISH_TO_END = 6.0
"""Added to the logits, whose deviation is 3.4, of tokens that end a string or a list. A model
without sense would else go on until it is cut."""
_TO_ONE = 50.0
"""What a constant 1.0 of the embedding has become before the last norm is 0.02."""
_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|object_ref_start|>",
    "<|object_ref_end|>",
    "<|box_start|>",
    "<|box_end|>",
    "<|quad_start|>",
    "<|quad_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
_TEXTS = (
    "a quadruped robot dog walks over grass, climbs stairs and turns left near an obstacle",
    "system user assistant describe the video clip in one sentence",
    '{"environment": "corridor", "objects": [{"name": "valve"}], "signs": ["rust"], "score": 5}',
)
_TEMPLATE = """\
{%- for m in messages -%}
<|im_start|>{{ m.role }}
{% if m.content is string %}{{ m.content }}{% else %}{% for c in m.content -%}
{%- if 'image' in c.type %}<|vision_start|><|image_pad|><|vision_end|>
{%- elif 'text' in c %}{{ c.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def write_tiny_vlm(folder: Path) -> None:
    """Write the model with its tokenizer and its chat template: all that vLLM needs."""
    torch.manual_seed(_SEED)
    tokenizer = _tokenizer()
    model = _model(tokenizer)
    _make_it_end(model, tokenizer)
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size),
        chat_template=_TEMPLATE,
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def _tokenizer() -> Qwen2Tokenizer:
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces.train_from_iterator(
        _TEXTS * 20, trainers.BpeTrainer(vocab_size=512, initial_alphabet=alphabet)
    )
    learned = json.loads(pieces.to_str())["model"]
    return Qwen2Tokenizer(
        vocab=learned["vocab"],
        merges=[tuple(merge) for merge in learned["merges"]],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token=None,
        additional_special_tokens=list(_SPECIAL),
    )


def _model(tokenizer: Qwen2Tokenizer) -> Qwen2_5_VLForConditionalGeneration:
    id_of = tokenizer.convert_tokens_to_ids
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={
                "vocab_size": -(-len(tokenizer) // 64) * 64,
                "hidden_size": _HIDDEN,
                "intermediate_size": 256,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "max_position_embeddings": _LONGEST,
                "initializer_range": _SPREAD,
                "bos_token_id": id_of("<|endoftext|>"),
                "eos_token_id": id_of("<|im_end|>"),
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 1e6,
                    "mrope_section": [8, 12, 12],
                },
            },
            vision_config={
                "depth": 2,
                "hidden_size": 64,
                "intermediate_size": 128,
                "num_heads": 2,
                "out_hidden_size": _HIDDEN,
                "fullatt_block_indexes": [1],
                "initializer_range": _SPREAD,
            },
            tie_word_embeddings=False,
            image_token_id=id_of("<|image_pad|>"),
            video_token_id=id_of("<|video_pad|>"),
            vision_start_token_id=id_of("<|vision_start|>"),
            vision_end_token_id=id_of("<|vision_end|>"),
        )
    )
    model.generation_config = GenerationConfig(
        eos_token_id=id_of("<|im_end|>"), pad_token_id=id_of("<|endoftext|>"), do_sample=False
    )
    return model


@torch.no_grad()
def _make_it_end(model: Qwen2_5_VLForConditionalGeneration, tokenizer: Qwen2Tokenizer) -> None:
    """Give the output layer a bias, which Qwen's has not: one dimension of the hidden state is kept
    constant, and the rows of tokens that end something are raised there."""
    text = model.model.language_model
    text.embed_tokens.weight[:, 0] = 1.0
    text.norm.weight[0] = _TO_ONE
    for layer in text.layers:
        layer.self_attn.o_proj.weight[0] = 0.0
        layer.mlp.down_proj.weight[0] = 0.0
    ends = [
        number
        for token, number in tokenizer.get_vocab().items()
        if token.startswith(('"', "]", "}"))
    ]
    model.lm_head.weight[:, 0] = 0.0
    model.lm_head.weight[ends, 0] = _WISH_TO_END
