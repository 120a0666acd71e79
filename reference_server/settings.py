"""Every setting of the server: flags, `MAAS_SERVER_*` variables, a TOML file, then these defaults."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from maas_client.types import Network, Registration, Serving  # noqa: TC001 - pydantic reads them at run time
from reference_server import tracing
from reference_server.security import shared_limits

CONFIG_FILE_VARIABLE = "MAAS_SERVER_CONFIG"

DEFAULT_POLICY = """\
Use this service for lawful purposes and within its limits. Do not try to reach other people's data or models,
to overload the service, or to send it data that you have no right to send. Inputs and outputs of predictions
are not stored, unless a model's owner captures them: then the model says so, and so does each of its answers.
The operator may suspend an account that breaks these terms. Predictions can be wrong: check them before you
act on them.
"""


# More runs at a time than this only take caches from each other; more cores go to the single runs.
_MOST_LANES, _MOST_THREADS = 8, 256


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Settings(BaseSettings):
    """The server's settings; the same names in lower case in the TOML file, in upper case as variables."""

    model_config = SettingsConfigDict(env_prefix="MAAS_SERVER_", extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[A-Za-z0-9.:\[\]-]+$",
        description="Where callers reach this server, for examples to paste; as they did if unset.",
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("maas-server")),
        description="Where the embedded store keeps everything.",
    )
    database_url: str | None = Field(
        None, description="SQLAlchemy URL; SQLite in the data directory if unset."
    )
    artifacts_url: str | None = Field(None, description="fsspec URL of the packages; a folder if unset.")
    master_key_file: Path | None = Field(
        None, description="Master key of what is sealed; `master.key` in the data directory if unset."
    )
    master_key: SecretStr | None = Field(
        None, description="The master key itself, 32 bytes in base64, in the place of a file."
    )
    master_key_command: str | None = Field(
        None, min_length=1, description="A command that prints the master key, in the place of a file."
    )
    provider: Literal["auto", "cpu", "cuda"] = Field("auto", description="ONNX Runtime execution provider.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes.")
    lanes: int = Field(
        0,
        ge=1,
        le=256,
        validate_default=True,
        description="Model runs at a time in each worker; 0 takes one for each of its cores, up to 8.",
    )
    intra_op_threads: int = Field(
        0,
        ge=1,
        le=256,
        validate_default=True,
        description="Threads within one operator of a model; 0 takes the cores that lanes leave idle.",
    )
    cuda_devices: list[int] = Field(
        [0],
        min_length=1,
        max_length=64,
        description="GPUs by their number; models are loaded on each in turn.",
    )
    gpu_memory_bytes: int | None = Field(
        None,
        ge=2**24,
        description="The most that each loaded model may take of a GPU's memory; no limit if unset.",
    )
    models: dict[str, Serving] = Field(
        default_factory=dict, description="Serving options of models by name, over those of their manifests."
    )
    calls_per_second: float = Field(
        1000.0, gt=0, le=10_000_000, description="Predictions per second of each credential."
    )
    account_requests_per_minute: int | None = Field(
        None, ge=1, description="Requests a minute of an account without a limit of its own; none if unset."
    )
    account_rows_per_day: int | None = Field(
        None, ge=1, description="Instances a day of an account without a limit of its own; none if unset."
    )
    rate_limit_url: str | None = Field(
        None,
        pattern=r"^(rediss?|unix)://",
        description="Redis in which all workers count together; unset, each worker has its share of a limit.",
    )
    trusted_proxies: list[Network] = Field(
        default_factory=list,
        max_length=64,
        description="Networks of proxies that are believed in X-Forwarded-For; none if unset.",
    )
    queue_limit: int = Field(1000, ge=1, description="Predictions waiting for a lane before callers get 503.")
    queue_seconds: float = Field(
        5.0, gt=0, le=3600, description="Longest expected wait for a lane; beyond it callers get 503 at once."
    )
    waiting_bytes: int = Field(
        512 * 2**20,
        ge=2**20,
        description="What the bodies of all requests under way may take together in each worker, before "
        "callers get 503.",
    )
    max_connections: int = Field(
        10_000, ge=1, description="Connections of each worker, within its limit of open files."
    )
    memory_budget_bytes: int = Field(4 * 2**30, ge=2**20, description="What loaded models may take together.")
    tls_cert: Path | None = Field(None, description="PEM certificate chain; serves HTTPS.")
    tls_key: Path | None = Field(None, description="PEM private key of the certificate.")
    tls_client_ca: Path | None = Field(
        None, description="PEM authorities; only clients with a certificate of theirs are let in."
    )
    hsts_seconds: int = Field(
        31_536_000,
        ge=0,
        le=63_072_000,
        description="For how long browsers that saw HTTPS here use nothing else; 0 tells them nothing.",
    )
    hang_seconds: float = Field(
        10.0,
        ge=1,
        le=3600,
        description="How long a process may give no sign of life, or a run go on after its deadline, before "
        "the process is replaced.",
    )
    job_processes: int = Field(
        1, ge=0, le=64, description="Processes that run jobs, one at a time each; 0 for none here."
    )
    job_niceness: int = Field(
        10, ge=0, le=19, description="How far jobs stand back behind predictions (nice(2)); 0 for not at all."
    )
    jobs_per_account: int = Field(
        10, ge=1, le=100_000, description="Jobs of one account that may be queued or running."
    )
    job_days: float = Field(7.0, gt=0, le=3650, description="How long a job is kept after it has ended.")
    job_streams: int = Field(64, ge=0, description="Streams of job events at a time in each worker.")
    job_streams_per_account: int = Field(
        8, ge=0, description="The same of one account; beyond it clients ask from time to time."
    )
    insecure_behind_proxy: bool = Field(
        default=False, description="Allow plain HTTP on a non-loopback address, behind a proxy that ends TLS."
    )
    grace_seconds: float = Field(
        1.0, ge=0, le=300, description="Time between not-ready and closing the port."
    )
    drain_seconds: float = Field(
        30.0, ge=1, le=3600, description="Time that accepted requests have to finish."
    )
    max_body_bytes: int = Field(
        8 * 2**20, ge=1024, description="Largest body of anything but a package and a job's rows."
    )
    max_package_bytes: int = Field(2**31, ge=1024, description="Largest package, zipped and unzipped.")
    max_evaluation_bytes: int = Field(
        2**27, ge=1024, description="Largest body of rows that a job is to evaluate."
    )
    max_fine_tune_bytes: int = Field(
        2**27, ge=1024, description="Largest body of rows that a job is to train on."
    )
    max_fine_tune_rows: int = Field(
        100_000, ge=2, description="Rows that one fine-tune may have; each takes some kilobytes of memory."
    )
    upload_chunk_bytes: int = Field(
        2 * 2**20, ge=1024, description="Largest chunk of a package in chunks, within max_body_bytes."
    )
    max_instances: int = Field(10_000, ge=1, description="Largest number of instances in one predict call.")
    request_seconds: float = Field(60.0, gt=0, le=3600, description="Longest that a prediction may take.")
    body_seconds: float = Field(30.0, gt=0, le=3600, description="Longest that a body may take to arrive.")
    session_hours: float = Field(12.0, gt=0, le=24 * 90, description="Life of a log-in session.")
    logins_per_minute: float = Field(10.0, gt=0, description="Log-in tries per address.")
    log_in_free_tries: int = Field(
        5, ge=1, description="Log-ins of an e-mail that may fail in a row; each next one waits twice as long."
    )
    registration: Registration = Field("open", description="Who may register.")
    registrations_per_minute: float = Field(10.0, gt=0, description="Registrations per address.")
    policy_version: str = Field("2026-11", min_length=1, max_length=64, description="Usage policy's version.")
    policy_text: str = Field(DEFAULT_POLICY, min_length=1, description="Usage policy's text.")
    console: bool = Field(default=True, description="Serve the web console at /console.")
    capture_bytes: int = Field(
        64 * 2**20,
        ge=0,
        description="What the captured calls of a model may take; then the oldest go. 0 forbids capture.",
    )
    telemetry: bool = Field(
        default=False, description="Send OpenTelemetry traces where its OTEL_… variables say."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")

    @field_validator("telemetry")
    @classmethod
    def _installed(cls, telemetry: bool) -> bool:  # noqa: FBT001 - pydantic's signature
        if telemetry:
            tracing.check_installed()
        return telemetry

    @field_validator("rate_limit_url")
    @classmethod
    def _reachable(cls, url: str | None) -> str | None:
        if url is not None:
            shared_limits.check_installed()
        return url

    @field_validator("lanes", "intra_op_threads", mode="before")
    @classmethod
    def _chosen_from_the_cores(cls, value: object, info: ValidationInfo) -> object:
        if value not in (0, "0"):
            return value
        takers = info.data.get("workers", 1) * info.data.get("lanes", 1)
        most = _MOST_LANES if info.field_name == "lanes" else _MOST_THREADS
        return max(1, min(most, usable_cores() // takers))

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: give both or neither")
        if sum(map(bool, (self.master_key, self.master_key_command, self.master_key_file))) > 1:
            raise ValueError("give one of master_key, master_key_command and master_key_file")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("tls_client_ca needs tls_cert and tls_key: only TLS asks for certificates")
        if not (self.tls_cert or self.insecure_behind_proxy or _is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} is not a loopback address and there is no TLS: passwords would travel in "
                "clear; give tls_cert and tls_key, or insecure_behind_proxy if a proxy in front ends TLS"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings' own
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read flags first, then the environment, then the file that `MAAS_SERVER_CONFIG` names."""
        sources: tuple[PydanticBaseSettingsSource, ...] = (init_settings, env_settings)
        if path := os.environ.get(CONFIG_FILE_VARIABLE):
            if not Path(path).is_file():
                raise ValueError(f"{CONFIG_FILE_VARIABLE} names {path}, and there is no such file")
            sources += (TomlConfigSettingsSource(settings_cls, path),)
        return sources

    @property
    def database(self) -> str:
        """The database's URL, resolved."""
        return self.database_url or f"sqlite:///{self.data_dir / 'maas.db'}"

    @property
    def master_keys(self) -> Path:
        """The file of the master key, resolved."""
        return self.master_key_file or self.data_dir / "master.key"

    @property
    def artifacts(self) -> str:
        """The artifact store's URL or folder, resolved."""
        return self.artifacts_url or str(self.data_dir / "artifacts")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
