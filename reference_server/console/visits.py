"""One visit to a page, as what shows the page sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from reference_server.console import forgery, rendering
from reference_server.console.languages import LANGUAGES
from reference_server.http.exchange import Answer, Call
from reference_server.http.pages import page

if TYPE_CHECKING:
    from reference_server.app import Services
    from reference_server.console.api import Api, Refused
    from reference_server.console.cookies import Cookies
    from reference_server.console.forms import Form
    from reference_server.console.languages import Texts
    from reference_server.http.exchange import Request
    from reference_server.security.callers import Caller

# Scripts, styles and what scripts ask come from files of this host; pictures also from the page itself.
_SOURCES = {
    "script-src": "'self'",
    "style-src": "'self'",
    "connect-src": "'self'",
    "img-src": "'self' data:",
    "form-action": "'self'",
    "require-trusted-types-for": "'script'",
}
# Under `no-referrer` browsers send `Origin: null` with forms, and nothing could be compared with it.
_HEADERS = {"cache-control": "no-store", "referrer-policy": "same-origin"}
_SEE_OTHER = 303


@dataclass(slots=True)
class Visit:
    """A request to the console.

    Args:
        request: What came in.
        form: The fields of a POST.
        texts: In the language of the visitor.
        caller: Who has logged in.
        secret: What the tokens of forms are bound to: the session's token, or the visitor's own secret.
        cookies: How cookies are written.
        set_cookies: The headers that the answer is to set cookies by.
    """

    services: Services
    request: Request
    form: Form
    texts: Texts
    api: Api
    caller: Caller | None
    secret: str
    cookies: Cookies
    set_cookies: list[str] = field(default_factory=list)

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address; of one given twice the last."""
        return dict(parse_qsl(self.request.query))

    @property
    def base_url(self) -> str:
        """Where callers reach this server."""
        from reference_server.http.addresses import base_url

        return base_url(Call(self.services, self.services.endpoints[0], self.request))

    def render(
        self,
        template: str,
        /,
        *,
        status: int = 200,
        refused: Refused | None = None,
        **values: object,
    ) -> Answer:
        """Return a page.

        Args:
            template: The file's name.
            status: The answer's; where something was refused, the refusal's.
            refused: What the API refused, to be told beside the field at fault.
            values: What the template shows.
        """
        html = rendering.render(
            template,
            visit=self,
            t=self.texts,
            form=self.form,
            refused=refused,
            form_token=forgery.token(self.secret),
            languages=LANGUAGES,
            here=self.request.path if self.request.method in ("GET", "HEAD") else "/console",
            **values,
        )
        answer = page(html, sources=_SOURCES)
        told = {"retry-after": refused.retry_after} if refused and refused.retry_after else {}
        return Answer(
            refused.status if refused else status, {**answer.headers, **_HEADERS, **told}, answer.body
        )

    def go(self, *parts: str, said: str | None = None, **query: str | None) -> Answer:
        """Send the browser on to a page of the console, after which a reload repeats nothing.

        Args:
            parts: Of the path behind `/console`.
            said: What that page is to say was done: a key of the texts under `done`.
            query: Its parameters.
        """
        path = "/".join(["/console", *(quote(part, safe="~") for part in parts)])
        given = {name: value for name, value in {"done": said, **query}.items() if value}
        location = f"{path}?{urlencode(given)}" if given else path
        return Answer(_SEE_OTHER, {**_HEADERS, "location": location})
