"""Kill a real server at random moments, start it again, and look for what it has lost.

Several clients publish, move and roll back aliases, show and hide models and, where the server can, delete.
Each writes what it asks for and what it is told into a ledger. At a random moment the server is killed -9, as
a whole or one worker of it. Then everything that was acknowledged must be there and nothing half.

    make survive
    make survive KILLS=20 SEED=7 WORKERS=2
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from actors import SHARED, Actor, Gone, World, publish, publish_again
from checks import Checks
from ledger import Ledger
from servers import CHUNK_BYTES, Server

import maas_client
from maas_client._operations import uploads

_PASSWORD = "correct horse battery"
_SHORTEST, _LONGEST = 0.05, 1.2
_WHOLE_SERVER = 0.7
_END_SECONDS = 90.0


class Run:
    """One run: a server, its clients, and what is held against it.

    Args:
        folder: Where everything of it is.
        seed: What every choice follows from; threads and the disk have their own time.
        clients: How many there are at a time.
        workers: Worker processes of the server.
    """

    def __init__(self, folder: Path, *, seed: int, clients: int, workers: int) -> None:
        self._folder = folder
        self._seed = seed
        self._clients = clients
        self._rng = random.Random(seed)
        self.server = Server(folder, workers=workers)
        self.world = World(folder / "packages", Ledger(folder / "ledger.jsonl"))
        self.checks = Checks(self.world, self.server.data, self._rng)
        self.kills: Counter[str] = Counter()

    def begin(self) -> None:
        """Start the server and make an account, its key, and the models that all clients share."""
        self._start()
        with maas_client.Client(None, self.server.url, proxies={}) as client:
            person = {"email": "ada@example.com", "password": _PASSWORD}
            client.register(**person, accept_policy=True)
            client.login(**person)
            made = client.keys.create("survival", scopes=["models:read", "models:write", "predict"])
        self.world.key = made.secret.get_secret_value()
        self.world.look_at_routes()
        with self.world.client() as client:
            for model in (*SHARED, *(f"own-{number}" for number in range(self._clients))):
                publish(self.world, client, model, self._rng)

    def kill_once(self, number: int) -> None:
        """Let the clients work, kill, start again, check, and repeat what was not answered."""
        actors = [
            Actor(each, self.world, random.Random(f"{self._seed}/{number}/{each}"))
            for each in range(self._clients)
        ]
        for actor in actors:
            actor.start()
        time.sleep(self._rng.uniform(_SHORTEST, _LONGEST))
        if self._rng.random() < _WHOLE_SERVER:
            self.server.kill()
            self.kills["the whole server"] += 1
            self._join(actors)
            self._keep_a_copy()
            self._start()
        else:
            for actor in actors:
                actor.stop()
            self.server.kill_worker(self._rng.random())
            self.kills["one worker"] += 1
            self._join(actors)
        self.checks.run()
        self._repeat()

    def end(self) -> None:
        """Check everything, stop the server in peace, and start it once more."""
        self.checks.run(everything=True)
        self.server.stop()
        self._start()
        self.checks.run(everything=True)
        if self.world.ledger.faults:
            raise AssertionError("\n".join(self.world.ledger.faults))

    def _start(self) -> None:
        self.server.start()
        self.world.url = self.server.url

    def _join(self, actors: list[Actor]) -> None:
        for actor in actors:
            actor.stop()
        for actor in actors:
            actor.join(_END_SECONDS)
            if actor.is_alive():
                raise AssertionError(f"{actor.name} waits for an answer that does not come")
            if actor.failure is not None:
                raise actor.failure

    def _keep_a_copy(self) -> None:
        """Keep the data directory as the death has left it."""
        copy = self._folder / "before-the-restart"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.server.data, copy)

    def _repeat(self) -> None:
        for change in list(self.world.ledger.changes):
            if change.kind == "publish" and change.outcome == "unanswered":
                if not change.model.startswith("brief-"):
                    publish_again(self.world, change)
                change.outcome = "refused"


def main() -> int:
    """Run, and print what was seen."""
    options = _options()
    uploads.SINGLE_REQUEST_BYTES = 2 * CHUNK_BYTES
    folder = Path(tempfile.mkdtemp(prefix="maas-survival-"))
    print(f"seed {options.seed}; everything is in {folder}")
    run = Run(folder, seed=options.seed, clients=options.clients, workers=options.workers)
    number = 0
    try:
        run.begin()
        for number in range(1, options.kills + 1):
            run.kill_once(number)
            if number % max(1, options.kills // 20) == 0:
                print(f"{number} of {options.kills} kills survived", flush=True)
        run.end()
    except (AssertionError, RuntimeError, Gone, maas_client.MaasError) as error:
        print(f"after kill {number}: {type(error).__name__}: {error}", file=sys.stderr)
        print(f"the ledger, the data and what was there before the restart are in {folder}", file=sys.stderr)
        return 1
    finally:
        run.server.end()
        run.world.ledger.close()
        _print_table(run)
    shutil.rmtree(folder)
    return 0


def _print_table(run: Run) -> None:
    print("\nkills".ljust(31), ", ".join(f"{count} of {what}" for what, count in run.kills.items()))
    for what, count in run.checks.counts.items():
        print(what.ljust(30), count)
    print("\nchange".ljust(17), *(name.rjust(13) for name in ("acknowledged", "refused", "unanswered")))
    for kind, counts in sorted(run.world.ledger.counts().items()):
        print(
            kind.ljust(16),
            *(str(counts[name]).rjust(13) for name in ("acknowledged", "refused", "unanswered")),
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200, help="how often to kill (200)")
    parser.add_argument(
        "--seed", type=int, default=secrets.randbits(32), help="what the choices follow from (random)"
    )
    parser.add_argument("--clients", type=int, default=4, help="clients at a time (4)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the server (1)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
