"""Open-set noise: images of no known class among the training images (Wang et al., CVPR 2018).

A share of the training images is replaced by images of another converted dataset, the donor; their labels stay.
"""

from __future__ import annotations

import numpy as np

from datatools.errors import DataToolsError, listed
from datatools.format.dataset import Dataset, open_dataset
from datatools.noise.base import Drawn, NoiseRequest
from datatools.noise.sampling import check_seed, largest_remainder
from datatools.seeding import permutation, uniforms

CONVENTION = (
    "rate per class: the share of each class's images that are replaced by images of the donor, ids in replaced_by; "
    "labels stay, and the realised rate is the share of images replaced"
)


def draw(request: NoiseRequest) -> Drawn:
    """Which images are replaced, and by which images of the donor; no label changes.

    One seed replaces the same images by the same ones at every rate: those at 0.2 are among those at 0.4.
    """
    check_seed(request.seed)
    donor = _open_donor(request)
    order = replacement_order(request)
    donor_ids = donor.ids("train")
    if len(order) > len(donor_ids):
        raise DataToolsError(
            f"{donor.path}: {len(donor_ids):,} training images, {len(order):,} are to be put in and none twice; "
            "name a larger donor or a lower rate"
        )
    replaced_by = np.full(len(request.ids), -1, np.int64)
    replaced_by[order] = permutation(request.seed, "open-set donor", len(donor_ids))[: len(order)]
    facts = {"donor": {"name": donor.path.resolve().name, "sha256": donor.sha256}}
    shared = [name for name in donor.metadata.class_names if name in set(request.class_names)]
    notices: tuple[str, ...] = ()
    if shared:
        notices = (f"{donor.path} has classes of the same name ({listed(shared)}): their images are no unknown ones",)
    return Drawn(request.clean.copy(), None, facts, donor, replaced_by, notices)


def replacement_order(request: NoiseRequest) -> np.ndarray:
    """(M,) int64: the records to be replaced, as positions in record order; a lower rate gives a beginning of it.

    "exact": of each class the nearest whole number, at a tie the higher one. "bernoulli": each image for itself.
    """
    rate = request.required("rate")
    early = uniforms(request.seed, "flip", request.ids)
    if request.sampling == "bernoulli":
        chosen = np.flatnonzero(early < rate)
        return np.asarray(chosen[np.lexsort((request.ids[chosen], early[chosen]))])
    by_class = np.lexsort((request.ids, early, request.clean))
    sizes = np.bincount(request.clean, minlength=request.num_classes)
    place = np.arange(len(by_class)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # within the class, from 0
    counts = np.array([largest_remainder(np.array([rate, 1 - rate]) * size, np.array([0, 1]))[0] for size in sizes])
    chosen = by_class[place < np.repeat(counts, sizes)]
    # a record of place p in a class of n joins as the rate reaches (p + 1/2) / n, whatever rate is asked for
    joins = ((place + 0.5) / np.repeat(sizes, sizes))[place < np.repeat(counts, sizes)]
    return np.asarray(chosen[np.lexsort((request.ids[chosen], early[chosen], joins))])


def _open_donor(request: NoiseRequest) -> Dataset:
    donor = open_dataset(request.required("donor"))
    if donor.sha256 == request.parent.sha256:
        raise DataToolsError(f"{donor.path}: is the dataset itself; name a donor of other classes")
    if donor.metadata.image_shape != request.parent.metadata.image_shape:
        raise DataToolsError(
            f"{donor.path}: images of {donor.metadata.image_shape}, those of {request.parent.path} are "
            f"{request.parent.metadata.image_shape}; convert it to that size (--size), or name another donor"
        )
    ids = donor.ids("train")
    if not np.array_equal(ids, np.arange(len(ids))):
        raise DataToolsError(f"{donor.path}: training ids are not 0..{len(ids) - 1} in order; convert it again")
    return donor
