"""The plan: what each parent's children need, and that doing it leaves nothing to do."""

from dataclasses import dataclass, fields

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.tables.plan import CHILDREN, PARENTS, Plan, make_plan

LISTS = tuple(each.name for each in fields(Plan))
MAX_ATTEMPTS = 3
IDS = "abcdef"
FINGERPRINTS = "xyz"


@dataclass(frozen=True)
class Parent:
    fingerprint: str = "x"
    wanted: bool = True
    waits: bool = False


@dataclass(frozen=True)
class Child:
    fingerprint: str = "x"
    failed: bool = False
    attempts: int = 1


Parents = dict[str, Parent]
Children = dict[str, list[Child]]

some_parents = st.dictionaries(
    st.sampled_from(IDS),
    st.builds(Parent, st.sampled_from(FINGERPRINTS), st.booleans(), st.booleans()),
)
some_children = st.dictionaries(
    st.sampled_from(IDS),
    st.lists(
        st.builds(Child, st.sampled_from(FINGERPRINTS), st.booleans(), st.integers(1, 4)),
        min_size=1,
        max_size=3,
    ),
)


def plan_of(parents: Parents, children: Children, *, retry: bool = False) -> Plan:
    return make_plan(
        pl.DataFrame(
            [(name, "r", of.fingerprint, of.wanted, of.waits) for name, of in parents.items()],
            schema=PARENTS,
            orient="row",
        ),
        pl.DataFrame(
            [
                (name, "r", child.fingerprint, "broken" if child.failed else None, child.attempts)
                for name, of in children.items()
                for child in of
            ],
            schema=CHILDREN,
            orient="row",
        ),
        lambda _: retry,
        MAX_ATTEMPTS,
    )


def lists_of(plan: Plan, name: str) -> list[str]:
    return [each for each in LISTS if name in getattr(plan, each)]


def as_promised(parent: Parent | None, children: list[Child]) -> list[str]:
    """The list that `Plan` promises, in words of its docstring."""
    if parent and parent.waits:
        return ["waiting"]
    if not children:
        return ["new"] if parent and parent.wanted else []
    if parent is None:
        return ["orphaned"]
    if {child.fingerprint for child in children} != {parent.fingerprint}:
        return ["stale"] if parent.wanted else ["orphaned"]
    if parent.wanted and any(child.failed for child in children):
        tried = max(child.attempts for child in children)
        return ["given_up"] if tried >= MAX_ATTEMPTS else ["failed"]
    return ["current"]


@given(some_parents, some_children)
def test_every_parent_is_in_the_one_list_that_is_promised(
    parents: Parents, children: Children
) -> None:
    plan = plan_of(parents, children)
    assert {name: lists_of(plan, name) for name in IDS} == {
        name: as_promised(parents.get(name), children.get(name, [])) for name in IDS
    }


@given(some_parents, some_children)
def test_what_is_chosen_of_what_failed_is_retried_however_often_it_was_tried(
    parents: Parents, children: Children
) -> None:
    plan, retrying = plan_of(parents, children), plan_of(parents, children, retry=True)
    assert sorted(retrying.retried) == sorted(plan.failed + plan.given_up)
    assert retrying.failed == retrying.given_up == ()


@given(some_parents, some_children)
def test_no_id_is_listed_twice(parents: Parents, children: Children) -> None:
    plan = plan_of(parents, children)
    listed = [name for each in LISTS for name in getattr(plan, each)]
    assert len(listed) == len(set(listed))


@given(some_parents, some_children)
def test_doing_the_work_leaves_nothing_to_do(parents: Parents, children: Children) -> None:
    plan = plan_of(parents, children, retry=True)
    done = {name: of for name, of in children.items() if name not in plan.orphaned}
    for name in plan.work:
        done[name] = [Child(parents[name].fingerprint)]
    assert plan_of(parents, done, retry=True).is_empty


@given(some_parents, some_children, st.booleans())
def test_a_plan_is_empty_where_nothing_is_computed_or_removed(
    parents: Parents, children: Children, retry: bool
) -> None:
    plan = plan_of(parents, children, retry=retry)
    assert plan.is_empty == (not plan.work and not plan.orphaned)


def test_children_without_a_parent_are_orphans() -> None:
    assert plan_of({}, {"a": [Child()]}).orphaned == ("a",)


def test_what_is_unwanted_and_still_true_is_kept() -> None:
    assert plan_of({"a": Parent("x", wanted=False)}, {"a": [Child("x")]}).current == ("a",)


def test_what_is_unwanted_and_no_longer_true_is_removed() -> None:
    assert plan_of({"a": Parent("y", wanted=False)}, {"a": [Child("x")]}).orphaned == ("a",)


def test_what_is_unwanted_and_failed_is_not_retried() -> None:
    children = {"a": [Child("x", failed=True)]}
    assert plan_of({"a": Parent("x", wanted=False)}, children, retry=True).is_empty


def test_children_of_which_one_was_made_from_something_else_are_stale() -> None:
    assert plan_of({"a": Parent("x")}, {"a": [Child("x"), Child("y")]}).stale == ("a",)


def test_a_failure_is_work_on_request_only() -> None:
    parents, children = {"a": Parent()}, {"a": [Child(), Child(failed=True)]}
    assert plan_of(parents, children).work == ()
    assert plan_of(parents, children, retry=True).work == ("a",)


def test_a_failure_made_from_something_else_is_work_anyway() -> None:
    plan = plan_of({"a": Parent("y")}, {"a": [Child("x", failed=True, attempts=9)]})
    assert plan.work == ("a",)


def test_nothing_becomes_of_what_waits() -> None:
    plan = plan_of({"a": Parent("y", waits=True), "b": Parent(waits=True)}, {"a": [Child("x")]})
    assert plan.is_empty
    assert plan.waiting == ("a", "b")
