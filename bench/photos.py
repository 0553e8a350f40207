"""Claim: on real photos with wrong labels, `trainer audit` finds them no worse than cleanlab does on the same
probabilities, a rate that it calls usable is within 0.05 of the truth, and its suggestions leave fewer labels wrong.

    DATATOOLS_REAL_DATA=… python bench/photos.py [--classes 20] [--sets 2]

Photos of some classes of the Tiny-ImageNet subset (50 a class, 64x64), drawn by seed, some of them under a wrong
label; EfficientNet-Lite0 makes the features at 128 pixels (extra `pretrained`). Each set is taken clean, with 10%
and 20% symmetric and 20% pair noise. The limits are those of the command itself: nothing is set for a kind of noise.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from machine import real_data, report
from PIL import Image

ARCHIVE = "tiny-imagenet-200-subset.zip"
SIZE = 128
NOISES = (("symmetric", 0.0), ("symmetric", 0.1), ("symmetric", 0.2), ("pair", 0.2))
USABLE_ERROR = 0.05
LEAST_CONFIDENCE = 0.8


def main() -> None:
    arguments = parse()
    from trainer.engine import load_backend
    from trainer.features import embed_images

    load_backend("tensorflow")
    rows = []
    for seed in range(arguments.sets):
        images, truth = photos(arguments.classes, seed)
        features = embed_images(images, "efficientnet-lite0", SIZE)
        rows += [measured(features, truth, arguments.classes, noise, rate, seed) for noise, rate in NOISES]
        print(f"classes of seed {seed}: done", flush=True)
    noisy = [row for row in rows if row["noise_rate"]]
    report(
        "photos",
        {
            "classes": arguments.classes,
            "f1_at_least_cleanlab": all(row["f1"] >= row["f1_cleanlab"] for row in noisy),
            "usable_rates_within_0.05": all(
                abs(row["estimate"] - row["noise_rate"]) <= USABLE_ERROR for row in rows if row["usable"]
            ),
            "suggestions_leave_fewer_wrong": all(row["wrong_after"] <= row["noise_rate"] for row in rows),
            "rows": rows,
        },
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=20, help="how many; default 20")
    parser.add_argument("--sets", type=int, default=2, help="how many sets of classes; default 2")
    return parser.parse_args()


def photos(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, 64, 64, 3) uint8 photos of `count` classes, and their classes 0..count-1."""
    with zipfile.ZipFile(real_data() / ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if "/train/" in name and name.endswith(".JPEG"))
        classes = sorted({Path(name).parts[-3] for name in names})
        chosen = sorted(np.random.default_rng(seed).choice(classes, count, replace=False).tolist())
        members = [name for name in names if Path(name).parts[-3] in chosen]
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in members]
    return np.stack(images), np.array([chosen.index(Path(name).parts[-3]) for name in members])


def measured(
    features: np.ndarray, truth: np.ndarray, classes: int, noise: str, rate: float, seed: int
) -> dict[str, Any]:
    """What the audit says of labels with so much noise, beside the truth and cleanlab's `find_label_issues`."""
    from cleanlab.filter import find_label_issues

    from trainer.audit.estimation import fold_numbers
    from trainer.audit.label_errors import find_suspects
    from trainer.audit.linear_probe import choose_penalty, out_of_sample
    from trainer.audit.neighbours import nearest, triplet_estimate
    from trainer.audit.verdict import judge_labels
    from trainer.vectors import Scaling

    random = np.random.default_rng([seed, round(100 * rate), len(noise)])
    shift = 1 if noise == "pair" else random.integers(1, classes, len(truth))
    labels = np.where(random.random(len(truth)) < rate, (truth + shift) % classes, truth)
    wrong = labels != truth
    scaled, folds = Scaling.of(features).apply(features), fold_numbers(labels, 5, 0)
    penalty = choose_penalty(scaled, labels, folds, classes, 0)

    def predict(given: np.ndarray) -> np.ndarray:
        return out_of_sample(scaled, given, folds, classes, penalty)

    probability = predict(labels)
    neighbours = triplet_estimate(labels, nearest(features, 2).rows, classes)[0]
    verdict = judge_labels(labels, probability, predict, 0, 50, neighbours)
    suspects = find_suspects(labels, probability, verdict.matrix, verdict.confident_joint)
    changed = suspects.are & (suspects.confidence >= LEAST_CONFIDENCE) & verdict.suggests_changes
    return {
        "seed": seed,
        "noise": f"{noise} {rate:g}",
        "noise_rate": round(float(wrong.mean()), 4),
        "agreement": round(verdict.agreement, 4),
        "usable": verdict.not_usable is None,
        "estimate": round(verdict.noise_rate, 4),
        "confident_joint": round(verdict.confident_joint, 4),
        "neighbours": round(neighbours, 4),
        "f1": round(f1(suspects.are, wrong), 4),
        "f1_cleanlab": round(f1(find_label_issues(labels, probability), wrong), 4),
        "suggested": int(changed.sum()),
        "wrong_after": round(float(np.mean(np.where(changed, suspects.suggested, labels) != truth)), 4),
    }


def f1(found: np.ndarray, wrong: np.ndarray) -> float:
    return float(2 * (found & wrong).sum() / max(1, found.sum() + wrong.sum()))


if __name__ == "__main__":
    main()
