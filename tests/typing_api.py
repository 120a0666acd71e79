"""What type checkers make of the public surface: read by mypy and pyright in `make check`, and never run.

Each line that must be an error says so to both; a comment that is no longer needed is an error itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, assert_type

import numpy as np
import polars as pl
from numpy.typing import NDArray

import maas_client
from maas_client import AsyncClient, Client, errors, types
from maas_client._advice import AdviceJob, AppliableAdvice
from maas_client._async_fine_tunes import AsyncFineTuneJob
from maas_client._async_listing import AsyncListing
from maas_client._calls import Protocol
from maas_client._fine_tunes import FineTuneJob
from maas_client._listing import Listing
from maas_client.explanations import AttributionDifference, Explanation, Explanations, Importance
from maas_client.fine_tunes import FineTuned, LossCurve
from maas_client.predictions import ClassificationPrediction, Outcome, Prediction, Predictions
from maas_client.recommendations import Candidate


def synchronous(client: Client, array: NDArray[np.float32], table: pl.DataFrame) -> None:
    """The synchronous face."""
    assert_type(client.predict("m", text="a"), ClassificationPrediction | Prediction)
    assert_type(client.predict("m", inputs={"x": 1}, version=3), ClassificationPrediction | Prediction)
    assert_type(client.predict_batch("m", [{"text": "a"}]), Predictions)
    assert_type(client.predict_many("m", ({"text": "a"} for _ in range(3))), Iterator[Outcome])
    assert_type(client.predict_frame("m", table), pl.DataFrame)
    assert_type(client.explain("m", text="a", method="exact"), Explanation)
    assert_type(client.explain("m", text="a", time_budget=0.5, against={"text": "b"}).inputs, dict[str, Any])
    assert_type(client.explain_many("m", ["a"], seed=1).wait(), Explanations)
    assert_type(client.model("m").explain_many(table).wait().importance, Importance)
    both = client.model("m").compare_explanations(1, "next", text="a", target="x")
    assert_type((both.a, both.differences), tuple[Explanation, list[AttributionDifference]])
    assert_type(client.model("m").infer({"x": array})["y"], NDArray[Any])
    assert_type(client.models.list(task="text-classification"), Listing[types.Model])
    assert_type(client.models.recommend([{"text": "a"}], ["x"], task="t").best, Candidate | None)
    assert_type(client.usage(model="m"), Listing[types.UsageEntry])
    assert_type(client.audit.list(act="key_made"), Listing[types.AuditEntry])
    assert_type([version.version for version in client.model("m").versions.list()], list[int])
    assert_type(client.model("m").aliases.move("default", version=2), types.Alias)
    assert_type(client.model("m", pin=1, sticky_id="u").traffic.split({1: 9, 2: 1}), types.Traffic)
    assert_type(client.model("m").evaluate(["a"], ["x"]), types.Evaluation)
    assert_type(client.model("m").evaluate_in_background(["a"], ["x"]).wait(), types.Evaluation)
    assert_type(client.keys.create("k", scopes=["predict"]).secret.get_secret_value(), str)
    assert_type(client.with_raw_response().last_response.headers["X"], str)
    assert_type(client.models.index(), list[types.RepositoryEntry])
    assert_type(client.model("m").evaluate(["a"], ["b"]), types.Evaluation)
    assert_type(client.model("m").evaluate_in_background([{"x": 1}], [2.0]).wait(), types.Evaluation)
    job = client.fine_tunes.create(base="b", name="m", train=[("a", "x")], optimizer="adam", wait=9.5)
    assert_type((job, job.loss_curve, job.wait(progress=True)), tuple[FineTuneJob, LossCurve, FineTuned])
    assert_type(client.fine_tunes.create(name="m", train=table, validation=table, text="t").id, str)
    assert_type(client.fine_tunes.create(name="m", train=Path("a.csv"), class_weights={"x": 2}).state, str)
    assert_type(client.fine_tunes.get("job_1").result.metric("accuracy"), types.MeasuredMetric)
    assert_type(client.fine_tunes.list(), Listing[types.JobReply])
    measuring = client.model("m").advise(objective="memory", sample=["a"], targets=["x"], wait=9.5)
    assert_type((measuring, measuring.wait()), tuple[AdviceJob, AppliableAdvice])
    assert_type(measuring.result.apply("int8-dynamic"), types.AppliedAdvice)
    assert_type(client.model("m").static_advice(version=3), types.StaticAdvice)
    assert_type(client.jobs.list(state="running"), Listing[types.JobReply])
    assert_type(client.service.protocol(), Protocol)
    assert_type(client.model("m", pin=3).predict(text="a"), ClassificationPrediction | Prediction)
    assert_type(client.model("m").pin(3).pinned, int | None)
    assert_type(client.model("m").versions.watch(after=0), Iterator[types.ModelEvent])
    assert_type(client.model("m").versions.diff(1, "latest").breaking, bool)
    assert_type(client.model("m").history(), Listing[types.ModelEvent])


async def asynchronous(client: AsyncClient, array: NDArray[np.float32]) -> None:
    """The asynchronous face."""
    assert_type(await client.predict("m", text="a"), ClassificationPrediction | Prediction)
    assert_type(client.predict_many("m", [{"text": "a"}]), AsyncIterator[Outcome])
    assert_type((await (await client.explain_many("m", [{"text": "a"}])).wait())[0], Explanation)
    assert_type((await client.model("m").infer({"x": array}))["y"], NDArray[Any])
    assert_type(client.models.list(), AsyncListing[types.Model])
    assert_type(client.model("m").versions.watch(), AsyncIterator[types.ModelEvent])
    assert_type((await client.model("m").versions.diff(1, 2)).signature, list[types.SignatureDifference])
    tuned = await client.fine_tunes.create(name="m", train=[({"x": 1.0}, 2.5)], loss="mse", wait=True)
    assert_type((tuned, await tuned.wait()), tuple[AsyncFineTuneJob, FineTuned])
    assert_type(await client.model("m").traffic.promote(2, force=True), types.Traffic)
    assert_type(await (await client.model("m").evaluate_in_background(["a"], ["x"])).wait(), types.Evaluation)
    assert_type([model.id async for model in client.models.list()], list[str])
    async with client as same:
        assert_type(same, AsyncClient)


def results(prediction: ClassificationPrediction, outcome: Outcome, error: errors.MaasError) -> None:
    """What comes back."""
    assert_type(prediction.label, str)
    assert_type(prediction.scores, dict[str, float])
    assert_type(prediction.version, int)
    assert_type(outcome.result(), ClassificationPrediction | Prediction)
    assert_type(outcome.error, errors.MaasError | None)
    assert_type(error.retry_after, float | None)
    assert_type(errors.PreconditionFailedError().current, types.Alias | types.Traffic | None)
    assert_type(errors.NotFoundError("no").errors, list[types.ErrorDetail])


def mistakes(client: Client, path: Path) -> None:
    """What a checker must find."""
    client.predict("m", version=1.5, text="a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.predict()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.predicts("m")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    client.keys.create("k", scopes=["everything"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    client.explain("m", text="a", method="magic")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.explain("m", text="a").plot("pie")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.fine_tunes.create(name="m", train=path, optimizer="magic")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.fine_tunes.create(name="m", train=0.5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.models.publish(path)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    client.model("m", pin="default")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    client.models.list(sort="beauty")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for _ in client.predict("m", text="a").labels:  # any output may be there
        pass
    with AsyncClient() as _:  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    maas_client.Cleint  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
