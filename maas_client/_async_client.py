"""The asynchronous face of the SDK; the synchronous one is made from it by `tools/make_sync_face.py`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

from maas_client._async_transport import AsyncTransport
from maas_client._calls import (
    DEFAULT_RETRIES,
    NOT_GIVEN,
    Acting,
    Budget,
    Call,
    Peer,
    checked_protocol,
    checked_retries,
    checked_sticky_id,
    checked_timeout,
)
from maas_client._config import check_credential, resolve
from maas_client._masking import Masked
from maas_client.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
    from datetime import date
    from os import PathLike
    from types import TracebackType

    from maas_client._async_account import AsyncAccountResource, AsyncKeysResource, AsyncSessionsResource
    from maas_client._async_audit import AsyncAuditResource
    from maas_client._async_fine_tunes import AsyncFineTunesResource
    from maas_client._async_jobs import AsyncJob, AsyncJobsResource
    from maas_client._async_lanes import AsyncSource
    from maas_client._async_listing import AsyncListing
    from maas_client._async_model_handle import AsyncModelHandle
    from maas_client._async_models import AsyncModelsResource
    from maas_client._async_service import AsyncServiceResource
    from maas_client._calls import OnRetry, Protocol, RawResponse, Timeout
    from maas_client._frames import Frame
    from maas_client._operations._operation import Operation, Result
    from maas_client._progress import Progress
    from maas_client.explanations import Explanation, Explanations
    from maas_client.predictions import AnyPrediction, Outcome, Predictions
    from maas_client.types import Account, ExplainMethod, SessionCreated, UsageEntry


class AsyncClient:
    """A client of one service; tasks may share it, and a forked child gets connections of its own.

    Everything left out comes from the environment (`MAAS_API_KEY`, `MAAS_BASE_URL`, `MAAS_PROFILE`) and then
    from the profile that `login(save=True)` and `maas login` write.

    Args:
        api_key: The key to call with. Registering and logging in need none.
        base_url: Where the service is, such as `https://models.example.com`.
        timeout: Seconds that a call may take in total: connecting, every attempt, every wait between them and
            reading the answer. None for no limit. The argument of a call goes before that of `with_options`,
            that before this, and this before the operation's own (60 s, and 600 s to publish). Only looking
            up a host's name cannot be interrupted.
        max_retries: How many times a failed call may be made again. Failures that never reached the server,
            429 and 503 are repeated always; broken connections, 408, 502 and 504 where that does no harm.
        on_retry: Called with a `RetryDecision` after each failed attempt that could be repeated.
        profile: The saved profile to use.
        verify: False for no check of TLS certificates, or the path of the authorities to trust.
        proxies: Proxy URLs by scheme; those of the environment by default, `{}` for none.
        pickle_api_key: Whether a pickle of this client carries its key, in clear. Otherwise the client that
            comes out of it takes the key from its own environment or profile.
        protocol: `open-inference` for a server that is not ours, such as Triton, KServe or MLServer: what it
            lacks is refused before it is sent, and no key goes there that was not meant for it.

    Raises:
        ConfigurationError: There is no host to call, or a setting is malformed.

    Example:
        >>> client = AsyncClient()
        >>> client.predict("text_classification_model", text="This is a sample text.").label
        'positive'
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        timeout: Timeout = NOT_GIVEN,
        max_retries: int = DEFAULT_RETRIES,
        on_retry: OnRetry | None = None,
        profile: str | None = None,
        verify: bool | str | None = None,
        proxies: Mapping[str, str] | None = None,
        pickle_api_key: bool = False,
        protocol: Protocol | None = None,
    ) -> None:
        api_key = Masked(api_key) if api_key is not None else None
        self._profile = profile
        self._settings = resolve(
            api_key=api_key,
            base_url=base_url,
            profile=profile,
            verify=verify,
            proxies=proxies,
            is_foreign=protocol == "open-inference",
        )
        self._peer = Peer(checked_protocol(protocol))
        self._timeout = checked_timeout(timeout)
        self._max_retries = checked_retries(max_retries)
        self._on_retry = on_retry
        self._pickle_api_key = pickle_api_key
        self._keeps_responses = False
        self._last_response: RawResponse | None = None
        self._acting = Acting(self._settings.api_key)
        self._transport = AsyncTransport(self.base_url, self._settings.verify, self._settings.proxies)

    def __repr__(self) -> str:
        # A traceback shows clients whose construction failed, too.
        settings = getattr(self, "_settings", None)
        return f"AsyncClient(base_url={settings.base_url!r})" if settings else "AsyncClient(not set up)"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __getstate__(self) -> dict[str, Any]:
        key = self._acting.api_key
        return {
            "api_key": key.reveal() if key is not None and self._pickle_api_key else None,
            "base_url": self.base_url,
            "timeout": self._timeout,
            "max_retries": self._max_retries,
            "on_retry": self._on_retry,
            "profile": self._profile,
            "verify": self._settings.verify,
            "proxies": dict(self._settings.proxies),
            "pickle_api_key": self._pickle_api_key,
            "protocol": self._peer.protocol,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        AsyncClient.__init__(self, **state)

    def __copy__(self) -> AsyncClient:
        return self.with_options()

    def __deepcopy__(self, memo: dict[int, object]) -> AsyncClient:
        return self.with_options()

    @property
    def base_url(self) -> str:
        """Where the service is."""
        return self._settings.base_url

    # What the resources need, pydantic above all, comes with the first of them: a client is made quickly.
    @property
    def service(self) -> AsyncServiceResource:
        """The service itself; open to anyone."""
        from maas_client._async_service import AsyncServiceResource

        return AsyncServiceResource(self._send)

    @property
    def account(self) -> AsyncAccountResource:
        """Your account."""
        from maas_client._async_account import AsyncAccountResource

        return AsyncAccountResource(self._send)

    @property
    def sessions(self) -> AsyncSessionsResource:
        """Your log-in sessions."""
        from maas_client._async_account import AsyncSessionsResource

        return AsyncSessionsResource(self._send)

    @property
    def keys(self) -> AsyncKeysResource:
        """Your API keys."""
        from maas_client._async_account import AsyncKeysResource

        return AsyncKeysResource(self._send)

    @property
    def models(self) -> AsyncModelsResource:
        """The catalogue."""
        from maas_client._async_models import AsyncModelsResource

        return AsyncModelsResource(self._send)

    @property
    def jobs(self) -> AsyncJobsResource:
        """Your jobs."""
        from maas_client._async_jobs import AsyncJobsResource

        return AsyncJobsResource(self._send, self._stream)

    @property
    def fine_tunes(self) -> AsyncFineTunesResource:
        """Your fine-tunes: heads trained on labelled rows of your own."""
        from maas_client._async_fine_tunes import AsyncFineTunesResource

        return AsyncFineTunesResource(self._send, self._stream)

    @property
    def audit(self) -> AsyncAuditResource:
        """What your account did, and what was done to it."""
        from maas_client._async_audit import AsyncAuditResource

        return AsyncAuditResource(self._send)

    def usage(
        self,
        *,
        model: str | None = None,
        version: int | None = None,
        since: date | None = None,
        until: date | None = None,
        page_size: int | None = None,
    ) -> AsyncListing[UsageEntry]:
        """List what your account asked for by day, model and version, the newest day first.

        It needs a log-in session, or a key with the scope `audit`.

        Args:
            model: Only calls of this model.
            version: Only calls of versions of this number.
            since: The first day, in UTC.
            until: The last day, in UTC.
            page_size: How many entries to fetch at a time, 1 to 1000.
        """
        from maas_client._async_listing import AsyncListing
        from maas_client._operations import usage
        from maas_client._operations._contract import build
        from maas_client.types import UsageQuery

        query = build(UsageQuery, model=model, version=version, since=since, until=until, limit=page_size)
        return AsyncListing(
            self._send, lambda cursor: usage.list_page(query.model_copy(update={"cursor": cursor}))
        )

    def model(self, name: str, *, pin: int | None = None, sticky_id: str | None = None) -> AsyncModelHandle:
        """Return a handle on one model.

        Args:
            name: `name`, or `account~name` for another account's.
            pin: A version's number to stay with, whatever `default` becomes; see `AsyncModelHandle.pin`.
            sticky_id: Whom you call for, 1 to 200 characters: where versions share the traffic, the same id
                gets the same version. Your key decides when it is left out.
        """
        from maas_client._async_model_handle import AsyncModelHandle

        sticky_id = checked_sticky_id(sticky_id)
        send = self._send if sticky_id is None else partial(self._send, sticky_id=sticky_id)
        return AsyncModelHandle(send, self._stream, name, self._peer, pin)

    async def close(self) -> None:
        """Close the idle connections; a later call opens new ones."""
        await self._transport.close()

    def with_options(
        self,
        *,
        api_key: str | None = None,
        timeout: Timeout = NOT_GIVEN,
        max_retries: int | None = None,
        on_retry: OnRetry | None = None,
    ) -> AsyncClient:
        """Return a client with other options and the same connections; the same caller without `api_key`."""
        api_key = Masked(api_key) if api_key is not None else None
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._last_response = None
        if timeout is not NOT_GIVEN:
            other._timeout = checked_timeout(timeout)
        if max_retries is not None:
            other._max_retries = checked_retries(max_retries)
        if on_retry is not None:
            other._on_retry = on_retry
        if api_key is not None:
            other._acting = Acting(check_credential(api_key))
        return other

    def with_raw_response(self) -> AsyncClient:
        """Return a client like this one that keeps the answer to its last call in `last_response`.

        Make one for each thread or task that looks at answers.

        Example:
            >>> raw = client.with_raw_response()
            >>> raw.predict("text_classification_model", text="This is a sample text.").label
            'positive'
            >>> raw.last_response.status, raw.last_response.headers["Content-Type"]
            (200, 'application/json')
        """
        other = self.with_options()
        other.__dict__.update(_keeps_responses=True)
        return other

    @property
    def last_response(self) -> RawResponse:
        """The answer to the last call, a failed one too: status, headers, body, request id, attempts.

        Raises:
            ArgumentError: There is none: no answer came, or the client is not one of `with_raw_response()`.
        """
        if self._last_response is None:
            raise ArgumentError(
                "no answer has been kept: make a call with the client that with_raw_response() returns"
            )
        return self._last_response

    async def register(
        self,
        email: str,
        password: str,
        *,
        accept_policy: str | Literal[True] | None = None,
        name: str | None = None,
        invitation: str | None = None,
    ) -> Account:
        """Make an account; log in afterwards.

        Args:
            email: Where you can be reached.
            password: 10 to 1024 characters.
            accept_policy: The version of the service's usage policy that you have read and accept, or True
                for whatever it is now. It is shown by `client.service.info().usage_policy`.
            name: Your public handle in `account~model`; one is made up when none is given.
            invitation: What the operator sent you, where `client.service.info().registration` is
                `invitation`.

        Raises:
            ArgumentError: The usage policy was not accepted; the message tells its version.
            ConflictError: The e-mail address or the name is taken.
            PermissionDeniedError: Registration is closed, or the invitation does not hold.
        """
        from maas_client._operations import accounts

        password = Masked(password)
        version = (
            accept_policy
            if isinstance(accept_policy, str)
            else await self._policy_version(bool(accept_policy))
        )
        return await self._send(
            accounts.create(
                email=email,
                password=password,
                accept_policy=version,
                name=name,
                invitation=None if invitation is None else Masked(invitation),
            )
        )

    async def login(
        self, email: str | None = None, password: str | None = None, *, save: bool = False
    ) -> SessionCreated:
        """Log in; this client, and those made from it, then act with the session.

        What is left out is asked for, in a notebook or at a terminal; a password is not shown as it is typed.

        Args:
            email: The account's e-mail address.
            password: Its password.
            save: Also make an API key with every scope and store it in the profile file, so that later
                `AsyncClient()` calls as this account. `logout` revokes it.

        Raises:
            ArgumentError: Something was left out and there is nobody to ask.
            AuthenticationError: E-mail address and password do not belong together.
        """
        from maas_client import _prompt
        from maas_client._operations import sessions

        password = Masked(password) if password is not None else None
        email, masked = _prompt.missing(email, password)
        session = await self._send(sessions.create(email=email, password=masked))
        self._acting.token = Masked(session.token.get_secret_value())
        if save:
            from maas_client import _async_saved_login

            await _async_saved_login.save(self.keys, self._settings)
            self._acting.saved = True
        return session

    async def logout(self) -> None:
        """End the log-in: this client's session, and the saved key if that is what it acts with.

        Raises:
            ArgumentError: There is nothing to log out of.
        """
        from maas_client._operations import sessions

        acting = self._acting
        if acting.saved or acting.token is None:
            await self._forget_key()
        if acting.token is not None:
            await self._send(sessions.end())
            acting.token = None

    async def predict(
        self,
        name: str,
        /,
        *,
        inputs: Mapping[str, object] | None = None,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> AnyPrediction:
        """Run a model on one instance.

        Args:
            name: The model.
            inputs: Inputs by name, for names that clash with an option here.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            timeout: Seconds in total, for this call.
            values: Inputs by name, such as `text="…"`.

        Raises:
            UnprocessableError: The inputs do not fit the model's signature.
            NotFoundError: There is no such model or version, or not for you.
        """
        return await self.model(name).predict(
            inputs=inputs, version=version, parameters=parameters, timeout=timeout, **values
        )

    async def predict_batch(
        self,
        name: str,
        instances: Iterable[Mapping[str, object]],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Predictions:
        """Run a model on several instances in one call: all of them, or an error that lists the bad ones.

        Args:
            name: The model.
            instances: The inputs of each instance by name, such as `[{"text": "…"}]`.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            timeout: Seconds in total, for this call.
        """
        return await self.model(name).predict_batch(
            instances, version=version, parameters=parameters, timeout=timeout
        )

    async def explain(
        self,
        name: str,
        /,
        *,
        inputs: Mapping[str, object] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
        **values: object,
    ) -> Explanation:
        """Tell why a model says what it says about one instance: what each feature adds to the score.

        Args:
            name: The model.
            inputs: Inputs by name, for names that clash with an option here.
            target: The label or output to explain; the predicted one when left out.
            method: `exact` Shapley values, `kernel` for paired KernelSHAP, `fast` for leave-one-out, or
                `auto` for exact values where the budget allows them and `kernel` elsewhere.
            budget: The most evaluations of the model, 2 to 100,000; they count as usage.
            time_budget: Seconds to spend, 0.001 to 3,600, on as many evaluations as that allows, at most
                `budget`. What a second allows is not the same every time, and so neither is the answer.
            seed: The same seed gives the same answer.
            against: For an embedding: the other instance, whose cosine similarity is explained; a text alone
                where the model has one input.
            faithfulness: Whether to measure how far the explanation can be trusted, which takes a part of the
                evaluations.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            timeout: Seconds in total, for this call; 300, and the time budget, where nothing else is said.
            values: Inputs by name, such as `text="…"`.

        Returns:
            An `Explanation`: `ranked()`, `to_frame()`, `plot()`, and in a notebook the words in colours.

        Raises:
            UnprocessableError: The inputs do not fit the model's signature, or it has no such target.
            NotFoundError: There is no such model or version, not for you, or the server explains nothing.

        Example:
            >>> why = client.explain("text_classification_model", text="A dull plot, but lovely music.")
            >>> why.ranked()[0].feature
            'lovely'
        """
        return await self.model(name).explain(
            inputs=inputs,
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            version=version,
            parameters=parameters,
            timeout=timeout,
            **values,
        )

    async def explain_many(
        self,
        name: str,
        inputs: Iterable[object],
        *,
        columns: Mapping[str, str] | None = None,
        target: str | None = None,
        method: ExplainMethod = "auto",
        budget: int = 256,
        time_budget: float | None = None,
        seed: int = 0,
        against: Mapping[str, object] | str | None = None,
        faithfulness: bool = True,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncJob[Explanations]:
        """Have up to 10,000 instances explained by a job, with what counts over all of them.

        It needs a log-in session, or a key with the scopes `predict` and `jobs`.

        Args:
            name: The model.
            inputs: The instances: inputs by name, such as `[{"text": "…"}]`; plain values where the model has
                one input; or a data frame of pandas or polars.
            columns: Of a data frame: which column feeds which input, such as `{"text": "review"}`; columns
                that have the inputs' names when left out.
            target: The label or output to explain; the one predicted for each instance when left out.
            method: How the attributions are found, as for `explain`.
            budget: The most evaluations of the model for each instance.
            time_budget: Seconds to spend on each instance.
            seed: The same seed gives the same answer.
            against: For embeddings: the other instance, of the similarity with each.
            faithfulness: Whether to measure how far each explanation can be trusted.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            timeout: Seconds in total, to create the job.

        Returns:
            The job; `wait()` returns `Explanations`: one for each instance, and `importance` over all.

        Raises:
            ArgumentError: There are no instances or too many, or one cannot be sent.
            PermissionDeniedError: The key lacks the scope `jobs`.

        Example:
            >>> job = client.explain_many("text_classification_model", ["A lovely day.", "A dull plot."])
            >>> print(job.wait(progress=True).importance)
        """
        return await self.model(name).explain_many(
            inputs,
            columns=columns,
            target=target,
            method=method,
            budget=budget,
            time_budget=time_budget,
            seed=seed,
            against=against,
            faithfulness=faithfulness,
            version=version,
            parameters=parameters,
            timeout=timeout,
        )

    def predict_many(
        self,
        name: str,
        instances: AsyncSource[Mapping[str, object]],
        *,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        concurrency: int = 4,
        ordered: bool = True,
        batch_size: int | None = None,
        progress: Progress = False,
        checkpoint: str | PathLike[str] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> AsyncIterator[Outcome]:
        """Run a model on any number of instances, several calls at a time and in bounded memory.

        A bad instance becomes an outcome with an `error` and the work goes on; what would meet every one,
        such as a revoked key or a server that is gone, is raised. All predictions are made by one version:
        the one that answered first.

        Args:
            name: The model.
            instances: The inputs of each instance by name; a generator is read as far as it is needed.
            version: A number or an alias; what the alias `default` points to when left out.
            parameters: Options of the task.
            concurrency: The most calls at once, 1 to 256.
            ordered: Whether outcomes come in the order of the instances; False for as they are completed.
            batch_size: Rows in each call; None to follow what the server takes and how long calls last.
            progress: True for a progress bar (`pip install 'maas-client[progress]'`), or a function that is
                told how many are done and, where it is known, of how many.
            checkpoint: A file of JSON lines that holds what is done. The same call with the same file goes
                on after an interruption: what is done comes from the file, what failed is tried again.
            timeout: Seconds in total, for each call.

        Returns:
            An iterator over one `Outcome` for each instance: `index`, and `prediction` or `error`.

        Raises:
            ArgumentError: An argument cannot be, or the checkpoint belongs to other work.

        Example:
            >>> for outcome in client.predict_many("text_classification_model", [{"text": "A good day."}]):
            ...     print(outcome.index, outcome.result().label)
            0 positive
        """
        return self.model(name).predict_many(
            instances,
            version=version,
            parameters=parameters,
            concurrency=concurrency,
            ordered=ordered,
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoint,
            timeout=timeout,
        )

    async def predict_frame(
        self,
        name: str,
        frame: Frame,
        *,
        columns: Mapping[str, str] | None = None,
        version: int | str | None = None,
        parameters: Mapping[str, object] | None = None,
        concurrency: int = 4,
        batch_size: int | None = None,
        progress: Progress = False,
        checkpoint: str | PathLike[str] | None = None,
        timeout: Timeout = NOT_GIVEN,
    ) -> Frame:
        """Run a model on every row of a pandas or polars data frame.

        Args:
            name: The model.
            frame: A `pandas.DataFrame` or a `polars.DataFrame`.
            columns: Which column feeds which input, such as `{"text": "review"}`; columns that have the
                inputs' names when left out.
            version: As all that follow, see `predict_many`.
            parameters: Options of the task.
            concurrency: The most calls at once.
            batch_size: Rows in each call.
            progress: Whether and how progress is shown.
            checkpoint: A file to go on from.
            timeout: Seconds in total, for each call.

        Returns:
            A frame of the same kind, with one row for each row of `frame` and, in pandas, its index: a column
            for each output (`label`, `score`, `scores.positive`), then `version`, and `error` where a row
            failed.

        Raises:
            ArgumentError: It is no data frame, or has no column for an input.
        """
        return await self.model(name).predict_frame(
            frame,
            columns=columns,
            version=version,
            parameters=parameters,
            concurrency=concurrency,
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoint,
            timeout=timeout,
        )

    async def _send(
        self,
        operation: Operation[Result],
        *,
        timeout: Timeout | Budget = NOT_GIVEN,
        sticky_id: str | None = None,
    ) -> Result:
        call = self._call(operation, timeout, sticky_id)
        try:
            return await self._transport.call(call)
        finally:
            if self._keeps_responses:
                self._last_response = call.raw_response()

    def _stream(
        self, operation: Operation[None], *, timeout: Budget, silence: float
    ) -> AsyncGenerator[bytes]:
        return self._transport.stream(self._call(operation, timeout), silence=silence)

    def _call(
        self, operation: Operation[Result], timeout: Timeout | Budget, sticky_id: str | None = None
    ) -> Call[Result]:
        self._peer.check(operation)
        budget = timeout if isinstance(timeout, Budget) else Budget(timeout, operation.timeout)
        seconds, ends_at = budget.start(self._timeout)
        return Call(
            operation=operation,
            timeout=seconds,
            ends_at=ends_at,
            max_retries=self._max_retries,
            on_retry=self._on_retry,
            credential=self._acting.credential,
            sticky_id=sticky_id,
        )

    async def _policy_version(self, accepted: bool) -> str:  # noqa: FBT001 - the caller's own answer
        version = (await self.service.info()).usage_policy.version
        if accepted:
            return version
        raise ArgumentError(
            "the service's usage policy has not been accepted: read client.service.info().usage_policy.text "
            f"and pass accept_policy={version!r}"
        )

    async def _forget_key(self) -> None:
        from maas_client import _async_saved_login

        if await _async_saved_login.forget(self.keys, self._settings) == self._acting.api_key:
            self._acting.api_key = None
        self._acting.saved = False
