"""The weightless baseline: a captioner that states only what was measured of a clip.

Its words for levels stand here as tables; what is measured, and how, belongs to `video.signals`.
It names no object, sign or risk, since nothing of the kind was measured.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

from lakehouse.models.captioners.colours import dominant_colours
from lakehouse.models.captioners.protocol import Caption, CaptionerDescriptor
from lakehouse.models.clip_view import ClipView
from lakehouse.settings import MeasuredCaptioner

_CODE_VERSION = 1  # raise it when captions change without a change of the tables below

# Where the next level of a signal begins, in the unit of its columns in table `scores`.
_BOUNDS = {
    "darkness": (0.12, 0.5, 0.75),
    "sharpness": (0.3, 0.5, 0.7),
    "noise": (2.0, 6.0, 12.0),
    "texture": (6.0, 20.0, 45.0),
    "motion": (0.8, 6.0, 18.0),
}
_MIN_SHARE = 0.05  # of pixels or of time, below which a share isn't mentioned
_VARIES_FROM = 2  # levels between p10 and p90


@dataclass(frozen=True)
class _Wording:
    """The words of one language: a word for each level, and templates that take such words."""

    head: str
    nothing: str
    levels: Mapping[str, tuple[str, ...]]
    states: Mapping[str, str]
    varies: Mapping[str, str]
    shares: Mapping[str, str]
    one_colour: str
    two_colours: str
    colours: Mapping[str, str]
    comma: str
    last_comma: str
    clause: str
    stop: str


_WORDINGS = {
    "en": _Wording(
        head="{camera}, {duration_s:.1f} s: ",
        nothing="nothing was measured",
        levels={
            "darkness": ("bright", "well lit", "dim", "dark"),
            "sharpness": ("blurred", "soft", "fairly sharp", "sharp"),
            "noise": ("almost free of noise", "slightly noisy", "noisy", "very noisy"),
            "texture": (
                "almost without texture",
                "poor in texture",
                "moderate in texture",
                "rich in texture",
            ),
            "motion": ("hardly any", "slight", "clear", "strong"),
        },
        states={
            "darkness": "{}",
            "sharpness": "{}",
            "noise": "{}",
            "texture": "{}",
            "motion": "the picture shows {} motion",
        },
        varies={
            "darkness": "the light varies between {} and {}",
            "sharpness": "the sharpness varies between {} and {}",
            "motion": "the motion varies between {} and {}",
        },
        shares={
            "under_exposed": "{} of the pixels are under-exposed",
            "over_exposed": "{} of the pixels are over-exposed",
            "stillness": "the picture is still {} of the time",
        },
        one_colour="the dominant colour is {}",
        two_colours="the dominant colours are {} and {}",
        colours={},
        comma=", ",
        last_comma=" and ",
        clause="; ",
        stop=". ",
    ),
    "zh": _Wording(
        head="{camera}，时长 {duration_s:.1f} 秒：",
        nothing="无测量数据",
        levels={
            "darkness": ("明亮", "充足", "偏暗", "昏暗"),
            "sharpness": ("模糊", "偏模糊", "较清晰", "清晰"),
            "noise": ("极少", "较少", "较多", "严重"),
            "texture": ("极少", "较少", "适中", "丰富"),
            "motion": ("微弱", "轻微", "明显", "剧烈"),
        },
        states={
            "darkness": "光线{}",
            "sharpness": "画面{}",
            "noise": "噪点{}",
            "texture": "纹理{}",
            "motion": "画面运动{}",
        },
        varies={
            "darkness": "光线在{}与{}之间变化",
            "sharpness": "清晰度在{}与{}之间变化",
            "motion": "运动强度在{}与{}之间变化",
        },
        shares={
            "under_exposed": "{}的像素欠曝",
            "over_exposed": "{}的像素过曝",
            "stillness": "{}的时间画面静止",
        },
        one_colour="主色为{}",
        two_colours="主色为{}和{}",
        colours={
            "black": "黑色",
            "white": "白色",
            "grey": "灰色",
            "red": "红色",
            "brown": "棕色",
            "beige": "米色",
            "orange": "橙色",
            "yellow": "黄色",
            "green": "绿色",
            "cyan": "青色",
            "blue": "蓝色",
            "purple": "紫色",
            "pink": "粉色",
        },
        comma="，",
        last_comma="，",
        clause="，",
        stop="。",
    ),
}


def describe(settings: MeasuredCaptioner) -> CaptionerDescriptor:
    """The descriptor; its version is a hash of all words and bounds of the language."""
    tables = [_BOUNDS, _MIN_SHARE, _VARIES_FROM, asdict(_WORDINGS[settings.language])]
    digest = hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()
    return CaptionerDescriptor(
        language=settings.language,
        model="measured",
        version=f"measured-{_CODE_VERSION}-{digest[:12]}",
        prompt_version=None,
        uses_scores=True,
    )


class MeasuredCaptions:
    """A `Captioner` that fills `text`, `light` and `dynamics`, and nothing else.

    The same clip always gets the same caption. A score that is missing or not finite is left out.
    """

    def __init__(self, settings: MeasuredCaptioner) -> None:
        self._wording = _WORDINGS[settings.language]

    def caption(self, clips: Iterable[ClipView]) -> Iterator[tuple[str, Caption]]:
        """See `Captioner.caption`; each clip is answered before the next is taken."""
        for clip in clips:
            yield clip.clip_id, _caption(clip, self._wording)


def _caption(clip: ClipView, words: _Wording) -> Caption:
    scores = _judgeable(clip.scores)
    light = _state("darkness", scores, words)
    qualities = light + [
        phrase
        for signal in ("sharpness", "noise", "texture")
        for phrase in _state(signal, scores, words)
    ]
    exposure = [
        *_variation("darkness", scores, words),
        *_share("under_exposed", scores.get("under_exposed_p50"), words),
        *_share("over_exposed", scores.get("over_exposed_p50"), words),
    ]
    dynamics = [
        *_state("motion", scores, words),
        *_variation("motion", scores, words),
        *_share("stillness", scores.get("stillness"), words),
    ]
    sentences = [
        _enumeration(qualities, words),
        words.clause.join(exposure),
        *_variation("sharpness", scores, words),
        words.clause.join(dynamics),
        *_colours(clip, words),
    ]
    return Caption(
        text=_text(clip, [sentence for sentence in sentences if sentence], words),
        light=words.clause.join(light + exposure) or None,
        dynamics=tuple(dynamics),
    )


def _judgeable(scores: Mapping[str, float]) -> dict[str, float]:
    # A picture without texture has nothing that could be sharp or blurred.
    flat = _level("texture", scores.get("texture_p50")) == 0
    return {name: scores[name] for name in scores if not (flat and name.startswith("sharpness"))}


def _text(clip: ClipView, sentences: list[str], words: _Wording) -> str:
    first, *others = sentences or [words.nothing]
    head = words.head.format(camera=clip.camera, duration_s=clip.duration_s)
    capitalised = [sentence[0].upper() + sentence[1:] for sentence in others]
    return (head + words.stop.join([first, *capitalised]) + words.stop).rstrip()


def _enumeration(phrases: list[str], words: _Wording) -> str:
    *others, last = phrases or [""]
    return words.comma.join(others) + words.last_comma + last if others else last


def _state(signal: str, scores: Mapping[str, float], words: _Wording) -> list[str]:
    level = _level(signal, scores.get(f"{signal}_p50"))
    return [] if level is None else [words.states[signal].format(words.levels[signal][level])]


def _variation(signal: str, scores: Mapping[str, float], words: _Wording) -> list[str]:
    low = _level(signal, scores.get(f"{signal}_p10"))
    high = _level(signal, scores.get(f"{signal}_p90"))
    if low is None or high is None or high - low < _VARIES_FROM:
        return []
    names = words.levels[signal]
    return [words.varies[signal].format(names[low], names[high])]


def _share(name: str, value: float | None, words: _Wording) -> list[str]:
    if value is None or not math.isfinite(value) or value < _MIN_SHARE:
        return []
    return [words.shares[name].format(f"{value:.0%}")]


def _colours(clip: ClipView, words: _Wording) -> list[str]:
    jpegs = [frame.jpeg for frame in clip.frames]
    names = [words.colours.get(name, name) for name in dominant_colours(jpegs)]
    template = {1: words.one_colour, 2: words.two_colours}.get(len(names))
    return [template.format(*names)] if template else []


def _level(signal: str, value: float | None) -> int | None:
    if value is None or not math.isfinite(value):
        return None
    return bisect_right(_BOUNDS[signal], value)
