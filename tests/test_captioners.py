"""What captioners promise of their words and versions, and that only measurements are said."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.errors import UserError
from lakehouse.models.captioners import measured, vision
from lakehouse.models.captioners.colours import COLOURS, dominant_colours
from lakehouse.models.captioners.inspection import ANSWER_SCHEMA, load_prompt
from lakehouse.models.captioners.protocol import Caption
from lakehouse.models.captioners.registry import describe, load
from lakehouse.models.clip_view import ClipView
from lakehouse.settings import MeasuredCaptioner
from lakehouse.video.signals import SIGNALS
from tests.clip_views import clip, jpeg
from tests.clip_views import openai_settings as settings

Language = Literal["en", "zh"]
ORDINARY = {
    "darkness": 0.2,
    "sharpness": 0.75,
    "noise": 1.0,
    "texture": 50.0,
    "motion": 25.0,
    "under_exposed": 0.0,
    "over_exposed": 0.0,
}


def scores(stillness: float = 0.0, **medians: float) -> dict[str, float]:
    """Scores of a clip that measures the same from its first to its last sample."""
    signals = ORDINARY | medians
    columns = {f"{name}_{q}": signals[name] for name in signals for q in ("p10", "p50", "p90")}
    return columns | {"stillness": stillness}


def says_of(language: Language, view: ClipView) -> Caption:
    [(clip_id, caption)] = load(MeasuredCaptioner(language=language)).caption([view])
    assert clip_id == view.clip_id
    return caption


@pytest.mark.parametrize(
    ("of", "english", "chinese"),
    [
        (scores(darkness=0.9), "dark,", "光线昏暗"),
        (scores(darkness=0.05), "bright,", "光线明亮"),
        (scores(sharpness=0.1), "blurred", "画面模糊"),
        (scores(noise=20.0), "very noisy", "噪点严重"),
        (scores(motion=0.1), "hardly any motion", "画面运动微弱"),
        (scores(motion=40.0), "strong motion", "画面运动剧烈"),
        (scores(over_exposed=0.4), "40% of the pixels are over-exposed", "40%的像素过曝"),
        (scores(stillness=0.8), "the picture is still 80% of the time", "80%的时间画面静止"),
        (
            scores() | {"darkness_p10": 0.1, "darkness_p90": 0.9},
            "The light varies between bright and dark",
            "光线在明亮与昏暗之间变化",
        ),
    ],
)
def test_what_was_measured_is_said_in_both_languages(
    of: dict[str, float], english: str, chinese: str
) -> None:
    assert english in (says_of("en", clip(of=of)).text or "")
    assert chinese in (says_of("zh", clip(of=of)).text or "")


def test_a_whole_caption_reads_naturally() -> None:
    view = clip(frames=(jpeg(bgr=(200, 30, 30)),), of=scores())
    assert says_of("en", view).text == (
        "rex-front, 12.3 s: well lit, sharp, almost free of noise and rich in texture. "
        "The picture shows strong motion. The dominant colour is blue."
    )
    assert says_of("zh", view).text == (
        "rex-front，时长 12.3 秒：光线充足，画面清晰，噪点极少，纹理丰富。"
        "画面运动剧烈。主色为蓝色。"
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_nothing_is_said_of_what_was_not_measured(language: Language) -> None:
    caption = says_of(language, clip(frames=(), of={"darkness_p50": 0.9}))
    alone = {"en": "rex-front, 12.3 s: dark.", "zh": "rex-front，时长 12.3 秒：光线昏暗。"}
    assert caption == Caption(text=alone[language], light=alone[language][-5:-1].strip(" ："))


def test_a_clip_without_measurements_says_so() -> None:
    assert says_of("en", clip(frames=())) == Caption(
        text="rex-front, 12.3 s: nothing was measured."
    )


def test_a_picture_without_texture_is_called_neither_sharp_nor_blurred() -> None:
    text = says_of("en", clip(of=scores(texture=0.0, sharpness=0.0))).text or ""
    assert "blurred" not in text
    assert "sharp" not in text


_SHARES = st.floats(0, 1, width=32)
_LEVELS = st.floats(0, 255, width=32)
_RANGES = {"noise": _LEVELS, "motion": _LEVELS, "texture": _LEVELS}
_ANY_SCORES = st.fixed_dictionaries(
    {},
    optional={
        f"{signal}_{q}": _RANGES.get(signal, _SHARES) | st.just(float("nan"))
        for signal in SIGNALS
        for q in ("p10", "p50", "p90")
    }
    | {"stillness": _SHARES},
)


@given(of=_ANY_SCORES, language=st.sampled_from(["en", "zh"]))
def test_any_scores_give_a_text_of_the_language_and_no_claim(
    of: dict[str, float], language: Language
) -> None:
    caption = says_of(language, clip(of=of))
    claims = replace(caption, text=None, light=None, dynamics=())
    assert claims == Caption()
    words = (caption.text or "").removeprefix("rex-front")
    assert len(words) > 10
    assert not re.search(r"\b(nan|None)\b", words)
    assert not re.search(r"[A-Za-z]" if language == "zh" else r"[一-鿿]", words)
    assert not re.search(r"[{}]|  |\.\.|。。", words)


@pytest.mark.parametrize(
    ("bgr", "name"),
    [
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
        ((120, 120, 120), "grey"),
        ((0, 0, 220), "red"),
        ((0, 140, 255), "orange"),
        ((40, 80, 120), "brown"),
        ((0, 180, 0), "green"),
        ((220, 60, 0), "blue"),
    ],
)
def test_the_dominant_colour_is_that_of_the_pixels(bgr: tuple[int, int, int], name: str) -> None:
    assert dominant_colours([jpeg(bgr=bgr)]) == (name,)


def test_frames_that_cannot_be_decoded_have_no_colour() -> None:
    assert dominant_colours([b"", b"no picture", jpeg()[:40]]) == ()


def test_every_colour_has_a_chinese_name() -> None:
    assert set(measured._WORDINGS["zh"].colours) == set(COLOURS)


def test_changed_words_change_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(MeasuredCaptioner())
    assert before == describe(MeasuredCaptioner())
    assert before.uses_scores
    changed = replace(measured._WORDINGS["en"], nothing="no measurement")
    monkeypatch.setitem(measured._WORDINGS, "en", changed)
    assert describe(MeasuredCaptioner()).version != before.version


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"language": "zh"},
        {"max_tokens": 512},
        {"temperature": 0.7},
        {"frames_per_request": 4},
    ],
)
def test_what_changes_captions_changes_the_version(change: dict[str, Any]) -> None:
    assert describe(settings(**change)).version != describe(settings()).version


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://elsewhere/v1"},
        {"max_in_flight": 1},
        {"max_retries": 0},
        {"timeout_s": 1.0},
        {"deadline_s": 1.0},
        {"silence_s": 1.0},
        {"api_key_variable": "OTHER_KEY"},
    ],
)
def test_what_does_not_change_captions_keeps_the_version(change: dict[str, Any]) -> None:
    assert describe(settings(**change)) == describe(settings())


def test_changed_code_changes_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = describe(settings()).version
    monkeypatch.setattr(vision, "_CODE_VERSION", vision._CODE_VERSION + 1)
    assert describe(settings()).version != before


def test_the_content_of_a_prompt_file_makes_the_version(
    tmp_path: Path,
) -> None:
    prompt = tmp_path / "prompt.md"
    prompt.write_text("Describe the valves.", encoding="utf-8")
    first = describe(settings(prompt_file=prompt))
    assert re.fullmatch(r"[0-9a-f]{12}", first.prompt_version or "")
    prompt.write_text("Describe the lamps.", encoding="utf-8")
    second = describe(settings(prompt_file=prompt))
    assert second.prompt_version != first.prompt_version
    assert second.version != first.version


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_prompt_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    prompt = tmp_path / "prompt.md"
    if content is not None:
        prompt.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(prompt))):
        describe(settings(prompt_file=prompt))


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_prompt_names_every_field_of_the_answer(language: Language) -> None:
    fields = set(ANSWER_SCHEMA["properties"])
    for nested in ANSWER_SCHEMA["$defs"].values():
        fields |= set(nested["properties"])
    text = load_prompt(language).text
    assert [field for field in sorted(fields) if f"`{field}`" not in text] == []


def test_captions_of_a_model_depend_on_frames_alone() -> None:
    assert not describe(settings()).uses_scores


def test_the_schema_lets_no_raw_control_character_into_a_string() -> None:
    def patterns(schema: Any) -> Iterator[str]:
        if isinstance(schema, dict):
            if schema.get("type") == "string":
                yield schema["pattern"]
            for part in schema.values():
                yield from patterns(part)

    found = list(patterns(ANSWER_SCHEMA))
    assert len(found) == 11
    for pattern in found:
        assert re.match(pattern, "阀门：开，“EXIT”")
        assert not any(re.match(pattern, f"a{bad}b") for bad in '\n\t\x00\x1f"\\')
