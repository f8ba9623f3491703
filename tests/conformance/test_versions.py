"""Versions are registered once, one is the latest, and what waits for one that nobody has is adopted."""

from __future__ import annotations

import pytest

from durust import clock
from durust.model.filters import ListFilter, Scope
from durust.model.status import Status
from durust.model.writes import (
    Adopted,
    AdoptWorkflows,
    DrainExecutor,
    Missing,
    PromoteVersion,
    Recorded,
    Refused,
    Retire,
    StoreVersion,
)
from durust.storage.provider import StateProvider
from tests.conformance.builders import (
    APP,
    NAME,
    QUEUE,
    commit,
    commit_one,
    executor,
    finish,
    history,
    make_claimed,
    make_enqueued,
    make_executor,
    park,
    record_step,
    register,
    row_of,
    want,
)
from tests.conformance.conftest import Rewrite


def store(name: str, *workflows: tuple[str, str], by: str = "nobody", app: str = APP) -> StoreVersion:
    """Return the write that registers a version."""
    return StoreVersion(clock.ordered_id(), app, name, workflows or ((NAME, name),), by)


def make_version(provider: StateProvider, name: str, *workflows: tuple[str, str], by: str = "nobody") -> str:
    """Register a version."""
    assert commit_one(provider, store(name, *workflows, by=by)) == Recorded()
    return name


def make_serving(provider: StateProvider, name: str, version: str, *workflows: tuple[str, str], app: str = APP) -> str:
    """Enter an executor that runs a version."""
    make_executor(provider, name, app_name=app)
    commit(provider, store(version, *workflows, by=name, app=app))
    return name


def names(provider: StateProvider, app: str = APP) -> list[str]:
    return [row.name for row in provider.versions(app, 100)]


def stranded(provider: StateProvider, *known: str, app: str = APP) -> list[str]:
    query = ListFilter(scope=Scope(app, known), is_stranded=True)
    return sorted(row.workflow_id for row in provider.workflows(query))


def adopt(provider: StateProvider, *ids: str, version: str = "v2", app: str = APP) -> Adopted:
    outcome = commit_one(provider, AdoptWorkflows(app, (), ids, (version,) * len(ids)))
    assert isinstance(outcome, Adopted)
    return outcome


# The registry ---------------------------------------------------------------------------------------------------------


@pytest.mark.covers(167)
def test_the_version_that_was_registered_last_is_the_latest(provider: StateProvider) -> None:
    for name in ("v1", "v2", "v3"):
        make_version(provider, name)

    listed = provider.versions(APP, 100)

    assert [row.name for row in listed] == ["v3", "v2", "v1"]
    assert listed[0].workflows == ((NAME, "v3"),)
    assert [row.name for row in provider.versions(APP, 2)] == ["v3", "v2"]


@pytest.mark.covers(167)
def test_a_version_that_is_registered_again_keeps_its_place(provider: StateProvider) -> None:
    make_version(provider, "v1")
    make_version(provider, "v2")
    before = provider.versions(APP, 100)

    make_version(provider, "v1")

    assert provider.versions(APP, 100) == before


@pytest.mark.covers(167)
def test_a_version_that_is_promoted_is_the_latest(provider: StateProvider) -> None:
    for name in ("v1", "v2", "v3"):
        make_version(provider, name)

    assert commit_one(provider, PromoteVersion(APP, "v1")) == Recorded()
    assert names(provider) == ["v1", "v3", "v2"]
    assert commit_one(provider, PromoteVersion(APP, "v1")) == Recorded()
    assert names(provider) == ["v1", "v3", "v2"]
    make_version(provider, "v1")
    assert names(provider)[0] == "v1"


def test_promotions_within_one_millisecond_count_in_their_order(provider: StateProvider) -> None:
    for name in ("v1", "v2", "v3"):
        make_version(provider, name)

    commit(provider, *(PromoteVersion(APP, name) for name in ("v3", "v1", "v2", "v1")))

    assert names(provider) == ["v1", "v2", "v3"]


@pytest.mark.covers(167)
def test_versions_of_one_instant_follow_each_other(provider: StateProvider) -> None:
    for name in ("v3", "v1", "v2"):
        make_version(provider, name)

    assert names(provider) == ["v2", "v1", "v3"]


def test_a_version_that_nobody_registered_is_missing(provider: StateProvider) -> None:
    make_version(provider, "v1")

    assert commit_one(provider, PromoteVersion(APP, "v2")) == Missing()
    assert commit_one(provider, PromoteVersion("other", "v1")) == Missing()
    assert names(provider) == ["v1"]


@pytest.mark.covers(167, 190)
def test_a_name_belongs_to_the_application_that_had_it_first(provider: StateProvider) -> None:
    make_version(provider, "v1")
    make_serving(provider, "others", "v1", ("bill", "v1"), app="other")

    refused = commit_one(provider, store("v1", app="other"))

    assert isinstance(refused, Refused)
    assert "'v1' is one of application 'durust'" in refused.reason
    assert (names(provider), names(provider, "other")) == (["v1"], [])
    # What an executor runs is known all the same.
    make_enqueued(provider, "a", name="bill", app_version="v1", app_name="other")
    assert stranded(provider, app="other") == []


def test_a_version_is_what_its_executors_say_that_it_is(provider: StateProvider) -> None:
    make_version(provider, "v1", ("ship", "s1"), ("bill", "b1"))
    make_version(provider, "v1", ("ship", "s2"), ("load", "l1"))

    [row] = provider.versions(APP, 100)

    assert row.workflows == (("bill", "b1"), ("load", "l1"), ("ship", "s2"))


def test_a_version_may_have_no_workflows(provider: StateProvider) -> None:
    assert commit_one(provider, StoreVersion("id", APP, "v1", (), "nobody")) == Recorded()

    assert [row.workflows for row in provider.versions(APP, 100)] == [()]


def test_who_lives_is_counted_for_each_version(provider: StateProvider) -> None:
    for number in range(3):
        make_serving(provider, f"old {number}", "v1")
    make_serving(provider, "new", "v2")
    commit(provider, Retire(("old 0",), "killed"), DrainExecutor("old 1"))

    assert {row.name: row.executors for row in provider.versions(APP, 100)} == {"v2": 1, "v1": 1}


def test_an_executor_and_its_version_are_entered_together(provider: StateProvider) -> None:
    write = register("first", app_version="v1")

    assert commit(provider, store("v2", by="first"), write) == [Recorded(), Recorded()]
    assert executor(provider, "first").app_version == "v2"


def test_one_version_twice_in_a_batch_is_one(provider: StateProvider) -> None:
    outcomes = commit(provider, store("v1", ("a", "1")), store("v1", ("b", "2")), store("v1", ("a", "3")))

    assert outcomes == [Recorded()] * 3
    assert [row.workflows for row in provider.versions(APP, 100)] == [(("a", "3"), ("b", "2"))]


# What is stranded -----------------------------------------------------------------------------------------------------


def test_what_waits_for_a_version_that_nobody_has_is_stranded(provider: StateProvider) -> None:
    make_serving(provider, "first", "v2")
    make_enqueued(provider, "queued", app_version="v1")
    make_enqueued(provider, "delayed", app_version="v1", delay_seconds=600)
    make_enqueued(provider, "served", app_version="v2")
    make_enqueued(provider, "open", app_version=None)
    make_claimed(provider, "running", by="first", app_version="v1")

    assert stranded(provider) == ["delayed", "queued"]


def test_a_version_is_had_for_a_name_and_not_for_another(provider: StateProvider) -> None:
    make_serving(provider, "first", "app", ("ship", "s1"), ("bill", "b1"))
    make_enqueued(provider, "a", name="ship", app_version="s1")
    make_enqueued(provider, "b", name="ship", app_version="b1")
    make_enqueued(provider, "c", name="load", app_version="s1")

    assert stranded(provider) == ["b", "c"]


@pytest.mark.parametrize("end", [Retire(("first",), "killed"), DrainExecutor("first")])
def test_who_claims_nothing_any_more_has_no_version(provider: StateProvider, end: Retire | DrainExecutor) -> None:
    make_serving(provider, "first", "v1")
    make_enqueued(provider, "a", app_version="v1")
    assert stranded(provider) == []

    commit(provider, end)

    assert stranded(provider) == ["a"]


@pytest.mark.covers(190)
def test_an_executor_of_another_application_does_not_count(provider: StateProvider, rewrite: Rewrite) -> None:
    make_serving(provider, "others", "v1", app="other")
    make_enqueued(provider, "mine", app_version="v1")
    make_enqueued(provider, "anybody's", app_version="v1")
    rewrite("anybody's", application_name=None)

    assert stranded(provider) == ["mine"]
    assert stranded(provider, NAME, app="other") == []


# Adoption -------------------------------------------------------------------------------------------------------------


def test_what_is_adopted_goes_on_with_its_history(provider: StateProvider) -> None:
    run = make_claimed(provider, "a", by="first")
    commit(provider, record_step(run, 1), park(run, after=1, until_ms=1))
    assert row_of(provider, "a").app_version == "v1"
    commit(provider, Retire(("first",), "killed"))
    make_serving(provider, "second", "v2")
    queue = row_of(provider, "a").queue or ""
    request = want("second", queue, versions=["v2"])
    assert provider.claim(request) == []

    adopted = adopt(provider, "a")

    assert adopted == Adopted(("a",), frozenset({queue}))
    [claimed] = provider.claim(request)
    assert (claimed.app_version, [step.place for step in claimed.history]) == ("v2", [1])
    assert len(history(provider, "a")) == 1


def test_an_adoption_that_is_sent_again_changes_nothing(provider: StateProvider) -> None:
    make_enqueued(provider, "a", app_version="v1")
    adopt(provider, "a")
    before = row_of(provider, "a")

    assert adopt(provider, "a") == Adopted((), frozenset())
    assert row_of(provider, "a") == before


def test_only_what_is_stranded_is_adopted(provider: StateProvider) -> None:
    make_serving(provider, "first", "v1")
    running = make_claimed(provider, "running", by="first", app_version="v1")
    ended = make_claimed(provider, "ended", by="first", app_version="v1")
    commit(provider, finish(ended))
    make_enqueued(provider, "served", app_version="v1")
    make_enqueued(provider, "open", app_version=None)
    make_enqueued(provider, "stranded", app_version="v0")
    make_enqueued(provider, "others", app_version="v0", app_name="other")

    adopted = adopt(provider, "running", "ended", "served", "open", "stranded", "others", "unknown")

    assert adopted == Adopted(("stranded",), frozenset({QUEUE}))
    assert row_of(provider, "stranded").app_version == "v2"
    assert row_of(provider, "others").app_version == "v0"
    assert commit_one(provider, finish(running)) == Recorded()


def test_a_delayed_workflow_that_is_adopted_waits_on(provider: StateProvider) -> None:
    make_enqueued(provider, "a", app_version="v1", delay_seconds=600)
    before = row_of(provider, "a")

    adopt(provider, "a")

    row = row_of(provider, "a")
    assert (row.status, row.delay_until_ms, row.app_version) == (Status.DELAYED, before.delay_until_ms, "v2")


def test_each_of_several_gets_its_own_version(provider: StateProvider) -> None:
    for name in "ab":
        make_enqueued(provider, name, app_version="v0")

    commit(provider, AdoptWorkflows(APP, (), ("a", "b"), ("v1", "v2")))

    assert [row_of(provider, name).app_version for name in "ab"] == ["v1", "v2"]


def test_rows_without_an_application_are_adopted_by_whoever_knows_the_name(
    provider: StateProvider, rewrite: Rewrite
) -> None:
    for name in ("ship", "unknown"):
        make_enqueued(provider, name, name=name, app_version="v0")
        rewrite(name, application_name=None)

    outcome = commit_one(provider, AdoptWorkflows(APP, ("ship",), ("ship", "unknown"), ("v1", "v1")))

    assert outcome == Adopted(("ship",), frozenset({QUEUE}))
