"""Frame vectors, where they are asked for: beside their clip's, replaced and removed with it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lakehouse.models.embedders.pooling import pooled
from lakehouse.query.tables import embedding_tables, frame_embedding_tables
from lakehouse.tables.schemas import FRAMES
from tests.lakes import Site, film, site

Row = dict[str, Any]


@pytest.fixture
def lake(tmp_path: Path, model_folder: Callable[[str], Path]) -> Site:
    """Two clips, embedded by a tiny SigLIP whose frame vectors are kept."""
    embedder = {
        "backend": "transformers",
        "model": str(model_folder("siglip")),
        "device": "cpu",
        "keep_frame_vectors": True,
    }
    made = site(tmp_path, embedders={"siglip": embedder}, caption_embedders={})
    made.put("a.mp4", film(("yard", 2.0), ("hall", 2.0)))
    made.run()
    return made


def clips(of: Site) -> list[Row]:
    return of.rows(embedding_tables(of.settings)["siglip"])


def frames(of: Site) -> list[Row]:
    return of.rows(frame_embedding_tables(of.settings)["siglip"])


def test_there_is_one_for_each_frame_and_a_clips_is_their_mean(lake: Site) -> None:
    assert len(frames(lake)) == len(lake.rows(FRAMES, "frame_id")) == 4
    for clip in clips(lake):
        own = [row["vector"] for row in frames(lake) if row["clip_id"] == clip["clip_id"]]
        np.testing.assert_allclose(clip["vector"], pooled(np.array(own, np.float32)), atol=1e-6)


def test_sql_sees_them_in_a_view_of_their_own(lake: Site) -> None:
    shown = lake.sql("SELECT clip_id, count(*) AS n FROM frame_embeddings GROUP BY clip_id")
    assert shown.get_column("n").to_list() == [2, 2]
    assert lake.sql("SELECT count(*) FROM embeddings").item() == 2


def test_a_second_run_writes_none(lake: Site) -> None:
    before = lake.versions()
    lake.run()
    assert lake.versions() == before


def test_those_of_a_replaced_object_are_replaced(lake: Site) -> None:
    lake.put("a.mp4", film(("shed", 2.0)))
    lake.run()
    assert len(clips(lake)) == 1
    assert {row["clip_id"] for row in frames(lake)} == {clips(lake)[0]["clip_id"]}


def test_those_of_the_same_footage_under_another_key_are_copied(lake: Site) -> None:
    lake.put("b.mp4", film(("yard", 2.0), ("hall", 2.0)))
    assert lake.run()["embeddings:siglip"].reused == 2
    copied = [row for row in frames(lake) if row["reused_from"]]
    originals = {row["frame_vector_id"]: row["vector"] for row in frames(lake)}
    assert len(copied) == 4
    assert all(row["vector"] == originals[row["reused_from"]] for row in copied)


def test_asking_for_them_later_embeds_again(lake: Site) -> None:
    settings = lake.settings.embedders["siglip"].model_dump()
    without = lake.changed(embedders={"siglip": {**settings, "keep_frame_vectors": False}})
    assert without.run()["embeddings:siglip"].made == 2
    assert lake.run()["embeddings:siglip"].made == 2
