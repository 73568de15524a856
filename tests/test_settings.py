"""Settings: arguments before environment before file, and every mistake is told in one line."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from lakehouse.errors import UserError
from lakehouse.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and an environment without settings."""
    for variable in os.environ:
        if variable.startswith("LAKEHOUSE_"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint() -> str:
    """The one line that loading the settings ends with."""
    with pytest.raises(UserError) as refused:
        load_settings()
    message = str(refused.value)
    assert message
    assert "\n" not in message
    return message


def test_without_file_and_environment_there_are_defaults() -> None:
    settings = load_settings()
    assert (settings.bucket, settings.lake) == ("bucket", "lake")
    assert set(settings.captioners) == {"default", "zh"}
    assert set(settings.embedders) == {"default"}


def test_a_file_in_the_working_folder_is_read(folder: Path) -> None:
    (folder / "lakehouse.toml").write_text("bucket = 'walks'\n[clips]\nmin_clip_s = 3\n")
    settings = load_settings()
    assert (settings.bucket, settings.clips.min_clip_s) == ("walks", 3.0)


def test_the_environment_wins_over_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lakehouse.toml").write_text("bucket = 'file'\nlake = 'file'\n")
    monkeypatch.setenv("LAKEHOUSE_BUCKET", "environment")
    settings = load_settings()
    assert (settings.bucket, settings.lake) == ("environment", "file")


def test_arguments_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_BUCKET", "environment")
    assert load_settings(bucket="argument").bucket == "argument"


def test_a_nested_variable_changes_one_field_of_its_group(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lakehouse.toml").write_text("[clips]\nmin_clip_s = 3\njpeg_quality = 50\n")
    monkeypatch.setenv("LAKEHOUSE_CLIPS__MIN_CLIP_S", "2")
    clips = load_settings().clips
    assert (clips.min_clip_s, clips.jpeg_quality) == (2.0, 50)


def test_a_nested_variable_reaches_a_captioner_by_its_variant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAKEHOUSE_CAPTIONERS__NIGHT__BACKEND", "measured")
    monkeypatch.setenv("LAKEHOUSE_CAPTIONERS__NIGHT__LANGUAGE", "zh")
    assert load_settings().captioners["night"].language == "zh"


def test_the_named_file_is_read_instead_of_the_one_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lakehouse.toml").write_text("bucket = 'here'\n")
    (folder / "other.toml").write_text("lake = 'other'\n")
    monkeypatch.setenv("LAKEHOUSE_SETTINGS", str(folder / "other.toml"))
    settings = load_settings()
    assert (settings.bucket, settings.lake) == ("bucket", "other")


def test_a_named_file_that_is_missing_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_SETTINGS", str(folder / "missing.toml"))
    assert "LAKEHOUSE_SETTINGS" in (message := complaint())
    assert "missing.toml" in message


@pytest.mark.parametrize("content", [b"bucket = \n", b"bucket", b"bucket = '\xe9'\n"])
def test_a_file_that_is_no_toml_is_named(folder: Path, content: bytes) -> None:
    (folder / "lakehouse.toml").write_bytes(content)
    assert "lakehouse.toml" in complaint()


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("LAKEHOUSE_BUCKETT", "a", "LAKEHOUSE_BUCKETT"),
        ("LAKEHOUSE_CLIP__MIN_CLIP_S", "2", "LAKEHOUSE_CLIP__MIN_CLIP_S"),
        ("LAKEHOUSE_CLIPS__SHORTEST", "2", "clips.shortest"),
        ("LAKEHOUSE_WORKERS", "many", "workers"),
        ("LAKEHOUSE_WORKERS", "0", "workers"),
        ("LAKEHOUSE_CLIPS", "junk", "clips"),
        ("LAKEHOUSE_CLIPS__MIN_CLIP_S", "a\nb", "clips.min_clip_s"),
        ("LAKEHOUSE_CLIPS__MAX_CLIP_S", "inf", "clips.max_clip_s"),
        ("LAKEHOUSE_THRESHOLDS__MAX_NOISE", "nan", "thresholds.max_noise"),
        ("LAKEHOUSE_FIRST_DAY", "2020-13-01", "first_day"),
        ("LAKEHOUSE_CAPTIONERS__DEFAULT__BACKEND", "magic", "captioners.default"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert named in complaint()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("buckett = 'a'", "buckett"),
        ("[clips]\nshortest = 2", "clips.shortest"),
        ("[captioners.default]\nbackend = 'measured'\nmodel = 'x'", "model"),
        ("workers = 'many'", "workers"),
        ("clips = 3", "clips"),
        ("[captioners.\"it's\"]\nbackend = 'measured'", "it's"),
    ],
)
def test_a_wrong_line_of_the_file_is_named_in_one_line(
    folder: Path, content: str, named: str
) -> None:
    (folder / "lakehouse.toml").write_text(content)
    assert named in complaint()


def test_all_mistakes_are_told_at_once(folder: Path) -> None:
    (folder / "lakehouse.toml").write_text("buckett = 'a'\nworkers = 'many'\n")
    message = complaint()
    assert "buckett" in message
    assert "workers" in message


def test_clips_that_a_division_would_make_too_short_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAKEHOUSE_CLIPS__MIN_CLIP_S", "11")
    monkeypatch.setenv("LAKEHOUSE_CLIPS__MAX_CLIP_S", "21")
    assert "max_clip_s" in complaint()


def test_settings_cannot_be_changed_after_loading() -> None:
    settings: Settings = load_settings()
    with pytest.raises(ValidationError):
        settings.bucket = "elsewhere"
    with pytest.raises(ValidationError):
        settings.clips.min_clip_s = 1.0
