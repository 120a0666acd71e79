"""What a server would find on this machine with its settings: `maas-server doctor`.

Nothing is made or changed. Each check is a function of the settings that yields findings, and each finding
that is not as it should be says what to do.
"""

from __future__ import annotations

import errno
import importlib.metadata
import os
import platform
import shutil
import socket
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from reference_server.registry import data_keys, sealing_up
from reference_server.registry import in_clear as permission
from reference_server.registry.database import Database, StoreError, look_at_schema
from reference_server.runtime import cuda_parts
from reference_server.runtime.execution_providers import (
    CPU,
    ExecutionProvider,
    available_providers,
    cuda,
    installed_wheels,
    prove,
    silence,
)
from reference_server.runtime.runner import ExecutionProviderError
from reference_server.security.master_keys import MasterKeyError
from reference_server.settings import usable_cores
from reference_server.stores import given_keys
from reference_server.tls import Certificates, TlsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.orm import Session

    from reference_server.registry.database import Schema
    from reference_server.security.master_keys import MasterKeys
    from reference_server.settings import Settings

State: TypeAlias = Literal["ok", "off", "warn", "fail"]

PACKAGES = (
    "maas-client",
    "numpy",
    "onnx",
    "tokenizers",
    "uvicorn",
    "flask",
    "pydantic",
    "sqlalchemy",
    "alembic",
)
_LITTLE_SPACE = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Args:
        check: What was looked at.
        state: `ok`; `off` for what is not there and not asked for; `warn` where the server starts all the
            same; `fail` where it does not, or could not serve rightly what it has.
        told: What was found.
        remedy: What to do about it; empty where nothing needs doing.
    """

    check: str
    state: State
    told: str
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON has it."""
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything that a server with these settings needs, in the order in which it would use it."""
    # They tell what they find as this module does.
    from reference_server import store_checks

    silence()
    for check in (
        packages,
        wheels,
        cpu_proof,
        cuda_needs,
        cuda_proofs,
        cores,
        memory,
        data_directory,
        store_checks.permissions,
        store,
        master_key,
        in_clear,
        store_checks.integrity,
        artifacts,
        store_checks.stored_artifacts,
        certificate,
        store_checks.certificate_expiry,
        store_checks.files,
        address,
    ):
        yield from check(settings)


def packages(_settings: Settings) -> Iterator[Finding]:
    """Tell the versions of Python and of the packages that matter."""
    found = [f"{name} {importlib.metadata.version(name)}" for name in PACKAGES]
    yield Finding("packages", "ok", f"Python {platform.python_version()}, {', '.join(found)}")


def wheels(settings: Settings) -> Iterator[Finding]:
    """Tell which ONNX Runtime is installed; two side by side are a broken installation."""
    found = installed_wheels()
    shown = " and ".join(f"{name} {importlib.metadata.version(name)}" for name in found)
    if len(found) > 1:
        told = f"{shown} are installed side by side and overwrite each other"
        state: State = "fail" if settings.provider == "cuda" else "warn"
        yield Finding("ONNX Runtime", state, told, "make a fresh environment with one of them")
        return
    providers = ", ".join(available_providers())
    yield Finding("ONNX Runtime", "ok", f"{shown or 'no wheel of ours'}, built with {providers}")


def cpu_proof(_settings: Settings) -> Iterator[Finding]:
    """Run a tiny model on the CPU."""
    yield _proof(CPU, "fail")


def cuda_needs(settings: Settings) -> Iterator[Finding]:
    """Look for each part that CUDA needs: the wheel, the driver, CUDA's libraries, cuDNN."""
    for part in cuda_parts.examine(settings.cuda_devices):
        state: State = _without_cuda(settings) if part.is_missing else "ok"
        yield Finding(f"CUDA: {part.name}", state, part.told, part.remedy)


def cuda_proofs(settings: Settings) -> Iterator[Finding]:
    """Run a tiny model on each configured GPU, where this ONNX Runtime can at all."""
    if cuda_parts.CUDA_PROVIDER not in available_providers():
        state = _without_cuda(settings)
        if state == "fail":
            remedy = "install what is missing, or choose the provider `cpu`"
            yield Finding("CUDA", state, "provider is cuda: the server does not start without it", remedy)
        else:
            yield Finding("CUDA", state, f"models run on the CPU (provider is {settings.provider})")
        return
    for device in settings.cuda_devices:
        yield _proof(cuda(device, memory_bytes=settings.gpu_memory_bytes), _without_cuda(settings))


def cores(settings: Settings) -> Iterator[Finding]:
    """Hold lanes and threads against the cores."""
    there = usable_cores()
    workers, lanes, threads = settings.workers, settings.lanes, settings.intra_op_threads
    told = f"{there} cores; workers {workers}, lanes {lanes} each, intra-op threads {threads} each"
    if workers * lanes * threads > there:
        remedy = "they wait for each other: lower workers, lanes or intra_op_threads, or leave them unset"
        yield Finding("cores", "warn", told, remedy)
    else:
        yield Finding("cores", "ok", told)


def memory(settings: Settings) -> Iterator[Finding]:
    """Hold what loaded models may take against the memory that is available."""
    budget, there = settings.memory_budget_bytes * settings.workers, available_memory()
    told = f"models may take {_size(budget)} (memory_budget_bytes of {settings.workers} workers)"
    if there is None:
        yield Finding("memory", "ok", f"{told}; what is available is not known on this system")
    elif budget > there:
        told = f"{told}, and {_size(there)} are available"
        remedy = f"set memory_budget_bytes to {there // settings.workers // 2**20 * 2**20} or less"
        yield Finding("memory", "warn", told, remedy)
    else:
        yield Finding("memory", "ok", f"{told} of {_size(there)} available")


def data_directory(settings: Settings) -> Iterator[Finding]:
    """See whether the data directory can be written to, and how much room it has."""
    if settings.database_url is None or settings.artifacts_url is None:
        yield _folder("data directory", settings.data_dir)


def store(settings: Settings) -> Iterator[Finding]:
    """Hold the store's schema against this server's."""
    try:
        schema = look_at_schema(settings.database)
    except StoreError as error:
        remedy = "check database_url (MAAS_SERVER_DATABASE_URL) or the data directory"
        yield Finding("store", "fail", str(error), remedy)
        return
    if not schema.is_known:
        told = f"has schema {schema.current}, which this server does not know (its newest is {schema.newest})"
        remedy = "a newer server made it: install that version, or name another store"
        yield Finding("store", "fail", told, remedy)
    elif schema.current is None:
        yield Finding("store", "ok", f"there is none yet; the start makes it with schema {schema.newest}")
    elif schema.current != schema.newest:
        told = f"has schema {schema.current}, behind {schema.newest}; the start brings it up to date"
        yield Finding("store", "warn", told, "make a copy of it first: there is no way back")
    else:
        yield Finding("store", "ok", f"has schema {schema.current}, the newest")


def master_key(settings: Settings) -> Iterator[Finding]:
    """Read the master key, and open every account's key with it."""
    schema = _schema(settings)
    if schema is None:
        return
    if schema.current is None and not _names_a_key(settings):
        yield Finding("master key", "ok", f"the start makes one at {settings.master_keys}")
        return
    try:
        keys = given_keys(settings)
    except MasterKeyError as error:
        yield Finding("master key", "fail", str(error), "without the right key nothing in the store opens")
        return
    if schema.current != schema.newest:
        yield Finding("master key", "ok", "is there; the start brings the store up to date and tries it")
        return
    with _opened(settings, keys) as session:
        broken, used = data_keys.check_all(session), data_keys.masters(session)
    if missing := sorted(used.keys() - keys.keys.keys()):
        told = f"the store is sealed with {' and '.join(missing)}, and given is {', '.join(keys.keys)}"
        yield Finding("master key", "fail", told, "give the key that the store was made with")
    elif broken:
        told = f"the keys of {len(broken)} accounts do not open: {', '.join(broken[:5])}"
        yield Finding("master key", "fail", told, "their rows were changed: restore them from a backup")
    elif len(keys.keys) > 1:
        told = f"{len(keys.keys)} are given; a rotation is not finished"
        yield Finding("master key", "warn", told, "run: maas-server keys rotate")
    else:
        yield Finding("master key", "ok", f"{keys.present} opens every account's key")


def in_clear(settings: Settings) -> Iterator[Finding]:
    """Count what is stored in clear: an older server's, or put there by whoever changed the database."""
    schema = _schema(settings)
    if schema is None or schema.current is None or schema.current != schema.newest:
        return
    try:
        keys = given_keys(settings)
    except MasterKeyError:
        # Told by the check of the master key.
        return
    with _opened(settings, keys) as session:
        left = sealing_up.count(session)
        try:
            # A store without any key is of before all sealing.
            is_expected = not data_keys.masters(session) or permission.is_permitted(session)
        except MasterKeyError:
            is_expected = False
    told = (
        f"{left.versions} packages, {left.uploads} uploads, {left.jobs} jobs and {left.replies} replies are "
        "stored in clear"
    )
    if left.total and is_expected:
        yield Finding("sealing", "warn", told, "a server that runs seals them by itself; see its log if not")
    elif left.total:
        remedy = "somebody changed the database: restore it from a backup, or delete them; none is read"
        yield Finding("sealing", "fail", f"{told} though all was sealed before", remedy)
    else:
        yield Finding("sealing", "ok", "everything that is to be sealed is")


def artifacts(settings: Settings) -> Iterator[Finding]:
    """See whether the packages' place can be written to; an object store is only looked up by its driver."""
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    try:
        files, root = fsspec.core.url_to_fs(settings.artifacts)
    except (ImportError, ValueError, OSError) as error:
        remedy = "install the driver that it names, or check artifacts_url"
        yield Finding("artifacts", "fail", f"{settings.artifacts}: {error}", remedy)
        return
    if isinstance(files, LocalFileSystem):
        yield _folder("artifacts", Path(root))
    else:
        yield Finding("artifacts", "ok", f"{settings.artifacts}; its driver is there, it was not asked")


def certificate(settings: Settings) -> Iterator[Finding]:
    """Load the certificate and its key."""
    if settings.tls_cert is None or settings.tls_key is None:
        return
    try:
        Certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    except TlsError as error:
        yield Finding("TLS", "fail", str(error), "give a PEM chain and the private key that belongs to it")
    else:
        yield Finding("TLS", "ok", f"{settings.tls_cert} and its key fit each other")


def address(settings: Settings) -> Iterator[Finding]:
    """See whether the address can be listened on."""
    shown = f"{settings.host}:{settings.port}"
    try:
        family, kind, *_, place = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.bind(place)
    except OSError as error:
        remedy = "choose another --host or --port"
        if error.errno == errno.EADDRINUSE:
            remedy = "a server runs there already: stop it, or choose another --port"
        yield Finding("address", "fail", f"{shown} cannot be listened on: {error.strerror}", remedy)
    else:
        told = f"{shown} is free" if settings.port else f"any free port of {settings.host}"
        yield Finding("address", "ok", told)


def available_memory() -> int | None:
    """Return the bytes that programs can still take, within this container's limit; None where unknown."""
    found = [_meminfo(Path("/proc/meminfo")), _cgroup_room(Path("/sys/fs/cgroup"))]
    return min((each for each in found if each is not None), default=None)


def _meminfo(file: Path) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _cgroup_room(folder: Path) -> int | None:
    # Linux, "Control Group v2", memory.max: `max` where there is no limit.
    try:
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return max(0, int(limit) - int(used)) if limit.isdigit() else None


def _schema(settings: Settings) -> Schema | None:
    """Return the store's schema; None where the check of the store has told already that there is none."""
    try:
        schema = look_at_schema(settings.database)
    except StoreError:
        return None
    return schema if schema.is_known else None


def _names_a_key(settings: Settings) -> bool:
    return bool(settings.master_key or settings.master_key_command or settings.master_keys.exists())


@contextmanager
def _opened(settings: Settings, keys: MasterKeys | None) -> Iterator[Session]:
    database = Database(settings.database, master_keys=keys)
    try:
        with database.read() as session:
            yield session
    finally:
        database.dispose()


def _proof(provider: ExecutionProvider, otherwise: State) -> Finding:
    check = f"run on {provider.device}"
    try:
        prove(provider)
    except ExecutionProviderError as error:
        lacks = provider.name == cuda_parts.CUDA_PROVIDER and cuda_parts.missing(
            [int(provider.options["device_id"])]
        )
        return Finding(check, otherwise, "it does not: see above what is missing" if lacks else str(error))
    return Finding(check, "ok", "a tiny model computes what it should")


def _without_cuda(settings: Settings) -> State:
    """Return how bad it is that CUDA does not work: the CPU alone is the usual case, and no fault."""
    if settings.provider == "cuda":
        return "fail"
    if settings.provider == "auto" and installed_wheels() != ["onnxruntime"]:
        return "warn"
    return "off"


def _folder(check: str, folder: Path) -> Finding:
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return Finding(check, "fail", f"{there} is no folder", "name another, or move that file away")
    if not os.access(there, os.W_OK | os.X_OK):
        remedy = f"make {folder} for this user, or name another"
        return Finding(check, "fail", f"{there} cannot be written to", remedy)
    free = shutil.disk_usage(there).free
    told = f"{folder}{'' if there == folder else ', made at the start'}; {_size(free)} free"
    if free < _LITTLE_SPACE:
        return Finding(check, "warn", told, "make room: each published version needs that of its package")
    return Finding(check, "ok", told)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
