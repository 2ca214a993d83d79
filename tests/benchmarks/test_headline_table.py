import json
from pathlib import Path

from synthdata.benchmarks.headline_table import Results, Row, write_results

MACHINE = {"device": "cpu (1 threads)", "processes": 1, "versions": {"python": "3.11"}}


def row(arm: str, seed: int, linear: float, images: int = 1000) -> Row:
    return Row(arm, seed, images, 100, {"linear_top1": linear, "knn_top1": linear - 5}, 2.0, MACHINE)


def results(runs: list[Row], left: list[str]) -> Results:
    return Results("digits", "test", 1000, 100, 64, "both", ["real", "both", "hard"], runs, [], left)


def test_rows_name_their_seeds_and_gains_pair_equal_seeds(tmp_path: Path) -> None:
    runs = [row("real", 0, 80.0), row("real", 1, 82.0), row("both", 1, 85.0), row("both", 2, 99.0)]
    lines = write_results(results(runs, ["both-1000-images-seed-0"]), tmp_path).splitlines()
    table = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines if "|" in line
    }
    assert table["real"] == ["0, 1 (n = 2)", "81.00 ± 1.41", "76.00 ± 1.41", "", "", "2.0"]
    assert table["both"] == ["1, 2 (n = 2)", "92.00 ± 9.90", "87.00 ± 9.90", "3.00", "3.00", "2.0"]
    assert table["hard"] == ["none yet", "", "", "", "", ""]
    assert lines[-1] == "Next: both-1000-images-seed-0; the same command goes on."
    assert json.loads((tmp_path / "table.json").read_text())["runs"][0]["scores"]["linear_top1"] == 80.0


def test_the_factor_is_the_horizontal_distance_of_the_curves(tmp_path: Path) -> None:
    # with half as many images, both is as good as real
    runs = [row("real", 0, 60.0, 500), row("real", 0, 70.0), row("both", 0, 70.0, 500), row("both", 0, 80.0)]
    text = write_results(results(runs, []), tmp_path)
    assert "`real` needs 2.00 times as many real images for the accuracy of `both`" in text
    assert {path.name for path in tmp_path.glob("*.png")} == {"efficiency-linear_top1.png", "efficiency-knn_top1.png"}


def test_nothing_is_said_of_data_efficiency_at_a_single_number_of_images(tmp_path: Path) -> None:
    assert "efficiency" not in write_results(results([row("real", 0, 60.0), row("both", 0, 70.0)], []), tmp_path)
    assert not list(tmp_path.glob("*.png"))
