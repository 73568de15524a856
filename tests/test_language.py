"""A caption in the wrong language is no caption; one that copies foreign signs is."""

import pytest

from lakehouse.models.captioners.language import Language, check_language
from lakehouse.models.captioners.registry import load
from tests.chat_server import chat_server, inspects, one_by_one
from tests.clip_views import clip
from tests.clip_views import openai_settings as settings


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A narrow corridor with an open valve.", "en"),
        ("A sign reads “禁止吸烟 请勿靠近” beside the door.", "en"),
        ("狭窄的走廊，左侧阀门打开。", "zh"),
        ("走廊里有一块标牌写着 NO ENTRY。", "zh"),
        ("屏幕显示 ABCDEFGHIJKLMNOPQRST 五个字母", "zh"),
        ("12.5 — 100%", "en"),
        ("12.5 — 100%", "zh"),
        ("。", "en"),
        ("Ein Gang, über 3 m hoch", "en"),
    ],
)
def test_a_text_passes_in_its_language(text: str, language: Language) -> None:
    check_language(text, language)


@pytest.mark.parametrize(
    ("text", "language", "message"),
    [
        ("狭窄的走廊，左侧阀门打开。", "en", "not in English"),
        ("狭い廊下、左側のバルブが開いています。", "en", "not in English"),
        ("좁은 복도, 왼쪽 밸브가 열려 있다.", "en", "not in English"),
        ("A narrow corridor with an open valve.", "zh", "not in Chinese"),
        ("A narrow corridor with an open valve 阀门.", "zh", "not in Chinese"),
        ("좁은 복도, 왼쪽 밸브가 열려 있다.", "zh", "not in Chinese"),
    ],
)
def test_a_text_in_another_language_is_refused(text: str, language: Language, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_language(text, language)


def test_an_answer_in_the_wrong_language_is_asked_for_once_more() -> None:
    with chat_server(one_by_one(inspects(), inspects(text="狭窄的走廊。"))) as server:
        [(_, caption)] = load(settings(server.base_url, language="zh")).caption([clip()])
    assert caption.text == "狭窄的走廊。"
    assert len(server.requests) == 2


def test_an_answer_that_stays_in_the_wrong_language_is_an_error_that_keeps_it() -> None:
    with chat_server(one_by_one(inspects(text="阀门开着。"))) as server:
        [(_, caption)] = load(settings(server.base_url)).caption([clip()])
    assert caption.error == "the answer can't be used: its text is not in English"
    assert "阀门开着。" in (caption.raw_answer or "").encode().decode("unicode_escape")
    assert caption.text is None
