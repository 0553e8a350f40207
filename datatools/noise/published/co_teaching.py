"""Co-teaching's noise (Han et al., NeurIPS 2018): github.com/bhanML/Co-teaching, data/utils.py.

The codes of Co-teaching+ (Yu et al. 2019) and JoCoR (Wei et al. 2020) have the same two functions. The seed of their
generator is 0 in all three, whatever the seed of the run, so the labels are fixed: for each sample in the order of the
files one multinomial draw of size 1 from its class's row.

Co-teaching's code is written for Python 2, for which NumPy ended with 1.16; the same lines draw other pair labels
under NumPy 1.17.0 to 2.4 (see `multinomial`). Symmetric noise has no probability of 0 and is the same under all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datatools.noise import transition
from datatools.noise.base import Drawn, NoiseRequest, NoiseType
from datatools.noise.published.base import Convention, order_notice, published
from datatools.noise.published.multinomial import multinomial_labels

SETS = ("CIFAR-10", "CIFAR-100", "MNIST")
NO_SEED = "draws from seed 0 whatever the seed of the run, so its labels are fixed"
PAIR_NOTICE = (
    "the code draws these pair labels under NumPy up to 1.16, all that its Python 2 has, and 2.5.0; under NumPy 1.17 "
    "to 2.4 it draws others, which {other} gives"
)


def _type(
    title: str, convention: str, matrix: Callable[[int, float], np.ndarray], skips_zeros: bool, other: str | None
) -> NoiseType:
    def draw(request: NoiseRequest, clean: np.ndarray) -> Drawn:
        rows = matrix(request.num_classes, request.required("rate"))
        notices = [order_notice(request, SETS), None if other is None else PAIR_NOTICE.format(other=other)]
        labels = multinomial_labels(clean, rows, skips_zeros)
        return Drawn(labels, rows, notices=tuple(notice for notice in notices if notice))

    return published(title, convention, draw, no_seed=NO_SEED)


def _convention(versions: str, skips_zeros: bool, pair_notice: str | None) -> Convention:
    each = "rate per class: the probability that a label of the class changes, each label drawn for itself"
    return Convention(
        method="Co-teaching",
        paper=f"Han et al. 2018, and Co-teaching+ and JoCoR, under NumPy {versions}",
        code="github.com/bhanML/Co-teaching, data/utils.py",
        sets=SETS,
        differs="",
        types={
            "pair": _type("pair noise", each, transition.pair, skips_zeros, pair_notice),
            "symmetric": _type(
                "symmetric noise",
                f"exclusive, {each}, never to the clean label",
                transition.symmetric,
                skips_zeros,
                None,
            ),
        },
    )


CONVENTION = _convention("up to 1.16, or 2.5.0", False, "--as co-teaching-numpy-1.17")
NUMPY_1_17 = _convention("1.17 to 2.4", True, None)
