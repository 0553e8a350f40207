"""A small valid input of every format that datatools reads, and what reads it: what the mutations are tried on."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datatools.comparison import compare, summary
from datatools.contact_sheet import Wanted, draw_sheet
from datatools.conversion import convert
from datatools.errors import DataToolsError
from datatools.export import export_dataset
from datatools.files.npy import number_array
from datatools.format.dataset import find_dataset, open_dataset
from datatools.format.metadata import SPLITS
from datatools.info import describe
from datatools.info import summary as info_lines
from datatools.noise import label_files, listed_labels, matrix_file
from datatools.sources import open_source
from datatools.sources.base import Request
from datatools.verification import verify
from tests.support import archives, cifar_files, factories, official_files


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        make: writes a valid input into an empty folder.
        read: reads it, as the commands do.
        targets: patterns of the files that are mutated.
        pack: makes an archive of what was mutated, after it was; None where there is no archive.
    """

    make: Callable[[Path], object]
    read: Callable[[Path], object]
    targets: tuple[str, ...] = ("**/*",)
    pack: Callable[[Path], object] | None = None


def files(folder: Path, spec: Format) -> list[Path]:
    """The files of a valid input that are mutated."""
    return sorted({path for pattern in spec.targets for path in folder.glob(pattern) if path.is_file()})


# --- sources ---------------------------------------------------------------------------------------------------------


def read_source(folder: Path, dataset: str, name: str, **options: Any) -> None:
    """Decode every image."""
    source = open_source(dataset, Request(folder / name, folder / "raw", **options))
    for split in source.splits.values():
        for chunk in split.chunks():
            chunk.decode()


def convert_source(folder: Path, dataset: str, name: str, **options: Any) -> None:
    """Write a dataset."""
    convert(dataset, source=folder / name, out=folder / "out", **options)


def make_images(folder: Path) -> None:
    """An image of each kind that image-folder reads."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "a.png": ("PNG", "RGB", {}),
        "b.png": ("PNG", "P", {"transparency": 0}),
        "c.jpg": ("JPEG", "RGB", {"exif": exif}),
        "d.jpg": ("JPEG", "L", {"progressive": True}),
        "e.jpeg": ("JPEG", "CMYK", {}),
        "f.bmp": ("BMP", "RGB", {}),
        "g.bmp": ("BMP", "P", {}),
        "h.webp": ("WEBP", "RGB", {"exif": exif}),
        "i.webp": ("WEBP", "RGBA", {"lossless": True}),
        "j.tif": ("TIFF", "RGB", {"exif": exif}),
        "k.tif": ("TIFF", "L", {"compression": "tiff_lzw"}),
        "l.tiff": ("TIFF", "CMYK", {"compression": "tiff_adobe_deflate"}),
        "m.gif": ("GIF", "P", {"save_all": True, "append_images": [Image.new("P", (16, 16), 3)]}),
        "n.png": ("PNG", "I;16", {}),
    }
    (folder / "images" / "one").mkdir(parents=True)
    for name, (form, mode, options) in kinds.items():
        pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) << 8 if mode == "I;16" else pixels)
        image.convert(mode).save(folder / "images" / "one" / name, form, **options)
    shutil.copytree(folder / "images" / "one", folder / "images" / "two")


def zip_images(folder: Path) -> None:
    make_images(folder)
    archives.zipped(folder / "images", folder / "images.zip", zipfile.ZIP_DEFLATED)
    shutil.rmtree(folder / "images")


def make_tiny(folder: Path) -> None:
    official_files.write_tiny_imagenet(folder / "tiny-imagenet-200", official_files.tiny_imagenet_set(2, 2, 2))


def zip_tiny(folder: Path, packing: int = zipfile.ZIP_STORED) -> None:
    archives.zipped(folder / "tiny-imagenet-200", folder / "tiny.zip", packing)


def make_zip(folder: Path, packing: int) -> None:
    make_tiny(folder)
    zip_tiny(folder, packing)
    shutil.rmtree(folder / "tiny-imagenet-200")


def make_cifar(folder: Path) -> None:
    cifar_files.write_cifar10_binary(folder / "cifar-10-batches-bin", cifar_files.cifar10_set(5, 1))


def make_tar(folder: Path, mode: str) -> None:
    make_cifar(folder)
    archives.pack(folder / "cifar-10-batches-bin", folder / "cifar.tar", mode)
    shutil.rmtree(folder / "cifar-10-batches-bin")


def make_python(folder: Path, pickler: cifar_files.Pickler) -> None:
    cifar_files.write_cifar10_python(folder / "a", cifar_files.cifar10_set(5, 1), pickler)


def make_python100(folder: Path, pickler: cifar_files.Pickler) -> None:
    cifar_files.write_cifar100_python(folder / "a", cifar_files.cifar100_set(20, 4), pickler)


# --- what noise is made from -----------------------------------------------------------------------------------------

COLUMNS = {"clean_label": np.arange(6), "noisy_label": np.arange(6)[::-1].copy(), "more": [1, 2, 3]}


def make_pt(folder: Path) -> None:
    with zipfile.ZipFile(folder / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(COLUMNS, protocol=2))


def make_labels_npy(folder: Path) -> None:
    np.save(folder / "a.npy", np.array(COLUMNS, object))


def make_matrix(folder: Path, npy: bool) -> None:
    matrix = np.full((3, 3), 0.25) + np.eye(3) * 0.25
    if npy:
        np.save(folder / "a.npy", matrix)
    else:
        np.savetxt(folder / "a.csv", matrix, delimiter=",")


def read_matrix(folder: Path, name: str) -> None:
    matrix_file.parse((folder / name).read_bytes(), folder / name, ("one", "two", "three"))


LISTS = {
    "json": "[0, 1, 2, 1, 0, 2]",
    "txt": "0\n1\n2\n1\n0\n2\n",
    "csv": "id,label,clean_label,class_name\n" + "".join(f'{n},{n % 3},0,"class ""{n % 3}"""\n' for n in range(6)),
}


def make_lists(folder: Path) -> None:
    np.save(folder / "a.npy", np.arange(6) % 3)
    for form, text in LISTS.items():
        (folder / f"a.{form}").write_text(text)


def read_list(folder: Path, form: str) -> None:
    listed_labels.read(folder / f"a.{form}", 6, 8)


# --- datasets --------------------------------------------------------------------------------------------------------


def make_dataset(folder: Path) -> None:
    clean = factories.clean_dataset(folder / "clean", train=12, test=4)
    noisy = factories.noisy_dataset(clean, out=folder / "noisy")
    (noisy.path / "beside.txt").write_text("kept")


def make_open_set(folder: Path) -> None:
    clean = factories.clean_dataset(folder / "clean", train=12, test=4)
    other = factories.made_up_source([0, 1] * 10, [0, 1], 2, seed=5)
    donor = factories.convert_source(other, folder / "donor").dataset
    factories.noisy_dataset(clean, noise="open-set", donor=donor.path, out=folder / "noisy")


def read_dataset(folder: Path, other: str = "clean") -> None:
    """All that the commands do with a noisy dataset; what one refuses, the next is asked all the same."""
    refused = []
    for use in dataset_uses(folder, other):
        try:
            use()
        except DataToolsError as error:
            refused.append(error)
    if refused:
        raise refused[0]


def dataset_uses(folder: Path, other: str) -> Iterator[Callable[[], object]]:
    def noisy() -> Any:
        return open_dataset(folder / "noisy")

    yield lambda: info_lines(describe(noisy()))
    yield lambda: list(verify(noisy()))
    yield lambda: [noisy().clean_labels(split) for split in SPLITS]
    yield lambda: [record for split in SPLITS for record in noisy().split(split)]
    yield lambda: summary(compare(open_dataset(folder / other), noisy()))
    yield lambda: find_dataset(folder, "noisy", "make one")
    for to, name in (("hdf5", "a.h5"), ("npz", "a.npz"), ("csv", "a.csv"), ("image-folder", "a"), ("croissant", "b")):
        yield partial(lambda to, name: export_dataset(noisy(), to, folder / name), to, name)
    yield lambda: draw_sheet(noisy(), folder / "a.png", Wanted(only="flipped"))
    yield lambda: draw_sheet(noisy(), folder / "b.png", Wanted("test"))


def read_clean(folder: Path) -> None:
    factories.noisy_dataset(open_dataset(folder / "clean"), out=folder / "again")


def make_export(folder: Path) -> None:
    export_dataset(factories.clean_dataset(folder / "clean", train=4, test=4), "image-folder", folder / "a")


def read_export(folder: Path) -> None:
    export_dataset(open_dataset(folder / "clean"), "image-folder", folder / "a", overwrite=True)


# --- the registry ----------------------------------------------------------------------------------------------------

BATCHES = "cifar-10-batches-bin"
FORMATS: dict[str, Format] = {
    "cifar10-binary": Format(make_cifar, partial(read_source, dataset="cifar10", name=BATCHES)),
    "cifar10-python2": Format(
        partial(make_python, pickler=cifar_files.python2_pickle), partial(read_source, dataset="cifar10", name="a")
    ),
    "cifar10-python3": Format(
        partial(make_python, pickler=cifar_files.python3_pickle), partial(read_source, dataset="cifar10", name="a")
    ),
    "cifar100-python": Format(
        partial(make_python100, pickler=cifar_files.python3_pickle),
        partial(read_source, dataset="cifar100", name="a", label_set="coarse"),
    ),
    **{
        f"tar{mode[1:]}": Format(
            partial(make_tar, mode=mode), partial(read_source, dataset="cifar10", name="cifar.tar"), ("cifar.tar",)
        )
        for mode in ("w", "w:gz", "w:bz2", "w:xz")
    },
    "mnist": Format(
        lambda folder: official_files.write_mnist(folder / "a", official_files.mnist_set(4, 2)),
        partial(read_source, dataset="mnist", name="a"),
    ),
    "mnist-gz": Format(
        lambda folder: official_files.write_mnist(folder / "a", official_files.mnist_set(4, 2), gzipped=True),
        partial(read_source, dataset="mnist", name="a"),
    ),
    "zip-stored": Format(
        partial(make_zip, packing=zipfile.ZIP_STORED), partial(read_source, dataset="tiny-imagenet", name="tiny.zip")
    ),
    "zip-deflated": Format(
        partial(make_zip, packing=zipfile.ZIP_DEFLATED), partial(read_source, dataset="tiny-imagenet", name="tiny.zip")
    ),
    "zip-content": Format(
        make_tiny,
        partial(convert_source, dataset="tiny-imagenet", name="tiny.zip", size=16),
        ("tiny-imagenet-200/**/*",),
        zip_tiny,
    ),
    "tiny-imagenet": Format(make_tiny, partial(read_source, dataset="tiny-imagenet", name="tiny-imagenet-200")),
    "animal-10n": Format(
        lambda folder: official_files.write_animal10n_binary(
            folder / "a", official_files.animal10n_set(10, 10), files=2
        ),
        partial(read_source, dataset="animal-10n", name="a"),
    ),
    "images": Format(make_images, partial(convert_source, dataset="image-folder", name="images", size=8)),
    "images-zip": Format(zip_images, partial(convert_source, dataset="image-folder", name="images.zip", size=8)),
    "images-skipped": Format(
        make_images, partial(convert_source, dataset="image-folder", name="images", size=8, skip_bad=True)
    ),
    "npy": Format(
        partial(make_matrix, npy=True),
        lambda folder: number_array((folder / "a.npy").read_bytes(), folder / "a.npy"),
    ),
    "matrix-npy": Format(partial(make_matrix, npy=True), partial(read_matrix, name="a.npy")),
    "matrix-csv": Format(partial(make_matrix, npy=False), partial(read_matrix, name="a.csv")),
    "labels-pt": Format(make_pt, lambda folder: label_files.read(folder / "a.pt")),
    "labels-npy": Format(make_labels_npy, lambda folder: label_files.read(folder / "a.npy")),
    **{f"list-{form}": Format(make_lists, partial(read_list, form=form), (f"a.{form}",)) for form in ("npy", *LISTS)},
    "dataset.json": Format(make_dataset, read_dataset, ("noisy/dataset.json",)),
    "dataset.json-clean": Format(make_dataset, read_clean, ("clean/dataset.json",)),
    "manifest.h5": Format(make_dataset, read_dataset, ("noisy/manifest.h5",)),
    "manifest.h5-open-set": Format(
        make_open_set, partial(read_dataset, other="noisy"), ("noisy/manifest.h5", "noisy/dataset.json")
    ),
    "records": Format(make_dataset, read_dataset, ("noisy/*.bin",)),
    "export.json": Format(make_export, read_export, ("a/export.json",)),
}
