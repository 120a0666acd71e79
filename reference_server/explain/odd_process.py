"""The odd part of a game as a Gaussian process, of which Shapley values are a linear function.

With a coalition written as signs z, +1 where a feature is present and −1 where it is not, half the difference
between its score and its complement's is

    g(z) = Σ over sets T of an odd number of features, of c_T · Π over i in T of z_i,

and the Shapley values are φ_i = 2 · Σ over those T that hold i, of c_T / |T|. KernelSHAP fits the c_T of
single features alone. Here those of three features are fitted too, not by estimating each one but by a
prior: single ones may be anything, triples are normal with the variance s² · γ · a_i · a_j · a_k / C(n, 3),
where a_i says how much feature i counts, and what is beyond triples is noise. γ and a are chosen by
restricted maximum likelihood, and s² follows. That is universal kriging (Rasmussen and Williams,
"Gaussian Processes for Machine Learning", 2006, sections 2.7 and 5.4), and a regression adjustment in the
sense of Witter, Liu and Musco, "Regression-adjusted Monte Carlo Estimators for Shapley Values and
Probabilistic Values" (2025).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reference_server.explain.game import Floats

GAMMAS = (0.0, 0.1, 1.0, 10.0, 100.0)
"""The variance of all triples together beside that of the noise; 0 is KernelSHAP itself."""
# Features that count for nothing alone may do so together, so none is left out whole.
_LEAST_RELEVANCE = 0.05
# Of the mean noise: what the score of all features against none has, so that the fit goes through it.
_NO_NOISE = 1e-9
# Of the mean square on the diagonal: too little to change a digit that anyone reads.
_LEAST_SQUARE = 1e-12


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen of a game.

    Args:
        signs: `[rows, features]`, the first row all features, the others a coalition of each pair.
        odd: g of each, `[rows]`.
        noise: The variance of what is beyond triples, up to a factor, `[rows]`.
    """

    signs: Floats
    odd: Floats
    noise: Floats

    @classmethod
    def of(cls, signs: Floats, odd: Floats, weights: Floats) -> Observed:
        """Return what was seen, given KernelSHAP's weight of each row; the first row is believed whole."""
        noise = 1 / weights
        noise = noise / noise[1:].mean()
        noise[0] = _NO_NOISE
        return cls(signs, odd, noise)

    def some(self, rows: int) -> Observed:
        """Return the first of the rows."""
        return Observed(self.signs[:rows], self.odd[:rows], self.noise[:rows])


@dataclass(frozen=True, slots=True)
class Prior:
    """What is assumed of triples.

    Args:
        gamma: Their variance in all, beside the noise.
        relevance: a, `[features]`, of mean 1.
    """

    gamma: float
    relevance: Floats

    def covariance(self, one: Floats, other: Floats) -> Floats:
        """Return that of the triples' part of g, between rows of signs, `[ones, others]`."""
        a = self.relevance
        # Sums of powers of u_i = a_i z_i z'_i, and from them Σ over i < j < k of u_i u_j u_k (Newton).
        first, third = (one * a) @ other.T, (one * a**3) @ other.T
        return np.asarray(self._scale / 6 * (first * (first * first - 3 * (a**2).sum()) + 2 * third))

    def with_values(self, signs: Floats) -> Floats:
        """Return the covariance of the triples' part of g with the Shapley values, `[rows, features]`."""
        u = signs * self.relevance
        total, squares = u.sum(axis=1, keepdims=True), (self.relevance**2).sum()
        others = (total - u) ** 2 - (squares - self.relevance**2)
        return np.asarray(self._scale * u * others / 3)

    @property
    def _scale(self) -> float:
        return self.gamma / comb(len(self.relevance), 3)


class OddProcess:
    """The process, given what was seen and a prior.

    Args:
        seen: Rows of rank `features` at least, and one more.
        prior: What is assumed of triples.
    """

    def __init__(self, seen: Observed, prior: Prior) -> None:
        self._seen, self._prior = seen, prior
        covariance = prior.covariance(seen.signs, seen.signs) + np.diag(seen.noise)
        self._root = np.linalg.cholesky(covariance)
        white = np.linalg.solve(self._root, np.column_stack([seen.signs, seen.odd]))
        self._signs, odd = white[:, :-1], white[:, -1]
        self._information = regular(self._signs.T @ self._signs)
        self._singles = np.linalg.solve(self._information, self._signs.T @ odd)
        self._rest = odd - self._signs @ self._singles
        rows, features = seen.signs.shape
        self._variance = float(self._rest @ self._rest) / (rows - features)

    @property
    def likelihood(self) -> float:
        """Return the logarithm of the restricted likelihood, up to a constant."""
        rows, features = self._signs.shape
        if self._variance <= 0:
            return np.inf
        return float(
            -(rows - features) / 2 * np.log(self._variance)
            - np.log(np.diag(self._root)).sum()
            - np.linalg.slogdet(self._information)[1] / 2
        )

    def values(self) -> Floats:
        """Return the Shapley values, `[features]`."""
        triples = self._prior.with_values(self._seen.signs)
        return 2 * self._singles + triples.T @ self._weights

    def predicted(self, signs: Floats) -> Floats:
        """Return g at rows of signs."""
        triples = self._prior.covariance(signs, self._seen.signs) @ self._weights
        result: Floats = signs @ self._singles + triples
        return result

    def left_out(self) -> Floats:
        """Return for each row how far g is from what the other rows say (Rasmussen and Williams, 5.4.2)."""
        return np.asarray((self._projection @ self._seen.odd) / np.diag(self._projection))

    def influences(self) -> Floats:
        """Return by how much the Shapley values change with each row's g, `[rows, features]`."""
        triples = np.linalg.solve(self._root, self._prior.with_values(self._seen.signs))
        singles = 2 * np.eye(self._signs.shape[1]) - self._signs.T @ triples
        linear = triples + self._signs @ np.linalg.solve(self._information, singles)
        return np.linalg.solve(self._root.T, linear)

    @property
    def _weights(self) -> Floats:
        return np.linalg.solve(self._root.T, self._rest)

    @property
    def _projection(self) -> Floats:
        inverse = np.linalg.inv(self._root)
        of_singles = inverse.T @ self._signs
        return np.asarray(inverse.T @ inverse - of_singles @ np.linalg.solve(self._information, of_singles.T))


def regular(squares: Floats) -> Floats:
    """Return a matrix of squares that can be inverted, even where pairs do not tell all features apart."""
    return np.asarray(squares + _LEAST_SQUARE * np.trace(squares) / len(squares) * np.eye(len(squares)))


def likeliest(seen: Observed, singles: Floats) -> Prior:
    """Return the prior under which what was seen is likeliest.

    Args:
        seen: What was seen.
        singles: What each feature adds by a fit without triples, `[features]`.
    """
    priors = [Prior(gamma, relevance) for relevance in _relevances(singles) for gamma in GAMMAS]
    return max(priors, key=lambda prior: OddProcess(seen, prior).likelihood)


def _relevances(singles: Floats) -> Iterable[Floats]:
    yield np.ones(len(singles))
    if singles.any():
        # Triples are the larger the more their features count by themselves, or so it often is.
        for power in (1, 2):
            relevance = np.abs(singles) ** power
            yield _LEAST_RELEVANCE + (1 - _LEAST_RELEVANCE) * relevance / relevance.mean()
