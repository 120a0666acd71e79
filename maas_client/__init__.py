"""The SDK of Model as a Service: register, log in, choose a model, call it, read the result.

    import maas_client

    client = maas_client.Client()  # MAAS_API_KEY and MAAS_BASE_URL, or the profile of `maas login`
    result = client.predict("text_classification_model", text="This is a sample text for classification.")
    print(result.label, result.score, result.version)
    for version in client.model("text_classification_model").versions.list():
        print(version)

`AsyncClient` is the same under asyncio, name for name (`pip install 'maas-client[async]'`):

    async with maas_client.AsyncClient() as client:
        result = await client.predict("text_classification_model", text="This is a sample text.")
        async for model in client.models.list():
            print(model.id)

`client.models` is the catalogue, `client.model(name)` a handle on one model, `client.keys` and
`client.account` are yours. Every failure is a `MaasError`; `maas_client.errors` draws the tree. The types of
what comes back are in `maas_client.types` and `maas_client.predictions`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from maas_client._async_client import AsyncClient
    from maas_client._async_jobs import AsyncJob
    from maas_client._calls import RawResponse, RetryDecision
    from maas_client._client import Client
    from maas_client._jobs import Job
    from maas_client._receipts import verify_receipt
    from maas_client.advice import MeasuredAdvice
    from maas_client.errors import (
        ArgumentError,
        AuthenticationError,
        BadRequestError,
        ConfigurationError,
        ConflictError,
        ConnectionFailedError,
        DeadlineError,
        DroppedError,
        GatewayTimeoutError,
        GoneError,
        InvalidReplyError,
        JobCancelledError,
        JobError,
        JobFailedError,
        JobInterruptedError,
        MaasError,
        ModelDeprecationWarning,
        NotFoundError,
        NotSentError,
        PackageError,
        PermissionDeniedError,
        PreconditionFailedError,
        RateLimitError,
        ReceiptError,
        RedirectError,
        ServerError,
        StatusError,
        TooLargeError,
        UnavailableError,
        UnprocessableError,
        UnsupportedMediaTypeError,
        VersionWarning,
    )
    from maas_client.explanations import Explanation, Explanations
    from maas_client.fine_tunes import FineTuned
    from maas_client.predictions import (
        ClassificationPrediction,
        InferResult,
        Outcome,
        Prediction,
        Predictions,
    )
    from maas_client.recommendations import Recommendation
    from maas_client.types import Evaluation

__all__ = [
    "ArgumentError",
    "AsyncClient",
    "AsyncJob",
    "AuthenticationError",
    "BadRequestError",
    "ClassificationPrediction",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "ConnectionFailedError",
    "DeadlineError",
    "DroppedError",
    "Evaluation",
    "Explanation",
    "Explanations",
    "FineTuned",
    "GatewayTimeoutError",
    "GoneError",
    "InferResult",
    "InvalidReplyError",
    "Job",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "JobInterruptedError",
    "MaasError",
    "MeasuredAdvice",
    "ModelDeprecationWarning",
    "NotFoundError",
    "NotSentError",
    "Outcome",
    "PackageError",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "Prediction",
    "Predictions",
    "RateLimitError",
    "RawResponse",
    "ReceiptError",
    "Recommendation",
    "RedirectError",
    "RetryDecision",
    "ServerError",
    "StatusError",
    "TooLargeError",
    "UnavailableError",
    "UnprocessableError",
    "UnsupportedMediaTypeError",
    "VersionWarning",
    "__version__",
    "verify_receipt",
]

_HOMES = {
    "AsyncClient": "_async_client",
    "AsyncJob": "_async_jobs",
    "Evaluation": "types",
    "Job": "_jobs",
    "Client": "_client",
    "RawResponse": "_calls",
    "RetryDecision": "_calls",
    "ClassificationPrediction": "predictions",
    "Explanation": "explanations",
    "Explanations": "explanations",
    "FineTuned": "fine_tunes",
    "MeasuredAdvice": "advice",
    "InferResult": "predictions",
    "Outcome": "predictions",
    "Prediction": "predictions",
    "Predictions": "predictions",
    "Recommendation": "recommendations",
    "verify_receipt": "_receipts",
}

# Hidden from type checkers, which would otherwise take every misspelt name for a lazy one.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562): the import alone stays quick."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'errors')}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
