"""Search by meaning and by looks: the right clip first, for words that its caption doesn't have."""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lakehouse.errors import UserError
from lakehouse.models.embedders.registry import load_joint
from lakehouse.query.search import By, Filters, Query, search
from lakehouse.settings import TransformersEmbedder
from lakehouse.tables.schemas import CAPTIONS, embeddings
from tests.chat_server import Request, chat_server, inspects
from tests.lakes import PARTITION, PLACES, Site, film, site

TEXTS = (
    "A red valve on the left pipe stands open beside the stairs.",
    "Water drips from a cracked pipe and forms a puddle on the concrete floor.",
    "A worker in a yellow helmet walks past the robot in a narrow corridor.",
    "The gauge on the boiler shows a pressure far in the red zone.",
    "An empty parking lot at night, lit by a single street lamp.",
    "Grey smoke rises from an electrical cabinet with a blinking warning light.",
    "A forklift carries wooden pallets through the warehouse gate.",
    "A dog kennel with two sleeping puppies on straw.",
)
ASKED = {
    "open valve near the stairs": 0,
    "the tap is turned on by the staircase": 0,
    "leaking tube, wet ground": 1,
    "a person wearing a hard hat": 2,
    "too much steam pressure on the meter": 3,
    "vacant car park in the dark": 4,
    "something is burning in the switch box": 5,
    "a truck lifting cargo in a storage hall": 6,
    "young animals having a nap": 7,
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A lake of eight clips, each with one of the texts."""
    number = count()

    def says_the_next(_: Request) -> object:
        return inspects(text=TEXTS[next(number) % len(TEXTS)])

    with chat_server(says_the_next) as server:  # type: ignore[arg-type]
        backend = {"backend": "openai", "base_url": server.base_url, "model": "vlm"}
        lake = site(
            tmp_path_factory.mktemp("told"),
            captioners={"vlm": backend},
            caption_embedders={"minilm": {"device": "cpu"}},
        )
        for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1)), ("c", (1, 2))):
            lake.put(f"{name}.mp4", film(*((list(PLACES)[place], 2.0) for place in order)))
        lake.run()
    return lake


def ask(site: Site, text: str, limit: int, by: By) -> pl.DataFrame:
    """The best clips of one way; the films' shots look the same, and none is folded."""
    query = Query(text, by=(by,), fold=False)
    return search(site.lake, site.settings, query, Filters(), limit)


def own_scores(found: pl.DataFrame) -> pl.Series:
    return found["ways"].list.first().struct.field("score")


@pytest.mark.parametrize(("text", "right"), ASKED.items())
def test_a_caption_is_found_by_what_it_means(told: Site, text: str, right: int) -> None:
    found = ask(told, text, 3, By.MEANING)
    assert found.get_column("text").to_list()[0] == TEXTS[right]
    captions = {row["clip_id"]: row["text"] for row in told.rows(CAPTIONS)}
    assert captions[found.get_column("clip_id").to_list()[0]] == TEXTS[right]


def test_scores_are_cosines_and_fall(told: Site) -> None:
    scores = own_scores(ask(told, TEXTS[3], 8, By.MEANING))
    assert scores[0] == pytest.approx(1, abs=1e-4)
    assert scores.is_sorted(descending=True)
    assert len(scores) == len(TEXTS)


def test_a_changed_caption_changes_its_vector_and_no_other(told: Site, tmp_path: Path) -> None:
    lake = told.copied_to(tmp_path)
    plan = lake.run()["caption_embeddings:minilm"].plan
    assert (len(plan.current), plan.work) == (len(TEXTS), ())
    changed = lake.rows(CAPTIONS)[0]["caption_id"]
    lake.lake.dataset(CAPTIONS).update({"text": "'A tree.'"}, where=f"caption_id = '{changed}'")
    stages = [stage for stage in lake.stages() if stage.name == "caption_embeddings:minilm"]
    assert lake.run(stages=stages)["caption_embeddings:minilm"].plan.stale == (changed,)
    found = ask(lake, "a plant with leaves", 1, By.MEANING)
    assert found.get_column("text").to_list() == ["A tree."]


def test_captions_of_another_language_are_left_to_another_embedder(told: Site) -> None:
    chinese = told.changed(caption_embedders={"minilm": {"device": "cpu", "language": "zh"}})
    (stage,) = (s for s in chinese.stages() if s.name.startswith("caption_embeddings"))
    assert stage.parents(PARTITION).is_empty()


def test_looks_are_found_by_a_text_in_the_order_of_their_cosines(
    told: Site, tmp_path: Path, model_folder: Callable[[str], Path]
) -> None:
    embedder = {"backend": "transformers", "model": str(model_folder("siglip")), "device": "cpu"}
    lake = told.copied_to(tmp_path).changed(embedders={"siglip": embedder})
    lake.run()
    joint = load_joint(TransformersEmbedder.model_validate(embedder), 1)
    assert joint is not None
    (query,) = joint.embed_texts(["a red valve"])
    rows = pl.DataFrame(lake.rows(embeddings("siglip", len(query))))
    cosines = np.array(rows["vector"].to_list()) @ query
    found = ask(lake, "a red valve", 8, By.LOOKS)
    assert own_scores(found).to_list() == pytest.approx(sorted(cosines, reverse=True), abs=1e-5)


def test_without_a_model_for_it_the_remedy_is_told(told: Site) -> None:
    with pytest.raises(UserError, match="SigLIP"):
        ask(told, "valve", 1, By.LOOKS)
    bare = told.changed(caption_embedders={})
    with pytest.raises(UserError, match="the extra `torch`"):
        ask(bare, "valve", 1, By.MEANING)
