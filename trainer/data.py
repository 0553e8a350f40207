"""A dataset directory -> what the engine trains on, and the order in which an epoch visits it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from datatools.format.dataset import Dataset
from datatools.seeding import permutation, stream, uniforms
from trainer.balanced import balanced_order
from trainer.config import RunConfig
from trainer.errors import TrainerError
from trainer.record_file import RecordFile
from trainer.vectors import Features, Scaling


class Images(Protocol):
    """What can be gathered by row: a NumPy array (N, H, W, C) uint8 or (N, D) float32, or `RecordImages`."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    @property
    def nbytes(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray: ...


class RecordImages:
    """Images of a dataset's split that stay in its batch files until they are asked for.

    Indexing gives (n, H, W, C) uint8; the records are depth-major. Raises TrainerError as `RecordFile`.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, batches: list[np.ndarray], rows: np.ndarray) -> None:
        """`batches`: memory maps of the records. `rows`: (N,) places in them, counted through all batches."""
        self._files = [RecordFile(batch) for batch in batches]
        self._starts = np.cumsum([0, *(len(batch) for batch in batches)])
        self._rows = rows
        depth, height, width = batches[0]["pixels"].shape[1:] if batches else (0, 0, 0)
        self.shape = (len(rows), height, width, depth)
        self.nbytes = int(np.prod(self.shape))

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        places = self._rows[rows]
        images = np.empty((len(places), *self.shape[1:]), np.uint8)
        files = np.searchsorted(self._starts, places, side="right") - 1
        for number in np.unique(files):
            inside = files == number
            records = self._files[number].read(places[inside] - self._starts[number])
            images[inside] = records["pixels"].transpose(0, 2, 3, 1)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


@dataclass(frozen=True)
class TrainingData:
    """What a run trains on and is measured by. A training sample's row r has the id `ids[r]`.

    Attributes:
        train_images, test_images: (N, H, W, C) uint8; or in their place (N, D) float32 features, standardised.
        train_labels, test_labels: (N,) int32 as given.
        clean_labels: (N,) int32 where a manifest tells them or the labels are clean; for evaluation alone.
        ids: (N,) int32 ids of the training samples, ascending; without held-out samples 0..N-1.
        validation_images, validation_labels: the training samples that are held out, with the labels they have; or
            None. validation_ids: (V,) int32 their ids.
        scaling: what features were standardised by.
    """

    train_images: Images
    train_labels: np.ndarray
    test_images: Images
    test_labels: np.ndarray
    clean_labels: np.ndarray | None
    num_classes: int
    ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    validation_images: Images | None = None
    validation_labels: np.ndarray | None = None
    validation_ids: np.ndarray = field(default_factory=lambda: np.empty(0, np.int32))
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        if not len(self.ids):
            object.__setattr__(self, "ids", np.arange(len(self.train_labels), dtype=np.int32))

    @property
    def num_samples(self) -> int:
        return len(self.train_labels)

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W, C), or (D,) of features."""
        return tuple(self.train_images.shape[1:])

    @property
    def has_features(self) -> bool:
        """Whether features stand in the place of images."""
        return len(self.image_shape) == 1

    @property
    def held_out(self) -> tuple[str, ...]:
        """The splits to evaluate on."""
        return ("test",) if self.validation_labels is None else ("test", "validation")


def load(
    dataset: Dataset, validation_fraction: float = 0.0, seed: int = 0, features: Features | None = None
) -> TrainingData:
    """Open both splits of a dataset; the images stay in its files until they are asked for.

    Args:
        validation_fraction: share of the training samples to hold out, of each given label alike (`held_out_rows`).
        features: of this dataset's images, to train on in their place; standardised by the samples that are trained on.

    Raises:
        DataToolsError: batches or manifest are damaged, or do not belong together.
    """
    num_classes = dataset.metadata.num_classes
    if num_classes < 2:
        raise TrainerError(f"{dataset.path}: has one class; there is nothing to tell apart, at least two are needed")
    batches, rows, labels = _split(dataset, "train")
    test_batches, test_rows, test_labels = _split(dataset, "test")
    clean_labels = _clean_labels(dataset, labels)
    held_out = held_out_rows(labels, validation_fraction, seed)
    kept = np.setdiff1d(np.arange(len(labels)), held_out)
    if len(held_out) and len(kept) < 2:
        raise TrainerError(f"--validation-fraction {validation_fraction:g}: leaves {len(kept)} samples to train on")
    data = TrainingData(
        train_images=RecordImages(batches, rows[kept]),
        train_labels=labels[kept],
        test_images=RecordImages(test_batches, test_rows),
        test_labels=test_labels,
        clean_labels=None if clean_labels is None else clean_labels[kept],
        num_classes=num_classes,
        ids=kept.astype(np.int32),
        validation_images=RecordImages(batches, rows[held_out]) if len(held_out) else None,
        validation_labels=labels[held_out] if len(held_out) else None,
        validation_ids=held_out.astype(np.int32),
    )
    return data if features is None else _with_features(data, features)


def _with_features(data: TrainingData, features: Features) -> TrainingData:
    """The data with features, standardised, in the place of its images."""
    train, held_out = features.train[data.ids], features.train[data.validation_ids]
    scaling = Scaling.of(train)
    return replace(
        data,
        train_images=scaling.apply(train),
        test_images=scaling.apply(features.test),
        validation_images=scaling.apply(held_out) if len(held_out) else None,
        scaling=scaling,
    )


def held_out_rows(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Ids to hold out, ascending: of each label the nearest whole number to its share, a function of (seed, id).

    Args:
        labels: (N,) given labels, in id order. fraction: in [0, 1).

    Returns:
        (V,) int64; empty for fraction 0.

    Raises:
        TrainerError: the fraction is above 0 and no label has enough samples for it.
    """
    if not fraction:
        return np.empty(0, np.int64)
    lots = uniforms(seed, "validation", np.arange(len(labels)))
    order = np.lexsort((lots, labels))
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    taken = np.floor(fraction * counts + 0.5).astype(np.int64)
    chosen = np.sort(np.concatenate([order[s : s + t] for s, t in zip(starts, taken, strict=True)]))
    if not len(chosen):
        raise TrainerError(
            f"--validation-fraction {fraction:g}: holds out no sample of any class ({counts.max()} at most in one); "
            "raise it"
        )
    return chosen


def _split(dataset: Dataset, split: str) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """The batches of a split as memory maps; (N,) int64 place of each id in them; (N,) int32 labels in id order."""
    metadata = dataset.metadata
    count = metadata.num_records(split)
    ids = dataset.ids(split)
    places = np.argsort(ids, kind="stable")
    if not np.array_equal(ids[places], np.arange(count)):
        raise TrainerError(f"{dataset.path}: {split} ids are not 0..{count - 1}, each once; see `datatools verify`")
    labels = dataset.labels(split)[places].astype(np.int32)
    if count and not 0 <= labels.min() <= labels.max() < metadata.num_classes:
        raise TrainerError(
            f"{dataset.path}: {split} labels outside 0..{metadata.num_classes - 1}; see `datatools verify`"
        )
    return list(dataset.batches(split)), places, labels


def _clean_labels(dataset: Dataset, train_labels: np.ndarray) -> np.ndarray | None:
    """(N,) int32 in id order, or None where nobody knows them; a manifest has to be of these training labels."""
    manifest = dataset.manifest()
    if manifest is None:  # `dataset.clean_labels()` would read the records once more
        return train_labels if dataset.metadata.labels == "clean" else None
    differing = np.flatnonzero(manifest.noisy_labels != train_labels)
    if len(differing):
        raise TrainerError(
            f"{dataset.manifest_path}: belongs to other labels ({len(differing):,} differ, first at id "
            f"{differing[0]}); see `datatools verify`, and corrupt the parent again"
        )
    return manifest.clean_labels


def epoch_order(
    num_samples: int, batch_size: int, seed: int, run: int, epoch: int, sampling: str = "permutation"
) -> np.ndarray:
    """The mini-batches of one epoch, a function of (seed, run, epoch).

    ceil(N / batch_size) mini-batches of one size, so that a compiled step has one shape, and none is so small that its
    batch norm and clean set would be chance. By "permutation" every sample comes once, and where N is no multiple of
    the size, the last mini-batch is filled up with the epoch's first samples, fewer than there are mini-batches. By
    "independent" each mini-batch is drawn from all samples, without repeats inside it, as the official SELFIE code
    does: an epoch then misses about a third of the samples.

    Returns:
        (steps, B) int32 rows of samples, B at most `batch_size`; no row stands twice in a mini-batch.

    Example:
        >>> epoch_order(10, 4, seed=0, run=0, epoch=0).shape
        (3, 4)
    """
    steps = -(-num_samples // batch_size)
    if sampling == "independent":
        size = min(batch_size, num_samples)
        return np.stack([_drawn(num_samples, size, seed, (run, epoch, step)) for step in range(steps)])
    order = permutation(seed, "epoch order", num_samples, run, epoch).astype(np.int32)
    size = -(-num_samples // steps)
    return np.concatenate([order, order[: steps * size - num_samples]]).reshape(steps, size)


def epoch_batches(config: RunConfig, data: TrainingData, run: int, epoch: int) -> np.ndarray:
    """(steps, B) int32: the mini-batches of an epoch of a run with these settings; see `epoch_order`."""
    if config.sampling == "balanced":
        return balanced_order(data.train_labels, config.batch_size, config.seed, run, epoch)
    return epoch_order(data.num_samples, config.batch_size, config.seed, run, epoch, config.sampling)


class EpochOrders:
    """The mini-batches of a run's epochs; those of the next epoch are drawn beside the training on this one.

    Drawing 50,000 samples independently takes the host 0.4 s an epoch.
    """

    def __init__(self, draw: Callable[[int, int], np.ndarray]) -> None:
        """`draw`: (run, epoch) -> (steps, B) int32, as `epoch_order` gives them."""
        self._draw = draw
        self._drawing = ThreadPoolExecutor(1)
        self._ahead: tuple[tuple[int, int], Future[np.ndarray]] | None = None

    def of(self, run: int, epoch: int) -> np.ndarray:
        """(steps, B) int32 of an epoch; starts to draw those of the one after it."""
        if self._ahead is None or self._ahead[0] != (run, epoch):
            order = self._draw(run, epoch)
        else:
            order = self._ahead[1].result()
        self._ahead = (run, epoch + 1), self._drawing.submit(self._draw, run, epoch + 1)
        return order

    def close(self) -> None:
        """Let go of what nobody waits for."""
        self._drawing.shutdown(wait=False, cancel_futures=True)


def _drawn(num_samples: int, size: int, seed: int, place: tuple[int, int, int]) -> np.ndarray:
    """(size,) int32 rows without repeats: those of the smallest lots, in the order of their lots."""
    lots = np.asarray(stream(seed, "independent batches", *place).random_raw(num_samples))
    chosen = np.argpartition(lots, size - 1)[:size]
    return chosen[np.argsort(lots[chosen], kind="stable")].astype(np.int32)
