import json
from pathlib import Path

from synthdata.benchmarks.headline_table import Results, Row, write_results

MACHINE = {"device": "cpu (1 threads)", "processes": 1, "versions": {"python": "3.11"}}


def row(arm: str, seed: int, linear: float, images: int = 1000) -> Row:
    scores = {"linear_top1": linear, "knn_top1": linear - 5, "linear_10_labels_top1": linear - 40}
    return Row(arm, seed, images, 100, scores, 2.0, MACHINE)


def results(runs: list[Row], left: list[str], controls: list[str]) -> Results:
    return Results("digits", "test", 1000, 100, 64, [10], controls, runs, [], left)


def tables(text: str) -> list[dict[str, list[str]]]:
    """The cells of each table by the name of the row."""
    parts = [part.splitlines() for part in text.split("\n\n") if part.startswith("| ")]
    rows = [[[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] for lines in parts]
    return [{cells[0]: cells[1:] for cells in table} for table in rows]


def test_gains_pair_equal_seeds_over_real_and_over_each_control(tmp_path: Path) -> None:
    runs = [row("real", 0, 80.0), row("real", 1, 82.0), row("noisy_views", 1, 84.0)]
    runs += [row("both", 1, 85.0), row("both", 2, 99.0)]
    text = write_results(results(runs, ["both-1000-images-seed-0"], ["noisy_views"]), tmp_path)
    scores, over_real, over_noise = tables(text)
    assert scores["trained on"] == ["real images", "seeds", "linear", "k-NN", "10 labels"]
    assert scores["real"] == ["1,000", "2", "81.00 ± 1.41", "76.00 ± 1.41", "41.00 ± 1.41"]
    assert scores["both"] == ["1,000", "2", "92.00 ± 9.90", "87.00 ± 9.90", "52.00 ± 9.90"]
    assert over_real["both"] == ["1,000", *["+3.00 (1 of 1)"] * 3]
    assert over_real["noisy_views"] == ["1,000", *["+2.00 (1 of 1)"] * 3]
    assert over_noise.keys() == {"trained on", "---", "both"}
    assert over_noise["both"] == ["1,000", *["+1.00 (1 of 1)"] * 3]
    assert "Minutes of a training: real 2.0, noisy_views 2.0, both 2.0." in text
    assert text.splitlines()[-1] == "Next: both-1000-images-seed-0; the same command goes on."
    assert json.loads((tmp_path / "table.json").read_text())["runs"][0]["scores"]["linear_top1"] == 80.0


def test_the_factor_is_the_horizontal_distance_of_the_curves(tmp_path: Path) -> None:
    # with half as many images, both is as good as real
    runs = [row("real", 0, 60.0, 500), row("real", 0, 70.0), row("both", 0, 70.0, 500), row("both", 0, 80.0)]
    text = write_results(results(runs, [], []), tmp_path)
    assert tables(text)[-1]["both"] == ["2.00 ×"] * 3
    assert {path.name for path in tmp_path.glob("efficiency-*.png")} == {
        "efficiency-linear.png", "efficiency-knn.png", "efficiency-linear_10_labels.png",
    }  # fmt: skip


def test_nothing_is_said_of_data_efficiency_at_a_single_number_of_images(tmp_path: Path) -> None:
    text = write_results(results([row("real", 0, 60.0), row("both", 0, 70.0)], [], []), tmp_path)
    assert "efficiency" not in text
    assert not list(tmp_path.glob("efficiency-*.png"))


def test_a_table_without_a_training_says_what_comes_first(tmp_path: Path) -> None:
    text = write_results(results([], ["real-1000-images-seed-0"], []), tmp_path)
    assert text.splitlines()[-2:] == [
        "0 of 1 trainings are finished.",
        "Next: real-1000-images-seed-0; the same command goes on.",
    ]
