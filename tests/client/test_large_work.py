"""`predict_many` and `predict_frame` on both faces, over the fake: only the socket is missing."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import subprocess
import sys
import threading
import time
import tracemalloc

import pandas as pd
import polars as pl
import pytest

from maas_client import Client, errors
from maas_client._batching import MOST_STRIKES, Pace
from maas_client.testing import FakeMaas

LABELS = ["sad", "glad"]


def mood(inputs):
    if not isinstance(inputs["text"], str):
        raise errors.UnprocessableError("text must be a string", code="wrong_type", param="text")
    return "glad" if "!" in inputs["text"] else "sad"


@pytest.fixture
def fake():
    made = FakeMaas()
    made.add_model("mood", labels=LABELS, answer=mood, versions=3)
    return made


@pytest.fixture
def client(fake, face):
    return fake.client() if face is Client else fake.async_client()


@pytest.fixture
def work(client, ask):
    """Return a function that does large work with either face and gives the outcomes as a list."""

    def run(*arguments, **options):
        def act(client):
            outcomes = client.predict_many(*arguments, **options)
            return list(outcomes) if isinstance(client, Client) else gather(outcomes)

        return ask(client, act)

    async def gather(outcomes):
        return [outcome async for outcome in outcomes]

    return run


def rows(count):
    return [{"text": f"row {index}{'!' * (index % 2)}"} for index in range(count)]


def sizes(fake):
    return [len(call.json["instances"]) for call in fake.calls if "instances" in (call.json or {})]


def labels(outcomes):
    return [outcome.result().label for outcome in outcomes]


def test_outcomes_come_in_order(work):
    """However many calls run at once, the results stand where the instances stood."""
    outcomes = work("mood", rows(500), concurrency=8)
    assert [outcome.index for outcome in outcomes] == list(range(500))
    assert labels(outcomes) == ["sad", "glad"] * 250


def test_as_completed_hands_out_every_instance_once(work):
    """Without an order nothing is lost and nothing doubled."""
    outcomes = work("mood", rows(300), ordered=False, concurrency=8)
    assert sorted(outcome.index for outcome in outcomes) == list(range(300))


def test_as_completed_does_not_wait_for_a_slow_call(fake):
    """A row that takes long holds up its own batch and no other."""
    held = threading.Event()
    fake.add_model(
        "slow", labels=LABELS, answer=lambda row: (row["text"] == "wait" and held.wait(5), "sad")[1]
    )
    instances = [{"text": "a"}, {"text": "wait"}, *({"text": "b"} for _ in range(4))]
    got = []
    for outcome in fake.client().predict_many("slow", instances, ordered=False, batch_size=1, concurrency=2):
        got.append(outcome.index)
        if len(got) == 5:
            held.set()
    assert got == [0, 2, 3, 4, 5, 1]


def test_nothing_gives_nothing(work, fake):
    """An empty iterable makes no call."""
    assert work("mood", []) == []
    assert fake.calls == []


def test_bad_rows_are_told_apart_and_the_rest_is_predicted(work, fake):
    """The server refuses a whole call and lists its bad rows; the others are sent again without them."""
    instances = rows(20)
    instances[3] = {"txt": "misspelt"}
    instances[11] = {"text": "x", "more": 1}
    outcomes = work("mood", instances, batch_size=20)
    failed = {outcome.index: outcome.error for outcome in outcomes if outcome.error}
    assert failed.keys() == {3, 11}
    assert isinstance(failed[3], errors.UnprocessableError)
    assert [error.param for error in failed[3].errors] == ["instances[3].text", "instances[3].txt"]
    assert (failed[11].code, failed[11].param) == ("unknown_input", "more")
    assert sizes(fake) == [20, 18]


def test_an_instance_that_is_no_json_is_an_outcome_too(work):
    """What cannot be sent fails alone, and says where it stood."""
    outcomes = work("mood", [{"text": "a"}, {"text": object()}, "text", {"text": "b!"}])
    assert [type(outcome.error) for outcome in outcomes] == [
        type(None),
        errors.ArgumentError,
        errors.ArgumentError,
        type(None),
    ]
    assert "instances[1] cannot be written as JSON" in str(outcomes[1].error)
    with pytest.raises(errors.ArgumentError, match=r"instances\[2\] must name its inputs"):
        outcomes[2].result()


def test_a_row_on_which_the_server_breaks_is_found_by_halving(work, fake):
    """A 500 names no row, so the batch is split until one row is left with it."""

    def answer(inputs):
        if inputs["text"] == "poison":
            raise errors.ServerError("a defect")
        return "sad"

    fake.add_model("fragile", labels=LABELS, answer=answer)
    instances = [{"text": "poison" if index == 5 else "fine"} for index in range(16)]
    outcomes = work("fragile", instances, batch_size=16, concurrency=1)
    assert [outcome.index for outcome in outcomes if outcome.error] == [5]
    assert sizes(fake) == [16, 8, 4, 4, 2, 1, 1, 2, 8]


def test_a_server_that_only_breaks_ends_the_work(work, fake):
    """A million rows are not tried one by one against a server that answers none."""
    fake.fail(errors.ServerError("broken"), times=10_000)
    with pytest.raises(errors.ServerError, match="broken"):
        work("mood", rows(1000), concurrency=1)
    assert len(fake.calls) < 10 * MOST_STRIKES


@pytest.mark.parametrize(
    "error",
    [errors.AuthenticationError("revoked"), errors.NotSentError("refused"), errors.NotFoundError("gone")],
)
def test_what_meets_every_row_is_raised(work, fake, error, client):
    """A revoked key is not ten thousand bad rows."""
    fake.fail(error, times=3)
    with pytest.raises(type(error), match=str(error.message)):
        work("mood", rows(100))


def test_a_full_server_is_given_time(face, ask, fake):
    """Once something has gone well, 503 means fewer calls at once and not the end."""

    def act(client):
        outcomes = client.predict_many("mood", rows(200), batch_size=10, concurrency=4)
        return list(outcomes) if isinstance(client, Client) else gather(outcomes)

    async def gather(outcomes):
        return [outcome async for outcome in outcomes]

    answered = []

    def answer(inputs):
        answered.append(inputs)
        if len(answered) in (20, 40, 60, 61):
            raise errors.UnavailableError("full", retry_after=0)
        return "sad"

    fake.add_model("mood", labels=LABELS, answer=answer)
    client = fake.client(max_retries=0) if face is Client else fake.async_client(max_retries=0)
    assert [outcome.index for outcome in ask(client, act) if outcome.prediction] == list(range(200))


def test_a_body_beyond_the_servers_limit_is_sent_in_parts(work, fake):
    """413 halves the bytes of a call; a row that alone is too large is that row's error."""

    def answer(inputs):
        if len(fake.calls[-1].content) > 4000:
            raise errors.TooLargeError("the body is larger than the 4,000 bytes taken here")
        return "sad"

    fake.add_model("narrow", labels=LABELS, answer=answer)
    instances = [{"text": "x" * 500}] * 30
    instances[7] = {"text": "x" * 5000}
    outcomes = work("narrow", instances, batch_size=30, concurrency=1)
    assert [outcome.index for outcome in outcomes if outcome.error] == [7]
    assert isinstance(outcomes[7].error, errors.TooLargeError)


def test_too_many_instances_teaches_how_many_go_into_a_call(work, fake):
    """The limit is learned once, and later calls keep it."""

    def answer(inputs):
        if len(fake.calls[-1].json["instances"]) > 25:
            raise errors.UnprocessableError("at most 25", code="too_many_instances", param="instances")
        return "sad"

    fake.add_model("small", labels=LABELS, answer=answer)
    outcomes = work("small", rows(400), batch_size=100, concurrency=1)
    assert not any(outcome.error for outcome in outcomes)
    assert sizes(fake)[:3] == [100, 50, 25]
    assert max(sizes(fake)[3:]) <= 50
    assert sizes(fake).count(50) <= 2


def test_wrong_parameters_are_everybodys_error(work, fake):
    """They are the caller's mistake, and no row's."""
    fault = errors.UnprocessableError("no such parameter", code="unknown_parameter", param="parameters.tpo_k")
    fake.fail(fault)
    with pytest.raises(errors.UnprocessableError, match="no such parameter"):
        work("mood", rows(50), parameters={"tpo_k": 1})
    assert fake.calls[0].json["parameters"] == {"tpo_k": 1}


def test_one_version_makes_all_predictions(work, fake):
    """An alias that moves in the middle does not mix two versions into one result."""
    answered = []

    def answer(inputs):
        answered.append(inputs)
        if len(answered) == 10:
            fake.client().model("moving").aliases.move("default", version=1)
        return "sad"

    fake.add_model("moving", labels=LABELS, answer=answer, versions=2)
    outcomes = work("moving", rows(200))
    assert {outcome.result().version for outcome in outcomes} == {2}
    paths = [call.path for call in fake.calls if call.method == "POST"]
    assert paths[0] == "/v1/models/moving/predict"
    assert set(paths[1:]) == {"/v1/models/moving/versions/2/predict"}


def test_a_generator_is_read_only_as_far_as_is_needed(client, ask):
    """A consumer who stops after ten rows has not read a million."""
    read = []

    def source():
        for index in range(1_000_000):
            read.append(index)
            yield {"text": "x"}

    def act(client):
        return first_ten(client) if isinstance(client, Client) else first_ten_async(client)

    def first_ten(client):
        outcomes = client.predict_many("mood", source(), batch_size=5, concurrency=2)
        return [next(outcomes).index for _ in range(10)]

    async def first_ten_async(client):
        outcomes = client.predict_many("mood", source(), batch_size=5, concurrency=2)
        got = [(await anext(outcomes)).index for _ in range(10)]
        await outcomes.aclose()
        return got

    assert ask(client, act) == list(range(10))
    assert len(read) <= 10 + 2 * 2 * 5


def test_memory_stays_bounded_on_a_long_generator(fake):
    """What was handed out is forgotten: as much is held in the first half of 10,000 rows as in the second."""
    gc.freeze()  # what other tests left is not looked at below
    rows, held = ({"text": "x" * 200} for _ in range(10_000)), []
    tracemalloc.start()
    for outcome in fake.client().predict_many("mood", rows, batch_size=100):
        fake.calls.clear()
        assert outcome.error is None
        if outcome.index % 250 == 125:
            gc.collect()  # when Python looks for cycles by itself is a matter of chance
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert len(held) == 40
    assert max(held[20:]) < 1.3 * max(held[:20])


def test_an_asynchronous_source_is_taken_too(fake):
    """The asynchronous face also reads `async for` sources, such as a database cursor."""

    async def source():
        for row in rows(30):
            await asyncio.sleep(0)
            yield row

    async def main():
        async with fake.async_client() as client:
            return [outcome async for outcome in client.predict_many("mood", source())]

    assert labels(asyncio.run(main())) == ["sad", "glad"] * 15


def test_leaving_the_loop_cancels_what_is_under_way(fake):
    """No task outlives the asynchronous generator."""

    async def main():
        async with fake.async_client() as client:
            outcomes = client.predict_many("mood", rows(10_000), batch_size=5, concurrency=4)
            await anext(outcomes)
            await outcomes.aclose()
            return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(main()) == set()


def test_the_sources_own_error_comes_through(work):
    """A file that ends in a broken line is the caller's to know."""

    def source():
        yield {"text": "a"}
        raise LookupError("line 2 is broken")

    with pytest.raises(LookupError, match="line 2"):
        work("mood", source())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"concurrency": 0}, "concurrency is 0, expected a whole number from 1 to 256"),
        ({"concurrency": 10**6}, "concurrency is 1000000"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"version": "no/version"}, "cannot be a version"),
    ],
)
def test_a_mistaken_option_is_told_at_once(client, options, said):
    """At the call, and not at the first iteration somewhere else."""
    with pytest.raises(errors.ArgumentError, match=said):
        client.predict_many("mood", [], **options)


@pytest.mark.parametrize("instances", [{"text": "one"}, "text", 5, None])
def test_what_is_not_many_is_refused(client, instances):
    """A single instance is a likely mistake, and its keys are not rows."""
    with pytest.raises(errors.ArgumentError, match="instances must be many"):
        client.predict_many("mood", instances)


# --- the pace -------------------------------------------------------------------------------------------


def test_batches_grow_to_what_a_quarter_second_does():
    """1 ms a row makes 250 rows; growth at most doubles."""
    pace = Pace(4)
    seen = []
    for _ in range(8):
        seen.append(pace.rows)
        pace.succeeded(pace.rows, pace.rows * 0.001)
    assert seen == [8, 16, 32, 64, 128, 250, 250, 250]


def test_batches_shrink_on_a_slow_model():
    """A row of one second goes alone."""
    pace = Pace(4)
    for _ in range(6):
        pace.succeeded(pace.rows, pace.rows * 1.0)
    assert pace.rows == 1


def test_a_small_last_batch_teaches_nothing():
    """Three rows at the end say little about sixty-four."""
    pace = Pace(1)
    pace.rows = 64
    pace.succeeded(3, 0.1)
    assert pace.rows == 64


def test_the_first_call_goes_alone():
    """It finds out the version; the others follow together."""
    pace = Pace(8)
    assert pace.lanes == 1
    pace.succeeded(8, 0.01)
    assert pace.lanes == 8


def test_a_full_server_halves_the_calls_and_success_adds_one():
    """Additive increase, multiplicative decrease."""
    pace = Pace(8)
    pace.succeeded(8, 0.01)
    pace.judge([], errors.UnavailableError("full"))
    pace.judge([], errors.UnavailableError("full"))
    assert pace.lanes == 2
    pace.succeeded(8, 0.01)
    assert pace.lanes == 3


# --- progress -------------------------------------------------------------------------------------------


def test_a_function_is_told_of_progress(work):
    """How many are done, of how many."""
    told = []
    work("mood", rows(5), progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 5) for number in range(1, 6)]


def test_a_bar_is_drawn(work, capsys):
    """`progress=True` draws on standard error, with the model's name and the count."""
    work("mood", rows(40), progress=True)
    drawn = capsys.readouterr().err
    assert "mood" in drawn
    assert "40/40" in drawn


def test_a_missing_bar_is_named():
    """Without tqdm the message says what to install."""
    code = (
        "import sys; sys.modules['tqdm'] = None\n"
        "from maas_client.testing import FakeMaas\n"
        "fake = FakeMaas(); fake.add_model('m', answer={'y': 1})\n"
        "list(fake.client().predict_many('m', [{'text': 'a'}], progress=True))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'maas-client[progress]'" in done.stderr


# --- checkpoints ----------------------------------------------------------------------------------------


def test_a_checkpoint_saves_the_second_run_every_call(work, fake, tmp_path):
    """The same work with the same file gives the same outcomes without asking."""
    path = tmp_path / "work.jsonl"
    first = work("mood", rows(100), checkpoint=path)
    calls = len(fake.calls)
    again = work("mood", rows(100), checkpoint=path)
    assert len(fake.calls) == calls
    assert again == first
    assert again[5].prediction.call == first[5].prediction.call


def test_work_goes_on_after_an_interruption(work, fake, tmp_path):
    """What was done before the failure is not done again, and the error says where it is kept."""
    path = tmp_path / "work.jsonl"
    instances = rows(100)

    def answer(inputs):
        if len(fake.calls) == 6:
            raise errors.AuthenticationError("the key was revoked")
        return mood(inputs)

    fake.add_model("mood", labels=LABELS, answer=answer)
    with pytest.raises(errors.AuthenticationError) as caught:
        work("mood", instances, checkpoint=path, batch_size=10, concurrency=1)
    assert any("50 are done and kept in" in note for note in caught.value.__notes__)
    before = len(fake.calls)
    assert labels(work("mood", instances, checkpoint=path, batch_size=10)) == ["sad", "glad"] * 50
    assert sum(sizes(fake)[before:]) == 50


def test_failed_rows_are_tried_again_from_a_checkpoint(work, fake, tmp_path):
    """Their reason may have gone; the file keeps both tries and the last one counts."""
    path = tmp_path / "work.jsonl"
    trouble = [True]

    def answer(inputs):
        if trouble[0] and inputs["text"] == "row 3!":
            raise errors.ServerError("a bad moment")
        return "sad"

    fake.add_model("mood", labels=LABELS, answer=answer)
    assert work("mood", rows(6), checkpoint=path)[3].error
    trouble[0] = False
    assert work("mood", rows(6), checkpoint=path)[3].prediction
    entries = [json.loads(line) for line in path.read_text().splitlines()][1:]
    assert [entry["index"] for entry in entries if "error" in entry] == [3]
    assert entries[-1]["index"] == 3
    assert entries[-1]["outputs"]["label"] == "sad"


def test_the_version_stays_that_of_the_first_run(work, fake, tmp_path):
    """Work that goes on tomorrow does not change its model over night."""
    path = tmp_path / "work.jsonl"
    work("mood", rows(10), checkpoint=path)
    fake.client().model("mood").aliases.move("default", version=1)
    outcomes = work("mood", rows(20), checkpoint=path)
    assert {outcome.result().version for outcome in outcomes} == {3}


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_line_that_was_cut_short_is_dropped(work, fake, tmp_path, cut):
    """A crash in the middle of a write costs that row and nothing else."""
    path = tmp_path / "work.jsonl"
    work("mood", rows(10), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-cut])
    before = len(fake.calls)
    assert labels(work("mood", rows(10), checkpoint=path)) == ["sad", "glad"] * 5
    assert sum(sizes(fake)[before:]) == 1
    assert len(path.read_text().splitlines()) == 11


def test_an_empty_or_headless_file_begins_anew(work, tmp_path):
    """A crash before the first line was whole leaves nothing to go on from."""
    path = tmp_path / "work.jsonl"
    path.write_bytes(b'{"format": "maas')
    assert len(work("mood", rows(3), checkpoint=path)) == 3
    assert len(path.read_text().splitlines()) == 4


def test_the_checkpoint_of_other_work_is_refused_and_left_alone(work, tmp_path):
    """Another model, other parameters: the file says whose it is."""
    path = tmp_path / "work.jsonl"
    work("mood", rows(3), checkpoint=path)
    kept = path.read_bytes()
    with pytest.raises(
        errors.ArgumentError, match=re.escape("its parameters is {}, here it is {'top_k': 1}")
    ):
        work("mood", rows(3), checkpoint=path, parameters={"top_k": 1})
    assert path.read_bytes() == kept


@pytest.mark.parametrize("content", [b"some notes of mine\n", b"[1, 2]\n", b'{"a": 1}\n', b"\xff\xfe\n"])
def test_a_file_that_is_no_checkpoint_is_left_alone(work, tmp_path, content):
    """A wrong path does not cost a file."""
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(errors.ArgumentError, match="checkpoint"):
        work("mood", rows(3), checkpoint=path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line",
    [b'{"outputs": {}}', b'{"index": -1}', b'{"index": "0"}', b'{"index": 0, "outputs": {}, "call": 5}'],
)
def test_a_damaged_checkpoint_is_named(work, tmp_path, line):
    """With the number of the line."""
    path = tmp_path / "work.jsonl"
    work("mood", rows(1), checkpoint=path)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(errors.ArgumentError, match=r"line 3 of .* is not one of a checkpoint"):
        work("mood", rows(1), checkpoint=path)


def test_other_instances_than_before_are_noticed(work, tmp_path):
    """A prediction is never given to an input that did not make it."""
    path = tmp_path / "work.jsonl"
    work("mood", rows(10), checkpoint=path)
    changed = rows(10)
    changed[4] = {"text": "another"}
    with pytest.raises(errors.ArgumentError, match=r"instances\[4\] is not what it was"):
        work("mood", changed, checkpoint=path)


def test_a_checkpoint_is_its_owners_alone(work, tmp_path):
    """What a model said about people's texts is nobody else's to read."""
    path = tmp_path / "work.jsonl"
    work("mood", rows(3), checkpoint=path)
    assert path.stat().st_mode & 0o077 == 0


def test_a_place_that_cannot_be_written_is_told(work, tmp_path):
    """Before anything is sent."""
    with pytest.raises(errors.ArgumentError, match="cannot be opened: No such file or directory"):
        work("mood", rows(3), checkpoint=tmp_path / "nowhere" / "work.jsonl")


# --- data frames ----------------------------------------------------------------------------------------


@pytest.fixture
def frame_of(client, ask):
    """Return a function that predicts a data frame with either face."""

    def run(*arguments, **options):
        return ask(client, lambda client: client.predict_frame(*arguments, **options))

    return run


def test_a_pandas_frame_keeps_its_index(frame_of):
    """So that the result joins the rows that it belongs to."""
    frame = pd.DataFrame({"text": ["a", "b!", "c"], "other": [1, 2, 3]}, index=["x", "y", "z"])
    result = frame_of("mood", frame, columns={"text": "text"})
    assert list(result.columns) == ["label", "score", "scores.sad", "scores.glad", "version", "error"]
    assert list(frame.join(result)["label"]) == ["sad", "glad", "sad"]
    assert result["error"].isna().all()


def test_a_polars_frame_gives_a_polars_frame(frame_of):
    """Row by row beside the one that was given."""
    frame = pl.DataFrame({"review": ["a", "b!"]})
    result = frame_of("mood", frame, columns={"text": "review"})
    assert isinstance(result, pl.DataFrame)
    assert frame.hstack(result).rows()[1] == ("b!", "glad", 0.9, pytest.approx(0.1), 0.9, 3, None)


def test_columns_are_found_by_the_models_inputs(frame_of, fake):
    """Without `columns=` the model's signature says what it takes."""
    fake.add_model(
        "price",
        inputs=["rooms", "area"],
        answer=lambda row: {"value": row["rooms"] * row["area"]},
    )
    frame = pd.DataFrame({"area": [10.0, 20.0], "street": ["a", "b"], "rooms": [2, 3]})
    assert list(frame_of("price", frame)["value"]) == [20.0, 60.0]
    assert fake.calls[-1].json["instances"][0] == {"rooms": 2, "area": 10.0}


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_bad_rows_have_an_error_and_no_outputs(frame_of, make):
    """A hole in the data is seen where it is."""
    result = frame_of(
        "mood", make({"text": ["a", None, "b"]}, **({"strict": False} if make is pl.DataFrame else {}))
    )
    rows = result.to_dict("records") if make is pd.DataFrame else result.to_dicts()
    assert [row["label"] for row in rows if isinstance(row["label"], str)] == ["sad", "sad"]
    assert "text must be a string" in rows[1]["error"]


def test_a_column_that_is_not_there_is_named(frame_of):
    """With those that are, and how to say which one is meant."""
    with pytest.raises(
        errors.ArgumentError, match=r"no column 'text'.*its columns are review.*columns=\{'text'"
    ):
        frame_of("mood", pd.DataFrame({"review": ["a"]}), columns={"text": "text"})


@pytest.mark.parametrize("value", [[{"text": "a"}], pl.LazyFrame({"text": ["a"]}), pd.Series(["a"])])
def test_what_is_no_frame_is_refused(frame_of, value):
    """A lazy frame is told to be collected."""
    with pytest.raises(errors.ArgumentError, match="expected a pandas or polars DataFrame"):
        frame_of("mood", value)


def test_frames_load_neither_library():
    """Only the library whose frame is given is used."""
    code = (
        "import sys; import maas_client; from maas_client import _frames, _bulk\n"
        "assert not {'pandas', 'polars', 'numpy', 'tqdm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_interrupt_does_not_wait_for_a_stuck_server(fake):
    """Whoever presses Ctrl-C is not held up by a call that hangs."""
    release = threading.Event()
    stuck = threading.Event()

    def answer(inputs):
        if inputs["text"] == "stuck":
            stuck.set()
            release.wait(10)
        return "sad"

    def source():
        yield {"text": "a"}
        yield {"text": "stuck"}
        assert stuck.wait(5)
        raise KeyboardInterrupt

    fake.add_model("stuck", labels=LABELS, answer=answer)

    started = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        list(fake.client().predict_many("stuck", source(), batch_size=1, concurrency=2))
    assert time.perf_counter() - started < 5
    release.set()
