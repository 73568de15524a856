"""The plan: what each parent's children need, and that doing it leaves nothing to do."""

from dataclasses import dataclass

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.tables.plan import CHILDREN, PARENTS, Plan, make_plan

LISTS = ("new", "stale", "failed", "orphaned", "current")
IDS = "abcdef"
FINGERPRINTS = "xyz"


@dataclass(frozen=True)
class Parent:
    fingerprint: str = "x"
    wanted: bool = True


@dataclass(frozen=True)
class Child:
    fingerprint: str = "x"
    failed: bool = False


Parents = dict[str, Parent]
Children = dict[str, list[Child]]

some_parents = st.dictionaries(
    st.sampled_from(IDS), st.builds(Parent, st.sampled_from(FINGERPRINTS), st.booleans())
)
some_children = st.dictionaries(
    st.sampled_from(IDS),
    st.lists(
        st.builds(Child, st.sampled_from(FINGERPRINTS), st.booleans()), min_size=1, max_size=3
    ),
)


def plan_of(parents: Parents, children: Children) -> Plan:
    return make_plan(
        pl.DataFrame(
            [(name, parent.fingerprint, parent.wanted) for name, parent in parents.items()],
            schema=PARENTS,
            orient="row",
        ),
        pl.DataFrame(
            [
                (name, child.fingerprint, child.failed)
                for name, of in children.items()
                for child in of
            ],
            schema=CHILDREN,
            orient="row",
        ),
    )


def lists_of(plan: Plan, name: str) -> list[str]:
    return [each for each in LISTS if name in getattr(plan, each)]


def as_promised(parent: Parent | None, children: list[Child]) -> list[str]:
    """The list that `Plan` promises, in words of its docstring."""
    if not children:
        return ["new"] if parent and parent.wanted else []
    if parent is None:
        return ["orphaned"]
    if {child.fingerprint for child in children} != {parent.fingerprint}:
        return ["stale"] if parent.wanted else ["orphaned"]
    if parent.wanted and any(child.failed for child in children):
        return ["failed"]
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
def test_no_id_is_listed_twice(parents: Parents, children: Children) -> None:
    plan = plan_of(parents, children)
    listed = [name for each in LISTS for name in getattr(plan, each)]
    assert len(listed) == len(set(listed))


@given(some_parents, some_children)
def test_doing_the_work_leaves_nothing_to_do(parents: Parents, children: Children) -> None:
    plan = plan_of(parents, children)
    done = {name: of for name, of in children.items() if name not in plan.orphaned}
    for name in plan.work(retry_failed=True):
        done[name] = [Child(parents[name].fingerprint)]
    assert plan_of(parents, done).is_empty(retry_failed=True)


@given(some_parents, some_children)
def test_a_plan_is_empty_where_nothing_is_computed_or_removed(
    parents: Parents, children: Children
) -> None:
    plan = plan_of(parents, children)
    for retry_failed in (True, False):
        idle = not plan.work(retry_failed=retry_failed) and not plan.orphaned
        assert plan.is_empty(retry_failed=retry_failed) == idle


def test_children_without_a_parent_are_orphans() -> None:
    assert plan_of({}, {"a": [Child()]}).orphaned == ("a",)


def test_what_is_unwanted_and_still_true_is_kept() -> None:
    assert plan_of({"a": Parent("x", wanted=False)}, {"a": [Child("x")]}).current == ("a",)


def test_what_is_unwanted_and_no_longer_true_is_removed() -> None:
    assert plan_of({"a": Parent("y", wanted=False)}, {"a": [Child("x")]}).orphaned == ("a",)


def test_what_is_unwanted_and_failed_is_not_retried() -> None:
    plan = plan_of({"a": Parent("x", wanted=False)}, {"a": [Child("x", failed=True)]})
    assert plan.is_empty(retry_failed=True)


def test_children_of_which_one_was_made_from_something_else_are_stale() -> None:
    assert plan_of({"a": Parent("x")}, {"a": [Child("x"), Child("y")]}).stale == ("a",)


def test_a_failure_is_work_on_request_only() -> None:
    plan = plan_of({"a": Parent()}, {"a": [Child(), Child(failed=True)]})
    assert plan.work(retry_failed=False) == ()
    assert plan.work(retry_failed=True) == ("a",)


def test_a_failure_made_from_something_else_is_work_anyway() -> None:
    plan = plan_of({"a": Parent("y")}, {"a": [Child("x", failed=True)]})
    assert plan.work(retry_failed=False) == ("a",)
