"""Bring a new version to a model's callers in steps, by a rule, and take it back when the rule says so.

    maas-server serve --demo --ready-file demo.json     # in another terminal
    export MAAS_BASE_URL=http://127.0.0.1:8000
    export MAAS_API_KEY=$(python -c 'import json; print(json.load(open("demo.json"))["api_key"])')
    python examples/canary.py --model text_classification_model --candidate 1

First the candidate gets copies of the calls: nobody sees what it answers, but it is compared. Then it serves
5 %, 25 % and 50 % of the callers, and at last all of them. At each step the rule looks at 95 % intervals: how
often the two versions agree, how often calls fail, how long they take. As long as an interval lies on both
sides of its limit, the step goes on; when one lies on the wrong side, or patience ends first, the candidate
is withdrawn. The key needs the scopes models:read, models:write and predict, and to be the owner's.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import maas_client

if TYPE_CHECKING:
    from collections.abc import Iterator

    from maas_client.types import Comparison, Estimate

TEXTS = [
    "What a wonderful film!",
    "I want my money back.",
    "It was not bad at all.",
    "The parcel came two days late and the box was open.",
    "Best coffee in town, and the people are lovely.",
    "I would not go there again.",
    "It does what it says.",
    "My children loved every minute of it.",
]
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Rule:
    """When a candidate is good enough; every limit is held against a 95 % interval."""

    min_calls: int
    min_agreement: float
    max_error_rate: float
    max_latency_ratio: float

    def judge(self, seen: Comparison, *, with_callers: bool) -> tuple[str, list[str]]:
        """Return `good`, `bad` or `undecided`, and why."""
        shadow = seen.shadow
        calls = seen.served_b.calls if with_callers else (shadow.calls if shadow else 0)
        if calls < self.min_calls:
            return "undecided", [f"{calls} of {self.min_calls} calls"]
        failures = seen.served_b.error_rate if with_callers else shadow and shadow.error_rate_b
        found = [
            at_most("error rate", failures, self.max_error_rate),
            at_least("agreement", shadow and shadow.agreement, self.min_agreement),
            at_most("latency ratio", shadow and shadow.latency_ratio, self.max_latency_ratio),
        ]
        verdicts = {verdict for verdict, _ in found}
        verdict = next(each for each in ("bad", "undecided", "good") if each in verdicts)
        return verdict, [f"{calls} calls", *(told for _, told in found)]


def at_most(name: str, figure: Estimate | None, limit: float) -> tuple[str, str]:
    """Hold a figure's interval against what it may be at most."""
    if figure is None or figure.low is None or figure.high is None:
        return "undecided", f"{name} not known yet"
    verdict = "good" if figure.high <= limit else "bad" if figure.low > limit else "undecided"
    return verdict, f"{name} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}], at most {limit:g}"


def at_least(name: str, figure: Estimate | None, limit: float) -> tuple[str, str]:
    """Hold a figure's interval against what it must be at least."""
    if figure is None or figure.low is None or figure.high is None:
        return "undecided", f"{name} not known yet"
    verdict = "good" if figure.low >= limit else "bad" if figure.high < limit else "undecided"
    return verdict, f"{name} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}], at least {limit:g}"


@dataclass(frozen=True)
class Canary:
    """One candidate on its way to a model's callers."""

    client: maas_client.Client
    model: str
    present: int
    candidate: int
    rule: Rule
    patience: float

    def run(self, steps: list[int]) -> bool:
        """Take the candidate through the steps; return whether it was promoted."""
        print(f"{self.model}: version {self.candidate} is to take over from version {self.present}")
        traffic = self.client.model(self.model).traffic
        for share in (0, *steps):
            failed = self.step(share)
            if failed is not None:
                traffic.withdraw(note=f"canary: {failed}")
                print(f"withdrawn: version {self.present} serves alone, because {failed}")
                return False
        traffic.promote(self.candidate, note="canary: every step was good")
        print(f"promoted: version {self.candidate} is `default` and serves alone")
        return True

    def step(self, share: int) -> str | None:
        """Give the candidate a share of the callers, 0 for copies alone; return why it failed, if it did."""
        note = f"{share} % of the callers" if share else "copies alone"
        revision = self.change(share, f"canary: {note}")
        until = time.monotonic() + self.patience
        while True:
            time.sleep(LOOK_SECONDS)
            seen = self.client.model(self.model).comparison(self.present, self.candidate, since=revision)
            verdict, reasons = self.rule.judge(seen, with_callers=share > 0)
            if verdict == "undecided" and time.monotonic() < until:
                continue
            print(f"{note}: {verdict} - {'; '.join(reasons)}", flush=True)
            if verdict == "good":
                return None
            return "; ".join(reasons) if verdict == "bad" else f"{self.patience:g} s told too little"

    def change(self, share: int, note: str) -> int:
        """Change the traffic; return its revision. Copies go on, because they tell whether the two agree."""
        traffic = self.client.model(self.model).traffic
        if not share:
            return traffic.shadow(self.candidate, note=note).revision
        weights = {self.present: 100 - share, self.candidate: share}
        return traffic.split(weights, shadows=[self.candidate], note=note).revision


@contextmanager
def load(client: maas_client.Client, model: str) -> Iterator[None]:
    """Call a model for as long as the block runs, as a thousand callers would one after the other."""
    stop = threading.Event()

    def call() -> None:
        for number in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
            try:
                handle = client.model(model, sticky_id=f"user-{number % 1000}")
                handle.predict(text=TEXTS[number % len(TEXTS)])
            except maas_client.MaasError as error:
                print(f"a call failed: {error}", file=sys.stderr)

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="text_classification_model")
    parser.add_argument("--candidate", type=int, required=True, help="the version that is to take over")
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 25, 50], help="per cent of the callers")
    parser.add_argument("--min-calls", type=int, default=200, help="fewer decide nothing")
    parser.add_argument("--min-agreement", type=float, default=0.8)
    parser.add_argument("--max-error-rate", type=float, default=0.02)
    parser.add_argument("--max-latency-ratio", type=float, default=2.0)
    parser.add_argument("--patience", type=float, default=60.0, help="seconds for each step")
    parser.add_argument("--no-load", action="store_true", help="wait for callers that there are already")
    return parser.parse_args()


def main() -> None:
    """Promote the candidate or withdraw it; the exit code tells which."""
    options = arguments()
    client = maas_client.Client()
    present = client.model(options.model).aliases.get("default").version
    if present == options.candidate:
        sys.exit(f"version {present} is `default` already; name another candidate")
    limits = (options.min_agreement, options.max_error_rate, options.max_latency_ratio)
    canary = Canary(
        client, options.model, present, options.candidate, Rule(options.min_calls, *limits), options.patience
    )
    with nullcontext() if options.no_load else load(client, options.model):
        promoted = canary.run(options.steps)
    sys.exit(0 if promoted else 1)


if __name__ == "__main__":
    main()
