"""The two bases of the contract, `Reply` and `Request`, and the pages of listings."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field


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
