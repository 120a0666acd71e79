"""How much callers may ask for: counted once for each call, and told in the headers of its answer.

The headers are `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10, and the older
`X-RateLimit-…` of the limit that is nearest to its end. Callers without limits get none, and pay nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC
from typing import TYPE_CHECKING

from reference_server.errors import TooManyRequests
from reference_server.http.exchange import Cold
from reference_server.registry.row_counts import Taken
from reference_server.security.quotas import DAY_SECONDS
from reference_server.security.rate_limits import per_minute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reference_server.http.exchange import Call
    from reference_server.security.limits import Budget
    from reference_server.security.rate_limits import Level

_MINUTE_SECONDS = 60
_FIRST_FAILURE = 400


# Made for each limited call and not frozen, which would take a microsecond more.
@dataclass(slots=True)
class Standing:
    """How one limit stands after a call.

    Args:
        name: `key-requests`, `account-rows`, ….
        quota: How much there is.
        window: In how many seconds.
        level: What is left.
    """

    name: str
    quota: int
    window: int
    level: Level

    @property
    def left(self) -> int:
        """How much is left, whole."""
        return max(0, int(self.level.left))

    @property
    def reset(self) -> int:
        """Seconds until there is more: until the next one where nothing is left, else until all is there."""
        return math.ceil(self.level.wait or self.level.full)


@dataclass(slots=True)
class Counted:
    """What a call was counted as.

    Args:
        standings: How the limits stand that it was counted by.
        row_subjects: Whose rows were taken.
        rows: How many.
    """

    standings: list[Standing] = field(default_factory=list)
    row_subjects: Sequence[str] = ()
    rows: int = 0


def count_request(call: Call) -> None:
    """Count a call by what its caller may ask for in a second and in a minute.

    Log-in sessions are counted for predictions alone: whoever has used up an account can still be stopped
    by its owner.

    Raises:
        TooManyRequests: With code `rate_limited`.
        Cold: Another process has to be asked, and the call may not wait.
    """
    # Once only: a call that found something cold comes again.
    if call.is_counted:
        return
    caller, may_wait = call.by, call.may_wait != "nothing"
    is_inference = call.endpoint.inference
    # A caller's own limit goes first, whose answer says more.
    if caller.budgets and (is_inference or caller.kind == "key"):
        _count_by_minute(call, [each for each in caller.budgets if each.requests_per_minute is not None])
    if is_inference and not call.services.limits.calls.take_unless_waiting(
        caller.credential_id, may_wait=may_wait
    ):
        raise Cold
    call.is_counted = True


def count_rows(call: Call, rows: int) -> None:
    """Count the instances that a call is to predict by what its caller may have in a day.

    Raises:
        TooManyRequests: With code `quota_spent`, and when there will be more.
        Cold: The store, or another process, has to be asked, and the call may not wait.
    """
    wanted = [
        (each, each.rows_per_day) for each in call.by.budgets if each.rows_per_day is not None and rows > 0
    ]
    if not wanted:
        return
    subjects = [budget.subject for budget, _ in wanted]
    levels = call.services.limits.rows.take(
        [(budget.subject, most) for budget, most in wanted], rows, may_wait=call.may_wait != "nothing"
    )
    if levels is None:
        raise Cold
    counted = call.counted = call.counted or Counted()
    for (budget, most), level in zip(wanted, levels, strict=True):
        counted.standings.append(Standing(f"{budget.name}-rows", most, DAY_SECONDS, level))
    spent = max(counted.standings[-len(wanted) :], key=lambda each: each.level.wait)
    if spent.level.wait:
        raise _quota_spent(spent, rows)
    counted.row_subjects, counted.rows = subjects, rows


def give_back_rows(call: Call, rows: int) -> None:
    """Return rows that a call was counted for and did not need after all."""
    counted = call.counted
    if counted is not None and counted.rows and rows > 0:
        call.services.limits.rows.give_back(counted.row_subjects, rows)
        counted.rows -= rows


def taken_rows(call: Call) -> Taken | None:
    """Return the rows of today that a call was counted for, for a job that may not need all of them."""
    counted = call.counted
    if counted is None or not counted.rows:
        return None
    today = call.services.database.clock().astimezone(UTC).date()
    return Taken(tuple(counted.row_subjects), today, counted.rows)


def settle(call: Call, status: int) -> Mapping[str, str]:
    """Return the headers that tell a caller how its limits stand; rows that came to nothing are returned.

    Args:
        call: The call, which is over.
        status: Of its answer.
    """
    counted = call.counted
    if counted is None:
        return {}
    if counted.rows and status >= _FIRST_FAILURE:
        call.services.limits.rows.give_back(counted.row_subjects, counted.rows)
        counted.rows = 0
    return headers(counted.standings)


def headers(standings: Sequence[Standing]) -> dict[str, str]:
    """Return the headers of some limits; none for none."""
    if not standings:
        return {}
    nearest = min(standings, key=lambda each: each.left / each.quota)
    return {
        "ratelimit-policy": ", ".join(f'"{each.name}";q={each.quota};w={each.window}' for each in standings),
        "ratelimit": ", ".join(f'"{each.name}";r={each.left};t={each.reset}' for each in standings),
        "x-ratelimit-limit": str(nearest.quota),
        "x-ratelimit-remaining": str(nearest.left),
        "x-ratelimit-reset": str(nearest.reset),
    }


def _count_by_minute(call: Call, budgets: Sequence[Budget]) -> None:
    if not budgets:
        return
    quotas = [each.requests_per_minute or 0 for each in budgets]
    wanted = [(each.subject, per_minute(quota)) for each, quota in zip(budgets, quotas, strict=True)]
    levels = call.services.limits.requests.take(wanted, may_wait=call.may_wait != "nothing")
    if levels is None:
        raise Cold
    counted = call.counted = Counted()
    for each, quota, level in zip(budgets, quotas, levels, strict=True):
        counted.standings.append(Standing(f"{each.name}-requests", quota, _MINUTE_SECONDS, level))
    longest = max(counted.standings, key=lambda each: each.level.wait)
    if longest.level.wait:
        raise TooManyRequests(
            f"the limit {longest.name}, {longest.quota:,} a minute, is used up; wait before the next one",
            retry_after=longest.level.wait,
        )


def _quota_spent(spent: Standing, rows: int) -> TooManyRequests:
    is_soon = spent.level.wait < spent.level.full
    left = (
        f"{rows:,} rows are more than the {spent.left:,} that are left of {spent.name}, {spent.quota:,} a day"
    )
    told = f"{left}; it is renewed at midnight, UTC"
    if is_soon:
        told = (
            f"{left}, in the worker that answers; the server's other workers hold the rest, and give back in "
            "some seconds what they do not use: wait, or ask for fewer rows in a call"
        )
    return TooManyRequests(
        told,
        code="quota_spent",
        retry_after=spent.level.wait,
        # Nobody should wait for tomorrow in a loop.
        should_retry=None if is_soon else False,
    )
