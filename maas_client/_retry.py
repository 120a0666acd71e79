"""When a failed call is made again: three pure functions of tenacity's call state, for both faces.

The backoff is exponential with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015). Importing tenacity imports asyncio, so this module is loaded at the first failure and not before.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import TYPE_CHECKING, Any

from maas_client._calls import RetryDecision
from maas_client.errors import DroppedError, MaasError, NotSentError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from maas_client._calls import Call

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 8.0

_NOT_CARRIED_OUT = frozenset({429, 503})
_PERHAPS_CARRIED_OUT = frozenset({408, 502, 504})


def may_repeat(error: BaseException, *, repeatable: bool) -> bool:
    """Return whether a call that failed like this may be made again.

    Args:
        error: Why the attempt failed.
        repeatable: Whether carrying it out twice does no more than once.
    """
    if not isinstance(error, MaasError):
        return False
    if isinstance(error, NotSentError):
        return True
    if error.should_retry is not None:
        return error.should_retry
    if error.status in _NOT_CARRIED_OUT:
        return True
    return repeatable and (isinstance(error, DroppedError) or error.status in _PERHAPS_CARRIED_OUT)


def should_retry(state: RetryCallState) -> bool:
    """Return whether the failed attempt may be repeated at all."""
    failure = _failure(state)
    return failure is not None and may_repeat(failure, repeatable=_call(state).repeatable)


def wait(state: RetryCallState) -> float:
    """Return the seconds to wait: what the server asked for, else full jitter."""
    asked = getattr(_failure(state), "retry_after", None)
    if asked is not None:
        return float(asked)
    longest = min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** (_attempts(state) - 1))
    return random.uniform(0, longest)  # noqa: S311 - jitter is no secret


def stop(state: RetryCallState) -> bool:
    """Return whether the attempts, or the time for the next one, are used up."""
    call = _call(state)
    return _attempts(state) > call.max_retries or monotonic() + state.upcoming_sleep >= call.ends_at


def announce(state: RetryCallState) -> None:
    """Tell the hook that there will be another attempt."""
    failure = _failure(state)
    if isinstance(failure, MaasError):
        tell(_call(state), failure, state.upcoming_sleep)


def tell(call: Call[Any], error: MaasError, seconds: float | None) -> None:
    """Tell the hook what was decided."""
    if call.on_retry is not None:
        call.on_retry(RetryDecision(call.attempt, error, seconds, call.name))


POLICY: dict[str, Any] = {
    "retry": should_retry,
    "wait": wait,
    "stop": stop,
    "before_sleep": announce,
    "reraise": True,
}


def _attempts(state: RetryCallState) -> int:
    # A download that was cut off after some megabytes goes on from there: that is no repeat.
    return state.attempt_number - _call(state).forgiven


def _failure(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _call(state: RetryCallState) -> Call[Any]:
    call: Call[Any] = state.args[0]
    return call
