"""Transition matrices, coupling, and what the noise is a function of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datatools.errors import DataToolsError
from datatools.noise import ALIASES, NOISE_TYPES, noise_type, transition_matrix
from datatools.noise.sampling import SAMPLINGS, noisy_labels
from datatools.seeding import permutation, stream, uniforms
from tests.support.drawn_noise import CLASS_COUNTS, COUPLED, RATES, TYPES, class_sizes, corrupted, labels_of

# --- the registry's contract -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
@pytest.mark.parametrize("rate", [0.0, 0.1, 1 / 3, 0.5, 0.8, 0.999])
@pytest.mark.parametrize("noise", TYPES)
def test_every_transition_matrix_is_row_stochastic(noise: str, rate: float, num_classes: int) -> None:
    matrix = transition_matrix(noise, num_classes, rate)
    assert matrix.shape == (num_classes, num_classes)
    assert matrix.dtype == np.float64
    assert (matrix >= 0).all()
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
@pytest.mark.parametrize("noise", TYPES)
def test_rate_zero_changes_nothing(noise: str, num_classes: int) -> None:
    np.testing.assert_array_equal(transition_matrix(noise, num_classes, 0.0), np.eye(num_classes))
    labels = np.arange(200) % num_classes
    for sampling in SAMPLINGS:
        np.testing.assert_array_equal(corrupted(labels, noise, 0.0, 0, sampling, num_classes), labels)


@pytest.mark.parametrize("noise", NOISE_TYPES)
def test_every_line_of_the_registry_says_what_it_is(noise: str) -> None:
    spec = NOISE_TYPES[noise]
    assert spec.title
    assert "rate" in spec.convention


@pytest.mark.parametrize("num_classes", CLASS_COUNTS)
@pytest.mark.parametrize("noise", COUPLED)
def test_each_class_keeps_one_minus_the_rate(noise: str, num_classes: int) -> None:
    np.testing.assert_array_equal(np.diag(transition_matrix(noise, num_classes, 0.3)), np.full(num_classes, 0.7))


def test_pair_noise_goes_to_the_next_class_and_from_the_last_to_the_first() -> None:
    expected = [[0.75, 0.25, 0, 0], [0, 0.75, 0.25, 0], [0, 0, 0.75, 0.25], [0.25, 0, 0, 0.75]]
    np.testing.assert_array_equal(transition_matrix("pair", 4, 0.25), expected)


def test_symmetric_noise_goes_to_every_other_class_alike() -> None:
    expected = [[0.7, 0.15, 0.15], [0.15, 0.7, 0.15], [0.15, 0.15, 0.7]]
    np.testing.assert_allclose(transition_matrix("symmetric", 3, 0.3), expected, rtol=1e-15)


def test_the_official_spelling_is_the_same_noise() -> None:
    assert ALIASES["symmetry"] == "symmetric"
    assert noise_type("symmetry") == noise_type("symmetric")


@pytest.mark.parametrize("rate", [math.nan, math.inf, -math.inf, -0.1, -1e-300, 1.0, 1.5])
@pytest.mark.parametrize("noise", TYPES)
def test_a_rate_that_is_no_share_is_refused(noise: str, rate: float) -> None:
    with pytest.raises(DataToolsError, match=r"^rate .*\[0, 1\)"):
        transition_matrix(noise, 10, rate)


@pytest.mark.parametrize("noise", TYPES)
def test_one_class_has_no_wrong_label(noise: str) -> None:
    with pytest.raises(DataToolsError, match="two classes"):
        transition_matrix(noise, 1, 0.2)


def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(DataToolsError, match=r"'salt'.*pair.*symmetric"):
        transition_matrix("salt", 10, 0.2)


@pytest.mark.parametrize(("sampling", "seed", "said"), [("loose", 0, "exact, bernoulli"), ("exact", -1, "seed -1")])
def test_an_unknown_sampling_or_seed_is_refused(sampling: str, seed: int, said: str) -> None:
    with pytest.raises(DataToolsError, match=said):
        noisy_labels(np.zeros(3, int), np.arange(3), np.eye(2), seed, sampling)


# --- coupling --------------------------------------------------------------------------------------------------------


@given(
    sizes=class_sizes(),
    rates=st.tuples(RATES, RATES).map(sorted),
    noise=st.sampled_from(COUPLED),
    sampling=st.sampled_from(SAMPLINGS),
    seed=st.integers(0, 5),
)
def test_what_is_flipped_at_a_low_rate_is_flipped_alike_at_a_higher_one(
    sizes: list[int], rates: list[float], noise: str, sampling: str, seed: int
) -> None:
    clean = labels_of(sizes)
    low, high = (corrupted(clean, noise, rate, seed, sampling, len(sizes)) for rate in rates)
    flipped = low != clean
    np.testing.assert_array_equal(low[flipped], high[flipped])


def test_the_two_types_flip_the_same_samples() -> None:
    clean = labels_of([40] * 5)
    flips = [clean != corrupted(clean, noise, 0.3, 3, "bernoulli", 5) for noise in COUPLED]
    np.testing.assert_array_equal(flips[0], flips[1])


# --- a function of (seed, id) ----------------------------------------------------------------------------------------


@given(sizes=class_sizes(), noise=st.sampled_from(TYPES), sampling=st.sampled_from(SAMPLINGS), order=st.randoms())
def test_the_order_of_the_records_does_not_matter(sizes: list[int], noise: str, sampling: str, order: object) -> None:
    clean, num_classes = labels_of(sizes), len(sizes)
    ids = np.arange(len(clean))
    shuffled = ids.tolist()
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    where = np.array(shuffled, int)
    matrix = transition_matrix(noise, num_classes, 0.4)
    straight = noisy_labels(clean, ids, matrix, 1, sampling)
    np.testing.assert_array_equal(noisy_labels(clean[where], ids[where], matrix, 1, sampling), straight[where])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_seeds_differ_and_repeat(sampling: str) -> None:
    clean = labels_of([100] * 10)
    first, again, other = (corrupted(clean, "symmetric", 0.4, seed, sampling, 10) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    # of 400 flips, two unrelated draws have about 160 samples in common
    assert (((first != clean) & (other != clean)).sum()) < 220


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_global_generator_is_neither_used_nor_touched(sampling: str) -> None:
    clean = labels_of([30] * 4)
    results = []
    for seed in (0, 12345):
        np.random.seed(seed)  # noqa: NPY002 - that it has no effect is the point
        results.append(corrupted(clean, "pair", 0.4, 0, sampling, 4))
        after = np.random.get_state()[1]  # type: ignore[index]  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        np.testing.assert_array_equal(after, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_clean_labels_are_left_as_they_were(sampling: str) -> None:
    clean = labels_of([30] * 4)
    before = clean.copy()
    corrupted(clean, "pair", 0.4, 0, sampling, 4)
    np.testing.assert_array_equal(clean, before)


GOLDEN = {
    ("pair", "exact"): [1, 1, 2, 4, 4, 0, 2, 3, 4, 0, 0, 2, 2, 3, 4, 1, 1, 3, 3, 0],
    ("pair", "bernoulli"): [0, 1, 2, 3, 4, 0, 2, 2, 4, 0, 0, 1, 2, 3, 4, 1, 1, 2, 3, 0],
    ("symmetric", "exact"): [2, 1, 2, 2, 4, 0, 3, 3, 1, 1, 0, 0, 2, 3, 4, 3, 1, 1, 3, 0],
    ("symmetric", "bernoulli"): [0, 1, 2, 3, 4, 0, 0, 2, 2, 1, 0, 1, 2, 3, 4, 2, 1, 2, 3, 0],
}


@pytest.mark.parametrize(("noise", "sampling"), GOLDEN)
def test_seed_zero_gives_these_labels_for_ever(noise: str, sampling: str) -> None:
    # A change here changes every published number: it needs a new format_version, not a new expectation
    assert corrupted(np.arange(20) % 5, noise, 0.4, 0, sampling, 5).tolist() == GOLDEN[noise, sampling]


def test_the_streams_are_these_numbers_for_ever() -> None:
    assert [hex(number) for number in stream(7, "flip").random_raw(2).tolist()] == [
        "0xf4b2e18ac41bbb9f",
        "0x85b5d1817bf5e7d7",
    ]
    assert permutation(7, "epoch", 6, 1, 2).tolist() == [0, 3, 4, 1, 5, 2]


def test_a_sample_owns_its_number_whatever_the_others_are() -> None:
    everyone = uniforms(3, "flip", np.arange(1000))
    np.testing.assert_array_equal(uniforms(3, "flip", np.array([999, 5, 5, 0])), everyone[[999, 5, 5, 0]])
    assert ((everyone >= 0) & (everyone < 1)).all()
    assert len(np.unique(everyone)) == 1000
