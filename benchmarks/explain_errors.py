"""Measure how far explanations are from the true values, against the evaluations that they take.

For each method the mean over texts and seeds of the largest error of any word's value, for the demo's model:
on sentences of twelve words, whose exact values come from all 4,096 coalitions, and on real texts of 20 to 30
words, whose true values are taken from the method of others with a very large budget. Writes `errors.csv`,
`errors_real.csv` and `errors.svg` to `docs/interpretability`.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from maas_client._package import GRAPH, open_package
from reference_server.demo import data
from reference_server.demo.packages import demo_packages
from reference_server.explain.attribution import attribute
from reference_server.explain.exact import all_coalitions, shapley_values
from reference_server.explain.game import Counted, ends
from reference_server.explain.kernel import regress
from reference_server.explain.segments import words
from reference_server.explain.texts import MaskedText
from reference_server.runtime.tasks.text_inputs import TEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.explain.game import Booleans, Floats, Game

    Method = Callable[[Game, int, int, np.random.Generator], Floats]

FOLDER = Path(__file__).parents[1] / "docs" / "interpretability"
BUDGETS = (48, 64, 96, 128, 192, 256, 384, 512, 1024)
SEEDS = 20
REAL_BUDGETS = (128, 256, 512, 1024, 2048)
REAL_TEXTS = 5
REAL_WORDS = range(20, 31)
# KernelSHAP by pairs needs a thousand evaluations for an error of 0.02, and its error falls with the root.
REFERENCE_BUDGET = 2**18
CHECK_BUDGET = 2**17
_ROWS = 256
SENTENCES = (
    "The soup was not good but the bread was even better tonight",
    "This is the best film about war that I have ever seen",
    "I would never go back to that awful place with my friends",
    "The screen is bright but the battery is a very big disappointment",
    "It is hard to believe that something so short could be boring",
)


def paired_kernel_shap(game: Game, features: int, budget: int, draw: np.random.Generator) -> Floats:
    """Return the values of Covert and Lee (2021): pairs drawn with repeats, by KernelSHAP's own weights."""
    pairs = (budget - 2) // 2
    sizes = np.arange(1, features)
    weights = 1 / (sizes * (features - sizes))
    drawn = draw.choice(sizes, pairs, p=weights / weights.sum())
    ranks = draw.random((pairs, features)).argsort(axis=1).argsort(axis=1)
    coalitions = ranks < drawn[:, None]
    empty, full = game(ends(features))
    odd = (game(coalitions) - game(~coalitions)) / 2
    return regress(np.where(coalitions, 1.0, -1.0), odd, np.ones(pairs), total=full - empty)


def antithetic_permutations(game: Game, features: int, budget: int, draw: np.random.Generator) -> Floats:
    """Return the mean of what each feature adds along random orders and their reverses."""
    found = []
    for _ in range(max(1, budget // (2 * (features - 1)))):
        order = draw.permutation(features)
        for one in (order, order[::-1]):
            ranks = np.argsort(one)
            steps = np.diff(game(ranks < np.arange(features + 1)[:, None]))
            found.append(steps[ranks])
    return np.mean(found, axis=0)


def ours(game: Game, features: int, budget: int, draw: np.random.Generator) -> Floats:
    """Return the server's `kernel` values."""
    counted = Counted(game, budget=budget)
    return attribute(counted, features, method="kernel", budget=budget, rng=draw).values


def leave_one_out(game: Game, features: int, budget: int, draw: np.random.Generator) -> Floats:
    """Return the server's `fast` values, whatever the budget."""
    return attribute(Counted(game, budget=budget), features, method="fast", budget=budget, rng=draw).values


METHODS: dict[str, Method] = {
    "kernel (this server)": ours,
    "paired KernelSHAP": paired_kernel_shap,
    "antithetic permutations": antithetic_permutations,
    "leave-one-out": leave_one_out,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A game whose true values are known.

    Args:
        features: How many words.
        game: The probability of `positive` with some of them.
        truth: `[features]`.
    """

    features: int
    game: Game
    truth: Floats

    def error(self, method: Method, budget: int, seed: int) -> float:
        """Return the largest error of any word's value."""
        values = method(self.game, self.features, budget, np.random.default_rng(seed))
        return float(np.abs(values - self.truth).max())


def main() -> int:
    """Measure and write the files."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    session = _session()
    exact = _measured([_exactly_known(session, text) for text in SENTENCES], BUDGETS)
    _write("errors.csv", exact)
    real = _measured([_well_known(session, text) for text in _real_texts()], REAL_BUDGETS)
    _write("errors_real.csv", real)
    _plot({"five sentences of 12 words": exact, "five real texts of 20 to 30 words": real})
    return 0


def _session() -> onnxruntime.InferenceSession:
    with open_package(demo_packages(log=print).versions[-1].package) as package:
        return onnxruntime.InferenceSession(package.read(GRAPH))


def _exactly_known(session: onnxruntime.InferenceSession, text: str) -> Case:
    features = len(words(text))
    table = _scored(session, _masked(text), all_coalitions(features))
    powers = 1 << np.arange(features)
    return Case(
        features,
        lambda coalitions: table[coalitions @ powers],
        shapley_values(all_coalitions(features), table),
    )


def _well_known(session: onnxruntime.InferenceSession, text: str) -> Case:
    """Return a text with the values of KernelSHAP by pairs, and say how far this server's are from them."""
    features, game = len(words(text)), partial(_scored, session, _masked(text))
    truth = paired_kernel_shap(game, features, REFERENCE_BUDGET, np.random.default_rng(2021))
    case = Case(features, game, truth)
    apart = case.error(ours, CHECK_BUDGET, seed=2021)
    print(f"{features} words: the reference and {CHECK_BUDGET:,} evaluations of ours differ by {apart:.4f}")
    return case


def _real_texts() -> list[str]:
    """Return texts of the data that the demo's model is trained and tested on, spread over all of them."""
    found = [text for text in data.sentences(log=print).texts if len(words(text)) in REAL_WORDS]
    return found[:: max(1, len(found) // REAL_TEXTS)][:REAL_TEXTS]


def _masked(text: str) -> MaskedText:
    return MaskedText(text, [[word] for word in words(text)], mask=None)


def _scored(session: onnxruntime.InferenceSession, masked: MaskedText, coalitions: Booleans) -> Floats:
    """Return the probability of `positive` with the words of each coalition."""
    name = session.get_inputs()[0].name
    scores = []
    for first in range(0, len(coalitions), _ROWS):
        texts = np.array(masked.masked(coalitions[first : first + _ROWS]).columns[TEXT], object)
        scores.append(session.run(["probabilities"], {name: texts})[0][:, 1])
    return np.concatenate(scores).astype(np.float64)


def _measured(cases: list[Case], budgets: tuple[int, ...]) -> list[dict[str, float]]:
    rows = []
    for budget in budgets:
        rows.append({"evaluations": budget} | {name: _mean_error(name, cases, budget) for name in METHODS})
        print(*(f"{value:>10.4g}" for value in rows[-1].values()), flush=True)
    return rows


def _mean_error(name: str, cases: list[Case], budget: int) -> float:
    # Leaving one out draws nothing by chance.
    seeds = range(1 if name == "leave-one-out" else SEEDS)
    return float(np.mean([case.error(METHODS[name], budget, seed) for case in cases for seed in seeds]))


def _write(name: str, rows: list[dict[str, float]]) -> None:
    with (FOLDER / name).open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: round(value, 4) for key, value in row.items()} for row in rows)


def _plot(measured: dict[str, list[dict[str, float]]]) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "explain-errors"
    figure, sides = plt.subplots(1, len(measured), figsize=(10, 4), sharey=True, layout="constrained")
    for axes, (title, rows) in zip(sides, measured.items(), strict=True):
        budgets = [row["evaluations"] for row in rows]
        for name, marker in zip(METHODS, "os^x", strict=True):
            axes.plot(budgets, [row[name] for row in rows], marker=marker, label=name)
        axes.set(xscale="log", yscale="log", xlabel="evaluations of the model", title=title)
        axes.set_xticks(budgets, [f"{budget:g}" for budget in budgets], fontsize=8)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    sides[0].set_ylabel("mean largest error")
    sides[0].legend()
    figure.savefig(FOLDER / "errors.svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
