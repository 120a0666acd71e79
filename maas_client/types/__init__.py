"""The wire contract: every JSON object that the SDK and the server exchange.

Two bases. A `Reply` is frozen and keeps fields that it does not know, so that an older SDK reads a newer
server. A `Request` forbids unknown fields, so that a misspelt option is an error and not a silent default.
The server imports these same classes; the two sides cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maas_client.types.accounts import (
        SCOPES,
        Account,
        AccountCreate,
        Invitation,
        Key,
        KeyCreate,
        KeyCreated,
        KeyRotate,
        PasswordChange,
        Scope,
        Session,
        SessionCreate,
        SessionCreated,
    )
    from maas_client.types.advice import (
        Advice,
        AdviceApply,
        AdviceInterval,
        AdviceMachine,
        AdviceMetric,
        AdviceObjective,
        AdviceProgress,
        AdviceQuality,
        AdviceRecommendation,
        AdviceRequest,
        AdviceSetting,
        AdviceVariant,
        AppliedAdvice,
        HardwareAdvice,
        NotMeasured,
        StaticAdvice,
        StaticFinding,
    )
    from maas_client.types.aliases import Alias, AliasChange, AliasMove, AliasRollback
    from maas_client.types.audit import (
        AdminAuditQuery,
        AuditAct,
        AuditEntry,
        AuditHead,
        AuditOutcome,
        AuditQuery,
    )
    from maas_client.types.base import Item, Page, PageQuery, Reply, Request
    from maas_client.types.capture import (
        MAX_CAPTURE_DAYS,
        Capture,
        CapturedCall,
        CapturedQuery,
        CaptureNotice,
        CaptureUpdate,
    )
    from maas_client.types.comparison import (
        Comparison,
        ComparisonQuery,
        Estimate,
        ShadowComparison,
        VersionTraffic,
    )
    from maas_client.types.erasure import (
        AccountErase,
        Erasure,
        ErasurePlan,
        ErasureStatement,
        Receipt,
        ReceiptSignature,
    )
    from maas_client.types.errors import ErrorBody, ErrorDetail, ErrorReply
    from maas_client.types.evaluations import (
        CalibrationBin,
        ConfusionMatrix,
        EvaluateRequest,
        Evaluation,
        EvaluationQuery,
        MeasuredMetric,
    )
    from maas_client.types.explanations import (
        Attribution,
        Curve,
        ExplainMethod,
        ExplainOptions,
        ExplainReply,
        ExplainRequest,
        ExplanationsQuery,
        ExplanationsReply,
        ExplanationsRequest,
        Faithfulness,
        FeatureImportance,
    )
    from maas_client.types.export import AccountExport
    from maas_client.types.fields import (
        ACCOUNT_NAME,
        ALIAS_NAME,
        MAX_LABEL_CHARACTERS,
        MAX_LABELS,
        MAX_LINEAGE_BYTES,
        MAX_STARS,
        MODEL_NAME,
        RESERVED_INPUT_NAMES,
        RESERVED_MODEL_NAMES,
        VERSION_NUMBER,
        AccountName,
        Digest,
        Email,
        Instant,
        Lineage,
        ModelName,
        ModelPattern,
        Network,
        Notes,
        Origin,
        PageAddress,
        Password,
        Replacement,
        Secret,
        VersionNumber,
    )
    from maas_client.types.fine_tunes import (
        FineTune,
        FineTuneBase,
        FineTuneCreate,
        FineTuneOptions,
        FineTuneQuery,
        FineTuneRows,
        LabelledRows,
        LossName,
        TrainingOptions,
        TrainingPoint,
        TrainingProgress,
    )
    from maas_client.types.history import HistoryQuery, ModelEvent
    from maas_client.types.jobs import (
        ENDED_JOB_STATES,
        JobFault,
        JobLine,
        JobProgress,
        JobQuery,
        JobReply,
        JobState,
    )
    from maas_client.types.models import (
        Model,
        ModelCreate,
        ModelQuery,
        ModelSort,
        ModelUpdate,
        ModelUsage,
        Performance,
        Snippets,
        Visibility,
    )
    from maas_client.types.open_inference import (
        ModelMetadata,
        RepositoryEntry,
        ServerMetadata,
        TensorMetadata,
    )
    from maas_client.types.packages import (
        Column,
        ImagePreprocessing,
        Label,
        Manifest,
        Metric,
        PossibleMetric,
        Postprocessing,
        Preprocessing,
        Serving,
        Tag,
    )
    from maas_client.types.predictions import EmbeddingsRequest, PredictReply, Timing
    from maas_client.types.service import Health, Registration, ServiceInfo, UsagePolicy
    from maas_client.types.shares import SHARE_ROLES, Share, SharedModel, ShareRole, ShareUpdate
    from maas_client.types.signatures import (
        InputSpec,
        OutputSpec,
        SignatureDifference,
        TaskSignature,
        TensorSignature,
        TensorSpec,
    )
    from maas_client.types.traffic import (
        Served,
        ServedQuery,
        ServedShare,
        Traffic,
        TrafficShare,
        TrafficSplit,
        TrafficUpdate,
        TrafficWithdrawal,
    )
    from maas_client.types.usage import Usage, UsageEntry, UsageQuery
    from maas_client.types.versions import (
        PublishQuery,
        Upload,
        UploadCreate,
        Version,
        VersionState,
        VersionUpdate,
    )

__all__ = [
    "ACCOUNT_NAME",
    "ALIAS_NAME",
    "ENDED_JOB_STATES",
    "MAX_CAPTURE_DAYS",
    "MAX_LABELS",
    "MAX_LABEL_CHARACTERS",
    "MAX_LINEAGE_BYTES",
    "MAX_STARS",
    "MODEL_NAME",
    "RESERVED_INPUT_NAMES",
    "RESERVED_MODEL_NAMES",
    "SCOPES",
    "SHARE_ROLES",
    "VERSION_NUMBER",
    "Account",
    "AccountCreate",
    "AccountErase",
    "AccountExport",
    "AccountName",
    "AdminAuditQuery",
    "Advice",
    "AdviceApply",
    "AdviceInterval",
    "AdviceMachine",
    "AdviceMetric",
    "AdviceObjective",
    "AdviceProgress",
    "AdviceQuality",
    "AdviceRecommendation",
    "AdviceRequest",
    "AdviceSetting",
    "AdviceVariant",
    "Alias",
    "AliasChange",
    "AliasMove",
    "AliasRollback",
    "AppliedAdvice",
    "Attribution",
    "AuditAct",
    "AuditEntry",
    "AuditHead",
    "AuditOutcome",
    "AuditQuery",
    "CalibrationBin",
    "Capture",
    "CaptureNotice",
    "CaptureUpdate",
    "CapturedCall",
    "CapturedQuery",
    "Column",
    "Comparison",
    "ComparisonQuery",
    "ConfusionMatrix",
    "Curve",
    "Digest",
    "Email",
    "EmbeddingsRequest",
    "Erasure",
    "ErasurePlan",
    "ErasureStatement",
    "ErrorBody",
    "ErrorDetail",
    "ErrorReply",
    "Estimate",
    "EvaluateRequest",
    "Evaluation",
    "EvaluationQuery",
    "ExplainMethod",
    "ExplainOptions",
    "ExplainReply",
    "ExplainRequest",
    "ExplanationsQuery",
    "ExplanationsReply",
    "ExplanationsRequest",
    "Faithfulness",
    "FeatureImportance",
    "FineTune",
    "FineTuneBase",
    "FineTuneCreate",
    "FineTuneOptions",
    "FineTuneQuery",
    "FineTuneRows",
    "HardwareAdvice",
    "Health",
    "HistoryQuery",
    "ImagePreprocessing",
    "InputSpec",
    "Instant",
    "Invitation",
    "Item",
    "JobFault",
    "JobLine",
    "JobProgress",
    "JobQuery",
    "JobReply",
    "JobState",
    "Key",
    "KeyCreate",
    "KeyCreated",
    "KeyRotate",
    "Label",
    "LabelledRows",
    "Lineage",
    "LossName",
    "Manifest",
    "MeasuredMetric",
    "Metric",
    "Model",
    "ModelCreate",
    "ModelEvent",
    "ModelMetadata",
    "ModelName",
    "ModelPattern",
    "ModelQuery",
    "ModelSort",
    "ModelUpdate",
    "ModelUsage",
    "Network",
    "NotMeasured",
    "Notes",
    "Origin",
    "OutputSpec",
    "Page",
    "PageAddress",
    "PageQuery",
    "Password",
    "PasswordChange",
    "Performance",
    "PossibleMetric",
    "Postprocessing",
    "PredictReply",
    "Preprocessing",
    "PublishQuery",
    "Receipt",
    "ReceiptSignature",
    "Registration",
    "Replacement",
    "Reply",
    "RepositoryEntry",
    "Request",
    "Scope",
    "Secret",
    "Served",
    "ServedQuery",
    "ServedShare",
    "ServerMetadata",
    "ServiceInfo",
    "Serving",
    "Session",
    "SessionCreate",
    "SessionCreated",
    "ShadowComparison",
    "Share",
    "ShareRole",
    "ShareUpdate",
    "SharedModel",
    "SignatureDifference",
    "Snippets",
    "StaticAdvice",
    "StaticFinding",
    "Tag",
    "TaskSignature",
    "TensorMetadata",
    "TensorSignature",
    "TensorSpec",
    "Timing",
    "Traffic",
    "TrafficShare",
    "TrafficSplit",
    "TrafficUpdate",
    "TrafficWithdrawal",
    "TrainingOptions",
    "TrainingPoint",
    "TrainingProgress",
    "Upload",
    "UploadCreate",
    "Usage",
    "UsageEntry",
    "UsagePolicy",
    "UsageQuery",
    "Version",
    "VersionNumber",
    "VersionState",
    "VersionTraffic",
    "VersionUpdate",
    "Visibility",
]

# Which file each name comes from; that of `TYPE_CHECKING` above, for the interpreter.
_NAMES = {
    "accounts": (
        "SCOPES Account AccountCreate Invitation Key KeyCreate KeyCreated KeyRotate PasswordChange Scope "
        "Session SessionCreate SessionCreated"
    ),
    "advice": (
        "Advice AdviceApply AdviceInterval AdviceMachine AdviceMetric AdviceObjective AdviceProgress "
        "AdviceQuality AdviceRecommendation AdviceRequest AdviceSetting AdviceVariant AppliedAdvice "
        "HardwareAdvice NotMeasured StaticAdvice StaticFinding"
    ),
    "aliases": "Alias AliasChange AliasMove AliasRollback",
    "audit": "AdminAuditQuery AuditAct AuditEntry AuditHead AuditOutcome AuditQuery",
    "base": "Item Page PageQuery Reply Request",
    "capture": "MAX_CAPTURE_DAYS Capture CapturedCall CapturedQuery CaptureNotice CaptureUpdate",
    "comparison": "Comparison ComparisonQuery Estimate ShadowComparison VersionTraffic",
    "erasure": "AccountErase Erasure ErasurePlan ErasureStatement Receipt ReceiptSignature",
    "errors": "ErrorBody ErrorDetail ErrorReply",
    "evaluations": "CalibrationBin ConfusionMatrix EvaluateRequest Evaluation EvaluationQuery MeasuredMetric",
    "explanations": (
        "Attribution Curve ExplainMethod ExplainOptions ExplainReply ExplainRequest ExplanationsQuery "
        "ExplanationsReply ExplanationsRequest Faithfulness FeatureImportance"
    ),
    "export": "AccountExport",
    "fields": (
        "ACCOUNT_NAME ALIAS_NAME MAX_LABEL_CHARACTERS MAX_LABELS MAX_LINEAGE_BYTES MAX_STARS MODEL_NAME "
        "RESERVED_INPUT_NAMES RESERVED_MODEL_NAMES VERSION_NUMBER AccountName Digest Email Instant Lineage "
        "ModelName ModelPattern Network Notes Origin PageAddress Password Replacement Secret "
        "VersionNumber"
    ),
    "fine_tunes": (
        "FineTune FineTuneBase FineTuneCreate FineTuneOptions FineTuneQuery FineTuneRows LabelledRows "
        "LossName TrainingOptions TrainingPoint TrainingProgress"
    ),
    "history": "HistoryQuery ModelEvent",
    "jobs": "ENDED_JOB_STATES JobFault JobLine JobProgress JobQuery JobReply JobState",
    "models": "Model ModelCreate ModelQuery ModelSort ModelUpdate ModelUsage Performance Snippets Visibility",
    "open_inference": "ModelMetadata RepositoryEntry ServerMetadata TensorMetadata",
    "packages": (
        "Column ImagePreprocessing Label Manifest Metric PossibleMetric Postprocessing Preprocessing "
        "Serving Tag"
    ),
    "predictions": "EmbeddingsRequest PredictReply Timing",
    "service": "Health Registration ServiceInfo UsagePolicy",
    "shares": "SHARE_ROLES Share SharedModel ShareRole ShareUpdate",
    "signatures": "InputSpec OutputSpec SignatureDifference TaskSignature TensorSignature TensorSpec",
    "traffic": (
        "Served ServedQuery ServedShare Traffic TrafficShare TrafficSplit TrafficUpdate TrafficWithdrawal"
    ),
    "usage": "Usage UsageEntry UsageQuery",
    "versions": "PublishQuery Upload UploadCreate Version VersionState VersionUpdate",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

# Hidden from type checkers, which would otherwise take every misspelt name for a lazy one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a noun's file when the first of its names is used (PEP 562): to make all takes 0.3 s."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
