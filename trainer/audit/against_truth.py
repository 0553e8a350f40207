"""How right suspects and suggestions are, where the clean labels are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from trainer.audit.evidence import Evidence
from trainer.audit.scoring import Verdict


def compare(evidence: Evidence, verdict: Verdict) -> dict[str, Any] | None:
    """Figures of the suspects against the truth, over the samples that were trained on; None where nobody knows it.

    Returns:
        samples, wrong, suspects, found: counts, `found` of suspects that are wrong. precision, recall: of the suspects;
        None where there is no suspect, no wrong sample. average_precision: area under the precision-recall curve of the
        suspicion, as average precision. suggestion_accuracy: share of right suggestions among the suspects whose label
        is wrong. wrong_rate_before, wrong_rate_after: share of labels that are not the clean ones. (A replaced image of
        open-set noise is wrong and has no right label.)
    """
    if evidence.clean_labels is None or evidence.wrong is None:
        return None
    rows = ~evidence.held_out
    wrong, suspects = evidence.wrong[rows], verdict.suspects[rows]
    clean, labels = evidence.clean_labels[rows], evidence.given_labels[rows]
    suggested = verdict.suggested_labels[rows]
    wrong_suspects = wrong & suspects
    relabelled = np.where(suspects, suggested, labels)
    mislabelled = wrong_suspects & (clean != labels)
    return {
        "samples": len(wrong),
        "wrong": int(wrong.sum()),
        "suspects": int(suspects.sum()),
        "found": int(wrong_suspects.sum()),
        "precision": _share(wrong_suspects.sum(), suspects.sum()),
        "recall": _share(wrong_suspects.sum(), wrong.sum()),
        "average_precision": float(average_precision_score(wrong, verdict.suspicion[rows])) if wrong.any() else None,
        "suggestion_accuracy": _share((mislabelled & (suggested == clean)).sum(), mislabelled.sum()),
        "wrong_rate_before": float(np.mean(labels != clean)),
        "wrong_rate_after": float(np.mean(relabelled != clean)),
    }


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
