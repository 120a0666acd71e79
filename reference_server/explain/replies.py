"""Explanations as they go over the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from maas_client.types import Attribution, Curve, ExplainReply, Faithfulness

if TYPE_CHECKING:
    from reference_server.explain.explaining import Explained
    from reference_server.explain.faithfulness import CurveOf, Trust


@dataclass(frozen=True, slots=True)
class Source:
    """What explained: the version and where it ran.

    Args:
        model: As the caller calls it.
        version: Its number.
        digest: Its content's.
        device: What really ran it.
    """

    model: str
    version: int
    digest: str
    device: str


def reply(explained: Explained, source: Source, *, id_: str, seed: int) -> ExplainReply:
    """Return an explanation as it is answered."""
    found = explained
    errors = np.full(len(found.values), np.nan) if found.standard_errors is None else found.standard_errors
    return ExplainReply(
        id=id_,
        model=source.model,
        version=source.version,
        digest=source.digest,
        device=source.device,
        target=found.target,
        method=found.method,
        unit=found.unit,
        masking=found.masking,
        seed=seed,
        prediction=found.prediction,
        baseline=found.baseline,
        attributions=[
            Attribution(
                feature=feature.name,
                input=feature.input,
                value=value,
                standard_error=None if np.isnan(error) else error,
                start=feature.start,
                end=feature.end,
                box=feature.box,
            )
            for feature, value, error in zip(
                found.features, found.values.tolist(), errors.tolist(), strict=True
            )
        ],
        additivity_gap=found.baseline + float(found.values.sum()) - found.prediction,
        evaluations=found.evaluations,
        faithfulness=None if found.trust is None else _faithfulness(found.trust),
        notes=list(found.notes),
    )


def _faithfulness(trust: Trust) -> Faithfulness:
    return Faithfulness(
        deletion=_curve(trust.deletion),
        insertion=_curve(trust.insertion),
        comprehensiveness=trust.comprehensiveness.value,
        sufficiency=trust.sufficiency.value,
        random_comprehensiveness=trust.comprehensiveness.random,
        random_sufficiency=trust.sufficiency.random,
        random_comprehensiveness_spread=trust.comprehensiveness.random_spread,
        random_sufficiency_spread=trust.sufficiency.random_spread,
        random_orders=trust.random_orders,
    )


def _curve(curve: CurveOf) -> Curve:
    return Curve(
        fractions=curve.fractions.tolist(),
        scores=curve.scores.tolist(),
        area=curve.area,
        random_area=curve.random_area,
        random_spread=curve.random_spread,
        random_scores=curve.random_scores.tolist(),
    )
