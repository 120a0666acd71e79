"""Fine-tunes: a head trained on labelled rows, and what came of it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, Json, JsonValue, WithJsonSchema

from maas_client.types.base import Reply, Request
from maas_client.types.evaluations import Evaluation
from maas_client.types.fields import ACCOUNT_NAME, ALIAS_NAME, MODEL_NAME, VERSION_NUMBER, Notes
from maas_client.types.models import Visibility

_REFERENCE = rf"^(?:{ACCOUNT_NAME}~)?{MODEL_NAME}$"
LossName: TypeAlias = Literal["cross_entropy", "mse"]
ClassWeight: TypeAlias = Annotated[float, Field(gt=0, le=1e6)]
HeldOut: TypeAlias = Annotated[float, Field(ge=0, le=0.5)]


class LabelledRows(Request):
    """Inputs and what is true of each."""

    inputs: list[dict[str, JsonValue]] = Field(
        min_length=1, description='Either `{"text": …}` each, or the same columns of numbers each.'
    )
    targets: list[JsonValue] = Field(
        min_length=1, description="For each of them its label, or with the loss `mse` its number."
    )


class TrainingOptions(Request):
    """What is trained, on what features, and how."""

    name: str = Field(
        pattern=_REFERENCE,
        description="The model that gets the new version; made if you have none of that name.",
    )
    base: str | None = Field(
        None,
        pattern=_REFERENCE,
        description="A model of the task `embedding` whose vectors of the texts are the features. Without it "
        "texts are taken by their hashed words and runs of characters, and columns as they are.",
    )
    base_version: str | None = Field(
        None,
        pattern=rf"^(?:{VERSION_NUMBER}|{ALIAS_NAME})$",
        description="Its number, an alias or `latest`; what `default` points to when left out.",
    )
    loss: LossName = Field("cross_entropy", description="`mse`, the mean squared error, is for numbers.")
    optimizer: Literal["sgd", "momentum", "adam"] | None = Field(
        None, description="`sgd` for words and runs of characters and `adam` for others when left out."
    )
    learning_rate: float | None = Field(
        None, gt=0, le=1e6, description="At the start; by features and optimizer when left out."
    )
    schedule: Literal["linear", "cosine", "constant"] = Field(
        "linear", description="How the rate falls over all epochs: to a fiftieth, or not at all."
    )
    batch_size: int = Field(32, ge=1, le=65_536, description="Rows in one step.")
    epochs: int = Field(20, ge=1, le=1000, description="How often every row is seen, at most.")
    l2: float = Field(0.0, ge=0, le=1e6, description="λ of the penalty λ/2 · ‖W‖² on the weights.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Which share of the target is spread evenly over all labels."
    )
    class_weights: Literal["balanced"] | dict[str, ClassWeight] | None = Field(
        None,
        description="How much a row of each label counts, 1 where none is given; `balanced` for all labels "
        "the same in all.",
    )
    early_stopping: bool = Field(
        True, description="Stop when the validation loss falls no more, and keep the best epoch."
    )
    patience: int = Field(5, ge=1, le=1000, description="For how many epochs it may do so.")
    seed: int = Field(0, ge=0, lt=2**32, description="Of the split and of the order of the rows.")
    description: str = Field("", max_length=2000, description="Of the model, for its manifest.")
    license: str = Field(
        "", max_length=200, description="For its manifest; the base's, or `unstated`, when left out."
    )
    notes: Notes = Field("", description="What is new in the version.")
    visibility: Visibility | None = Field(None, description="For a model that this makes.")
    set_default: bool = Field(False, description="Move the alias `default` to the new version.")


class FineTuneCreate(TrainingOptions):
    """A fine-tune with its rows."""

    train: LabelledRows
    validation: HeldOut | LabelledRows = Field(
        0.2, description="The share of the rows to watch and not to learn from, or such rows; 0 for none."
    )
    test: HeldOut | LabelledRows = Field(
        0.0,
        description="The share of the rows that nothing is decided by, or such rows: the metrics are theirs. "
        "Without them those of the validation rows are told.",
    )


class FineTuneOptions(TrainingOptions):
    """A fine-tune whose rows come as a stream."""

    validation: HeldOut = Field(0.2, description="As in a `FineTuneCreate`; the rows' own goes before it.")
    test: HeldOut = Field(0.0, description="Likewise.")


_Options = Annotated[
    Json[FineTuneOptions],
    WithJsonSchema({"type": "string", "contentMediaType": "application/json"}),
]


class FineTuneQuery(Request):
    """Query parameters of a fine-tune whose body is `FineTuneRows`."""

    rows: int = Field(ge=2, lt=2**31, description="How many rows the body holds in all.")
    options: _Options = Field(
        description="A JSON object of what a `FineTuneCreate` holds beside its rows, `name` first of all."
    )


class FineTuneRows(Request):
    """The rows of a fine-tune that come as a stream."""

    train: LabelledRows
    validation: LabelledRows | None = None
    test: LabelledRows | None = None


class TrainingPoint(Reply):
    """Where a training was after an epoch.

    Args:
        epoch: Which, from 1.
        loss: The mean loss of the training rows, without its penalty.
        validation_loss: That of the validation rows; None where there are none.
        learning_rate: As it was at the end of the epoch.
        validation_accuracy: The share of the validation rows that are told right; None of a regression, and
            where there are none.
    """

    epoch: int
    loss: float
    validation_loss: float | None = None
    learning_rate: float
    validation_accuracy: float | None = None


class TrainingProgress(Reply):
    """What a job that trains tells while it does, in `interim`.

    Args:
        curve: The epochs so far; of very many, some evenly chosen ones and the last.
        warnings: What is to be known of the rows.
    """

    curve: list[TrainingPoint] = []
    warnings: list[str] = []


class FineTuneBase(Reply):
    """The version whose embeddings a model was trained on, and which it now holds."""

    model: str
    version: int
    digest: str


class FineTune(Reply):
    """What came of a fine-tune.

    Args:
        model: The model that has the new version.
        version: Its number.
        digest: Its content digest: the same rows, options and base give the same one on a machine.
        is_new: Whether it was made now; the same content is never published twice.
        base: What it was made from.
        task: Such as `text-classification`.
        features: `embeddings`, `ngrams` or `columns`.
        labels: In the order of the outputs; none of a regression.
        rows: How many rows there were, by part: `train`, `validation`, `test`.
        data_sha256: Of the rows, in hexadecimal.
        options: What it was trained with, every option named.
        curve: The loss after each epoch.
        best_epoch: The epoch whose parameters were kept.
        stopped_early: Whether not all epochs were needed.
        evaluated_on: `test` or `validation`; None where all rows were learnt from.
        evaluation: Metrics of those rows with intervals, confusion matrix and calibration.
        verified_rows: On how many rows the graph was held against the trainer.
        largest_difference: How far they were apart at most, in probability or, of a regression, in deviations
            of the targets; never above 1e-5.
        warnings: What is to be known of the rows.
    """

    model: str
    version: int
    digest: str
    is_new: bool
    base: FineTuneBase | None = None
    task: str
    features: str
    labels: list[str] = []
    rows: dict[str, int]
    data_sha256: str
    options: dict[str, JsonValue]
    curve: list[TrainingPoint]
    best_epoch: int
    stopped_early: bool
    evaluated_on: str | None = None
    evaluation: Evaluation | None = None
    verified_rows: int
    largest_difference: float
    warnings: list[str] = []
