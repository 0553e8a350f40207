"""Claim: on the same predictions `trainer relabel` ranks and finds wrong labels no worse than cleanlab.

    pip install cleanlab
    python bench/relabel_cleanlab.py [RUN ...]

Without run directories it trains the four methods (quick preset, seed 0) on digits with pair noise 0.2 and 0.4 and
symmetric noise 0.4. Both sides get a run's mean probabilities and given labels. cleanlab ranks by the better of its
`self_confidence` and `normalized_margin`, and chooses suspects by the default of `find_label_issues`. We also use the
mean loss, SELFIE's refurbished labels, and the noise rate that the run was told, which decides how many suspects there
are. Since the two numbers differ, our precision and recall also stand at cleanlab's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from machine import report
from sklearn.metrics import average_precision_score

SETTINGS = (("pair", 0.2), ("pair", 0.4), ("symmetric", 0.4))
METHODS = ("default", "active-bias", "co-teaching", "selfie")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", metavar="RUN", nargs="*", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = arguments.runs or list(trained(Path(folder)))
        found = [compared(run) for run in runs]
    keys = ("average_precision", "f1", "precision_at_cleanlabs_count")
    report(
        "relabel_cleanlab",
        {
            "runs": found,
            "mean_ours": {key: mean(found, "ours", key) for key in keys},
            "mean_cleanlab": {key: mean(found, "cleanlab", key) for key in keys},
            "below_cleanlab": [
                f"{row['run']}: {key} {row['ours'][key]} < {row['cleanlab'][key]}"
                for row in found
                for key in keys
                if row["ours"][key] < row["cleanlab"][key]
            ],
        },
    )


def trained(folder: Path) -> Iterator[Path]:
    """Run directories of the four methods on the three noisy digits."""
    from datatools import convert, corrupt
    from trainer.config import resolve
    from trainer.reporters.base import Quiet
    from trainer.training.loop import train

    digits = convert("digits", out=folder / "digits").dataset
    for noise, rate in SETTINGS:
        dataset = corrupt(digits, noise=noise, rate=rate).dataset
        for method in METHODS:
            directory = folder / "runs" / dataset.metadata.name / method
            train(resolve(method, dataset, preset="quick"), dataset, directory, Quiet())
            yield directory


def compared(run: Path) -> dict[str, Any]:
    """Both sides' figures on one run."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    from trainer.audit.evidence import read_evidence
    from trainer.audit.scoring import judge

    evidence = read_evidence(run)
    if evidence.wrong is None:
        raise SystemExit(f"{run}: of a dataset without a manifest; nothing to compare with")
    verdict = judge(evidence)
    rows = ~evidence.held_out
    wrong, labels, probability = evidence.wrong[rows], evidence.given_labels[rows], evidence.mean_probability[rows]
    probability = probability / probability.sum(axis=1, keepdims=True)
    issues = find_label_issues(labels, probability, n_jobs=1)
    rankings = {
        method: float(average_precision_score(wrong, 1 - get_label_quality_scores(labels, probability, method=method)))
        for method in ("self_confidence", "normalized_margin")
    }
    order = np.argsort(-verdict.suspicion[rows], kind="stable")
    same_count = np.zeros(len(wrong), bool)
    same_count[order[: issues.sum()]] = True
    return {
        "run": f"{evidence.dataset.metadata.name}, {evidence.method}",
        "samples": len(wrong),
        "wrong": int(wrong.sum()),
        "ours": {
            **chosen(verdict.suspects[rows], wrong),
            "average_precision": round(float(average_precision_score(wrong, verdict.suspicion[rows])), 4),
            "precision_at_cleanlabs_count": chosen(same_count, wrong)["precision"],
            "recall_at_cleanlabs_count": chosen(same_count, wrong)["recall"],
        },
        "cleanlab": {
            **chosen(issues, wrong),
            "average_precision": round(max(rankings.values()), 4),
            "ranked_by": max(rankings, key=lambda method: rankings[method]),
            "precision_at_cleanlabs_count": chosen(issues, wrong)["precision"],
            "recall_at_cleanlabs_count": chosen(issues, wrong)["recall"],
        },
    }


def chosen(suspects: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """Precision, recall and F1 of (N,) bool suspects against (N,) bool truth."""
    found = int((suspects & wrong).sum())
    return {
        "suspects": int(suspects.sum()),
        "precision": round(found / max(1, int(suspects.sum())), 4),
        "recall": round(found / max(1, int(wrong.sum())), 4),
        "f1": round(2 * found / max(1, int(suspects.sum()) + int(wrong.sum())), 4),
    }


def mean(found: list[dict[str, Any]], side: str, key: str) -> float:
    return round(float(np.mean([row[side][key] for row in found])), 4)


if __name__ == "__main__":
    main()
