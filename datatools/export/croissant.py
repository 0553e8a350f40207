"""Export to a dataset directory that describes itself to other programs: croissant.json, JSON-LD of Croissant 1.0.

(Akhtar et al. 2024, "Croissant: A Metadata Format for ML-Ready Datasets"; MLCommons Croissant format specification
1.0.) Croissant reads tables, JSON, text and images, not binary records of a length of their own, so pixels are not
among its fields: the batch files are described as files, labels.csv as records, and each of those names the batch file
and the byte at which its record begins (docs/decisions/0012).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from datatools.errors import DataToolsError
from datatools.export.output import describe_export
from datatools.export.rows import Reader
from datatools.export.table import columns, lines, new_table
from datatools.files.copying import copy_file
from datatools.files.write_errors import naming
from datatools.format.metadata import DATASET_FILE, MANIFEST_FILE, SPLITS
from datatools.format.records import ID_BYTES, LABEL_BYTES, file_sha256, record_dtype

CROISSANT_FILE = "croissant.json"
LABELS_FILE = "labels.csv"
SIDE_FILES = (DATASET_FILE, MANIFEST_FILE, "files.csv")
"""What may lie in a dataset directory beside its batch files."""
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification publishes; its terms are what mlcroissant checks."""
FORMATS = {".bin": "application/octet-stream", ".json": "application/json", ".h5": "application/x-hdf5"}
ORIGINS = {
    "digits": (
        "https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits",
        "Alpaydin, E. and Kaynak, C. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998.",
    ),
    "cifar10": (
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "Krizhevsky, A. Learning Multiple Layers of Features from Tiny Images. University of Toronto, 2009.",
    ),
    "cifar100": (
        "https://www.cs.toronto.edu/~kriz/cifar.html",
        "Krizhevsky, A. Learning Multiple Layers of Features from Tiny Images. University of Toronto, 2009.",
    ),
    "tiny-imagenet": (
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "Le, Y. and Yang, X. Tiny ImageNet Visual Recognition Challenge. CS 231N, Stanford University, 2015.",
    ),
    "mnist": (
        "http://yann.lecun.com/exdb/mnist/",
        "LeCun, Y., Bottou, L., Bengio, Y. and Haffner, P. Gradient-Based Learning Applied to Document Recognition. "
        "Proceedings of the IEEE 86(11), 1998.",
    ),
    "animal-10n": (
        "https://dm.kaist.ac.kr/datasets/animal-10n/",
        "Song, H., Kim, M. and Lee, J. SELFIE: Refurbishing Unclean Samples for Robust Deep Learning. ICML 2019.",
    ),
}
"""Address and citation of the image sets whose origin is known."""
DESCRIPTIONS = {
    "id": "Number of the record inside its split.",
    "split": "The split of the record.",
    "label": "Label as it stands in the record, the number of a class.",
    "class_name": "Name of the label's class.",
    "clean_label": "The label before noise was added to it.",
    "clean_class_name": "Name of the clean label's class.",
    "replaced_by": "Id of the foreign image that stands in the record's place, -1 where its own does.",
    "file": "The batch file that holds the record.",
    "offset": "Byte of the batch file at which the record begins.",
}
WHOLE_NUMBERS = ("id", "label", "clean_label", "replaced_by", "offset")


def write_croissant(reader: Reader, out: Path) -> tuple[str, ...]:
    """Fill the empty folder `out`: the dataset's files, labels.csv and croissant.json.

    Raises:
        DataToolsError: a batch file is not the one dataset.json describes.
    """
    header = (*columns(reader), "file", "offset")
    with naming(out / LABELS_FILE), (out / LABELS_FILE).open("w", encoding="utf-8", newline="") as file:
        table = new_table(file, reader)
        table.writerow(header)
        for split in SPLITS:
            _copy_split(reader, split, out, table)
    for name in SIDE_FILES:
        if (reader.dataset.path / name).is_file():
            copy_file(reader.dataset.path / name, out / name)
    files = [file.name for split in SPLITS for file in reader.dataset.metadata.splits[split]]
    files += [name for name in SIDE_FILES if (out / name).is_file()] + [LABELS_FILE]
    text = json.dumps(_description(reader, out, files, header), indent=2, ensure_ascii=False)
    (out / CROISSANT_FILE).write_text(text, encoding="utf-8")
    describe_export(out, "croissant", reader.dataset)
    return (f"{CROISSANT_FILE} has no license, creator and date of publication: add yours before you publish it",)


def _copy_split(reader: Reader, split: str, out: Path, table: Any) -> None:
    """Copy the batch files of a split and write their records' lines, in one pass over the bytes."""
    size = record_dtype(reader.dataset.metadata.image_shape).itemsize
    expected = {file.name: file.sha256 for file in reader.dataset.metadata.splits[split]}
    digests = {name: hashlib.sha256() for name in expected}
    for rows in reader.rows(split):
        data = rows.records.tobytes()
        digests[rows.file].update(data)
        with naming(out / rows.file), (out / rows.file).open("ab") as target:
            target.write(data)
        cells = lines(reader, split, rows)
        table.writerows((*line, rows.file, rows.offset + number * size) for number, line in enumerate(cells))
    for name, digest in digests.items():
        if digest.hexdigest() != expected[name]:
            raise DataToolsError(
                f"{reader.dataset.path / name}: changed since the dataset was made; see `datatools verify` and make it "
                "anew (--overwrite)"
            )


def _description(reader: Reader, out: Path, files: list[str], header: tuple[str, ...]) -> dict[str, Any]:
    metadata = reader.dataset.metadata
    url, citation = ORIGINS.get(str(metadata.source.get("name")), (None, None))
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": metadata.name,
        "description": _text(reader),
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        **({"citeAs": citation, "url": url} if url else {}),
        "version": "1.0.0",
        "distribution": [_file_object(out / name) for name in files],
        "recordSet": [_splits(), _classes(metadata.class_names), _records(header)],
    }


def _text(reader: Reader) -> str:
    metadata = reader.dataset.metadata
    depth, height, width = metadata.image_shape
    counts = " and ".join(f"{metadata.num_records(split):,} {split}" for split in SPLITS)
    noise = "Labels are taken as clean." if metadata.labels == "clean" else "How many labels are right is not known."
    if metadata.noise is not None:
        noise = (
            f"Training labels carry {metadata.noise['type']} noise on purpose, realised rate "
            f"{metadata.noise['realised_rate']:.6g}; clean_label is the label before it."
        )
    return (
        f"{counts} images of {metadata.num_classes} classes, {depth} x {height} x {width} (depth x height x width). "
        f"{noise} Pixels are in the .bin files, which are records and nothing else: a {ID_BYTES}-byte id and a "
        f"{LABEL_BYTES}-byte label, both unsigned big-endian, then {depth * height * width:,} pixel bytes, plane by "
        "plane, each plane row by row from the top. labels.csv has a line for each record, with the file and the "
        "byte offset where it begins."
    )


def _file_object(path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": FORMATS.get(path.suffix, "text/csv"),
        "sha256": file_sha256(path),
    }


def _splits() -> dict[str, Any]:
    kinds = {"train": "cr:TrainingSplit", "test": "cr:TestSplit"}
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "description": "The splits.",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", "name", "sc:Text"), _field("splits", "url", "sc:URL")],
        "data": [{"splits/name": split, "splits/url": kinds[split]} for split in SPLITS],
    }


def _classes(names: tuple[str, ...]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "classes",
        "name": "classes",
        "description": "The classes: number and name.",
        "dataType": "sc:Enumeration",
        "key": {"@id": "classes/label"},
        "field": [_field("classes", "label", "sc:Integer"), _field("classes", "name", "sc:Text")],
        "data": [{"classes/label": number, "classes/name": name} for number, name in enumerate(names)],
    }


def _records(header: tuple[str, ...]) -> dict[str, Any]:
    fields = []
    for column in header:
        kind: Any = "sc:Integer" if column in WHOLE_NUMBERS else "sc:Text"
        field = _field("records", column, ["sc:Integer", "cr:Label"] if column == "label" else kind)
        field["description"] = DESCRIPTIONS[column]
        field["source"] = {"fileObject": {"@id": LABELS_FILE}, "extract": {"column": column}}
        if column == "split":
            field["references"] = {"field": {"@id": "splits/name"}}
        fields.append(field)
    return {
        "@type": "cr:RecordSet",
        "@id": "records",
        "name": "records",
        "description": "A line for each record of the batch files.",
        "key": [{"@id": "records/split"}, {"@id": "records/id"}],
        "field": fields,
    }


def _field(record_set: str, name: str, kind: Any) -> dict[str, Any]:
    return {"@type": "cr:Field", "@id": f"{record_set}/{name}", "name": name, "dataType": kind}
