"""A source's examples -> a dataset directory, streaming and in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datatools.decoding.workers import Decoders, default_workers, start_server
from datatools.errors import DataToolsError
from datatools.files.addresses import is_url
from datatools.files.output import check_file
from datatools.format.building import check_free, dataset_directory, dataset_name
from datatools.format.dataset import Dataset, open_dataset
from datatools.format.metadata import FILES_CSV, SKIPPED_CSV, SPLITS, Metadata, write_metadata
from datatools.format.records import file_sha256
from datatools.progress import Progress, no_progress
from datatools.sources import bad_files as bad_file_lists
from datatools.sources import open_source, source_spec
from datatools.sources.base import Request, Source
from datatools.split_writer import SplitWriter

MAX_WORKERS = 256


@dataclass(frozen=True)
class Converted:
    """What `convert` made, and what the user should know about it, a line each."""

    dataset: Dataset
    notices: tuple[str, ...]


def default_name(
    dataset: str,
    label_set: str | None,
    size: int | None,
    limit: int | None,
    *,
    source: Path | str | None = None,
    test_fraction: float | None = None,
    seed: int | None = None,
    fit: str | None = None,
) -> str:
    """The directory's name where none is given: the parts that are not the default are in it.

    An image folder's dataset has the folder's name, or that of the zip archive without its ending.
    """
    named_by_folder = source_spec(dataset).own_images and source is not None
    folder = Path(source or "").absolute()
    own_name = folder.stem if folder.suffix.lower() == ".zip" and not folder.is_dir() else folder.name
    parts = [own_name or dataset if named_by_folder else dataset]
    if label_set is not None and label_set != (source_spec(dataset).label_sets or (None,))[0]:
        parts.append(label_set)
    if size is not None:
        parts.append(f"{size}x{size}")
    if fit not in (None, "crop"):
        parts.append(str(fit))
    if test_fraction is not None:
        parts.append(f"test{float(test_fraction)!r}")
    if seed:
        parts.append(f"seed{seed}")
    if limit is not None:
        parts.append(f"first{limit}")
    return "-".join(parts)


def convert(
    dataset: str,
    *,
    root: Path = Path("data"),
    source: Path | str | None = None,
    out: Path | None = None,
    label_set: str | None = None,
    size: int | None = None,
    limit: int | None = None,
    test_fraction: float | None = None,
    seed: int | None = None,
    skip_bad: bool = False,
    bad_files: Path | None = None,
    fit: str | None = None,
    workers: int | None = 1,
    overwrite: bool = False,
    progress: Progress = no_progress,
    download_progress: Progress = no_progress,
) -> Converted:
    """Turn an image set into a dataset directory of binary batches.

    Args:
        dataset: a name in `sources.SOURCES`.
        root: where datasets live; where `source` is None the source is looked for under root/raw, and downloaded to it.
        source: a folder or archive, or the address of an archive.
        out: the directory to make; root/<name> where None.
        label_set, size, test_fraction, seed, skip_bad, fit: as in `sources.base.Request`.
        bad_files: a .csv to list all files of an image folder in that cannot be used; it is made in any case.
        limit: keep only the first so many records of each split.
        workers: processes that decode images; the bytes do not depend on it. None: one for each usable processor, at
            most 8. With more than one, a script of yours needs `if __name__ == "__main__":`, as multiprocessing does.
        progress: called with records done and in all; download_progress: with bytes.

    Raises:
        DataToolsError: the source is missing or broken, or `out` is taken. Nothing is left behind then, but what was
            downloaded, and `bad_files`.
    """
    if limit is not None and limit < 1:
        raise DataToolsError(f"limit {limit}: at least 1 record of each split is needed")
    if workers is not None and not 1 <= workers <= MAX_WORKERS:
        raise DataToolsError(f"workers {workers}: 1 to {MAX_WORKERS} are possible")
    spec = source_spec(dataset)
    name = default_name(dataset, label_set, size, limit, source=source, test_fraction=test_fraction, seed=seed, fit=fit)
    out = out or root / name
    check_free(out, overwrite)
    if bad_files is not None:
        if not spec.own_images:
            raise DataToolsError(f"--bad-files: for image-folder alone; leave it out with {dataset}")
        check_file(bad_files, (".csv",), overwrite)
    location = source if source is None or is_url(str(source)) else Path(source)
    request = Request(location, root / "raw", label_set, size, test_fraction, seed, skip_bad, download_progress, fit)
    workers = default_workers() if workers is None else workers
    if workers > 1 and spec.resizes:  # sets of encoded images: the decoder is loaded while the source is looked over
        start_server()
    with _reported(bad_files, overwrite):
        image_set = open_source(dataset, request)
    wanted = {split: min(image_set.splits[split].records, limit or 2**32) for split in SPLITS}
    for split, records in wanted.items():
        if records == 0:
            raise DataToolsError(f"{image_set.location}: no {split} image in it; fetch the set again")
    with (
        dataset_directory(out, overwrite) as folder,
        Decoders(workers if image_set.decodes else 1) as decoders,
        ThreadPoolExecutor(1, "hash of the archive") as beside,
    ):
        archive_hash = beside.submit(file_sha256, image_set.archive) if image_set.archive else None
        with SplitWriter(
            image_set, folder, wanted, {"train": spec.train_files, "test": 1}, decoders, progress
        ) as write:
            splits = write.splits()
        bad = sorted(write.bad)
        if bad and not skip_bad:
            with _reported(bad_files, overwrite):
                raise bad_file_lists.refusal(image_set.location, bad, len(image_set.bad) + sum(wanted.values()))
        write.check_classes()
        if bad:
            bad_file_lists.write_table(folder / SKIPPED_CSV, bad)
        metadata = Metadata(
            name=dataset_name(out),
            image_shape=image_set.image_shape,
            class_names=image_set.class_names,
            splits=splits,
            source={"name": dataset, "location": image_set.location, "sha256": archive_hash and archive_hash.result()},
            labels=spec.labels,
            limit=limit,
            resized=_resized(size, image_set.fit),
            decoded=dict(sorted(write.remarks.items())) or None,
            split_by=image_set.split_by,
            files_csv=file_sha256(folder / FILES_CSV) if image_set.keeps_names else None,
            skipped={"files": len(bad), "sha256": file_sha256(folder / SKIPPED_CSV)} if bad else None,
            label_set=label_set or (spec.label_sets[0] if spec.label_sets else None),
        )
        write_metadata(folder, metadata)
    if bad_files is not None:
        bad_file_lists.write_report(bad_files, bad, overwrite)
    notices = (
        *image_set.notices,
        *_incomplete(dataset, image_set),
        *_remarks(image_set, write.remarks),
        *(f"{image_set.location}: {notice}" for notice in write.notices),
        *bad_file_lists.notices(image_set.location, bad, SKIPPED_CSV),
    )
    return Converted(open_dataset(out), notices)


@contextmanager
def _reported(out: Path | None, overwrite: bool) -> Iterator[None]:
    """Write the list of bad files to `out` where they are the reason to stop."""
    try:
        yield
    except bad_file_lists.BadFilesError as error:
        if out is not None:
            bad_file_lists.write_report(out, error.bad, overwrite)
        raise


def _resized(size: int | None, fit: str | None) -> dict[str, Any] | None:
    if size is None:
        return None
    return {"side": size, "filter": "lanczos", **({} if fit is None else {"fit": fit})}


def _remarks(image_set: Source, counts: Counter[str]) -> list[str]:
    """What was done to the images, in one line, and in another how those became square that were not."""
    from datatools.decoding.pixels import FITTED, REMARKS  # loads Pillow, which other sources do without

    said = [f"{text}: {counts[key]:,}" for key, text in REMARKS.items() if counts[key] and key != "not_square"]
    lines = [f"{image_set.location}: images {', '.join(said)}"] if said else []
    if (count := counts["not_square"]) and image_set.fit:
        lines.append(f"{image_set.location}: images that are not square: {count:,}, {FITTED[image_set.fit]}")
    return lines


def _incomplete(dataset: str, image_set: Source) -> list[str]:
    official = source_spec(dataset).official
    counts = tuple(image_set.splits[split].records for split in SPLITS)
    if official is None or counts == official:
        return []
    return [
        f"{image_set.location}: {counts[0]:,} training and {counts[1]:,} test images, the official set has "
        f"{official[0]:,} and {official[1]:,}: converting what is there"
    ]
