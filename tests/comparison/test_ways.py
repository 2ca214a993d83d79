"""Tables and factors of runs whose scores are known."""

from pathlib import Path

import pytest
from PIL import Image

from synthdata.comparison import Comparison, Trained, as_json, as_markdown
from synthdata.comparison.plots import save_plots

MEASURES = {"linear_top1": "linear", "knn_top1": "k-NN"}


def trained(way: str, images: int, seed: int, linear: float, knn: float = 50.0) -> Trained:
    return Trained(way, images, seed, {"linear_top1": linear, "knn_top1": knn})


@pytest.fixture
def comparison() -> Comparison:
    """A dataset that is worth twice the images by the linear probe, and nothing by k-NN; two seeds, two apart."""
    runs = []
    for seed in (0, 1):
        for images, linear in ((100, 50.0), (200, 55.0), (400, 60.0)):
            runs.append(trained("real", images, seed, linear + 2 * seed, knn=images / 10))
            runs.append(trained("real + A", images, seed, linear + 5 + 2 * seed, knn=images / 10))
        runs.append(trained("A alone", 0, seed, 58.0, knn=41.0))
    return Comparison(runs, MEASURES)


def rows_of(markdown: str, table: int) -> list[list[str]]:
    """Cells of the n-th table, without its header."""
    tables = [part for part in markdown.split("\n\n") if part.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[table].splitlines()[2:]]


def test_scores_are_means_and_deviations_over_seeds(comparison: Comparison):
    rows = rows_of(as_markdown(comparison), 0)
    assert rows[0] == ["real", "100", "2", "51.00 ± 1.41", "10.00 ± 0.00"]
    assert rows[-1] == ["A alone", "0", "2", "58.00 ± 0.00", "41.00 ± 0.00"]


def test_gains_are_differences_within_a_seed(comparison: Comparison):
    rows = rows_of(as_markdown(comparison), 1)
    assert rows[0] == ["real + A", "100", "+5.00 [5.00, 5.00] (2 of 2)", "+0.00 [0.00, 0.00] (0 of 2)"]
    assert [row[0] for row in rows] == ["real + A"] * 3 + ["A alone"]


def test_other_controls_are_compared_with_what_is_none():
    runs = [trained(way, 100, 0, score) for way, score in {"real": 50.0, "noise": 52.0, "A": 53.0}.items()]
    comparison = Comparison(runs, MEASURES, controls=["noise"])
    assert comparison.ways_over("real") == ["real", "noise", "A"]
    assert rows_of(as_markdown(comparison), 2) == [["A", "100", "+1.00 (1 of 1)", "+0.00 (0 of 1)"]]


def test_a_dataset_alone_is_compared_with_most_real_images(comparison: Comparison):
    assert comparison.gains("A alone", 0, "linear_top1") == {0: -2.0, 1: -4.0}
    assert comparison.gains("A alone", 0, "knn_top1") == {0: 1.0, 1: 1.0}


def test_the_factor_is_read_off_the_curves(comparison: Comparison):
    assert comparison.factors("linear_top1") == {"real + A": pytest.approx(2.0)}
    assert comparison.factors("knn_top1") == {"real + A": pytest.approx(1.0)}
    assert rows_of(as_markdown(comparison), 2) == [["real + A", "2.00 ×", "1.00 ×"]]


def test_the_best_is_named_for_every_measure(comparison: Comparison):
    told = as_markdown(comparison).splitlines()[-2:]
    assert told == ["- Best by linear: real + A, 66.00 ± 1.41 %.", "- Best by k-NN: A alone, 41.00 ± 0.00 %."]


def test_json_has_runs_summaries_and_factors(comparison: Comparison):
    content = as_json(comparison)
    assert len(content["runs"]) == 14
    summary = next(each for each in content["summaries"] if (each["way"], each["real_images"]) == ("real + A", 200))
    assert summary["scores"]["linear_top1"]["values"] == [60.0, 62.0]
    assert summary["gains"]["linear_top1"]["mean"] == 5.0
    assert content["data_efficiency"]["linear_top1"]["real + A"] == pytest.approx(2.0)


def test_a_curve_is_plotted_for_every_measure(comparison: Comparison, tmp_path: Path):
    paths = save_plots(comparison, tmp_path / "new")
    assert [path.name for path in paths] == ["comparison.png", "efficiency-linear.png", "efficiency-knn.png"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width > 500


def test_one_number_of_images_has_no_curve(tmp_path: Path):
    comparison = Comparison([trained("real", 100, 0, 50.0), trained("real + A", 100, 0, 49.0)], MEASURES)
    assert "Data efficiency" not in as_markdown(comparison)
    assert rows_of(as_markdown(comparison), 1) == [["real + A", "100", "-1.00 (0 of 1)", "+0.00 (0 of 1)"]]
    assert [path.name for path in save_plots(comparison, tmp_path)] == ["comparison.png"]
