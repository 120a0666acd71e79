"""Fine-tunes: a head trained on your labelled rows, as a job that ends with a new version of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from maas_client import _labelled_rows
from maas_client._async_jobs import AsyncJob
from maas_client._async_listing import AsyncListing
from maas_client._calls import NOT_GIVEN, Budget
from maas_client._labelled_rows import Meaning
from maas_client._operations import fine_tunes as operations
from maas_client._operations import jobs
from maas_client._progress import check_progress
from maas_client.errors import ArgumentError, TooLargeError
from maas_client.fine_tunes import FineTuned, LossCurve, progress_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from matplotlib.axes import Axes

    from maas_client._async_jobs import AsyncStream
    from maas_client._async_listing import AsyncSend
    from maas_client._calls import Timeout
    from maas_client._labelled_rows import Rows
    from maas_client._progress import Progress
    from maas_client.types import FineTuneOptions, JobReply, JobState, LabelledRows, LossName, Visibility

    # Data frames of pandas and polars are iterable too; what of these it is, is looked at.
    Data: TypeAlias = str | PathLike[str] | LabelledRows | Iterable[object]

_SHARE = 0.2


class AsyncFineTuneJob(AsyncJob[FineTuned]):
    """A fine-tune under way; `wait()` returns a `FineTuned`, and the loss can be watched until then."""

    @property
    def loss_curve(self) -> LossCurve:
        """The loss after each epoch, as far as is known: `events()`, `wait()` and `refresh()` learn more."""
        return LossCurve.of_job(self.reply)

    @property
    def warnings(self) -> list[str]:
        """What is to be known of the rows, as far as it was told."""
        return progress_of(self.reply).warnings

    def to_frame(self) -> Any:  # noqa: ANN401 - a frame of pandas or polars
        """Return the loss curve so far as a data frame; see `LossCurve.to_frame`."""
        return self.loss_curve.to_frame()

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the loss curve so far with matplotlib; see `LossCurve.plot`."""
        return self.loss_curve.plot(ax=ax)


class AsyncFineTunesResource:
    """Your fine-tunes."""

    def __init__(self, send: AsyncSend, stream: AsyncStream) -> None:
        self._send = send
        self._stream = stream

    async def create(
        self,
        *,
        name: str,
        train: Data,
        base: str | None = None,
        base_version: int | str | None = None,
        validation: float | Data = _SHARE,
        test: float | Data = 0.0,
        text: str | None = None,
        label: str = "label",
        columns: Sequence[str] | None = None,
        loss: LossName = "cross_entropy",
        optimizer: Literal["sgd", "momentum", "adam"] | None = None,
        learning_rate: float | None = None,
        schedule: Literal["linear", "cosine", "constant"] = "linear",
        batch_size: int = 32,
        epochs: int = 20,
        l2: float = 0.0,
        label_smoothing: float = 0.0,
        class_weights: Literal["balanced"] | Mapping[str, float] | None = None,
        early_stopping: bool = True,
        patience: int = 5,
        seed: int = 0,
        description: str = "",
        license: str = "",  # noqa: A002 - the manifest's own word
        notes: str = "",
        visibility: Visibility | None = None,
        set_default: bool = False,
        wait: bool | float = False,
        progress: Progress = False,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncFineTuneJob:
        """Train a head on labelled rows and publish it as a new version of `name`; a job does it.

        What it learns from are the embeddings of a `base`, or without one hashed words and runs of characters
        of the texts, or columns of numbers. Every row is checked before anything is sent.

        Args:
            name: The model that gets the version; made if you have none of that name.
            train: The rows to learn from: pairs such as `[("A lovely day.", "positive"), …]` whose first may
                also be the columns by name, `{"age": 31.0}`; a data frame of pandas or polars; the path of a
                CSV, TSV, JSON lines or parquet file; or `LabelledRows`. Labels that are whole numbers or
                booleans become texts.
            base: A model of the task `embedding`.
            base_version: Its number, an alias or `latest`; what `default` points to when left out.
            validation: The rows to watch and not to learn from, or their share, 0 to 0.5.
            test: The rows that nothing is decided by, or their share: the metrics are theirs. Without any
                they are of the validation rows.
            text: Of frames and files the column of texts; `text` where there is one, when left out.
            label: The column of what is true.
            columns: The columns of numbers; all but the label's where no column is called `text`.
            loss: `cross_entropy` for labels; `mse`, the mean squared error, for numbers, with columns alone.
            optimizer: When left out `sgd` for hashed words, else `adam`.
            learning_rate: At the start, above 0; by features and optimizer when left out.
            schedule: How the rate falls over all epochs.
            batch_size: Rows in one step, 1 to 65,536.
            epochs: How often every row is seen at most, 1 to 1000.
            l2: λ of the penalty λ/2 · ‖W‖² on the weights.
            label_smoothing: Which share of the target is spread evenly over all labels, 0 to below 1.
            class_weights: How much a row of each label counts, 1 for what is not named, or `balanced`.
            early_stopping: Stop when the validation loss falls no more, and keep the best epoch.
            patience: For how many epochs it may do so.
            seed: Of the split and of the order of the rows; the same seed and rows give the same version.
            description: Of the model, for its manifest.
            license: Likewise; the base's, or `unstated`, when left out.
            notes: What is new in the version.
            visibility: For a model that this makes; `private` when left out.
            set_default: Move the alias `default` to the new version.
            wait: Return the job only when it has ended: True for however long that takes, or seconds.
            progress: While waiting: True for a bar, with the extra `progress`, or a function of the units
                done and their total.
            timeout: Seconds in total, for sending the rows.

        Returns:
            The job: `wait()`, `events()`, `loss_curve`, `plot()`, `cancel()`; in a notebook the curve.

        Raises:
            ArgumentError: A row or an option cannot be used; it is named, and nothing was sent.
            UnprocessableError: The server finds rows that it cannot train on, or the base makes no vectors.
            JobError, DeadlineError: With `wait`, as `wait()` raises them.

        Example:
            >>> job = client.fine_tunes.create(base="bge-small-en", name="reviews", train="reviews.csv")
            >>> made = job.wait(progress=True)
            >>> made.version, made["accuracy"]
            (1, 0.88)
        """
        check_progress(progress)
        meaning = Meaning(text=text, label=label, columns=columns, loss=loss)
        parts, shares = _divided({"train": train, "validation": validation, "test": test}, meaning)
        options = operations.options_of(
            name=name,
            base=base,
            base_version=None if base_version is None else str(base_version),
            loss=loss,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            batch_size=batch_size,
            epochs=epochs,
            l2=l2,
            label_smoothing=label_smoothing,
            class_weights=class_weights,
            early_stopping=early_stopping,
            patience=patience,
            seed=seed,
            description=description,
            license=license,
            notes=notes,
            visibility=visibility,
            set_default=set_default,
            **shares,
        )
        job = AsyncFineTuneJob(self._send, self._stream, await self._asked(options, parts, timeout))
        if wait is not False:
            await job.wait(None if wait is True else wait, progress=progress)
        return job

    async def _asked(self, options: FineTuneOptions, parts: Mapping[str, Rows], timeout: Timeout) -> JobReply:
        budget = Budget(timeout, operations.TIMEOUT)
        try:
            return await self._send(operations.create(options, parts), timeout=budget)
        except TooLargeError as error:
            # Its operator lets a call have fewer rows than most do; as a stream it may have more.
            if (error.code, error.param) != ("too_many_rows", "train"):
                raise
            return await self._send(operations.create(options, parts, streamed=True), timeout=budget)

    def list(self, *, state: JobState | None = None, page_size: int | None = None) -> AsyncListing[JobReply]:
        """List your fine-tunes, newest first, as long as their jobs are kept.

        Args:
            state: Only those in this state, such as `running`.
            page_size: How many to fetch at a time, 1 to 1000.
        """
        return AsyncListing(
            self._send,
            lambda cursor: jobs.list_page(state=state, kind=operations.KIND, limit=page_size, cursor=cursor),
        )

    async def get(self, job_id: str) -> AsyncFineTuneJob:
        """Return a fine-tune by the id of its job, from whatever program it was created.

        Raises:
            ArgumentError: The job does something else.
            NotFoundError: There is none of that id, or it is not yours.
        """
        known = await self._send(jobs.get(job_id))
        if known.kind != operations.KIND:
            raise ArgumentError(f"the job {job_id} is no fine-tune, but one of the kind {known.kind!r}")
        return AsyncFineTuneJob(self._send, self._stream, known)


def _divided(given: Mapping[str, float | Data], meaning: Meaning) -> tuple[dict[str, Rows], dict[str, float]]:
    """Return the parts that are rows, and the shares of those that are not."""
    parts: dict[str, Rows] = {}
    shares: dict[str, float] = {}
    for part, rows in given.items():
        if isinstance(rows, int | float) and part != "train":
            shares[part] = operations.checked_share(rows, part)
        else:
            parts[part] = _labelled_rows.read(rows, meaning, part=part)
    _labelled_rows.check_parts(parts, meaning.loss)
    return parts, shares
