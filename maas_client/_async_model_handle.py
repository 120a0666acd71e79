"""The asynchronous face of one model, and of what is done with it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from maas_client import _async_history
from maas_client._async_aliases import AsyncAliasesResource
from maas_client._async_capture import AsyncCapturedResource, AsyncCaptureResource
from maas_client._async_pins import AsyncPinnedSend
from maas_client._async_resource import holds
from maas_client._async_shares import AsyncSharesResource
from maas_client._async_traffic import AsyncTrafficResource
from maas_client._async_versions import AsyncVersionsResource
from maas_client._calls import NOT_GIVEN, Budget
from maas_client._operations import (
    _names,
    explain,
    models,
    open_inference,
    predict,
    traffic,
)
from maas_client._operations._operation import DEFAULT_TIMEOUT
from maas_client.errors import (
    InvalidReplyError,
    StatusError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
    from datetime import datetime
    from os import PathLike

    from numpy.typing import ArrayLike

    from maas_client._advice_samples import Sample
    from maas_client._async_advice import AsyncAdviceJob
    from maas_client._async_jobs import AsyncJob, AsyncStream
    from maas_client._async_lanes import AsyncSource
    from maas_client._async_listing import AsyncListing, AsyncSend
    from maas_client._calls import Peer, Timeout
    from maas_client._frames import Frame
    from maas_client._progress import Progress
    from maas_client.comparisons import VersionsCompared
    from maas_client.explanations import Explanation, Explanations, ExplanationsCompared
    from maas_client.predictions import (
        AnyPrediction,
        InferResult,
        Outcome,
        Predictions,
    )
    from maas_client.types import (
        AdviceObjective,
        Comparison,
        Erasure,
        Evaluation,
        ExplainMethod,
        Model,
        ModelEvent,
        ModelMetadata,
        Served,
        StaticAdvice,
    )


class AsyncModelHandle:
    """One model by name; nothing is asked of the server until a method is called.

    Pinned to a version, it calls that one where no other is named, and warns (`VersionWarning`) once of each
    newer version that becomes `default`.
    """

    def __init__(
        self, send: AsyncSend, stream: AsyncStream, name: str, peer: Peer, pin: int | None = None
    ) -> None:
        self._send = send
        self._stream = stream
        self._peer = peer
        self.name = _names.model(name)
        self.pinned = pin
        self._run: AsyncSend = send if pin is None else AsyncPinnedSend(send, self.name, pin)

    def __repr__(self) -> str:
        pinned = "" if self.pinned is None else f", pin={self.pinned}"
        return f"AsyncModelHandle({self.name!r}{pinned})"

    def pin(self, version: int) -> AsyncModelHandle:
        """Return a handle that stays with a version, by its number, whatever `default` becomes.

        It asks nothing more of the server for that: answers tell which version `default` points to.
        """
        return AsyncModelHandle(self._send, self._stream, self.name, self._peer, version)

    @property
    def versions(self) -> AsyncVersionsResource:
        """Its versions."""
        return AsyncVersionsResource(self._send, self.name)

    @property
    def aliases(self) -> AsyncAliasesResource:
        """Its aliases."""
        return AsyncAliasesResource(self._send, self.name)

    @property
    def shares(self) -> AsyncSharesResource:
        """The accounts that it is shared with."""
        return AsyncSharesResource(self._send, self.name)

    @property
    def capture(self) -> AsyncCaptureResource:
        """Whether inputs and outputs of its calls are stored for its owners."""
        return AsyncCaptureResource(self._send, self.name)

    @property
    def captured(self) -> AsyncCapturedResource:
        """The calls that were captured."""
        return AsyncCapturedResource(self._send, self.name)

    @property
    def traffic(self) -> AsyncTrafficResource:
        """Which versions share the calls that name none, and which get copies."""
        return AsyncTrafficResource(self._send, self.name)

    async def served(self, *, at: datetime | str | None = None) -> Served:
        """Return which versions served calls that named none at a time, and who had made it so, when and why.

        Args:
            at: When, with a time zone: a datetime, or text such as `2026-11-27T09:30:00Z`; now when left out.

        Raises:
            ArgumentError: `at` is no time, or has no zone.
            NotFoundError: The model had no version yet.
        """
        return await self._send(traffic.served(self.name, at))

    async def comparison(self, a: int, b: int, *, since: int = 0) -> Comparison:
        """Compare two versions by live traffic, with 95 % intervals; for the model's owner and publishers.

        Args:
            a: The version to compare with.
            b: The version that is compared.
            since: Only what was seen since this revision of the traffic; everything by default.
        """
        return await self._send(traffic.comparison(self.name, a, b, since=since))

    async def compare(
        self,
        a: int,
        b: int,
        inputs: Iterable[Mapping[str, object]],
        targets: Iterable[object] | None = None,
        *,
        parameters: Mapping[str, object] | None = None,
        batch_size: int = 32,
        seed: int = 0,
        timeout: Timeout = NOT_GIVEN,
    ) -> VersionsCompared:
        """Compare two versions on inputs of your own: agreement, quality, latency, with 95 % intervals.

        Args:
            a: The version to compare with.
            b: The version that is compared.
            inputs: Instances by input name, such as `[{"text": "…"}]`.
            targets: The right label or value of each; without them nothing is said of quality.
            parameters: Options of the task.
            batch_size: Rows in each call.
            seed: Of the bootstrap; the same seed gives the same interval.
            timeout: Seconds in total, for each call.

        Raises:
            ArgumentError: There are no inputs, another number of targets, or the model has no use for them.
        """
        from maas_client import comparisons

        rows, wanted = comparisons.checked_sample(inputs, targets)
        outcomes: list[list[Outcome]] = []
        for version in (a, b):
            found = self.predict_many(
                rows,
                version=version,
                parameters=parameters,
                concurrency=1,
                batch_size=batch_size,
                timeout=timeout,
            )
            outcomes.append([outcome async for outcome in found])
        return comparisons.compared(a, b, (outcomes[0], outcomes[1]), wanted, seed)

    async def get(self) -> Model:
        """Return the model with its description and measured metrics."""
        return await self._send(models.get(self.name))

    def history(
        self, *, kind: str | None = None, after: int | None = None, page_size: int | None = None
    ) -> AsyncListing[ModelEvent]:
        """List what happened to the model, when and by whom, newest first.

        Args:
            kind: Only events of this kind, such as `alias_moved`.
            after: Only events after the one of this `seq`.
            page_size: How many to fetch at a time, 1 to 1000.
        """
        return _async_history.listing(self._send, self.name, kind=kind, after=after, page_size=page_size)

    async def delete(self) -> Erasure | None:
        """Erase the model for good, with its versions, aliases and history; returns as `models.delete`."""
        return await self._send(models.delete(self.name))

    async def predict(
        self,
        *,
        inputs: Mapping[str, object] | None = None,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> AnyPrediction:
        """Run the model on one instance, as `client.predict` does."""
        given = predict.merged(inputs, values)
        return await self._run(
            predict.predict(self.name, given, version=self._chosen(version), parameters=parameters),
            timeout=timeout,
        )

    async def predict_batch(
        self,
        instances: Iterable[Mapping[str, object]],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Predictions:
        """Run the model on several instances in one call, as `client.predict_batch` does."""
        operation = predict.predict_batch(
            self.name, instances, version=self._chosen(version), parameters=parameters
        )
        return await self._run(operation, timeout=timeout)

    async def metadata(self, *, version: int | str | None = None) -> ModelMetadata:
        """Return the model's tensors and versions, by the Open Inference Protocol."""
        return await self._run(open_inference.model_metadata(self.name, version=self._chosen(version)))

    async def ready(self, *, version: int | str | None = None) -> bool:
        """Return whether the model can be called, by the Open Inference Protocol."""
        return await holds(self._run, open_inference.model_ready(self.name, version=self._chosen(version)))

    async def infer(
        self,
        inputs: Mapping[str, ArrayLike],
        *,
        version: int | str | None = None,
        outputs: Sequence[str] | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> InferResult:
        """Run the model on tensors, by the Open Inference Protocol: here, on Triton, KServe or MLServer.

        Tensors travel in binary form where the server takes them so, which the first call finds out, and as
        JSON elsewhere. It needs numpy (`pip install 'maas-client[tensors]'`).

        Args:
            inputs: Arrays by input name. An array is sent as the dtype that it has: `np.float32` is FP32.
                Nested lists are sent as what the model's metadata says, for which it is asked first.
            version: A version; the server's own choice when left out.
            outputs: The outputs to return; all of them when left out.
            parameters: Those of the whole request.
            timeout: Seconds in total, for this call and what it has to find out.

        Returns:
            The outputs by name: `result["y"]` is a numpy array.

        Raises:
            ArgumentError: An input is ragged, of a dtype that the protocol lacks, out of its datatype's
                range, or not finite and the server takes JSON only.
            StatusError: The server refuses, for example another datatype or shape.
        """
        budget = Budget(timeout, DEFAULT_TIMEOUT)
        metadata = None
        if open_inference.needs_metadata(inputs):
            operation = open_inference.model_metadata(self.name, version=self._chosen(version))
            metadata = await self._run(operation, timeout=budget)
        ask = partial(
            open_inference.infer,
            self.name,
            inputs,
            version=self._chosen(version),
            outputs=outputs,
            parameters=parameters,
            metadata=metadata,
        )
        if self._peer.takes_binary is not None:
            return await self._run(ask(binary=self._peer.takes_binary), timeout=budget)
        try:
            result = await self._run(ask(binary=True, is_trial=True), timeout=budget)
        except (StatusError, InvalidReplyError) as error:
            if not open_inference.may_lack_binary(error):
                raise
        else:
            self._peer.takes_binary = True
            return result
        result = await self._run(ask(binary=False), timeout=budget)
        self._peer.takes_binary = False
        return result

    async def explain(
        self,
        *,
        inputs: Mapping[str, object] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> Explanation:
        """Tell why the model says what it says about one instance, as `client.explain` does."""
        given = predict.merged(inputs, values)
        options = explain.Options(
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            parameters=parameters,
        )
        operation = explain.explain(self.name, given, options, version=self._chosen(version))
        return await self._run(operation, timeout=timeout)

    async def explain_many(
        self,
        inputs: Iterable[object],
        *,
        columns: Mapping[str, str] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncJob[Explanations]:
        """Have many instances explained by a job, as `client.explain_many` does."""
        from maas_client._async_explanations import AsyncExplaining

        options = explain.Options(
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            parameters=parameters,
        )
        work = AsyncExplaining(self._run, self.name, options)
        return await work.job(
            self._stream, inputs, columns=columns, version=self._chosen(version), timeout=timeout
        )

    async def advise(
        self,
        *,
        objective: AdviceObjective = "latency",
        max_quality_loss: float = 0.01,
        sample: Sample | None = None,
        targets: Iterable[object] | None = None,
        label: str | None = None,
        version: int | str | None = None,
        time_budget: float = 60.0,
        budget: int = 50_000,
        parameters: Mapping[str, object] | None = None,
        wait: bool | float = False,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncAdviceJob:
        """Have a version measured in other settings on the server's machine; a job does it.

        Args:
            objective: What is to become better: `latency`, `throughput` or `memory`.
            max_quality_loss: What a recommended variant may lose on the sample, 0 to 1.
            sample: Rows such as callers send: instances, a data frame of pandas or polars, or the path of a
                CSV, TSV, JSON lines or parquet file, whose columns are the inputs. Without it no change of
                weights is recommended.
            targets: The true label or value of each instance.
            label: Of frames and files the column of what is true.
            version: The version; what `default` points to when left out.
            time_budget: About how long to take times, 1 to 3600 seconds.
            budget: The most rows that are run, counted as usage.
            parameters: Options of the task.
            wait: Return the job only when it has ended: True for however long that takes, or seconds.
            progress: While waiting: True for a bar, or a function of the units done and their total.
            timeout: Seconds in total, for sending the rows.

        Returns:
            The job: `wait()` returns what was measured, and `apply()` of that publishes a variant.

        Raises:
            ArgumentError: A row or an option cannot be used; it is named, and nothing was sent.
        """
        from maas_client._async_advice import AsyncAdvising

        return await AsyncAdvising(self._run, self._stream, self.name).job(
            sample,
            targets,
            label,
            version=self._chosen(version),
            objective=objective,
            max_quality_loss=max_quality_loss,
            time_budget=time_budget,
            budget=budget,
            parameters=parameters,
            wait=wait,
            progress=progress,
            timeout=timeout,
        )

    async def advice(self, job_id: str) -> AsyncAdviceJob:
        """Return advice by the id of its job, from whatever program it was asked.

        Raises:
            ArgumentError: The job does something else.
            NotFoundError: There is none of that id, or it is not yours.
        """
        from maas_client._async_advice import AsyncAdvising

        return await AsyncAdvising(self._run, self._stream, self.name).get(job_id)

    async def static_advice(self, *, version: int | str | None = None) -> StaticAdvice:
        """Return what a look at a version's package shows, without running it."""
        from maas_client._async_advice import AsyncAdvising

        return await AsyncAdvising(self._run, self._stream, self.name).look(self._chosen(version))

    async def compare_explanations(
        self,
        a: int | str,
        b: int | str,
        /,
        *,
        inputs: Mapping[str, object] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> ExplanationsCompared:
        """Explain two versions' answers to the same instance, with the same target and seed, side by side.

        Args:
            a: The version to compare with: a number or an alias.
            b: The version that is compared.
            inputs: As all that follow, see `client.explain`.
            target: The label or output to explain; what a predicts when left out, for both.
            method: How the attributions are found.
            budget: The most evaluations, of each version.
            time_budget: Seconds to spend, on each version.
            seed: The same for both.
            against: The other side of a similarity.
            faithfulness: Whether to measure how far each can be trusted.
            parameters: Options of the task.
            timeout: Seconds in total, for both.
            values: Inputs by name, such as `text="…"`.

        Raises:
            UnprocessableError: The inputs do not fit one of the two, or it has no such target.
            NotFoundError: There is no such version, or the server explains nothing.
        """
        from maas_client._async_explanations import AsyncExplaining

        options = explain.Options(
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            parameters=parameters,
        )
        work = AsyncExplaining(self._run, self.name, options)
        return await work.compared(a, b, predict.merged(inputs, values), timeout=timeout)

    async def evaluate(
        self,
        inputs: Iterable[object],
        targets: Iterable[object],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> Evaluation:
        """Hold the model's answers against what is true, and measure how good they are.

        More than 2,000 rows go through a job, which this waits for; that needs the scope `jobs`. Nothing of
        the rows is kept.

        Args:
            inputs: The inputs of each row by name; or plain values, where the model has one input.
            targets: For each row the true label, or the true value of a regression.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            progress: For a job: True for a bar, with the extra `progress`; or a function of the rows done and
                their total.
            timeout: Seconds in total; 300 for a call, and as long as it takes for a job, where nothing else
                is said.

        Returns:
            Each metric with its 95 % interval, the confusion matrix and the calibration: for a
            classification accuracy, macro-F1, cross-entropy (nats) and expected calibration error, for a
            regression mean squared error, mean absolute error and R².

        Raises:
            UnprocessableError: A row does not fit the model; the message names it.
            PermissionDeniedError: There are many rows and the key lacks the scope `jobs`.
            JobError: The job ended without a result.
        """
        from maas_client._async_evaluation import AsyncEvaluations

        work = AsyncEvaluations(
            self._run, self._stream, self.name, version=self._chosen(version), parameters=parameters
        )
        return await work.measured(inputs, targets, progress=progress, timeout=timeout)

    async def evaluate_in_background(
        self,
        inputs: Iterable[object],
        targets: Iterable[object],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncJob[Evaluation]:
        """Have the model evaluated by a job, and return that at once; arguments as in `evaluate`.

        `job.wait()` returns the evaluation; `client.jobs.get(job.id)` finds the job from elsewhere.
        """
        from maas_client._async_evaluation import AsyncEvaluations

        work = AsyncEvaluations(
            self._run, self._stream, self.name, version=self._chosen(version), parameters=parameters
        )
        return await work.job(inputs, targets, timeout=timeout)

    def predict_many(
        self,
        instances: AsyncSource[Mapping[str, object]],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        concurrency: int = 4,
        ordered: bool = True,
        batch_size: int | None = None,
        progress: Progress = False,
        checkpoint: str | PathLike[str] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncIterator[Outcome]:
        """Run the model on any number of instances, as `client.predict_many` does."""
        from maas_client._async_bulk import AsyncBulkWork

        work = AsyncBulkWork(
            model=self.name,
            instances=instances,
            version=self._chosen(version),
            parameters=parameters,
            concurrency=concurrency,
            ordered=ordered,
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoint,
            timeout=timeout,
        )
        return work.outcomes(self._run)

    async def predict_frame(
        self,
        frame: Frame,
        *,
        columns: Mapping[str, str] | None = None,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        concurrency: int = 4,
        batch_size: int | None = None,
        progress: Progress = False,
        checkpoint: str | PathLike[str] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Frame:
        """Run the model on every row of a data frame, as `client.predict_frame` does."""
        from maas_client import _frames

        table = _frames.table(frame)
        if columns is None:
            columns = table.columns_for((await self.get()).signature)
        outcomes = self.predict_many(
            table.instances(columns),
            version=version,
            parameters=parameters,
            concurrency=concurrency,
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoint,
            timeout=timeout,
        )
        return table.with_outcomes([outcome async for outcome in outcomes])

    def _chosen(self, version: int | str | None) -> int | str | None:
        return self.pinned if version is None else version
