"""Export to one HDF5 file.

/train, /test     images (N, height, width, depth) uint8 in chunks, labels (N,) int32, ids (N,) uint32 and, where
                  they are known, clean_labels (N,) int32, for open-set noise replaced_by (N,) int64; records in
                      the order of the batches
attributes of /   name, labels ("clean", "noisy" or "unknown"), class_names (K,), noise (JSON, "null" where there
                  is none), source (JSON), image_layout ("NHWC"), dataset_sha256, created_by (JSON), format_version
"""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np

from datatools.export.rows import Reader
from datatools.format.metadata import SPLITS, package_version

FORMAT_VERSION = 1
CHUNK_BYTES = 256 << 10
"""About the size of a chunk of images: what reading one image at random costs."""
LABEL_CHUNK = 1 << 14
TYPES = {"ids": np.uint32, "labels": np.int32, "clean_labels": np.int32, "replaced_by": np.int64}


def write_hdf5(reader: Reader, out: Path) -> tuple[str, ...]:
    """Write the HDF5 file into the empty file `out`."""
    with out.open("r+b", buffering=0) as raw:
        sink = _Sink(raw)
        try:
            with h5py.File(_new_file(sink)) as file:
                _attributes(file, reader)
                for split in SPLITS:
                    _split(_new_group(file, split), reader, split, sink)
        except Exception:
            sink.check()  # what the system said comes first: the library only met the consequences
            raise
        sink.check()
    return ()


def _new_file(sink: _Sink) -> h5py.h5f.FileID:
    """An empty HDF5 file that does not tell when it was made: the same dataset gives the same bytes."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5py.h5fd.fileobj_driver, sink)
    # 1.8 is the first file format whose attributes may be longer than 64 KiB: class names can be
    access.set_libver_bounds(h5py.h5f.LIBVER_V18, h5py.h5f.LIBVER_V18)
    creation = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return h5py.h5f.create(b"export", h5py.h5f.ACC_TRUNC, creation, access)


def _new_group(file: h5py.File, name: str) -> h5py.Group:
    creation = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    creation.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(file.id, name.encode(), gcpl=creation))


def _attributes(file: h5py.File, reader: Reader) -> None:
    metadata = reader.dataset.metadata
    file.attrs["format_version"] = FORMAT_VERSION
    file.attrs["name"] = metadata.name
    file.attrs["labels"] = metadata.labels
    file.attrs.create("class_names", list(reader.class_names("hdf5")), dtype=h5py.string_dtype())
    file.attrs["noise"] = json.dumps(metadata.noise, ensure_ascii=False)
    file.attrs["source"] = json.dumps(metadata.source, ensure_ascii=False)
    file.attrs["image_layout"] = "NHWC"
    file.attrs["dataset_sha256"] = reader.dataset.sha256
    file.attrs["created_by"] = json.dumps(package_version())


def _split(group: h5py.Group, reader: Reader, split: str, sink: _Sink) -> None:
    metadata = reader.dataset.metadata
    depth, height, width = metadata.image_shape
    records = metadata.num_records(split)
    image_chunk = max(1, min(records, CHUNK_BYTES // (depth * height * width)))
    # always chunked, also where a split is empty: the form must not depend on the content
    images = group.create_dataset(
        "images",
        (records, height, width, depth),
        np.uint8,
        chunks=(image_chunk, height, width, depth),
        maxshape=(max(1, records), height, width, depth),  # h5py wants a chunk to fit into it
        track_times=False,
    )
    label_chunk = (max(1, min(records, LABEL_CHUNK)),)
    sets = {
        name: group.create_dataset(
            name, (records,), TYPES[name], chunks=label_chunk, maxshape=(max(1, records),), track_times=False
        )
        for name in reader.columns
    }
    start = 0
    for rows in reader.rows(split):
        end = start + len(rows.ids)
        images[start:end] = rows.images()
        for name in sets:
            sets[name][start:end] = getattr(rows, name)
        start = end
        sink.check()


class _Sink(io.RawIOBase):
    """A file that never fails in front of the HDF5 library, which crashes as it closes a file it could not write.

    The first error is kept for `check`; from then on nothing is written.
    """

    def __init__(self, raw: io.FileIO) -> None:
        self._raw, self._error = raw, None  # type: tuple[io.FileIO, OSError | None]

    def check(self) -> None:
        """Raise the error that was kept, if there is one."""
        if self._error is not None:
            raise self._error

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self._error is None:
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self._error = error
        return size

    def readinto(self, target: bytearray | memoryview) -> int:  # type: ignore[override]
        view = memoryview(target).cast("B")
        view[:] = bytes(len(view))
        done = 0
        with suppress(OSError):
            while done < len(view) and (count := self._raw.readinto(view[done:])):
                done += count
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            if self._error is None:
                self._raw.truncate(size)
        except OSError as error:
            self._error = error
        return size or 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
