"""Fine-tunes as jobs on a real store, with a real base; the test plays the process that runs them."""

from __future__ import annotations

import io
import shutil
import threading
from datetime import timedelta

import numpy as np
import orjson
import pytest
from onnx import TensorProto, helper, numpy_helper
from sqlalchemy import select

from maas_client._package import open_package, write_zip
from maas_client.types import AuditQuery, PageQuery, PublishQuery
from reference_server.backups.making import back_up
from reference_server.backups.restoring import restore
from reference_server.errors import Forbidden
from reference_server.jobs import context as contexts
from reference_server.jobs import kinds, publications, running
from reference_server.jobs.context import Services
from reference_server.jobs.models import ALONE
from reference_server.loadables import loadable
from reference_server.registry import (
    accounts,
    audit,
    data_keys,
    job_runs,
    jobs,
    models,
    packages,
    publishing,
    shares,
    versions,
)
from reference_server.registry.artifacts import ArtifactStore
from reference_server.registry.jobs import NewJob
from reference_server.registry.sealed_artifacts import keep
from reference_server.registry.tables import VersionRow
from reference_server.runtime.execution_providers import Providers
from reference_server.runtime.pool import ModelPool
from reference_server.runtime.probe import Inspection
from reference_server.security.callers import Caller
from reference_server.settings import Settings
from reference_server.stores import open_database
from reference_server.training import proof
from reference_server.training.fit import Fit

LEASE = timedelta(seconds=10)
WORDS = {"glad": ("good", "fun", "great"), "sad": ("bad", "dull", "poor")}


class Desk:
    """A store, an account, and fine-tunes that run in this thread."""

    def __init__(self, folder):
        settings = Settings(data_dir=folder, provider="cpu", lanes=1)
        pool = ModelPool(providers=Providers("cpu"), memory_budget_bytes=2**30)
        self.services = Services(settings, open_database(settings), ArtifactStore(settings.artifacts), pool)
        self.db, self.store = self.services.database, self.services.artifacts
        self.stopping = threading.Event()

    def account(self, name):
        made = accounts.create(
            self.db,
            email=f"{name}@example.com",
            password_hash="$",
            name=name,
            role="user",
            policy_version="1",
        )
        return Caller.at_the_machine(made)

    def publish(self, folder, model, caller=None):
        content = io.BytesIO()
        with open_package(folder) as package:
            write_zip(package, content)
        caller = caller or self.ada
        version, _ = publishing.publish(
            self.db,
            self.store,
            caller,
            model,
            content,
            query=PublishQuery(),
            inspect=believe,
            max_bytes=2**24,
        )
        return version

    def ask(self, rows, *, base=None, account=None, **options):
        """Queue a fine-tune; `rows` are by part, `base` a version."""
        key = data_keys.fresh()
        count = sum(len(part["inputs"]) for part in rows.values())
        request = {
            "options": {"name": "mine", "validation": 0.25, "epochs": 12, **options},
            "base": base and {"model": base[0], "version": base[1].version, "digest": base[1].digest},
            "rows": count,
        }
        made = jobs.create(
            self.db,
            (account or self.ada).account_id,
            NewJob(
                kind="fine-tune",
                request=request,
                model="ada~mine",
                input=keep(self.store, key.key, "job-input", orjson.dumps(rows)),
                key=key,
                total=count,
            ),
            resumable=kinds.KINDS["fine-tune"].resumable,
            most_under_way=100,
            kept=timedelta(days=1),
        )
        return made.id

    def run(self, owner="one"):
        claim = job_runs.claim(self.db, owner, lease=LEASE)
        running.run(claim, self.services, stopping=self.stopping.is_set)
        return self.get(claim.job_id, claim.caller.account_id)

    def done(self, rows, **options):
        self.ask(rows, **options)
        found = self.run()
        assert found.state == "succeeded", (found.error, self.log(found.id))
        return found.result

    def get(self, job_id, account_id=None):
        return jobs.get(self.db, account_id or self.ada.account_id, job_id)

    def log(self, job_id):
        return [line.text for line in jobs.read_log(self.db, self.ada.account_id, job_id, PageQuery()).data]

    def predict(self, model, version, inputs):
        target = versions.serving_target(self.db, self.ada, model, str(version))
        task = self.services.pool.get(loadable(target, self.db, self.store, ALONE)).task
        return task.encode(task.predict(task.decode(inputs, {})))

    def close(self):
        self.services.pool.close()
        self.db.dispose()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """The folder of a store that is migrated and holds nothing, to be copied."""
    folder = tmp_path_factory.mktemp("empty") / "data"
    Desk(folder).close()
    return folder


@pytest.fixture
def desk(tmp_path, empty_store):
    shutil.copytree(empty_store, tmp_path / "data")
    made = Desk(tmp_path / "data")
    made.ada = made.account("ada")
    yield made
    made.close()


def believe(package):
    """Load a package here, which takes a second less than in a process of its own."""
    from reference_server.runtime.execution_providers import CPU
    from reference_server.runtime.sessions import OnnxRunner
    from reference_server.runtime.tasks import build_task

    runner = OnnxRunner(package.read("model.onnx"), provider=CPU)
    task = build_task(package, runner)
    task.predict(task.decode([package.manifest.example], {}))
    return Inspection(task.signature, runner.tensors, runner.batch_invariant)


@pytest.fixture
def quick_probe(monkeypatch):
    """Let versions be tried out in this process; one test does as the server does."""
    monkeypatch.setattr(publications, "probe", believe)


def texts(count=60, *, seed=0):
    """Return different sentences with a word that tells their label."""
    random = np.random.default_rng(seed)
    rows = {"inputs": [], "targets": []}
    for number in range(count):
        label = ("glad", "sad")[number % 2]
        word = str(random.choice(WORDS[label]))
        rows["inputs"].append({"text": f"a {word} day number {number} of {seed}"})
        rows["targets"].append(label)
    return rows


def table(count=120, *, regression=False):
    random = np.random.default_rng(1)
    years, doses = random.normal([[2020], [1e-3]], [[5], [1e-4]], (2, count))
    score = (years - 2020) / 5 - (doses - 1e-3) / 1e-4
    targets = (100 + 10 * score).tolist() if regression else np.where(score > 0, "up", "down").tolist()
    inputs = [{"year": year, "dose": dose} for year, dose in zip(years.tolist(), doses.tolist(), strict=True)]
    return {"inputs": inputs, "targets": targets}


@pytest.fixture
def encoder(desk, package_writer, tokenizer_json):
    """Publish a base that is not batch-invariant: vectors per token, quantised by the whole batch's scale."""
    random = np.random.default_rng(4)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["exact"]),
        helper.make_node("DynamicQuantizeLinear", ["exact"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["hidden"]),
    ]
    tokens = ["batch", "tokens"]
    weights = random.normal(size=(40, 8)).astype(np.float32)
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, tokens)
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info("hidden", TensorProto.FLOAT, [*tokens, 8])],
        [numpy_helper.from_array(weights, "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6)
    folder = package_writer(
        model,
        task="embedding",
        labels=[],
        tokenizer=tokenizer_json,
        postprocessing={"pooling": "mean", "normalize": True},
    )
    (folder / "NOTICE").write_text("Somebody's weights.")
    version = desk.publish(folder, "vectors")
    assert version.batch_invariant is False
    return "ada~vectors", version


def test_a_head_on_embeddings_becomes_a_version_that_serves(desk, encoder):
    """Probed in a process of its own, with its base in it, the trainer's probabilities and a lineage."""
    rows = {"train": texts(), "test": texts(40, seed=1)}
    result = desk.done(rows, base=encoder, epochs=40, learning_rate=0.05)
    assert (result["features"], result["task"]) == ("embeddings", "text-classification")
    assert (
        result["rows"] == {"train": 45, "validation": 15, "test": 40} or sum(result["rows"].values()) == 100
    )
    assert result["base"] == {"model": "ada~vectors", "version": 1, "digest": encoder[1].digest}
    assert result["evaluated_on"] == "test"
    assert result["evaluation"]["metrics"][0]["value"] > 0.9
    assert result["evaluation"]["calibration"] is not None
    assert (result["verified_rows"], result["largest_difference"] <= 1e-5) == (100, True)
    version = versions.get(desk.db, desk.ada, "mine", "1")
    assert (version.digest, version.origin) == (result["digest"], "trained")
    assert version.batch_invariant is False
    assert version.lineage["data_sha256"] == result["data_sha256"]
    assert version.lineage["base"]["digest"] == encoder[1].digest
    assert version.lineage["options"]["learning_rate"] == 0.05
    assert version.manifest.metrics[0].split == "test"
    (said,) = desk.predict("mine", 1, [{"text": "a great day"}])
    assert said["label"] == "glad"
    target = versions.serving_target(desk.db, desk.ada, "mine", "1")
    with loadable(target, desk.db, desk.store, {}).open_package() as package:
        assert set(package.sizes) == {"maas.toml", "model.onnx", "tokenizer.json", "NOTICE"}
        assert b"number 7" not in b"".join(package.read(name) for name in package.sizes)


@pytest.mark.usefixtures("quick_probe")
@pytest.mark.parametrize("with_base", [True, False])
def test_the_same_seed_and_rows_give_the_same_digest(desk, encoder, with_base):
    """Published twice it stays one version; another seed makes another."""
    base = encoder if with_base else None
    first, second, other = (desk.done({"train": texts()}, base=base, seed=seed) for seed in (3, 3, 4))
    assert (first["version"], first["is_new"]) == (1, True)
    assert (second["version"], second["is_new"]) == (1, False)
    assert second["digest"] == first["digest"]
    assert other["digest"] != first["digest"]


@pytest.mark.usefixtures("quick_probe")
def test_texts_without_a_base_are_told_apart_by_their_words(desk):
    """By hashed n-grams; the graph takes strings."""
    result = desk.done({"train": texts(200)}, epochs=20)
    assert (result["features"], result["evaluated_on"]) == ("ngrams", "validation")
    assert result["evaluation"]["metrics"][0]["value"] > 0.9
    assert desk.predict("mine", 1, [{"text": "a dull day"}])[0]["label"] == "sad"


@pytest.mark.usefixtures("quick_probe")
@pytest.mark.parametrize("regression", [True, False])
def test_columns_become_a_tabular_model(desk, regression):
    """In their own units, whatever their size."""
    loss = "mse" if regression else "cross_entropy"
    rows = table(200, regression=regression)
    result = desk.done({"train": rows}, loss=loss, epochs=60, learning_rate=0.05)
    assert result["task"] == f"tabular-{'regression' if regression else 'classification'}"
    (said,) = desk.predict("mine", 1, [{"year": 2030.0, "dose": 0.0009}])
    if regression:
        assert said["value"] == pytest.approx(130, abs=1)
        assert {each["name"]: each["value"] for each in result["evaluation"]["metrics"]}["r_squared"] > 0.99
    else:
        assert said["label"] == "up"


@pytest.mark.usefixtures("quick_probe")
def test_the_loss_is_told_while_it_falls(desk, monkeypatch):
    """Every report of progress may carry the curve so far; the result has all of it."""
    seen = []
    report = job_runs.report

    def note(*arguments, **told):
        report(*arguments, **told)
        job = desk.get(arguments[1].job_id)
        seen.append((job.progress.unit, job.progress.done, job.interim))
        if job.progress.unit == "bootstrap sample":
            # A thousand samples are drawn later, none of which tells anything new.
            monkeypatch.setattr(contexts, "_REPORT_SECONDS", 60.0)

    monkeypatch.setattr(contexts, "_REPORT_SECONDS", 0.0)
    monkeypatch.setattr(job_runs, "report", note)
    result = desk.done({"train": texts()}, early_stopping=False)
    told = [(done, interim) for unit, done, interim in seen if unit == "epoch" and done]
    assert [len(interim["curve"]) for _, interim in told] == [done for done, _ in told] == list(range(1, 13))
    assert told[-1][1]["curve"] == result["curve"]
    assert told[-1][1]["curve"][-1]["validation_accuracy"] == result["evaluation"]["metrics"][0]["value"]
    losses = [point["validation_loss"] for point in result["curve"]]
    assert losses[-1] < losses[0]


@pytest.mark.usefixtures("quick_probe")
@pytest.mark.parametrize(("phase", "way"), [("embedding", "stopped"), ("epoch", "killed")])
def test_a_fine_tune_goes_on_from_its_checkpoint(desk, encoder, monkeypatch, phase, way):
    """Ended in any phase, it ends as one that was never stopped: to the digest, and nothing is done twice."""
    rows = {"train": texts(200)}
    whole = desk.done(rows, base=encoder, name="whole", optimizer="momentum")
    monkeypatch.setattr(contexts, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(contexts, "_QUICK_SAVE_SECONDS", 60.0)
    job_id = desk.ask(rows, base=encoder, optimizer="momentum")
    save, run_epoch, saves, epochs = job_runs.save, Fit.run_epoch, [], []

    def die(*arguments, **more):
        save(*arguments, **more)
        saves.append(more["done"])
        # Seven chunks of embeddings come first.
        if len(saves) == (3 if phase == "embedding" else 10):
            if way == "killed":
                raise SystemExit
            desk.stopping.set()

    def watched(fit, **options):
        epochs.append(len(fit.curve) + 1)
        return run_epoch(fit, **options)

    monkeypatch.setattr(job_runs, "save", die)
    monkeypatch.setattr(Fit, "run_epoch", watched)
    if way == "killed":
        with pytest.raises(SystemExit):
            desk.run()
        job_runs.recover(desk.db, desk.store, dead="one")
    else:
        assert desk.run().state == "queued"
        desk.stopping.clear()
    found = desk.run("two")
    assert found.state == "succeeded", found.error
    assert found.id == job_id
    assert found.result["digest"] == whole["digest"]
    assert found.result["curve"] == whole["curve"]
    assert epochs == list(range(1, len(whole["curve"]) + 1))
    assert saves[:7] == [32, 64, 96, 128, 160, 192, 200]
    log = desk.log(job_id)
    assert "begun again, from a checkpoint" in log
    assert f"goes on after {96 if phase == 'embedding' else 200} embeddings" in log
    assert ("goes on after epoch 3" in log) == (phase == "epoch")


def test_a_cancelled_fine_tune_publishes_nothing(desk, monkeypatch):
    """It ends within an epoch, and its rows are gone from the store."""
    job_id = desk.ask({"train": texts()}, epochs=1000, early_stopping=False)
    run_epoch = Fit.run_epoch

    def cancelled(fit, **options):
        if len(fit.curve) == 2:
            jobs.cancel(desk.db, desk.store, desk.ada.account_id, job_id)
        return run_epoch(fit, **options)

    monkeypatch.setattr(Fit, "run_epoch", cancelled)
    assert desk.run().state == "cancelled"
    assert desk.store.old(than_seconds=-60) == []
    with desk.db.read() as session:
        from reference_server.registry import names

        assert names.find(session, desk.ada, "mine") is None


@pytest.mark.usefixtures("quick_probe")
def test_nothing_of_the_rows_lies_in_the_store_in_clear(desk, encoder, monkeypatch):
    """Neither while it runs, in input, checkpoint and database, nor when it has ended and was deleted."""
    monkeypatch.setattr(contexts, "_SAVE_SECONDS", 0.0)
    monkeypatch.setattr(contexts, "_QUICK_SAVE_SECONDS", 60.0)
    secret = "Ludwigshafen"
    rows = texts()
    rows["inputs"] = [{"text": f"{row['text']} {secret}"} for row in rows["inputs"]]
    folder, looked = desk.services.settings.data_dir, []

    def look():
        looked.append(0)
        for path in folder.rglob("*"):
            if path.is_file():
                looked[-1] += 1
                assert secret.encode() not in path.read_bytes(), path

    save = job_runs.save

    def looking(*arguments, **more):
        save(*arguments, **more)
        look()

    monkeypatch.setattr(job_runs, "save", looking)
    job_id = desk.ask({"train": rows}, base=encoder)
    look()
    assert desk.run().state == "succeeded"
    assert min(looked) > 3
    with_job = looked[-1]
    jobs.delete(desk.db, desk.store, desk.ada.account_id, job_id)
    look()
    assert looked[-1] < with_job


@pytest.mark.usefixtures("quick_probe")
def test_a_publish_by_a_job_stands_in_the_audit_log(desk):
    """As that of a call does: the model that it made, and the version."""
    desk.done({"train": texts()})
    found = audit.list_own(desk.db, desk.ada.account_id, AuditQuery()).data
    acts = [(entry.act, entry.version) for entry in found]
    assert ("version_published", 1) in acts
    assert ("model_made", 1) in acts


@pytest.mark.usefixtures("quick_probe")
@pytest.mark.parametrize("role", ["reader", "publisher"])
def test_a_base_that_may_be_used_but_not_had_withholds_what_comes_of_it(desk, encoder, role):
    """It serves, its maker is told, and its package stays: it is a copy of the base's weights with a head."""
    bob = desk.account("bob")
    shares.put(desk.db, desk.ada, "vectors", "bob", role=role)
    desk.ask({"train": texts()}, base=encoder, account=bob)
    found = desk.run()
    assert (found.state, found.result["model"]) == ("succeeded", "mine"), found.error
    withheld = role == "reader"
    assert any("not download" in each for each in found.result["warnings"]) is withheld
    assert versions.get(desk.db, bob, "mine", "1").withheld is withheld
    target = versions.serving_target(desk.db, bob, "mine", "1")
    task = desk.services.pool.get(loadable(target, desk.db, desk.store, ALONE)).task
    (said,) = task.encode(task.predict(task.decode([{"text": "a great day"}], {})))
    assert said["label"] in WORDS
    if withheld:
        with pytest.raises(Forbidden, match="the weights of a base that you may use but not download"):
            packages.find(desk.db, desk.store, bob, "mine", "1")
    else:
        assert packages.find(desk.db, desk.store, bob, "mine", "1").version == 1


@pytest.mark.usefixtures("quick_probe")
def test_a_mark_that_is_taken_back_while_it_trains_withholds_it(desk, encoder, monkeypatch):
    """What counts is what the base's owner allows when the version is published."""
    bob = desk.account("bob")
    shares.put(desk.db, desk.ada, "vectors", "bob", role="reader")
    models.update(desk.db, desk.ada, "vectors", downloadable=True)
    from reference_server.training import job

    def taken_back(*arguments, **more):
        models.update(desk.db, desk.ada, "vectors", downloadable=False)
        return proof.prove(*arguments, **more)

    monkeypatch.setattr(job, "prove", taken_back)
    desk.ask({"train": texts()}, base=encoder, account=bob)
    assert desk.run().state == "succeeded"
    assert versions.get(desk.db, bob, "mine", "1").withheld


@pytest.mark.usefixtures("encoder")
def test_a_backup_keeps_what_is_withheld(desk, tmp_path):
    """Restored, the package goes to nobody who did not get it before."""
    with desk.db.write() as session:
        (row,) = session.scalars(select(VersionRow))
        row.withheld_by = ["mdl_of_another"]
    back_up(desk.services.settings, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "again")
    shutil.copy(desk.services.settings.master_keys, tmp_path / "again")
    settings = Settings(data_dir=tmp_path / "again")
    restored = open_database(settings)
    with pytest.raises(Forbidden):
        packages.find(restored, ArtifactStore(settings.artifacts), desk.ada, "vectors", "1")
    restored.dispose()


@pytest.mark.usefixtures("quick_probe")
@pytest.mark.parametrize("when", ["before", "while it is embedded", "before it is published"])
def test_a_base_that_goes_ends_the_fine_tune(desk, encoder, monkeypatch, when):
    """Nothing is published of what its account may not have any more."""
    bob = desk.account("bob")
    shares.put(desk.db, desk.ada, "vectors", "bob", role="publisher")

    def withdraw():
        shares.remove(desk.db, desk.ada, "vectors", "bob")

    if when == "before":
        withdraw()
    elif when == "while it is embedded":
        from reference_server.training import bases

        monkeypatch.setattr(bases, "_LOOK_SECONDS", 0.0)
        save = job_runs.save
        monkeypatch.setattr(
            job_runs, "save", lambda *a, **m: (withdraw() if m["done"] == 32 else None, save(*a, **m))
        )
    else:
        prove = proof.prove
        from reference_server.training import job

        monkeypatch.setattr(job, "prove", lambda *a, **m: (withdraw(), prove(*a, **m))[1])
    desk.ask({"train": texts(100)}, base=encoder, account=bob)
    found = desk.run()
    assert (found.state, found.error.code) == ("failed", "model_not_found")
    with desk.db.read() as session:
        from reference_server.registry import names

        assert names.find(session, bob, "mine") is None


def test_a_graph_that_differs_is_not_published(desk, monkeypatch):
    """By a ten-thousandth in a probability is too much."""
    from reference_server.training import job

    prove = proof.prove
    monkeypatch.setattr(job, "prove", lambda c, p, r, expected, **m: prove(c, p, r, expected + 2e-5, **m))
    desk.ask({"train": texts()})
    found = desk.run()
    assert (found.state, found.error.code) == ("failed", "graph_differs")


@pytest.mark.parametrize(
    ("rows", "options", "code"),
    [
        ({"train": {"inputs": [{"text": "a"}] * 2, "targets": ["x"]}}, {}, "wrong_rows"),
        ({"train": {"inputs": [{"text": "a"}, {"text": "b"}], "targets": ["x", "x"]}}, {}, "one_class"),
        ({"train": texts()}, {"class_weights": {"neutral": 2.0}}, "unknown_label"),
        ({"train": texts()}, {"name": "nobody~mine"}, "model_not_found"),
        (
            {"train": texts()},
            {"learning_rate": 1e6, "l2": 1e6, "epochs": 90, "early_stopping": False},
            "diverged",
        ),
    ],
)
def test_what_cannot_be_trained_fails_by_its_name(desk, rows, options, code):
    """With the error that its sender can mend."""
    desk.ask(rows, **options)
    found = desk.run()
    assert (found.state, found.error.code) == ("failed", code)
