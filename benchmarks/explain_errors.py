"""Measure how far explanations are from the exact values, against the evaluations that they take.

Writes `docs/interpretability/errors.csv` and `errors.svg`: for each method the mean over sentences and seeds
of the largest error of any word's value, for the demo's model on sentences of twelve words.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

from maas_client._package import GRAPH, open_package
from reference_server.demo.packages import demo_packages
from reference_server.explain.attribution import attribute
from reference_server.explain.exact import all_coalitions, shapley_values
from reference_server.explain.game import Counted, ends
from reference_server.explain.kernel import regress

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_server.explain.game import Booleans, Floats, Game

FOLDER = Path(__file__).parents[1] / "docs" / "interpretability"
BUDGETS = (48, 64, 96, 128, 192, 256, 384, 512, 1024)
SEEDS = 8
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


METHODS: dict[str, Callable[[Game, int, int, np.random.Generator], Floats]] = {
    "kernel (this server)": ours,
    "paired KernelSHAP": paired_kernel_shap,
    "antithetic permutations": antithetic_permutations,
    "leave-one-out": leave_one_out,
}


def main() -> int:
    """Measure and write both files."""
    games = [_table(sentence) for sentence in SENTENCES]
    rows = [
        {"evaluations": budget, **{name: _error(method, games, budget) for name, method in METHODS.items()}}
        for budget in BUDGETS
    ]
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "errors.csv").open("w", newline="", encoding="utf-8") as target:
        writer = csv.DictWriter(target, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: round(value, 4) for key, value in row.items()} for row in rows)
    _plot(rows)
    for row in rows:
        print(*(f"{value:>10.4g}" for value in row.values()))
    return 0


def _table(sentence: str) -> Floats:
    """Return the probability of `positive` of each of `all_coalitions` of the words."""
    with open_package(demo_packages(log=print).versions[-1].package) as package:
        session = onnxruntime.InferenceSession(package.read(GRAPH))
    words = np.array(sentence.split())
    texts = [" ".join(words[row]) for row in all_coalitions(len(words))]
    answers = session.run(["probabilities"], {session.get_inputs()[0].name: np.array(texts, object)})
    return np.asarray(answers[0][:, 1], np.float64)


def _error(method: Callable[..., Floats], tables: list[Floats], budget: int) -> float:
    errors = []
    for table in tables:
        features = len(table).bit_length() - 1
        truth = shapley_values(all_coalitions(features), table)
        powers = 1 << np.arange(features)

        def game(coalitions: Booleans, table: Floats = table, powers: Floats = powers) -> Floats:
            return table[coalitions @ powers]

        for seed in range(SEEDS):
            values = method(game, features, budget, np.random.default_rng(seed))
            errors.append(np.abs(values - truth).max())
    return float(np.mean(errors))


def _plot(rows: list[dict[str, float]]) -> None:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "explain-errors"
    figure, axes = plt.subplots(figsize=(7, 4))
    for name, marker in zip(METHODS, "os^x", strict=True):
        axes.plot(
            [row["evaluations"] for row in rows], [row[name] for row in rows], marker=marker, label=name
        )
    axes.set(xscale="log", yscale="log", xlabel="evaluations of the model", ylabel="mean largest error")
    axes.set_xticks(BUDGETS, [str(budget) for budget in BUDGETS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(FOLDER / "errors.svg", metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
