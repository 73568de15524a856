"""What docs/query.md shows works: its Python runs as it stands, its views are all there are."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lakehouse.query.sandbox import VIEWS
from tests.lakes import Site

PAGE = (Path(__file__).parent.parent / "docs" / "query.md").read_text("utf-8")


def test_the_walkthrough_runs_as_it_stands(
    lake: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lakehouse.toml").write_text(f'lake = "{lake.settings.lake}"\n')
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(block, names)
    for name in ("sharp", "found"):
        assert isinstance(names[name], pl.DataFrame)
        assert not names[name].is_empty()
    assert names["vectors"].num_rows > 0


def test_every_view_is_explained() -> None:
    table = PAGE.split("| view |")[1].split("\n\n")[0]
    assert all(f"`{view}`" in table for view in VIEWS)
