"""Forward correction (Patrini, Rozza, Menon, Nock, Qu: "Making Deep Neural Networks Robust to Label Noise: A Loss
Correction Approach", CVPR 2017).

| paper | here |
| --- | --- |
| T_ij = p(noisy j given clean i) | shared memory `transition` (K, K) |
| l_forward = -log (Tᵀ p)_ỹ | the loss of a sample |
| x̄^i, the anchor point of class i | the training image of the highest p(i given x) |
| T̂_ij = p(j given x̄^i) | `epoch_end` after the warm-up, with `--transition anchors` |

The matrix is told, or estimated: `anchors` trains plainly for the warm-up, looks at the whole training set in
evaluation mode, and goes on with what it finds, from the same weights. The paper trains a network for the estimate and
another one with it; its code takes the 97th percentile of p(i given x) for CIFAR, here it is the maximum, eq. 12.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from datatools.errors import DataToolsError
from datatools.files.bounded import read_file
from datatools.format.dataset import Dataset
from datatools.noise.matrix_file import parse
from trainer import ops
from trainer.errors import TrainerError
from trainer.methods.base import WARM_UP, MatrixSource, Method, Predict, Step, Tensor, check_warm_up
from trainer.settings import setting

MANIFEST, ANCHORS = "manifest", "anchors"
SMALLEST = 1e-30
"""What a probability of 0 in the matrix counts as, so that its logarithm is a number."""
EXPECTED = "a transition matrix, .csv or .npy, or the .json of `trainer estimate-noise`"


@dataclass(frozen=True)
class Forward(Method):
    """Trains the noisy prediction, the clean one times the transition matrix, on the given labels."""

    warm_up: int = setting(
        "Epochs of plain training before --transition anchors estimates; others have none.",
        default=WARM_UP,
        source="ours",
        minimum=0,
    )
    transition: str = setting(
        "Where the transition matrix is from. manifest: of the dataset; anchors: estimated after the warm-up; or a "
        "file, .csv or .npy, or the .json of `trainer estimate-noise`.",
        default=MANIFEST,
        source="Patrini et al.: T is given, or anchors",
        metavar="manifest|anchors|FILE",
    )

    name = "forward"
    title = "the prediction times the transition matrix, trained on the given labels"
    paper = (
        "Patrini, Rozza, Menon, Nock, Qu: Making Deep Neural Networks Robust to Label Noise: A Loss Correction "
        "Approach, CVPR 2017"
    )
    shared = ("transition",)

    @property
    def matrix_source(self) -> MatrixSource:
        if self.transition == ANCHORS:
            return "anchors"
        return "true" if self.transition == MANIFEST else "file"

    def check(self, epochs: int) -> None:
        check_warm_up(self.warm_up, epochs)

    def memory(self, num_samples: int, num_classes: int) -> dict[str, np.ndarray]:
        return {"transition": np.eye(num_classes, dtype=np.float32)}

    def told(self, dataset: Dataset) -> dict[str, np.ndarray]:
        if self.transition == ANCHORS:
            return {}
        matrix = _of_manifest(dataset) if self.transition == MANIFEST else _of_file(Path(self.transition), dataset)
        return {"transition": matrix.astype(np.float32)}

    def epoch_end(
        self, epoch: int, memory: dict[str, np.ndarray], labels: np.ndarray, predict: Predict
    ) -> dict[str, np.ndarray]:
        if self.transition != ANCHORS or epoch + 1 != self.warm_up:
            return memory
        probabilities = predict(0)
        anchors = probabilities.argmax(axis=0)
        return {"transition": probabilities[anchors]}

    def step(
        self, labels: Tensor, logits: tuple[Tensor, ...], rows: dict[str, Tensor], schedule: dict[str, Tensor]
    ) -> Step:
        # log (Tᵀ p)_ỹ = log Σ_i exp(log p_i + log T_iỹ), with no probability that could be rounded to 0
        columns = ops.take(ops.transpose(rows["transition"]), labels, axis=0)
        log_noisy = ops.logsumexp(ops.log_softmax(logits[0]) + ops.log(ops.maximum(columns, SMALLEST)), axis=-1)
        return Step(losses=(-ops.mean(log_noisy),), rows={})


def _of_manifest(dataset: Dataset) -> np.ndarray:
    """(K, K) float64 as it was asked for, or as it came out; the identity for clean labels."""
    manifest = dataset.manifest()
    if manifest is None:
        if dataset.metadata.labels == "clean":
            return np.eye(dataset.metadata.num_classes)
        raise TrainerError(
            f"{dataset.path}: nobody knows the transition matrix of its labels; estimate it with --transition anchors, "
            "or name a file with --transition FILE"
        )
    matrix = manifest.realised_matrix if manifest.transition_matrix is None else manifest.transition_matrix
    # a class without a record has a row of zeros
    return np.where(matrix.sum(axis=1, keepdims=True) > 0, matrix, np.eye(len(matrix)))


def _of_file(path: Path, dataset: Dataset) -> np.ndarray:
    """(K, K) float64 from a matrix file, or from a noise estimate."""
    data = read_file(path, EXPECTED)
    if path.suffix == ".json":
        try:
            rows: Any = json.loads(data)["transition_matrix"]
            text = "\n".join(",".join(f"{float(cell)!r}" for cell in row) for row in rows)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise TrainerError(f"{path}: has no transition matrix ({error!r:.60}); name {EXPECTED}") from None
        data = text.encode()
    try:
        return parse(data, path, dataset.metadata.class_names)
    except DataToolsError as error:
        raise TrainerError(str(error)) from None
