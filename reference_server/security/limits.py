"""What limits a credential: models, networks, an end, and how much; a key is never wider than its maker.

Nothing here counts: `rate_limits.py` and `quotas.py` do, by the subjects of the budgets.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from reference_server.errors import Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_ADDRESSES = 4096
_MOST_PATTERNS = 4096


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be asked for by all who are counted under one subject; None for no limit.

    Args:
        name: Whose it is, for the answers' headers: `key`, `maker` or `account`.
        subject: What it is counted under.
        requests_per_minute: Requests, as a steady rate with a burst of a minute's.
        rows_per_day: Instances from midnight to midnight, in UTC.
    """

    name: str
    subject: str
    requests_per_minute: int | None = None
    rows_per_day: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it limits anything."""
        return self.requests_per_minute is not None or self.rows_per_day is not None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may touch, from where, until when, and how much; None for no limit.

    Args:
        models: Patterns of names, see `models_expression`.
        networks: Where it may be used from.
        expires_at: When it ends, aware.
        budgets: The key's own, and those of the keys that it was made with.
    """

    models: tuple[str, ...] | None = None
    networks: tuple[Network, ...] | None = None
    expires_at: datetime | None = None
    budgets: tuple[Budget, ...] = ()

    def permits_model(self, reached_as: str, owner: str, name: str) -> bool:
        """Return whether a model exists for the key.

        Args:
            reached_as: The shortest name by which the key's account reaches it.
            owner: The name of its owner.
            name: Its own name.
        """
        if self.models is None:
            return True
        expression = models_expression(self.models)
        return any(re.search(expression, each) is not None for each in (reached_as, f"{owner}~{name}"))

    def permits_address(self, address: str) -> bool:
        """Return whether the key may be used from an address; what is none may be nowhere."""
        if self.networks is None:
            return True
        found = parse_address(address)
        return found is not None and any(found in network for network in self.networks)

    @property
    def requests_per_minute(self) -> int | None:
        """The tightest of the budgets."""
        return _least(budget.requests_per_minute for budget in self.budgets)

    @property
    def rows_per_day(self) -> int | None:
        """The tightest of the budgets."""
        return _least(budget.rows_per_day for budget in self.budgets)


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class WantedLimits:
    """What a new key is to be limited to; None for no limit."""

    models: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None
    expires_at: datetime | None = None
    requests_per_minute: int | None = None
    rows_per_day: int | None = None

    def within(self, maker: Limits) -> WantedLimits:
        """Return these limits, where there is none the maker's.

        Raises:
            Forbidden: With code `limit_not_held`, naming the first that is wider than the maker's.
        """
        for field, is_within, held in (
            ("models", _are_models_within(self.models, maker.models), maker.models),
            ("networks", _are_networks_within(self.networks, maker.networks), maker.networks),
            ("expires_at", _is_at_most(self.expires_at, maker.expires_at), maker.expires_at),
            (
                "requests_per_minute",
                _is_at_most(self.requests_per_minute, maker.requests_per_minute),
                maker.requests_per_minute,
            ),
            ("rows_per_day", _is_at_most(self.rows_per_day, maker.rows_per_day), maker.rows_per_day),
        ):
            if not is_within:
                raise Forbidden(
                    f"a key cannot have wider limits than its maker: {field} must stay within {_told(held)}",
                    code="limit_not_held",
                    param=field,
                )
        held_networks = None if maker.networks is None else tuple(map(str, maker.networks))
        return WantedLimits(
            models=self.models or maker.models,
            networks=self.networks or held_networks,
            expires_at=self.expires_at or maker.expires_at,
            requests_per_minute=self.requests_per_minute or maker.requests_per_minute,
            rows_per_day=self.rows_per_day or maker.rows_per_day,
        )


def require_no_wider(other: Limits, maker: Limits) -> None:
    """Refuse to hand out the secret of a key that may more than whoever asks for it.

    A key that is counted apart from its maker is wider, however small its numbers: it would be added to them.

    Raises:
        Forbidden: With code `limit_not_held`.
    """
    counted = {budget.subject for budget in other.budgets}
    is_within = (
        (
            maker.models is None
            or (other.models is not None and _are_models_within(other.models, maker.models))
        )
        and (
            maker.networks is None or (other.networks is not None and _covers(maker.networks, other.networks))
        )
        and (
            maker.expires_at is None
            or (other.expires_at is not None and other.expires_at <= maker.expires_at)
        )
        and all(budget.subject in counted for budget in maker.budgets if budget.holds)
    )
    if not is_within:
        raise Forbidden(
            "this key has wider limits than yours, or is not counted with it; rotate it with a log-in "
            "session",
            code="limit_not_held",
        )


def models_expression(patterns: tuple[str, ...]) -> str:
    """Return a regular expression for names that patterns permit, for Python and for databases.

    A star stands for any characters but `~`. So a pattern without `~` permits only names by which the
    account itself reaches a model, and one with it only exact names, `account~name`.
    """
    return _expression(patterns)


@lru_cache(_MOST_PATTERNS)
def _expression(patterns: tuple[str, ...]) -> str:
    # Patterns hold nothing else that has a meaning in an expression (`ModelPattern`).
    alternatives = "|".join(each.replace(".", r"\.").replace("*", "[^~]*") for each in patterns)
    return f"^({alternatives})$"


@lru_cache(_MOST_ADDRESSES)
def parse_address(text: str) -> Address | None:
    """Return an address; of an IPv4 address in IPv6 (RFC 4291, section 2.5.5.2) the former."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks of their texts, which have been checked."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def _are_models_within(wanted: tuple[str, ...] | None, held: tuple[str, ...] | None) -> bool:
    """Return whether everything that some patterns permit is permitted by others.

    A wanted pattern's star is read as one more letter, which only a star of a held one matches: where that
    fits, so does whatever the wanted star stands for.
    """
    if wanted is None or held is None:
        return True
    return all(any(_is_pattern_within(each, other) for other in held) for each in wanted)


def _is_pattern_within(wanted: str, held: str) -> bool:
    theirs, ours = wanted.split("~"), held.split("~")
    return len(theirs) == len(ours) and all(map(fnmatchcase, theirs, ours))


def _are_networks_within(wanted: tuple[str, ...] | None, held: tuple[Network, ...] | None) -> bool:
    return wanted is None or held is None or _covers(held, parse_networks(wanted))


def _covers(held: tuple[Network, ...], wanted: tuple[Network, ...]) -> bool:
    return all(any(_is_subnet(each, other) for other in held) for each in wanted)


def _is_subnet(inner: Network, outer: Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _is_at_most(wanted: datetime | int | None, held: datetime | int | None) -> bool:
    return wanted is None or held is None or wanted <= held  # type: ignore[operator] # both are of one kind


def _least(values: Iterable[int | None]) -> int | None:
    return min((value for value in values if value is not None), default=None)


def _told(held: object) -> str:
    return ", ".join(map(str, held)) if isinstance(held, tuple) else str(held)
