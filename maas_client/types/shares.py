"""Models that are shared with other accounts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias

from maas_client.types.base import Reply, Request

# In the order of what they may do; each may what those before it may.
ShareRole: TypeAlias = Literal["reader", "publisher", "owner"]
SHARE_ROLES: tuple[ShareRole, ...] = ("reader", "publisher", "owner")


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
