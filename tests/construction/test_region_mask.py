"""Masks: exact counts, rates by region, nothing on padding; and a planted motif that the right region shows."""

from itertools import pairwise

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from synthdata.construction.region_mask import RegionMask, counts
from synthdata.construction.relation import Relation, problem
from synthdata.construction.sources import open_source
from synthdata.construction.table import Table
from synthdata.errors import MisuseError

PUBLISHED = {"rate": 0.15, "share": 0.8, "region": (15, 30)}


def proposed(strategy: RegionMask, rows: Table, seed: int = 0, start: int = 0) -> list[Relation]:
    return [relation for unit in strategy.propose(rows, seed, start) for relation in unit]


def masks(strategy: RegionMask, rows: Table) -> np.ndarray:
    return np.array([relation.mask for relation in proposed(strategy, rows)], bool)


@pytest.mark.parametrize(("length", "inside", "anywhere"), [(126, 15, 3), (64, 7, 1), (34, 4, 1), (100, 12, 3)])
def test_counts_are_exact_whatever_the_length(length: int, inside: int, anywhere: int):
    assert counts(0.15, 0.8, length) == (inside, anywhere)
    drawn = masks(RegionMask(**PUBLISHED, masks=50), Table.of(sequence=["A" * length]))
    assert set(drawn.sum(1)) == {inside + anywhere}
    assert (drawn[:, 15:45].sum(1) >= inside).all()


@pytest.mark.parametrize("length", [126, 64, 34])
def test_rates_by_region_are_those_of_the_counts(length: int):
    drawn = masks(RegionMask(**PUBLISHED, masks=4000), Table.of(sequence=["A" * length]))
    inside, anywhere = counts(0.15, 0.8, length)
    region = min(30, length - 15)
    outside = anywhere / (length - inside)
    expected = np.full(length, outside)
    expected[15:45] = inside / region + (1 - inside / region) * outside
    sigma = np.sqrt(expected * (1 - expected) / 4000)
    assert (np.abs(drawn.mean(0) - expected) < 4.5 * sigma).all()


def test_padding_is_never_masked_and_moves_the_region():
    sequence = "<pad>" * 10 + "ACGT" * 20
    drawn = masks(RegionMask(rate=0.5, share=1.0, region=(0, 20), masks=200), Table.of(sequence=[sequence]))
    assert drawn.shape == (200, 90)
    assert not drawn[:, :10].any()
    assert drawn[:, 10:30].all()
    assert (drawn.sum(1) == 40).all()


def test_a_region_counted_from_the_end_is_the_mirror_of_one_from_the_start():
    rows = Table.of(sequence=[list("ACGTACGTAC")])
    drawn = masks(RegionMask(rate=0.3, share=1.0, region=(0, 3), region_from="end"), rows)
    assert np.flatnonzero(drawn[0]).tolist() == [7, 8, 9]


def test_a_position_may_be_several_characters():
    rows = Table.of(sequence=["ACGACGACGA"])
    (relation,) = proposed(RegionMask(rate=0.5, share=1.0, region=(0, 4), token=3), rows)
    assert len(relation.mask) == 4


def test_masks_depend_on_the_seed_and_the_row_alone():
    rows = Table.of(sequence=["ACGT" * 10] * 300)
    whole = proposed(RegionMask(), rows)
    assert proposed(RegionMask(), rows, start=256) == whole[256:]
    assert proposed(RegionMask(), rows, seed=1) != whole
    assert len({relation.mask for relation in whole}) > 250


def motif_task(region: tuple[int, int], motif_at: int, seed: int) -> float:
    """How well a motif is told in new sequences (area under the ROC curve) by what filling in masked letters taught.

    A linear model learns to tell a masked letter from its neighbours, from one masked letter of each of 120 sequences;
    a sequence has the motif if its letters fit there.
    """
    random = np.random.default_rng(seed)
    letters = random.integers(0, 4, (520, 60))
    has = random.random(520) < 0.5
    letters[has, motif_at : motif_at + 6] = [0, 1, 2, 3, 0, 1]
    seen, new = np.arange(120), np.arange(120, 520)
    rows = Table.of(sequence=["".join("ACGT"[letter] for letter in row) for row in letters[seen]])
    samples, places = np.nonzero(masks(RegionMask(rate=1 / 60, share=1.0, region=region), rows))
    onehot = np.pad(np.eye(4)[letters], ((0, 0), (2, 2), (0, 0)))

    def neighbours(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        around = [onehot[rows, places + 2 + offset] for offset in (-2, -1, 1, 2)]
        pairs = [np.einsum("na,nb->nab", *both).reshape(len(rows), -1) for both in pairwise(around)]
        return np.concatenate([*around, *pairs], 1)

    model = LogisticRegression(max_iter=300).fit(neighbours(samples, places), letters[samples, places])
    fit = np.zeros(len(new))
    for place in range(motif_at, motif_at + 6):
        told = model.predict_log_proba(neighbours(new, np.full(len(new), place)))
        fit += told[np.arange(len(new)), letters[new, place]]
    return float(roc_auc_score(has[new], fit))


@pytest.mark.parametrize(("motif_at", "on", "off"), [(20, (18, 10), (40, 10)), (42, (40, 10), (18, 10))])
def test_masks_on_a_planted_motif_teach_it_better_than_uniform_ones_and_those_elsewhere_do_not(
    motif_at: int, on: tuple[int, int], off: tuple[int, int]
):
    regions = (on, (0, 60), off)
    dense, uniform, elsewhere = (np.mean([motif_task(r, motif_at, seed) for seed in range(4)]) for r in regions)
    assert dense > uniform + 0.02
    assert uniform > elsewhere + 0.02


def test_patches_on_the_object_are_masked_more_often_than_the_ground():
    strategy = RegionMask(rate=0.25, share=0.8, patch=2, image_size=8, object_share=0.3, masks=4)
    rows = open_source("digits")
    found = proposed(strategy, rows)
    told = strategy.audit(rows, iter(found))
    assert told["rate_inside"] > 3 * told["rate_outside"]
    assert {sum(relation.mask) for relation in found} == {sum(counts(0.25, 0.8, 16))}
    pixels = np.stack([rows.images.rows.read(row) for row in range(len(rows))]).astype(float)  # type: ignore[union-attr]
    ink = pixels.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16)
    mask = np.array([relation.mask for relation in found], bool).reshape(len(rows), 4, 16)
    ink = np.repeat(ink[:, None], 4, 1)
    assert ink[mask].mean() > 1.2 * ink[~mask].mean()


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        ({"sequence": ["A" * 20, "A" * 12]}, {"region": (15, 30)}, "begins at position 15, and row 1 of rows has 12"),
        ({"letters": ["AC"]}, {}, "rows has no column sequence, only letters"),
        ({"sequence": [3, 4]}, {}, "row 0, holds 3, neither a text nor a list"),
    ],
)
def test_sequences_that_do_not_fit_are_told(columns: dict, settings: dict, words: str):
    with pytest.raises(MisuseError, match=words):
        proposed(RegionMask(**settings), Table.of(**columns))


def test_patches_that_do_not_divide_an_image_are_told():
    with pytest.raises(MisuseError, match="image_size is 8: it must be a multiple of --patch 3"):
        proposed(RegionMask(patch=3, image_size=8), open_source("digits"))


def test_test_rows_that_training_rows_tell_are_counted():
    random = np.random.default_rng(0)

    def sequence() -> str:
        return "".join(random.choice(list("ACGT"), 90))

    train = [sequence() for _ in range(40)]
    related = [train[row][:35] + sequence()[:55] for row in range(10)]
    test = train[:10] + related + [sequence() for _ in range(20)]
    values = random.normal(size=40)
    rows = Table.of(
        sequence=train + test,
        split=["train"] * 40 + ["test"] * 40,
        value=[*values, *values[:10], *random.normal(size=30)],
    )
    strategy = RegionMask(split_column="split")
    told = strategy.audit(rows, iter(proposed(strategy, rows)))
    assert told["leak_identical"] == 10 / 40
    assert told["leak_related"] == 20 / 40
    assert told["leak_lookup"] > 0.3


def test_every_relation_holds():
    rows = Table.of(sequence=["<pad>ACGT" * 1 + "ACGT" * 9] * 20)
    assert not any(problem(relation, len(rows)) for relation in proposed(RegionMask(), rows))
