"""`trainer audit`: every label of a dataset, judged by a model that has not seen it; the folder that comes of it.

audit.json, samples.csv    what was found and how; a row a file (`trainer.review.index`)
probabilities.npz          "train" and "test", (N, K) float32, out of sample, and "folds"
suggestions.csv            changes that may be applied as they are, none where the estimate is not usable
review.html                the page to decide on

The folder appears whole or not at all.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datatools.files.output import FolderKind, atomic_folder, check_folder
from datatools.files.write_errors import naming
from datatools.format.dataset import Dataset
from datatools.format.metadata import SPLITS
from datatools.progress import Progress, no_progress
from trainer.audit.estimation import fold_numbers
from trainer.audit.label_errors import Suspects, find_suspects
from trainer.audit.linear_probe import choose_penalty, out_of_sample
from trainer.audit.neighbours import Nearest, nearest, triplet_estimate
from trainer.audit.oddities import Twin, digests_of, twins, unlike_all
from trainer.audit.verdict import Verdict, judge_labels
from trainer.data import TrainingData, load
from trainer.errors import TrainerError
from trainer.review.decisions import CHANGE, Decision, write_decisions
from trainer.review.index import AUDIT_FILE, SAMPLES_FILE, write_audit_index
from trainer.review.items import Audit, Review, ReviewItem, Sample
from trainer.review.page import review_page
from trainer.vectors import Features, Scaling

PROBABILITIES_FILE, SUGGESTIONS_FILE, REVIEW_FILE = "probabilities.npz", "suggestions.csv", "review.html"
CONTENT = frozenset({AUDIT_FILE, SAMPLES_FILE, PROBABILITIES_FILE, SUGGESTIONS_FILE, REVIEW_FILE})
NEIGHBOURS = 10
UNLIKE_SUSPICION = 0.5
Stage = Callable[[str, str], Progress]
"""(what is done, its unit) -> who is told how far it is."""


@dataclass(frozen=True)
class Evidence:
    """What the labels of a dataset are judged by: both splits, training samples first, each in id order.

    Attributes:
        labels: (N,) int64 given. probability: (N, K) float64, out of sample; folds: (N,) int64. neighbours: in feature
            space, or None. predict_again: see `judge_labels`.
        model: what made the probabilities, for audit.json.
    """

    labels: np.ndarray
    probability: np.ndarray
    folds: np.ndarray
    neighbours: Nearest | None
    predict_again: Callable[[np.ndarray], np.ndarray]
    model: dict[str, Any]


@dataclass(frozen=True)
class Audited:
    """What an audit made.

    Attributes:
        facts: the content of audit.json that it found. suggestions: how many changes suggestions.csv has.
        notices: what the user should know, a line each.
    """

    directory: Path
    verdict: Verdict
    facts: dict[str, Any]
    suggestions: int
    notices: tuple[str, ...]


def given_labels(dataset: Dataset) -> np.ndarray:
    """(N,) int64 labels of both splits, training samples first, each in id order."""
    return np.concatenate([dataset.labels_by_id(split).astype(np.int64) for split in SPLITS])


def evidence_of_features(
    dataset: Dataset, features: Features, folds: int, seed: int, stage: Stage = lambda title, unit: no_progress
) -> Evidence:
    """Predict each sample by logistic regression on the features of the others.

    Raises:
        TrainerError: a label with fewer samples than folds, or one label alone.
    """
    labels, num_classes = given_labels(dataset), dataset.metadata.num_classes
    if len(np.unique(labels)) < 2:
        raise TrainerError(f"{dataset.path}: all images have one label, two or more are expected to tell them apart")
    both = np.concatenate([features.train, features.test])
    scaled = Scaling.of(both).apply(both)
    numbers = fold_numbers(labels, folds, seed)
    penalty = choose_penalty(scaled, labels, numbers, num_classes, seed, stage("choose the penalty", "penalties"))

    def predict(others: np.ndarray, title: str) -> np.ndarray:
        return out_of_sample(scaled, others, numbers, num_classes, penalty, stage(title, "folds"))

    return Evidence(
        labels,
        predict(labels, "predict each fold"),
        numbers,
        nearest(both, NEIGHBOURS, stage("look for neighbours", "images")) if len(labels) > 2 else None,
        lambda others: predict(others, "predict simulated labels"),
        {
            "model": "logistic regression",
            "penalty": penalty,
            "folds": folds,
            "seed": seed,
            "features": {"sha256": features.sha256, "backbone": features.backbone},
        },
    )


def audit_dataset(
    dataset: Dataset,
    evidence: Evidence,
    out: Path,
    *,
    folder: Path | None = None,
    least_confidence: float = 0.8,
    repeats: int = 100,
    seed: int = 0,
    embed: bool = False,
    overwrite: bool = False,
    stage: Stage = lambda title, unit: no_progress,
) -> Audited:
    """Judge the labels of a dataset and write the audit's folder.

    Args:
        folder: where the files are that it was converted from; None to audit the dataset itself. least_confidence: from
            which on a suggestion is in suggestions.csv, in [0.5, 1]. repeats: of the bootstrap. embed: put pictures
            into the page.

    Raises:
        TrainerError, DataToolsError: cleanlab is missing, a file is gone, or `out` is taken. Nothing is left then.
    """
    check_audit_folder(out, overwrite)
    if folder is not None and (out.resolve() == folder.resolve() or folder.resolve() in out.resolve().parents):
        raise TrainerError(f"{out}: is or lies in the audited folder, where its files would be taken for images")
    samples = _samples(dataset, folder, evidence.labels, stage("read the files", "files"))
    neighbours = evidence.neighbours
    rate = None if neighbours is None else triplet_estimate(evidence.labels, neighbours.rows, len(_names(dataset)))[0]
    labels, probability = evidence.labels, evidence.probability
    progress = stage("bootstrap", "repeats")
    verdict = judge_labels(labels, probability, evidence.predict_again, seed, repeats, rate, progress)
    # What is suspected, and why
    data = load(dataset)
    suspects = find_suspects(labels, probability, verdict.matrix, verdict.confident_joint)
    odd = _oddities(data, neighbours)
    items = _items(dataset, samples, suspects, odd)
    sure = suspects.are & (suspects.confidence >= least_confidence) & verdict.suggests_changes
    changes = np.flatnonzero(sure).tolist()
    facts = _facts(dataset, evidence, verdict, suspects.are, odd, least_confidence)
    suggested = [_names(dataset)[label] for label in suspects.suggested.tolist()]
    audit = Audit(
        _names(dataset),
        samples,
        folder=None if folder is None else folder.resolve(),
        dataset=None if folder is not None else dataset.path.resolve(),
        dataset_sha256=None if folder is not None else dataset.sha256,
        not_usable=verdict.not_usable,
    )
    with atomic_folder(out, overwrite=overwrite) as partial:
        columns = {
            "suggested": suggested,
            "confidence": [f"{value:.6f}" for value in suspects.confidence.tolist()],
            "suspect": ["yes" if value else "no" for value in suspects.are.tolist()],
        }
        write_audit_index(partial, audit, facts, columns)
        _write_probabilities(partial / PROBABILITIES_FILE, dataset, evidence)
        decided = [Decision(samples[row], CHANGE, suggested[row]) for row in changes]
        write_decisions(partial / SUGGESTIONS_FILE, audit.audit_id, decided)
        text, notices = review_page(
            Review(audit, items),
            out.absolute() / REVIEW_FILE,
            embed,
            pixels=_pixels(data),
            progress=stage("write the page", "pictures"),
        )
        with naming(partial / REVIEW_FILE):
            (partial / REVIEW_FILE).write_text(text, encoding="utf-8")
    return Audited(out, verdict, facts, len(changes), notices)


def check_audit_folder(out: Path, overwrite: bool) -> None:
    """Raise DataToolsError unless an audit may be written to the folder `out`: it replaces nothing but an audit."""
    check_folder(out, overwrite, AUDITED, error=TrainerError)


def _is_audit(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return AUDIT_FILE in names and not names - CONTENT


AUDITED = FolderKind(_is_audit, "holds what no audit made")


def _names(dataset: Dataset) -> tuple[str, ...]:
    return dataset.metadata.class_names


def _samples(dataset: Dataset, folder: Path | None, labels: np.ndarray, progress: Progress) -> tuple[Sample, ...]:
    """The samples, with the files that they were made from; those have not changed since."""
    names = _names(dataset)
    samples: list[Sample] = []
    for split in SPLITS:
        files = None if folder is None else dataset.files(split)
        for number in range(dataset.metadata.num_records(split)):
            given = names[int(labels[len(samples)])]
            file = None if files is None else files[number]
            path, size, sha256 = (None, None, None) if file is None else file
            if file is not None and folder is not None and (state := file.state(folder)) != "unchanged":
                raise TrainerError(f"{folder / file.path}: {state} since it was converted; audit the folder anew")
            samples.append(Sample(split, number, path, size, sha256, given))
            progress(len(samples), len(labels))
    return tuple(samples)


@dataclass(frozen=True)
class _Oddities:
    twins: dict[int, Twin]
    unlike: np.ndarray


def _oddities(data: TrainingData, neighbours: Nearest | None) -> _Oddities:
    digests = [
        digest
        for images in (data.train_images, data.test_images)
        for digest in digests_of(images[np.array([row])][0] for row in range(images.shape[0]))
    ]
    unlike = np.zeros(len(digests), bool) if neighbours is None else unlike_all(neighbours)
    return _Oddities(twins(digests, neighbours), unlike)


def _items(
    dataset: Dataset,
    samples: Sequence[Sample],
    suspects: Suspects,
    odd: _Oddities,
) -> tuple[ReviewItem, ...]:
    """What a person looks at, most suspicious first: suspects, same pictures of two classes, pictures like no other."""
    items = []
    for row, sample in enumerate(samples):
        name = _names(dataset)[int(suspects.suggested[row])]
        sure = float(suspects.confidence[row])
        reasons, suspicion = [], 0.0
        if suspects.are[row]:
            reasons.append(f"looks like '{name}'")
            suspicion = sure
        twin = odd.twins.get(row)
        if twin is not None and samples[twin.row].given != sample.given:
            other = samples[twin.row]
            same = "the same picture as" if twin.exact else "nearly the same picture as"
            where = other.path or f"{other.split} {other.id}"
            reasons.append(f"{same} {where}, which is called '{other.given}'")
            suspicion = max(suspicion, 1.0 if twin.exact else sure)
        if odd.unlike[row]:
            reasons.append("like no other picture")
            suspicion = max(suspicion, UNLIKE_SUSPICION)
        if reasons:
            items.append(
                ReviewItem(
                    *(sample.split, sample.id, sample.path, sample.size, sample.sha256, sample.given),
                    suggested=name if suspects.are[row] else None,
                    confidence=sure if suspects.are[row] else None,
                    suspicion=suspicion,
                    reasons=tuple(reasons),
                )
            )
    return tuple(sorted(items, key=lambda item: -item.suspicion))


def _pixels(data: TrainingData) -> Callable[[ReviewItem], np.ndarray]:
    def pixels(item: ReviewItem) -> np.ndarray:
        images = data.train_images if item.split == "train" else data.test_images
        return np.asarray(images[np.array([item.id])][0])

    return pixels


def _write_probabilities(path: Path, dataset: Dataset, evidence: Evidence) -> None:
    """An .npz whose bytes are a function of the arrays: one of `numpy.savez` holds the time."""
    train = dataset.metadata.num_records("train")
    probability = evidence.probability.astype(np.float32)
    arrays = {"train": probability[:train], "test": probability[train:], "folds": evidence.folds}
    with naming(path), zipfile.ZipFile(path, "x") as archive:
        for name, values in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, values, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue())


def _facts(
    dataset: Dataset,
    evidence: Evidence,
    verdict: Verdict,
    suspects: np.ndarray,
    odd: _Oddities,
    least_confidence: float,
) -> dict[str, Any]:
    """What audit.json tells beside the index."""
    names = _names(dataset)
    low, high = verdict.interval
    counts = np.bincount(evidence.labels, minlength=len(names))
    conflicts = sum(evidence.labels[row] != evidence.labels[twin.row] for row, twin in odd.twins.items())
    return {
        **evidence.model,
        "test_labels": dataset.metadata.labels if dataset.metadata.labels == "unknown" else "as the set has them",
        "agreement": verdict.agreement,
        "noise_rate": {"value": verdict.noise_rate, "low": low, "high": high},
        "confident_joint": {"value": verdict.confident_joint, "low": verdict.low, "high": verdict.high},
        "bias_by_simulation": verdict.bias,
        "neighbours": verdict.neighbours,
        "transition_matrix": verdict.matrix.round(6).tolist(),
        "suspects": int(suspects.sum()),
        "least_confidence": least_confidence,
        "class_counts": dict(zip(names, counts.tolist(), strict=True)),
        "pictures_twice": len(odd.twins),
        "pictures_twice_in_two_classes": int(conflicts),
        "pictures_like_no_other": int(odd.unlike.sum()),
        "truth": _truth(dataset, evidence.labels, suspects),
    }


def _truth(dataset: Dataset, labels: np.ndarray, suspects: np.ndarray) -> dict[str, float] | None:
    """How right that is, where the clean labels are known; None where nobody knows them."""
    clean_train = dataset.clean_labels("train")
    if dataset.metadata.labels == "unknown" or clean_train is None:
        return None
    train = len(clean_train)
    wrong = np.concatenate([clean_train.astype(np.int64) != labels[:train], np.zeros(len(labels) - train, bool)])
    hits = int((wrong & suspects).sum())
    return {
        "noise_rate": float(wrong.mean()),
        "precision": hits / max(1, int(suspects.sum())),
        "recall": hits / max(1, int(wrong.sum())),
        "f1": 2 * hits / max(1, int(wrong.sum() + suspects.sum())),
    }
