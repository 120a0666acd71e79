from datetime import timedelta

import pytest

from maas_client.types import JobQuery, PageQuery
from reference_server.errors import Conflict, NotFound
from reference_server.registry import export, housekeeping, job_runs, jobs, publishing
from reference_server.registry.jobs import NewJob

LEASE = timedelta(seconds=10)
KEPT = timedelta(days=1)


@pytest.fixture
def create(registry):
    def make(caller, *, kind="evaluate", resumable=False, most=10, **about):
        return jobs.create(
            registry.db,
            caller.account_id,
            NewJob(kind=kind, **about),
            resumable=resumable,
            most_under_way=most,
            kept=KEPT,
        )

    return make


@pytest.fixture
def claim(registry):
    return lambda owner="one": job_runs.claim(registry.db, owner, lease=LEASE)


def state(registry, caller, job):
    return jobs.get(registry.db, caller.account_id, job.id).state


def artifact(registry, name):
    with registry.store.open_writer() as writer:
        writer.write(b"content")
        writer.commit(name)
    return name


def test_a_job_goes_from_its_request_to_its_result(registry, ada, create, claim):
    """Queued, running, succeeded; each change has a revision of its own, and the input is gone at the end."""
    made = create(ada, request={"rows": 3}, input=artifact(registry, "job-input-1"), total=3, unit="row")
    assert (made.state, made.revision, made.progress.total) == ("queued", 1, 3)
    taken = claim()
    assert (taken.job_id, taken.request, taken.input) == (made.id, {"rows": 3}, "job-input-1")
    assert taken.caller.account_id == ada.account_id
    job_runs.report(registry.db, taken, done=2, total=3, remaining_seconds=1.5)
    seen = jobs.get(registry.db, ada.account_id, made.id)
    assert (seen.state, seen.progress.done, seen.progress.remaining_seconds) == ("running", 2, 1.5)
    job_runs.succeed(registry.db, registry.store, taken, {"rows": 3})
    found = jobs.get(registry.db, ada.account_id, made.id)
    assert (found.state, found.result, found.progress.done) == ("succeeded", {"rows": 3}, 3)
    assert found.revision > seen.revision > made.revision
    assert registry.artifacts == []
    assert claim() is None


def test_a_failure_keeps_its_code_and_message(registry, ada, create, claim):
    """They are the job's own, for whoever waits."""
    made = create(ada)
    job_runs.fail(registry.db, registry.store, claim(), code="bad_row", message="row 3 is bad")
    found = jobs.get(registry.db, ada.account_id, made.id)
    assert (found.state, found.error.code, found.error.message) == ("failed", "bad_row", "row 3 is bad")


def test_one_account_does_not_hold_up_another(ada, bob, create, claim, registry):
    """With one process, accounts take turns; with several, who has least running goes first."""
    first, second, third = (create(ada) for _ in range(3))
    registry.clock.advance(1)
    other = create(bob)
    assert claim("one").job_id == first.id
    assert claim("two").job_id == other.id
    assert claim("three").job_id == second.id
    assert claim("four").job_id == third.id


def test_accounts_take_turns_on_one_process(registry, ada, bob, create, claim):
    """Whoever had a job begin longest ago is next, however many wait."""
    for caller in (ada, ada, bob, bob):
        create(caller)
        registry.clock.advance(1)
    turns = []
    for _ in range(4):
        taken = claim()
        turns.append(taken.caller.account_name)
        registry.clock.advance(1)
        job_runs.succeed(registry.db, registry.store, taken, {})
    assert turns == ["ada", "bob", "ada", "bob"]


def test_an_account_has_so_many_jobs_under_way_and_no_more(registry, ada, bob, create, claim):
    """Those that have ended do not count, nor do another account's."""
    create(ada, most=2)
    create(ada, most=2)
    with pytest.raises(Conflict) as caught:
        create(ada, most=2)
    assert caught.value.code == "too_many_jobs"
    create(bob, most=2)
    job_runs.succeed(registry.db, registry.store, claim(), {})
    create(ada, most=2)


def test_a_job_is_its_accounts_own(registry, ada, bob, create):
    """To others it looks as if it were not there."""
    made = create(ada)
    for act in (
        lambda: jobs.get(registry.db, bob.account_id, made.id),
        lambda: jobs.cancel(registry.db, registry.store, bob.account_id, made.id),
        lambda: jobs.delete(registry.db, registry.store, bob.account_id, made.id),
        lambda: jobs.read_log(registry.db, bob.account_id, made.id, PageQuery()),
    ):
        with pytest.raises(NotFound):
            act()
    assert jobs.list_jobs(registry.db, bob, JobQuery()).data == []


def test_jobs_are_listed_newest_first_by_state_and_kind(registry, ada, create, claim, every_page):
    """Page by page."""
    made = []
    for kind in ("evaluate", "train", "evaluate"):
        made.append(create(ada, kind=kind).id)
        registry.clock.advance(1)

    def read(**query):
        pages = every_page(lambda q: jobs.list_jobs(registry.db, ada, q), JobQuery, **query)
        return [job.id for page in pages for job in page]

    assert read(limit=1) == made[::-1]
    assert read(kind="train") == [made[1]]
    claim()
    assert read(state="running") == [made[0]]


def test_cancelling_ends_what_waits_and_asks_what_runs(registry, ada, create, claim):
    """A running one hears of it; cancelling twice, or after the end, changes nothing."""
    waiting = create(ada, input=artifact(registry, "job-input-1"))
    cancel = lambda job: jobs.cancel(registry.db, registry.store, ada.account_id, job.id)  # noqa: E731
    assert cancel(waiting).state == "cancelled"
    assert registry.artifacts == []
    running = create(ada)
    taken = claim()
    told = cancel(running)
    assert (told.state, told.cancel_requested) == ("running", True)
    assert cancel(running).revision == told.revision
    assert job_runs.verdict(registry.db, taken) == "cancel"
    assert job_runs.renew(registry.db, taken, lease=LEASE) == "cancel"
    job_runs.cancel(registry.db, registry.store, taken)
    assert state(registry, ada, running) == "cancelled"
    assert cancel(running).state == "cancelled"


def test_only_what_has_ended_is_deleted(registry, ada, create, claim):
    """Its log goes with it."""
    made = create(ada)
    taken = claim()
    job_runs.add_lines(registry.db, taken, [(registry.clock(), "begun")])
    with pytest.raises(Conflict) as caught:
        jobs.delete(registry.db, registry.store, ada.account_id, made.id)
    assert caught.value.code == "job_under_way"
    job_runs.succeed(registry.db, registry.store, taken, {})
    jobs.delete(registry.db, registry.store, ada.account_id, made.id)
    with pytest.raises(NotFound):
        jobs.read_log(registry.db, ada.account_id, made.id, PageQuery())


def test_a_log_keeps_its_last_lines(registry, ada, create, claim, monkeypatch):
    """Numbers go on, so that a reader sees what is missing; long lines are cut."""
    monkeypatch.setattr(job_runs, "MOST_LINES", 3)
    made = create(ada)
    taken = claim()
    job_runs.add_lines(registry.db, taken, [(registry.clock(), f"line {number}") for number in range(5)])
    job_runs.add_lines(registry.db, taken, [(registry.clock(), "x" * 5000)])
    found = jobs.read_log(registry.db, ada.account_id, made.id, PageQuery()).data
    assert [line.number for line in found] == [4, 5, 6]
    assert len(found[-1].text) == 1000


def test_a_job_whose_process_died_goes_on_from_its_checkpoint(registry, ada, create, claim):
    """Once the lease has run out, and not before."""
    made = create(ada, resumable=True, total=10, unit="row")
    taken = claim("dead")
    job_runs.save(registry.db, registry.store, taken, artifact=artifact(registry, "job-checkpoint-1"), done=4)
    registry.clock.advance(9)
    assert job_runs.recover(registry.db, registry.store) == 0
    registry.clock.advance(2)
    assert job_runs.recover(registry.db, registry.store) == 1
    assert state(registry, ada, made) == "queued"
    again = claim("alive")
    assert (again.checkpoint, again.done) == ("job-checkpoint-1", 4)


def test_a_job_that_cannot_go_on_is_interrupted(registry, ada, create, claim):
    """It says so, and never looks as if it ran."""
    made = create(ada, kind="train")
    claim()
    registry.clock.advance(11)
    job_runs.recover(registry.db, registry.store)
    found = jobs.get(registry.db, ada.account_id, made.id)
    assert (found.state, found.error.code) == ("interrupted", "interrupted")
    assert "the process that ran it died" in found.error.message


def test_a_job_that_kills_its_process_each_time_is_given_up(registry, ada, create, claim):
    """After three attempts."""
    made = create(ada, resumable=True)
    for _ in range(3):
        assert claim() is not None
        registry.clock.advance(11)
        job_runs.recover(registry.db, registry.store)
    found = jobs.get(registry.db, ada.account_id, made.id)
    assert (found.state, found.attempts) == ("interrupted", 3)
    assert "begun 3 times" in found.error.message
    assert claim() is None


def test_a_process_known_to_be_dead_loses_its_jobs_at_once(registry, ada, create, claim):
    """And nobody else does."""
    first, second = create(ada, resumable=True), create(ada, resumable=True)
    claim("server/0/a")
    claim("server/1/b")
    assert job_runs.recover(registry.db, registry.store, dead="server/0/") == 1
    assert (state(registry, ada, first), state(registry, ada, second)) == ("queued", "running")


def test_who_lost_a_job_cannot_touch_it_any_more(registry, ada, create, claim):
    """Whatever a process that was taken for dead still writes comes to nothing."""
    made = create(ada, resumable=True)
    late = claim("late")
    registry.clock.advance(11)
    job_runs.recover(registry.db, registry.store)
    claim("next")
    before = jobs.get(registry.db, ada.account_id, made.id)
    assert job_runs.renew(registry.db, late, lease=LEASE) == "lost"
    assert job_runs.verdict(registry.db, late) == "lost"
    job_runs.report(registry.db, late, done=5, total=9, remaining_seconds=None)
    job_runs.add_lines(registry.db, late, [(registry.clock(), "late")])
    job_runs.save(
        registry.db, registry.store, late, artifact=artifact(registry, "job-checkpoint-late"), done=5
    )
    job_runs.fail(registry.db, registry.store, late, code="x", message="x")
    job_runs.succeed(registry.db, registry.store, late, {})
    job_runs.hand_back(registry.db, registry.store, late)
    assert jobs.get(registry.db, ada.account_id, made.id) == before
    assert registry.artifacts == []


def test_a_renewed_lease_holds(registry, ada, create, claim):
    """As long as somebody says that the job still runs, nobody takes it."""
    create(ada)
    taken = claim()
    for _ in range(5):
        registry.clock.advance(8)
        assert job_runs.renew(registry.db, taken, lease=LEASE) == "go on"
        assert job_runs.recover(registry.db, registry.store) == 0


def test_a_job_asked_to_stop_whose_process_died_is_cancelled(registry, ada, create, claim):
    """It does not begin anew."""
    made = create(ada, resumable=True)
    claim()
    jobs.cancel(registry.db, registry.store, ada.account_id, made.id)
    registry.clock.advance(11)
    job_runs.recover(registry.db, registry.store)
    assert state(registry, ada, made) == "cancelled"


def test_a_server_that_stops_hands_its_job_back(registry, ada, create, claim):
    """A resumable one waits for the next process, however often that happens; another is interrupted."""
    made = create(ada, resumable=True)
    for _ in range(5):
        job_runs.hand_back(registry.db, registry.store, claim())
    assert state(registry, ada, made) == "queued"
    jobs.cancel(registry.db, registry.store, ada.account_id, made.id)
    other = create(ada)
    job_runs.hand_back(registry.db, registry.store, claim())
    assert state(registry, ada, other) == "interrupted"


def test_jobs_are_forgotten_in_time(registry, ada, create, claim):
    """A day after their end, or of waiting in vain; not while they run."""
    ended, running, waiting = create(ada), create(ada), create(ada)
    job_runs.succeed(registry.db, registry.store, claim(), {})
    claim()
    registry.clock.advance(KEPT.total_seconds() + 1)
    housekeeping.purge(registry.db)
    assert state(registry, ada, running) == "running"
    for gone in (ended, waiting):
        with pytest.raises(NotFound):
            state(registry, ada, gone)


def test_the_sweep_leaves_what_jobs_need(registry, ada, create, claim, monkeypatch):
    """Inputs and checkpoints of jobs that have not ended; what nobody refers to goes."""
    monkeypatch.setattr(publishing, "_ORPHAN_SECONDS", -1.0)
    create(ada, input=artifact(registry, "job-input-1"))
    job_runs.save(
        registry.db, registry.store, claim(), artifact=artifact(registry, "job-checkpoint-1"), done=1
    )
    artifact(registry, "job-input-orphan")
    publishing.sweep(registry.db, registry.store)
    assert registry.artifacts == ["job-checkpoint-1", "job-input-1"]


def test_jobs_are_served_while_a_process_says_so(registry):
    """One that has been silent for half a minute takes none."""
    assert not jobs.are_served(registry.db)
    job_runs.sign_in(registry.db, "one")
    assert jobs.are_served(registry.db)
    registry.clock.advance(31)
    assert not jobs.are_served(registry.db)
    job_runs.sign_in(registry.db, "one")
    job_runs.sign_out(registry.db, "one")
    assert not jobs.are_served(registry.db)


def test_two_processes_never_take_the_same_job(registry, ada, create, claim, at_once):
    """However close together they ask."""
    made = {create(ada).id for _ in range(8)}
    taken = at_once(*(lambda owner=str(number): claim(owner).job_id for number in range(8)))
    assert set(taken) == made


def test_the_export_tells_of_jobs(registry, ada, create):
    """As of everything that is held about an account."""
    made = create(ada)
    assert [job.id for job in export.export(registry.db, ada.account_id).jobs] == [made.id]
