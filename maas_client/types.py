"""The wire contract: every JSON object that the SDK and the server exchange.

Two bases. A `Reply` is frozen and keeps fields that it does not know, so that an older SDK reads a newer
server. A `Request` forbids unknown fields, so that a misspelt option is an error and not a silent default.
The server imports these same classes; the two sides cannot drift apart.
"""

from __future__ import annotations

import ipaddress
import json
import re
from datetime import UTC, date, datetime
from math import inf
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    Json,
    JsonValue,
    SecretStr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    StringConstraints,
    WithJsonSchema,
    WrapSerializer,
    model_validator,
)

# Anchored with `$`: the engine behind pydantic, like ECMA 262, lets it match at the very end only.
MODEL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
ACCOUNT_NAME = r"[a-z0-9](?:[a-z0-9-]{0,37}[a-z0-9])?"
ALIAS_NAME = r"[A-Za-z][A-Za-z0-9._-]{0,63}"
VERSION_NUMBER = r"[1-9][0-9]{0,8}"
_TOO_HIGH = 10**9
RESERVED_MODEL_NAMES = frozenset({"stats"})
RESERVED_INPUT_NAMES = frozenset({"instances", "parameters"})
MAX_LABELS = 100_000
MAX_LABEL_CHARACTERS = 200
MAX_LINEAGE_BYTES = 16 * 2**10
# In each part of a pattern of model names: what holds a name against more takes longer than its length.
MAX_STARS = 2
# C0, DEL and C1, as in a class of a regular expression: they do harm in terminals, logs and databases.
_CONTROLS = r"\x00-\x08\x0b-\x1f\x7f-\x9f"

Registration: TypeAlias = Literal["open", "invitation", "closed"]
Scope: TypeAlias = Literal["models:read", "models:write", "predict", "keys", "jobs", "audit"]
SCOPES: tuple[Scope, ...] = ("models:read", "models:write", "predict", "keys", "jobs", "audit")
Visibility: TypeAlias = Literal["private", "public"]
# In the order of what they may do; each may what those before it may.
ShareRole: TypeAlias = Literal["reader", "publisher", "owner"]
SHARE_ROLES: tuple[ShareRole, ...] = ("reader", "publisher", "owner")
AuditAct: TypeAlias = Literal[
    "account_registered",
    "account_made",
    "account_disabled",
    "account_enabled",
    "account_erased",
    "account_exported",
    "password_changed",
    "role_changed",
    "master_key_rotated",
    "limits_changed",
    "session_started",
    "session_ended",
    "key_made",
    "key_rotated",
    "key_revoked",
    "invitation_made",
    "invitation_revoked",
    "model_made",
    "model_changed",
    "model_deleted",
    "model_loaded",
    "model_unloaded",
    "version_published",
    "version_changed",
    "version_deleted",
    "package_downloaded",
    "alias_moved",
    "alias_rolled_back",
    "traffic_changed",
    "traffic_withdrawn",
    "share_changed",
    "share_removed",
    "capture_changed",
    "captured_read",
    "captured_deleted",
    "job_cancelled",
    "job_deleted",
    "audit_read",
    "audit_exported",
    "audit_pruned",
    "prediction",
    "request",
]
AuditOutcome: TypeAlias = Literal["succeeded", "denied", "failed", "hidden"]
VersionState: TypeAlias = Literal["active", "deprecated", "retired"]


def _not_reserved(name: str) -> str:
    if name in RESERVED_MODEL_NAMES:
        raise ValueError(f"the model name {name!r} is reserved, choose another")
    return name


def _reveal(value: SecretStr, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> object:
    context = info.context
    revealed = isinstance(context, dict) and context.get("reveal") is True
    return value.get_secret_value() if revealed else handler(value)


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("with its offset it lies outside the years 1 to 9999") from None


def _no_controls(text: str) -> str:
    found = re.search(f"[{_CONTROLS}]", text)
    if found is not None:
        raise ValueError(
            f"it holds the control character U+{ord(found[0]):04X} at position {found.start()}; newlines and "
            "tabs are the only ones that are taken"
        )
    return text


def _number_as_text(value: object) -> object:
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    # As a text, 0 could be the name of a model.
    if not 1 <= value < _TOO_HIGH:
        raise ValueError(f"a version's number is 1 to {_TOO_HIGH - 1:,}")
    return str(value)


def _small_facts(facts: dict[str, JsonValue]) -> dict[str, JsonValue]:
    size = len(json.dumps(facts, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    if size > MAX_LINEAGE_BYTES:
        raise ValueError(f"it is {size:,} bytes of JSON, and at most {MAX_LINEAGE_BYTES:,} are kept")
    return facts


def _few_stars(pattern: str) -> str:
    if any(part.count("*") > MAX_STARS for part in pattern.split("~")):
        raise ValueError(
            f"{pattern!r} has more than {MAX_STARS} stars; such as sentiment-* or *-en are enough"
        )
    return pattern


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(
            f"{error}; expected an address or a network, such as 203.0.113.7, 10.0.0.0/8 or 2001:db8::/32"
        ) from None


ModelName = Annotated[
    str,
    StringConstraints(pattern=rf"^{MODEL_NAME}$"),
    AfterValidator(_not_reserved),
]
AccountName = Annotated[str, StringConstraints(pattern=rf"^{ACCOUNT_NAME}$")]
# `name` or `account~name`; a star stands for any characters of its part.
ModelPattern = Annotated[
    str,
    StringConstraints(pattern=r"^(?:[a-z0-9*-]{1,39}~)?[A-Za-z0-9._*-]{1,128}$"),
    AfterValidator(_few_stars),
]
# An address, or a network in CIDR notation (RFC 4632, RFC 4291).
Network = Annotated[str, StringConstraints(max_length=64), AfterValidator(_network)]
Email = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, max_length=254, pattern=r"^[^\s@]{1,64}@[^\s@]+\.[^\s@]+$"
    ),
]
Password = Annotated[SecretStr, Field(min_length=10, max_length=1024)]
# As many digits as `VERSION_NUMBER` has.
VersionNumber = Annotated[int, Field(ge=1, lt=10**9)]
Notes = Annotated[
    str,
    StringConstraints(max_length=4000),
    AfterValidator(_no_controls),
    WithJsonSchema({"type": "string", "maxLength": 4000, "pattern": f"^[^{_CONTROLS}]*$"}),
]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Origin = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
# An aware time that is also one of UTC, whatever its offset.
Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Lineage = Annotated[Json[dict[str, JsonValue]], AfterValidator(_small_facts)]
_REPLACEMENT = rf"^(?:{VERSION_NUMBER}|(?:{ACCOUNT_NAME}~)?{MODEL_NAME})$"
# The version of the same model, by its number, or a model.
Replacement = Annotated[
    str,
    StringConstraints(pattern=_REPLACEMENT, max_length=200),
    BeforeValidator(_number_as_text),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _REPLACEMENT, "maxLength": 200},
                {"type": "integer", "minimum": 1, "exclusiveMaximum": _TOO_HIGH},
            ]
        }
    ),
]
# It becomes part of a header: no spaces, no quotes, no angle brackets.
PageAddress = Annotated[str, StringConstraints(pattern=r"^https?://[!#-;=?-~]+$", max_length=500)]

# Masked in every dump unless its writer says `context={"reveal": True}`: the transport and the server do.
Secret = Annotated[SecretStr, WrapSerializer(_reveal), WithJsonSchema({"type": "string"})]


class Reply(BaseModel):
    """Base of everything that a server sends: frozen, unknown fields kept, enumerations open."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_fields(type(self).__name__, dict(self))


class Request(BaseModel):
    """Base of everything that a caller sends: unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


Item = TypeVar("Item")


class Page(Reply, Generic[Item]):
    """One page of a listing, in the list shape of the OpenAI API with a cursor added."""

    object: str = "list"
    data: list[Item]
    has_more: bool = False
    next_cursor: str | None = None


class PageQuery(Request):
    """Query parameters that every listing takes."""

    limit: int = Field(100, ge=1, le=1000, description="The largest number of items on a page.")
    cursor: str | None = Field(None, max_length=512, description="`next_cursor` of the page before.")


# --- errors ---------------------------------------------------------------------------------------------


class ErrorDetail(Reply):
    """One of several faults in one request, such as one bad row of a batch."""

    code: str
    message: str
    param: str | None = None


class ErrorBody(Reply):
    """What went wrong, in the error shape of the OpenAI API."""

    type: str
    code: str
    message: str
    param: str | None = None
    request_id: str | None = None
    errors: list[ErrorDetail] | None = None
    current: dict[str, JsonValue] | None = Field(
        None, description="Of a 412: what the thing is now, which somebody else changed."
    )
    replacement: str | None = Field(None, description="Of a 410: what to use instead.")


class ErrorReply(Reply):
    """The body of every `/v1` answer whose status is 400 or above."""

    error: ErrorBody


# --- the service ----------------------------------------------------------------------------------------


class UsagePolicy(Reply):
    """The terms that an account accepts at registration, by version."""

    version: str
    text: str


class ServiceInfo(Reply):
    """What `GET /` tells anyone."""

    name: str
    version: str
    usage_policy: UsagePolicy
    registration: str = Field(
        "open", description="Who may register: `open` for anybody, `invitation` or `closed`."
    )
    documentation: str = "/docs"
    openapi: str = "/openapi.json"
    receipt_key: str | None = Field(
        None, description="Public key, Ed25519 in base64, of the receipts for what was erased."
    )


class ReceiptSignature(Reply):
    """A signature of a receipt: which key made it, and the signature in base64."""

    keyid: str
    sig: str


class Receipt(Reply):
    """A signed statement in a DSSE envelope (Dead Simple Signing Envelope 1.0.2).

    `payload` is an `ErasureStatement` as JSON, in base64; `maas verify-receipt` checks and shows it.
    """

    payloadType: str  # noqa: N815 - DSSE's own name
    payload: str
    signatures: list[ReceiptSignature]


class ErasureStatement(Reply):
    """What a receipt says was erased, how, and what it does not cover.

    `object` is an opaque id; `name_sha256` is the SHA-256, in hexadecimal, of the erasure's id, a line feed
    and the name that the caller knew it by, so that it shows to its holder alone which thing it was.
    """

    erasure: str
    what: str
    object: str
    name_sha256: str
    counts: dict[str, int]
    requested_at: datetime
    erased_at: datetime
    how: list[str]
    not_covered: list[str]
    public_key: str


class Erasure(Reply):
    """An erasure: `pending` while a reader still holds the database's log, then `done`, with its receipt.

    The keys are destroyed and the rows gone in both states. Who knows its id may ask for it.
    """

    id: str
    what: str
    state: str
    counts: dict[str, int]
    requested_at: datetime
    finished_at: datetime | None = None
    receipt: Receipt | None = None


class AccountErase(Request):
    """The wish to erase one's account: the password again."""

    password: Password


class ErasurePlan(Reply):
    """What erasing the account would take along, and whom else it concerns.

    `public_models` and `shared_models` are those among `models` that others use too; they go all the same.
    `left_to_others` counts what the account did to models of others, which stays without its name.
    """

    models: list[str]
    public_models: list[str]
    shared_models: list[str] = []
    counts: dict[str, int]
    left_to_others: int
    not_covered: list[str]


class Health(Reply):
    """Whether the server takes new work: `ok` (200), `draining` or `stuck` (503)."""

    status: str
    instance: str


# --- accounts, sessions, keys ---------------------------------------------------------------------------


class AccountCreate(Request):
    """Registration. `accept_policy` is the version of the usage policy that `GET /` shows."""

    email: Email
    password: Password
    accept_policy: str = Field(max_length=64)
    name: AccountName | None = Field(
        None, description="The public handle in `account~model`; one is made up when none is given."
    )
    invitation: SecretStr | None = Field(
        None, max_length=100, description="What the operator sent, where registration is by invitation."
    )


class Account(Reply):
    """An account as its owner sees it."""

    id: str
    name: str
    email: str
    role: str
    policy_version: str
    created_at: datetime


class Invitation(Reply):
    """An invitation to register, without its secret; `state` is `open`, `used` or `expired`."""

    id: str
    prefix: str
    email: str | None = None
    state: str
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    used_by: str | None = None


class PasswordChange(Request):
    """A change of password; it ends every other session of the account."""

    current_password: SecretStr = Field(max_length=1024)
    new_password: Password


class SessionCreate(Request):
    """Log in."""

    email: Email
    password: SecretStr = Field(max_length=1024)


class Session(Reply):
    """A log-in session."""

    id: str
    created_at: datetime
    expires_at: datetime
    current: bool = False


class SessionCreated(Session):
    """A new session with its token, which is shown this once."""

    token: Secret
    account: Account


class KeyCreate(Request):
    """A new API key; it may do no more than whoever makes it, whose limits are its own where it has none."""

    name: str = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(
        default=["models:read", "predict"], min_length=1, description="What the key may be used for."
    )
    expires_at: datetime | None = Field(None, description="RFC 3339 with an offset; never when left out.")
    models: list[ModelPattern] | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="The models that exist for the key: names or `account~name`, a `*` for any characters.",
    )
    networks: list[Network] | None = Field(
        None, min_length=1, max_length=64, description="Where it may be used from, in CIDR notation."
    )
    requests_per_minute: int | None = Field(None, ge=1, le=100_000_000)
    rows_per_day: int | None = Field(
        None, ge=1, le=10**15, description="Instances predicted from midnight to midnight, in UTC."
    )


class KeyRotate(Request):
    """A new secret for a key; the old one stops after the overlap."""

    overlap_seconds: int = Field(0, ge=0, le=7 * 86_400)


class Key(Reply):
    """An API key without its secret; a limit of None is none."""

    id: str
    name: str
    prefix: str
    last4: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None = None
    models: list[str] | None = None
    networks: list[str] | None = None
    requests_per_minute: int | None = None
    rows_per_day: int | None = None
    last_used_at: datetime | None = None
    last_used_from: str | None = Field(None, description="The address that it was last used from.")


class KeyCreated(Key):
    """A key with its secret, which is shown this once."""

    secret: Secret


# --- the model package ----------------------------------------------------------------------------------


class Metric(Reply):
    """One measured quality figure and what it was measured on."""

    name: str = Field(min_length=1, max_length=64)
    value: float = Field(allow_inf_nan=False)
    dataset: str = Field(min_length=1, max_length=200)
    rows: int = Field(ge=1, lt=2**63)
    split: str = Field("", max_length=200)
    measured_at: datetime | None = None
    interval: tuple[FiniteFloat, FiniteFloat] | None = Field(None, description="95 %, where it was measured.")


# The least and the most that the figures of an evaluation can be.
_METRIC_RANGES = {
    **dict.fromkeys(("accuracy", "macro_f1", "expected_calibration_error"), (0.0, 1.0)),
    **dict.fromkeys(
        ("cross_entropy", "mean_squared_error", "mean_absolute_error", "root_mean_squared_error"), (0.0, inf)
    ),
    "r_squared": (-inf, 1.0),
}


def _possible(metric: Metric) -> Metric:
    low, high = _METRIC_RANGES.get(metric.name, (-inf, inf))
    if not low <= metric.value <= high:
        raise ValueError(f"{metric.name} lies between {low:g} and {high:g}, and {metric.value:g} does not")
    return metric


PossibleMetric = Annotated[Metric, AfterValidator(_possible)]


class ImagePreprocessing(Request):
    """How a picture becomes a tensor: decoded, turned upright, resized, scaled, normalised.

    A channel's value is `(pixel * scale - mean) / std`, with pixels from 0 to 255.
    """

    width: int = Field(ge=1, le=4096, description="In pixels.")
    height: int = Field(ge=1, le=4096, description="In pixels.")
    mode: Literal["RGB", "BGR", "L"] = Field("RGB", description="Channels in their order; `L` is grey.")
    fit: Literal["stretch", "crop", "pad"] = Field(
        "stretch", description="`crop` keeps the middle, `pad` adds black; both keep the proportions."
    )
    scale: float = Field(1 / 255, gt=0, allow_inf_nan=False)
    mean: list[FiniteFloat] = Field([0.0], min_length=1, max_length=3, description="One, or one per channel.")
    std: list[FiniteFloat] = Field([1.0], min_length=1, max_length=3, description="One, or one per channel.")
    layout: Literal["NCHW", "NHWC", "NHW"] = Field("NCHW", description="`NHW` for grey without that axis.")

    @model_validator(mode="after")
    def _consistent(self) -> ImagePreprocessing:
        channels = 1 if self.mode == "L" else 3
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise ValueError(
                    f"{name} has {len(values)} values for the {channels} channels of {self.mode}"
                )
        if 0 in self.std:
            raise ValueError("std is 0; values are divided by it")
        if self.layout == "NHW" and self.mode != "L":
            raise ValueError("the layout NHW has no channels; it goes with the mode L")
        return self


class Column(Request):
    """One column of a tabular model, in the order of the graph's input."""

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_ ().%/-]{0,127}$")
    type: Literal["number", "string"] = "number"
    description: str = Field("", max_length=1000)
    unit: str = Field("", max_length=64)
    categories: list[str] = Field(
        default_factory=list, max_length=10_000, description="The strings that are taken; any if empty."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Column:
        if self.name in ("instances", "parameters", "inputs"):
            raise ValueError(f"{self.name!r} means something else in a call; choose another name")
        if self.categories and self.type != "string":
            raise ValueError(f"{self.name!r} has categories, which go with the type string")
        return self


class Preprocessing(Request):
    """How a task's input becomes tensors, as data.

    Fields that a task has no use for are refused when the package is validated.
    """

    max_characters: int = Field(
        100_000, ge=1, le=10_000_000, description="Longest text taken, in characters."
    )
    tokenizer: str | None = Field(
        None, description="A `tokenizer.json` in the package, for graphs that take token ids."
    )
    max_tokens: int = Field(512, ge=1, le=131_072, description="Longer token sequences are truncated.")
    image: ImagePreprocessing | None = None
    columns: list[Column] = Field(default_factory=list, max_length=10_000, description="Of tabular tasks.")


class Postprocessing(Request):
    """How the graph's output becomes an answer."""

    output: str | None = Field(None, description="The graph output to read; the only one when left out.")
    activation: Literal["none", "softmax"] = Field(
        "none", description="`softmax` when the graph returns logits, `none` when it returns probabilities."
    )
    pooling: Literal["none", "mean", "cls"] = Field(
        "none",
        description="Of embeddings by token: their mean under the attention mask, or the first one; `none` "
        "when the graph returns one row per text.",
    )
    normalize: bool = Field(default=False, description="Whether embeddings are scaled to the length 1.")
    unit: str = Field("", max_length=64, description="Of a regression's value.")


class Serving(Request):
    """How a server should run the model; its operator may override each."""

    batching: bool = Field(
        default=False,
        description="Whether rows of different calls may share a run. Ignored where that moves results.",
    )
    max_batch_rows: int = Field(32, ge=1, le=4096, description="The most rows of a shared run.")
    max_wait_ms: float = Field(0.0, ge=0, le=1000, description="How long a run waits for company.")
    lanes: int | None = Field(None, ge=1, le=256, description="Runs at a time; the server's own when unset.")
    intra_op_threads: int | None = Field(None, ge=1, le=256, description="Threads within one operator.")
    provider: Literal["cpu", "cuda"] | None = Field(
        None, description="`cuda` is never run on the CPU instead; the server's own when unset."
    )


Label = Annotated[str, StringConstraints(min_length=1, max_length=MAX_LABEL_CHARACTERS)]
Tag = Annotated[str, StringConstraints(pattern=r"^[\w.+-]{1,64}$")]


class Manifest(Request):
    """`maas.toml`, the description inside a model package."""

    format: Literal[1] = 1
    task: str = Field(min_length=1, max_length=64)
    description: str = Field(min_length=1, max_length=4000)
    license: str = Field(min_length=1, max_length=200)
    intended_use: str = Field("", max_length=4000)
    limitations: str = Field("", max_length=4000)
    tags: list[Tag] = Field(default_factory=list, max_length=32)
    labels: list[Label] = Field(
        default_factory=list,
        max_length=MAX_LABELS,
        description="Class names in the order of the graph's output; or a `labels.txt` in the package.",
    )
    preprocessing: Preprocessing = Preprocessing()
    postprocessing: Postprocessing = Postprocessing()
    serving: Serving = Serving()
    metrics: list[Metric] = Field(default_factory=list, max_length=100)
    example: dict[str, JsonValue] = Field(description="Example input: the task signature's names and values.")


# --- models, versions, aliases --------------------------------------------------------------------------


class InputSpec(Reply):
    """One input of a task signature, as `/v1` takes it."""

    name: str
    type: str
    description: str = ""
    max_length: int | None = None
    unit: str | None = None
    categories: list[str] | None = None
    datatype: str | None = None
    shape: list[int] | None = None


class OutputSpec(Reply):
    """One field of a prediction, as `/v1` returns it."""

    name: str
    type: str
    description: str = ""


class TaskSignature(Reply):
    """What `/v1` takes and returns for one instance."""

    inputs: list[InputSpec]
    outputs: list[OutputSpec]


class TensorSpec(Reply):
    """One tensor of the graph: its Open Inference datatype and shape, −1 where a dimension varies."""

    name: str
    datatype: str
    shape: list[int]


class TensorSignature(Reply):
    """The graph's own inputs and outputs."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class SignatureDifference(Reply):
    """One difference between what two versions take and return.

    Args:
        kind: What it is, such as `input_removed` or `label_added`; newer servers may tell of others.
        where: `task` for what `/v1` takes and returns, `tensors` for the graph's own, which `/v2` shows.
        name: The input, the output or the label.
        before: What it was; None where it is new.
        after: What it is; None where it is gone.
        breaking: Whether a call that worked may fail now, or its answer mean something else.
    """

    kind: str
    where: str
    name: str
    before: str | None = None
    after: str | None = None
    breaking: bool

    def __str__(self) -> str:
        what = f"{self.where}: {self.kind.replace('_', ' ')}: "
        if self.before is None or self.after is None:
            return f"{what}{self.name}"
        name = "" if self.before == self.name else f"{self.name}: "
        return f"{what}{name}{self.before} → {self.after}"


class ModelCreate(Request):
    """A model without versions yet, which claims its name."""

    name: ModelName
    visibility: Visibility = "private"


class ModelUpdate(Request):
    """A change of a model's visibility."""

    visibility: Visibility


class Performance(Reply):
    """What this server measured of a version on one device, over whole calls of any number of rows.

    Args:
        device: What ran it, such as `cpu` or `cuda:0`.
        calls: Predictions that were answered; evaluations are usage, and not measured here.
        rows: Their rows.
        failures: Predictions whose run failed.
        p50_ms: The median time of a call within the server, in milliseconds, to 2 %; None before the first.
        p95_ms: The time that 95 % of the calls took at most, likewise.
        rows_per_second: Rows for each second that the model computed; None before the first.
        since: When measuring began.
        updated_at: When it was last measured.
    """

    device: str
    calls: int
    rows: int
    failures: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    rows_per_second: float | None = None
    since: datetime
    updated_at: datetime


class ModelUsage(Reply):
    """What all accounts together asked of a model or a version in the last days; never who."""

    calls: int
    rows: int
    days: int


class Snippets(Reply):
    """An example call that is ready to paste: a Python program and a shell command."""

    python: str
    curl: str


class Model(Reply):
    """A model in the catalogue; what describes its quality comes from the `default` version."""

    id: str = Field(description="The shortest name by which the caller reaches it: `name` or `account~name`.")
    object: str = "model"
    created: int = Field(description="Unix time in seconds.")
    owned_by: str = Field(description="The owning account's name.")
    name: str
    visibility: str = Field(
        description="`private`, `public`, or `shared`: private but for the accounts that it is shared with."
    )
    role: str | None = Field(
        None,
        description="What you are to it: `owner`, `publisher` or `reader`; null of what everybody sees.",
    )
    task: str | None = None
    description: str = ""
    intended_use: str = ""
    limitations: str = ""
    license: str | None = None
    tags: list[str] = []
    labels: list[str] = []
    metrics: list[Metric] = Field(
        [], description="What its owner measured after the publish, then what the package says."
    )
    signature: TaskSignature | None = None
    example: dict[str, JsonValue] | None = None
    size: int | None = Field(None, description="Bytes of the stored package.")
    performance: list[Performance] = Field([], description="As measured here, the quickest device first.")
    usage: ModelUsage | None = None
    snippets: Snippets | None = Field(None, description="Left out of listings.")
    default_version: int | None = None
    latest_version: int | None = None
    state: str = Field(
        "active",
        description="Of the version that is described here, `default`'s or else the latest: `active`, "
        "`deprecated` or `retired`.",
    )
    sunset: datetime | None = Field(None, description="When that version is to be retired.")
    replacement: str | None = Field(
        None, description="What to use instead of it: a version of the same model, or another model."
    )
    updated_at: datetime

    def _repr_html_(self) -> str:
        from maas_client import _cards

        return _cards.of_model(self)


class ShareUpdate(Request):
    """What an account is to be able to do with a model."""

    role: ShareRole


class Share(Reply):
    """An account that a model is shared with; its owners alone are told.

    Args:
        account: The account's name.
        role: `reader` sees it, predicts, explains and evaluates; `publisher` also publishes and downloads
            packages, moves aliases, sets the traffic and deprecates; `owner` may do with it what the owning
            account may.
        shared_at: Since when it has this role.
    """

    account: str
    role: str
    shared_at: datetime


class SharedModel(Reply):
    """A model that another account has shared with one's own.

    Args:
        model: The model, `account~name`.
        role: What it was shared as.
        shared_at: Since when.
    """

    model: str
    role: str
    shared_at: datetime


ModelSort: TypeAlias = Literal[
    "name",
    "-name",
    "created",
    "-created",
    "updated",
    "-updated",
    "accuracy",
    "-accuracy",
    "latency",
    "-latency",
    "size",
    "-size",
    "usage",
    "-usage",
]


def _split_at_commas(values: object) -> object:
    texts = [values] if isinstance(values, str) else values
    if not isinstance(texts, list):
        return values
    return [part for text in texts for part in (text.split(",") if isinstance(text, str) else [text])]


class ModelQuery(PageQuery):
    """Filters of `GET /v1/models`; a filter by a figure leaves out models that lack it."""

    task: str | None = Field(None, max_length=64, description="Only models of this task.")
    q: str | None = Field(
        None, max_length=200, description="Words that name, description or tags must contain, all of them."
    )
    tag: Annotated[list[Tag], BeforeValidator(_split_at_commas)] = Field(
        [], max_length=16, description="Tags that a model must have, all of them: repeated or between commas."
    )
    license: str | None = Field(None, max_length=200, description="Only models of this licence.")
    owner: str | None = Field(None, max_length=64, description="Only this account's models; `me` is yours.")
    shared: bool = Field(False, description="Only models that others have shared with you.")
    max_latency_ms: FiniteFloat | None = Field(
        None, gt=0, description="The longest median time of a call, as measured here on the quickest device."
    )
    min_accuracy: FiniteFloat | None = Field(
        None, ge=0, le=1, description="The least `accuracy` that the publisher measured."
    )
    max_size_bytes: int | None = Field(None, ge=1, lt=2**63, description="The largest package.")
    sort: ModelSort = Field(
        "name", description="`-` reverses the order; models that lack the figure come last in both."
    )


class Version(Reply):
    """One version of a model: immutable but for its state."""

    model: str
    version: int
    digest: str = Field(description="`sha256:` and the content digest of the package's files.")
    task: str
    size: int = Field(description="Bytes of the stored package.")
    notes: str = ""
    author: str
    created_at: datetime
    aliases: list[str] = []
    manifest: Manifest
    signature: TaskSignature
    tensors: TensorSignature
    measured_metrics: list[Metric] = Field(
        [], description="What its owner measured of it after it was published, beside `manifest.metrics`."
    )
    batch_invariant: bool | None = Field(
        None,
        description="Whether a row's result is the same in any company; if not, rows are run one by one.",
    )
    origin: str = Field("uploaded", description="How it was made: `uploaded`, `trained`, `quantized`, ….")
    parent: int | None = Field(
        None, description="The version of the same model that it was made from; that may be deleted since."
    )
    lineage: dict[str, JsonValue] = Field({}, description="What else is told about how it was made.")
    state: str = Field("active", description="`active`, `deprecated`, or `retired`, which is not run.")
    state_since: datetime | None = Field(None, description="None if it was never another.")
    reason: str = Field("", description="Why it is deprecated or retired.")
    replacement: str | None = Field(None, description="A version of the same model, or another model.")
    sunset: datetime | None = Field(None, description="When it is to be retired.")
    documentation: str | None = Field(None, description="The address of a page that tells more.")
    performance: list[Performance] = Field([], description="As measured here, the quickest device first.")
    usage: ModelUsage | None = None
    snippets: Snippets | None = Field(None, description="Left out of listings.")


class VersionUpdate(Request):
    """What its owner says of a version. What is left out stays as it is; a null takes it away.

    A version that is made active again has no reason, replacement, sunset and documentation.
    """

    state: VersionState | None = None
    reason: Notes | None = Field(None, description="Why.")
    replacement: Replacement | None = Field(
        None,
        description="What to use instead: the number of a version of this model, as a number or a text, or a "
        "model's name.",
    )
    sunset: Instant | None = Field(None, description="When it is to be retired; RFC 3339, with an offset.")
    documentation: PageAddress | None = Field(None, description="The address of a page that tells more.")
    metrics: list[PossibleMetric] | None = Field(
        None, max_length=100, description="What was measured of it; takes the place of what was said before."
    )


class UploadCreate(Request):
    """A package that is to come in chunks: the size and the sha256 of its zip."""

    size: int = Field(ge=1, lt=2**63, description="Bytes of the zip.")
    sha256: str = Field(
        pattern=r"^(?:sha256:)?[0-9a-f]{64}$", description="Of the zip's bytes, in hexadecimal."
    )


class Upload(Reply):
    """A package that comes in chunks, as far as it has."""

    id: str
    size: int = Field(description="Bytes that it will have.")
    received: int = Field(ge=0, description="Bytes that are there; the next chunk begins with this one.")
    chunk_bytes: int = Field(ge=1, description="The largest chunk that is taken.")
    expires_at: datetime = Field(description="When it is forgotten, unless a chunk comes before.")


class PublishQuery(Request):
    """Query parameters of a publish, whose body is the package's zip, or empty with `upload`."""

    upload: str | None = Field(
        None,
        max_length=128,
        description="The id of an upload that holds the package; the body is empty then.",
    )
    notes: Notes = Field("", description="What is new in this version.")
    visibility: Visibility | None = Field(
        None, description="For a model that this creates (`private` when left out); others keep theirs."
    )
    set_default: bool = Field(False, description="Move the alias `default` to the new version.")
    parent: VersionNumber | None = Field(
        None, description="The version of the same model that this one was made from."
    )
    origin: Origin = Field("uploaded", description="How it was made: `uploaded`, `trained`, `quantized`, ….")
    lineage: Lineage = Field(
        {}, description="A JSON object of what else is to be known about how it was made; at most 16 KiB."
    )
    again: bool = Field(False, description="Make a new version even of content that the model has already.")
    force: bool = Field(
        False, description="With `set_default`: even if the signature breaks that of the version before."
    )


class Alias(Reply):
    """A name that points to a version. `latest` is computed and cannot be moved."""

    name: str
    version: int
    revision: int = Field(description="Counts the moves; sent as the ETag, compared with `If-Match`.")
    note: str = ""
    moved_by: str | None = None
    moved_at: datetime


class AliasMove(Request):
    """Where an alias is to point, and why."""

    version: VersionNumber
    note: Notes = ""
    force: bool = Field(
        False, description="Move `default` even if the signature breaks that of the version before."
    )


class AliasRollback(Request):
    """Why an alias goes back to the version it pointed to before."""

    note: Notes = ""
    force: bool = Field(
        False, description="Move `default` even if the signature breaks that of the version before."
    )


class AliasChange(Reply):
    """One entry of an alias's history, newest first."""

    alias: str
    from_version: int | None
    to_version: int
    revision: int
    note: str = ""
    moved_by: str
    moved_at: datetime


class HistoryQuery(PageQuery):
    """Filters of a model's history."""

    kind: str | None = Field(None, max_length=32, description="Only events of this kind.")
    after: int | None = Field(None, ge=0, lt=2**31, description="Only events after the one of this number.")


class ModelEvent(Reply):
    """Something that happened to a model: one entry of its history.

    Args:
        seq: Its number in the model's history, from 1 in the order of what happened.
        kind: `published`, `alias_moved`, `alias_rolled_back`, `deprecated`, `restored`, `retired`,
            `version_deleted`; of the traffic `traffic_changed`, `promoted`, `withdrawn`; to owners alone
            `shared`, `share_changed`, `share_withdrawn`, whose numbers others find left out; or another
            that a newer server tells of.
        at: When it happened.
        by: The name of the account that did it.
        version: The version that it is about; None where it is about none.
        details: What else is known, by kind: the alias and `from_version` of a move, the reason and the
            replacement of a deprecation, the digest of what was published or deleted, the splits, the shadows
            and the revision of the traffic, the account and the role of a share.
    """

    seq: int
    kind: str
    at: datetime
    by: str
    version: int | None = None
    details: dict[str, JsonValue] = {}


# --- traffic --------------------------------------------------------------------------------------------


class TrafficSplit(Request):
    """What a version gets of the calls that name none: its weight over the sum of all weights."""

    version: VersionNumber
    weight: float = Field(gt=0, le=1_000_000, allow_inf_nan=False, description="On any scale.")


class TrafficUpdate(Request):
    """Who is to serve the calls that name no version, which versions get copies of them, and why."""

    splits: list[TrafficSplit] = Field(
        default_factory=list,
        max_length=10,
        description="The versions that serve, with their weights; the alias `default` alone when empty.",
    )
    shadows: list[VersionNumber] = Field(
        default_factory=list,
        max_length=5,
        description="Versions that get a copy in the background; what they answer is compared and dropped.",
    )
    note: Notes = ""
    promote: bool = Field(
        False, description="Move the alias `default` to the one version in `splits`, and end the split."
    )
    force: bool = Field(
        False, description="Let versions serve even if their signature breaks that of `default`'s version."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TrafficUpdate:
        serving = [split.version for split in self.splits]
        for name, versions in (("splits", serving), ("shadows", self.shadows)):
            if len(set(versions)) != len(versions):
                raise ValueError(f"{name} names a version twice")
        if self.promote and (len(serving) != 1 or self.shadows):
            raise ValueError("promote goes with one version in splits and no shadows")
        if not serving and not self.shadows:
            raise ValueError(
                "splits and shadows are both empty; DELETE the traffic to send everything to `default` again"
            )
        return self


class TrafficWithdrawal(Request):
    """Query parameters of the end of a split and of shadows."""

    note: Notes = Field("", description="Why.")


class TrafficShare(Reply):
    """What a version gets of the calls that name none."""

    version: int
    weight: float = Field(description="As it was set.")
    share: float = Field(description="The fraction of callers, 0 to 1.")


class Traffic(Reply):
    """Who serves the calls that name no version, and which versions get copies of them."""

    splits: list[TrafficShare] = Field([], description="Empty: the alias `default` serves alone.")
    shadows: list[int] = []
    revision: int = Field(description="Counts the changes; sent as the ETag, compared with `If-Match`.")
    kind: str = Field("", description="`traffic_changed`, `promoted`, `withdrawn`; empty before any change.")
    note: str = ""
    changed_by: str | None = None
    changed_at: datetime | None = None


class ServedQuery(Request):
    """Query parameters of `GET …/served`."""

    at: Instant | None = Field(None, description="RFC 3339 with an offset; now when left out.")


class ServedShare(Reply):
    """One of the versions that served the calls that named none."""

    version: int
    share: float = Field(description="The fraction of callers, 0 to 1.")
    digest: str | None = Field(None, description="None when the version has been deleted since.")


class Served(Reply):
    """Which versions served the calls that named none at a time, and the change that had made it so."""

    at: datetime
    versions: list[ServedShare]
    shadows: list[int] = []
    since: datetime
    kind: str = Field(description="What made it so: `alias_moved`, `traffic_changed`, `withdrawn`…")
    by: str
    note: str = ""


class Estimate(Reply):
    """A measured figure with its 95 % interval; the bounds are None where too little was seen for them."""

    value: float
    low: float | None = None
    high: float | None = None
    count: int = Field(description="What it was measured on: calls, or rows of calls.")


class ComparisonQuery(Request):
    """Query parameters of `GET …/comparison`."""

    a: VersionNumber = Field(description="The version to compare with.")
    b: VersionNumber = Field(description="The version that is compared.")
    since: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Only what was seen since this revision of the traffic; everything at 0.",
    )


class ShadowComparison(Reply):
    """What a version answered to copies of the calls that another one served: the same calls, in pairs.

    Args:
        calls: Copies that were run.
        dropped: Copies that were not, because the server had better things to do.
        rows: Instances in those calls that both versions answered.
        measure: What tells two answers apart: `label`, `value`, `embedding` or `tensor`.
        agreement: The fraction of rows that agree: the same label; a value within 1 %; vectors of a cosine
            of 0.99 or more; tensors equal but for 0.001 and 0.1 %.
        difference: The mean over rows of the difference: of the score of a's label, of the value, 1 − the
            cosine, the largest of a tensor's elements.
        largest_difference: The largest of them.
        latency_ratio: b's compute time over a's, the geometric mean over calls that ran both one after the
            other, apart from the traffic.
        error_rate_a: Of a, with callers.
        error_rate_b: Of b, with the copies.
    """

    calls: int
    dropped: int
    rows: int
    measure: str | None = None
    agreement: Estimate | None = None
    difference: Estimate | None = None
    largest_difference: float | None = None
    latency_ratio: Estimate | None = None
    error_rate_a: Estimate | None = None
    error_rate_b: Estimate | None = None


class VersionTraffic(Reply):
    """How a version did with callers of its own.

    Args:
        version: The version.
        calls: Calls that named no version and came to this one, while a split or a shadow was in force.
        error_rate: The fraction that was decoded and then failed.
        latency_ms: The geometric mean of their compute times, in milliseconds.
    """

    version: int
    calls: int
    error_rate: Estimate | None = None
    latency_ms: Estimate | None = None


class Comparison(Reply):
    """Two versions of a model compared by live traffic.

    Args:
        model: The model's name.
        a: The version to compare with.
        b: The version that is compared.
        since: The revision of the traffic from which on calls are counted.
        shadow: From copies that b got of a's calls; None where there were none.
        served_a: What a served to its own callers.
        served_b: What b served to its own callers.
        latency_ratio: b's latency over a's with their own callers.
        caveats: Where too little was seen to rely on a figure.
    """

    model: str
    a: int
    b: int
    since: int
    shadow: ShadowComparison | None = None
    served_a: VersionTraffic
    served_b: VersionTraffic
    latency_ratio: Estimate | None = None
    caveats: list[str] = []


# --- export ---------------------------------------------------------------------------------------------
# --- usage ----------------------------------------------------------------------------------------------


class UsageQuery(PageQuery):
    """Filters of `GET /v1/usage`."""

    model: str | None = Field(None, max_length=200, description="Only calls of this model.")
    version: VersionNumber | None = Field(None, description="Only calls of versions of this number.")
    since: date | None = Field(None, description="The first day, in UTC.")
    until: date | None = Field(None, description="The last day, in UTC.")


class UsageEntry(Reply):
    """What one's own account asked of one version on one day.

    Args:
        day: The day, in UTC.
        model: The model, `account~name`.
        version: The version's number.
        calls: Calls that were answered.
        rows: Their rows.
        failures: Calls whose run failed.
    """

    day: date
    model: str
    version: int
    calls: int
    rows: int
    failures: int


class AuditQuery(PageQuery):
    """Filters of `GET /v1/audit`."""

    act: AuditAct | None = Field(None, description="Only entries of this act.")
    outcome: AuditOutcome | None = Field(None, description="Only entries that ended so.")
    since: AwareDatetime | None = Field(None, description="The first moment, with an offset from UTC.")
    until: AwareDatetime | None = Field(None, description="The moment before which all must lie.")


class AdminAuditQuery(AuditQuery):
    """Filters of `GET /v1/admin/audit`."""

    account: str | None = Field(
        None, max_length=64, description="Only entries that the account of this id did, or that concern it."
    )


class AuditEntry(Reply):
    """One security-relevant act, or several like ones of one minute; never what it was about.

    Args:
        id: The entry's id.
        seq: Its number in the log, from 1 without gaps; for operators alone.
        at: When, in UTC; of several the beginning of their minute.
        act: What was done, such as `key_made`. `prediction` and `request` stand for denied calls that change
            nothing.
        outcome: `succeeded`, `denied`, or `failed` when the server did not get to its end. `hidden`, for
            operators alone: a denial of something that its caller was not to know of.
        account: Whose affair it is, by id; None where no account is known.
        actor: Who did it: an account's id, `operator` for commands on the server's machine, None for
            strangers.
        credential: The id of the session or key that spoke for them.
        subject: The id of what it was done to.
        version: The number of the version it was done to.
        status: The HTTP status that was answered; None for commands.
        count: How many like acts it stands for.
        request_id: Of the request, as in `X-Request-Id`; None where several are counted.
        address: From where the actor came; only the actor and operators see this and what follows.
        user_agent: The actor's program, as it called itself.
        email: The e-mail that was given.
        model: The name by which the model was meant.
        alias: The alias's name.
        shared_with: The name of the account that a share is for, and as what: `bob as reader`.
        origin: For strangers, a keyed hash that tells two addresses apart on one day.
        hash: The entry's place in the chain: SHA-256 in hexadecimal.
        unreadable: Whether there were personal fields that do not open any more, as after an erasure.
    """

    id: str
    seq: int | None = None
    at: datetime
    act: str
    outcome: str
    account: str | None = None
    actor: str | None = None
    credential: str | None = None
    subject: str | None = None
    version: int | None = None
    status: int | None = None
    count: int = 1
    request_id: str | None = None
    address: str | None = None
    user_agent: str | None = None
    email: str | None = None
    model: str | None = None
    alias: str | None = None
    shared_with: str | None = None
    origin: str | None = None
    hash: str
    unreadable: bool = False


class AuditHead(Reply):
    """The end of the audit log; written down elsewhere, it tells later whether the log was cut or rewritten.

    Args:
        seq: The number of the last entry; 0 for an empty log.
        hash: Its hash.
        at: When it was written.
    """

    seq: int
    hash: str
    at: datetime | None = None


class AccountExport(Reply):
    """Everything that the service holds about an account, without secrets."""

    account: Account
    sessions: list[Session]
    keys: list[Key]
    models: list[Model]
    versions: list[Version]
    alias_changes: dict[str, list[AliasChange]]
    jobs: list[JobReply] = []
    events: dict[str, list[ModelEvent]] = {}
    traffic_changes: dict[str, list[Traffic]] = {}
    usage: list[UsageEntry] = []
    shares: dict[str, list[Share]] = Field({}, description="With whom each of its models is shared.")
    shared_with_me: list[SharedModel] = []


# --- predictions ----------------------------------------------------------------------------------------


class Usage(Reply):
    """What a call counted as."""

    instances: int


class Timing(Reply):
    """Where the server spent its time, in milliseconds."""

    queue_ms: float
    compute_ms: float


class PredictReply(Reply):
    """The answer to a predict call: one prediction per instance, in the same order."""

    id: str
    model: str
    version: int
    digest: str
    device: str
    predictions: list[dict[str, Any]]
    usage: Usage
    timing: Timing


# --- explanations ---------------------------------------------------------------------------------------

ExplainMethod: TypeAlias = Literal["auto", "exact", "kernel", "leave-one-out"]


class EmbeddingsRequest(Request):
    """Texts to embed, as the OpenAI API has them."""

    model: str = Field(min_length=1, max_length=200, description="A model of the task `embedding`.")
    input: Annotated[str, Field(min_length=1)] | Annotated[list[str], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="`base64` is that of little-endian float32."
    )
    dimensions: int | None = Field(
        None, ge=1, lt=2**31, description="What the model has; no model here shortens them."
    )
    user: str | None = Field(None, max_length=256, description="Taken for compatibility, and not kept.")


class ExplainRequest(Request):
    """Why a model says what it says about one instance."""

    inputs: dict[str, JsonValue] = Field(min_length=1, description="The instance: inputs by name.")
    target: str | None = Field(
        None, max_length=200, description="The label or output to explain; the predicted one when left out."
    )
    method: ExplainMethod = Field("auto", description="`auto` is exact where the budget allows it.")
    budget: int = Field(256, ge=2, le=100_000, description="The most evaluations of the model.")
    seed: int = Field(0, ge=0, lt=2**31, description="The same seed gives the same answer.")
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Options of the task.")


class Attribution(Reply):
    """What one feature adds to the prediction.

    Args:
        feature: The feature itself: a word, a column's name, a region.
        input: The input that it is part of.
        value: What it adds to the target's score, in the score's own unit.
        standard_error: Of `value`, by the method's sampling; None where it is exact.
        start: Where it begins in a text, in characters; None elsewhere.
        end: Where it ends in a text, in characters, exclusive; None elsewhere.
    """

    feature: str
    input: str
    value: float
    standard_error: float | None = None
    start: int | None = None
    end: int | None = None


class Curve(Reply):
    """The target's score while features are taken away or put back, the most important ones first.

    Args:
        fractions: The fraction of the features changed at each point, 0 to 1.
        scores: The target's score at each point.
        area: The area under the curve.
        random_area: The area under the curve of a random order, for comparison.
    """

    fractions: list[float]
    scores: list[float]
    area: float
    random_area: float


class Faithfulness(Reply):
    """How far an explanation can be trusted: what the model does when its features are really changed.

    Args:
        deletion: The score while features are taken away; a faithful explanation makes it fall early.
        insertion: The score while features are put back; a faithful explanation makes it rise early.
        comprehensiveness: How much the score falls without the most important features.
        sufficiency: How much the score falls with the most important features alone.
        random_comprehensiveness: The same for a random choice of features.
        random_sufficiency: The same for a random choice of features.
    """

    deletion: Curve
    insertion: Curve
    comprehensiveness: float
    sufficiency: float
    random_comprehensiveness: float
    random_sufficiency: float


class ExplainReply(Reply):
    """The answer to an explain call.

    Args:
        prediction: The target's score for the instance.
        baseline: The target's score without any feature.
        additivity_gap: baseline + sum of the attributions − prediction; 0 for exact Shapley values.
        evaluations: How often the model was run.
    """

    id: str
    model: str
    version: int
    digest: str
    device: str
    target: str
    method: str
    seed: int
    prediction: float
    baseline: float
    attributions: list[Attribution]
    additivity_gap: float
    evaluations: int
    faithfulness: Faithfulness | None = None


# --- jobs -----------------------------------------------------------------------------------------------

JobState: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled", "interrupted"]
ENDED_JOB_STATES = frozenset({"succeeded", "failed", "cancelled", "interrupted"})


class JobProgress(Reply):
    """How far a job has come.

    Args:
        done: Units that are done.
        total: Units in all; None where that is not known.
        unit: What is counted. It changes with the phase of the work, each of which counts from 0: `row`, and
            then `bootstrap sample` for the intervals of an evaluation. A job that succeeded tells its rows.
        remaining_seconds: What is left of this phase at the present speed; None where that is not known.
    """

    done: int = Field(0, ge=0)
    total: int | None = None
    unit: str = ""
    remaining_seconds: float | None = None


class JobFault(Reply):
    """Why a job has no result."""

    code: str
    message: str


class JobReply(Reply):
    """Long work that the server does by itself.

    Args:
        kind: What is done, such as `evaluate`.
        state: `queued`, `running`, or how it ended: `succeeded`, `failed` for reasons of the work itself,
            `cancelled` on request, `interrupted` by the end of the server where it could not go on.
        revision: Counts the changes; the id of its events.
        model: The model that it is about, by the name by which everybody reaches it.
        version: The version that it is about.
        request: What was asked, without large inputs.
        cancel_requested: Whether it was asked to stop; one that runs stops at its next step.
        attempts: How often it was begun; more than once where a server died under it.
        result: What it made, by its kind.
        error: Why there is no result.
        expires_at: When it is forgotten.
    """

    id: str
    kind: str
    state: str
    revision: int
    model: str | None = None
    version: int | None = None
    request: dict[str, JsonValue] = {}
    progress: JobProgress = JobProgress()
    cancel_requested: bool = False
    attempts: int = 0
    result: dict[str, JsonValue] | None = None
    error: JobFault | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    expires_at: datetime


class JobQuery(PageQuery):
    """Filters of `GET /v1/jobs`."""

    state: JobState | None = Field(None, description="Only jobs in this state.")
    kind: str | None = Field(None, max_length=64, description="Only jobs of this kind, such as `evaluate`.")


class JobLine(Reply):
    """A line of a job's log."""

    number: int
    at: datetime
    text: str


# --- evaluation -----------------------------------------------------------------------------------------


class EvaluateRequest(Request):
    """Inputs and what is true of each; the model's answers are held against that."""

    inputs: list[dict[str, JsonValue]] = Field(min_length=1, description="Instances: inputs by name.")
    targets: list[JsonValue] = Field(
        min_length=1, description="For each of them the true label, or the true value of a regression."
    )
    parameters: dict[str, JsonValue] = Field(default_factory=dict, description="Options of the task.")
    background: bool = Field(
        default=False, description="Answer with a job at once, as for more rows than a call takes."
    )


class EvaluationQuery(Request):
    """Query parameters of an evaluation of many rows; its body is an `EvaluateRequest`."""

    rows: int = Field(
        ge=1, lt=2**31, description="How many rows the body holds; other than that is an error."
    )
    version: str | None = Field(
        None,
        pattern=rf"^(?:{VERSION_NUMBER}|{ALIAS_NAME})$",
        description="A version's number, an alias or `latest`; what `default` points to when left out.",
    )


class MeasuredMetric(Reply):
    """A metric of the rows that were evaluated.

    Args:
        name: Such as `accuracy`.
        value: What was measured.
        interval: Its 95 % interval: of an accuracy Wilson's, which holds for few rows too; of all others by
            bootstrap, which is too narrow below some 30 rows and for what rests on few of many, such as the
            F1 of a rare label. None where all samples give the same figure, so that nothing is known.
        unit: Of value and interval.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    unit: str


class CalibrationBin(Reply):
    """The rows whose most probable label was given a probability in one range.

    Args:
        low: Where the range begins, exclusive.
        high: Where it ends, inclusive.
        rows: How many rows there are.
        confidence: Their mean probability; None without rows.
        accuracy: The share of them that is right; None without rows.
    """

    low: float
    high: float
    rows: int
    confidence: float | None = None
    accuracy: float | None = None


class ConfusionMatrix(Reply):
    """How many rows of each true label were given each label.

    Args:
        labels: The labels of rows and columns; of many, those alone that were met.
        counts: `counts[i][j]` rows of the label i were given the label j.
    """

    labels: list[str]
    counts: list[list[int]]


class Evaluation(Reply):
    """How well a version did on the caller's own rows.

    Args:
        model: The model.
        version: The version.
        digest: Its content digest.
        device: What ran it.
        task: The model's task.
        rows: How many rows there were.
        metrics: What was measured.
        resamples: How many samples the intervals by bootstrap come from.
        seed: What they were drawn with.
        confusion_matrix: Of a classification.
        calibration: Of a classification whose scores are probabilities: 15 bins of equal width.
        notes: What to know in order to read it.
    """

    model: str
    version: int
    digest: str
    device: str
    task: str
    rows: int
    metrics: list[MeasuredMetric]
    resamples: int
    seed: int
    confusion_matrix: ConfusionMatrix | None = None
    calibration: list[CalibrationBin] | None = None
    notes: list[str] = []

    def __getitem__(self, name: str) -> float:
        """Return a metric's value: `evaluation["accuracy"]`."""
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        raise KeyError(
            f"{name!r} was not measured; there are {', '.join(each.name for each in self.metrics)}"
        )

    def as_metrics(self, dataset: str, *, split: str = "") -> list[Metric]:
        """Return it as the owner of a version attaches it: `versions.update(3, metrics=…)`.

        Args:
            dataset: What the rows are from.
            split: Which part of that they are, such as `held-out fifth, seed 0`.
        """
        return [
            Metric(
                name=metric.name,
                value=metric.value,
                dataset=dataset,
                rows=self.rows,
                split=split,
                measured_at=datetime.now(UTC),
                interval=metric.interval,
            )
            for metric in self.metrics
        ]

    def _repr_html_(self) -> str:
        from maas_client import _display

        return _display.of_evaluation(self)


# --- the Open Inference Protocol ------------------------------------------------------------------------


class ServerMetadata(Reply):
    """What a server of the Open Inference Protocol says of itself; peers leave out any of it."""

    name: str | None = None
    version: str | None = None
    extensions: list[str] | None = None


class TensorMetadata(Reply):
    """One tensor of a model: its Open Inference datatype and shape, −1 where a dimension varies."""

    name: str
    datatype: str | None = None
    shape: list[int] | None = None


class ModelMetadata(Reply):
    """What a server of the Open Inference Protocol says of a model; peers leave out most of it."""

    name: str | None = None
    versions: list[str] | None = None
    platform: str | None = None
    inputs: list[TensorMetadata] | None = None
    outputs: list[TensorMetadata] | None = None


class RepositoryEntry(Reply):
    """One model, or one version of it, in a server's repository."""

    name: str
    version: str | None = None
    state: str | None = None
    reason: str | None = None
