"""The page of a run, finished or not, as a file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from synthdata.publishing.pages import write_page
from synthdata.training import JointConfig
from synthdata.training.run_directory import as_plain

from .made import images_of, text_of, write_run_files


def table_of(page: Path, title: str) -> list[list[str]]:
    """The cells behind the chart of that title."""
    (figure,) = [each for each in re.findall(r"<figure.*?</figure>", page.read_text(), re.S) if f">{title}<" in each]
    rows = re.findall(r"<tr>(.*?)</tr>", figure, re.S)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_a_finished_run_shows_what_its_report_says(finished_run: Path) -> None:
    report, text = json.loads((finished_run / "report.json").read_text()), text_of(write_page(finished_run))
    assert " finished " in text
    assert f"{report['images_seen']:,}" in text
    assert f"linear probe {report['linear_top1']:.2f} {report['validation_linear_top1']:.2f}" in text
    draws = report["draws"]["linear_20_labels_top1"]
    spread = f"({min(draws):.2f} to {max(draws):.2f}, {len(draws)} draws)"
    assert f"linear probe on 20 labels {report['linear_20_labels_top1']:.2f} {spread}" in text
    for library in ("torch", "diffusers"):
        assert f"{library} {report['versions'][library]}" in text


def test_curves_have_the_logged_values_behind_them(finished_run: Path) -> None:
    metrics = [json.loads(line) for line in (finished_run / "metrics.jsonl").read_text().splitlines()]
    header, *rows = table_of(write_page(finished_run), "Similarity of pairs and its schedule")
    assert header == ["iteration", "similarity", "similarity target"]
    logged = [line for line in metrics if "similarity" in line]
    assert [row[0] for row in rows] == [str(line["iteration"]) for line in logged]
    for row, line in zip(rows, logged, strict=True):
        assert float(row[1].replace("−", "-")) == pytest.approx(line["similarity"], abs=1e-3)


def test_a_term_that_the_page_does_not_know_has_a_curve_too(tmp_path: Path) -> None:
    run = write_run_files(tmp_path / "run", done=200, of=200)
    with (run / "metrics.jsonl").open("a") as file:
        file.write(
            json.dumps({"iteration": 199, "phase": "joint", "step": 149, "images": 1, "noise_level": 0.25}) + "\n"
        )
    assert table_of(write_page(run), "Noise level")[1] == ["199", "0.250"]


def test_grids_are_in_the_page_as_they_were_drawn(tmp_path: Path) -> None:
    from PIL import Image

    run = write_run_files(tmp_path / "run", done=200, of=200)
    drawn = [Image.open(path) for path in sorted((run / "samples").iterdir())]
    shown = images_of(write_page(run))
    assert [image.convert("RGB").tobytes() for image in shown] == [image.convert("RGB").tobytes() for image in drawn]


def test_settings_that_differ_from_the_defaults_are_marked(tmp_path: Path) -> None:
    run, config = write_run_files(tmp_path / "run", done=200, of=200), as_plain(JointConfig())
    config["train"] |= {"steps": 77, "learning_rate": 0.5}
    (run / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    content = write_page(run, as_plain(JointConfig())).read_text()
    changed = re.findall(r'<tr class="changed"><th scope="row">(.*?)</th><td>(.*?)</td><td>(.*?)</td>', content)
    assert changed == [("train.steps", "77", "1000"), ("train.learning_rate", "0.5", "0.002")]
    unmarked = write_page(run).read_text()
    assert "changed" not in re.sub(r"<style>.*?</style>", "", unmarked, flags=re.S)


def test_a_run_that_goes_on_tells_how_far_it_is_and_how_long_it_takes_at_this_pace(tmp_path: Path) -> None:
    run = write_run_files(tmp_path / "run", done=90, of=200)
    text = text_of(write_page(run))
    assert "Iteration 90 of 200 , at 2 Jan 2026, 03:14 UTC" in text or "Iteration 90 of 200, at 2 Jan 2026" in text
    left = 110 * 80 / 40  # the joint phase took 80 seconds for 40 iterations
    assert f"About {left // 60:.0f} min {left % 60:02.0f} s left" in text


def test_a_stopped_run_says_how_to_go_on(tmp_path: Path) -> None:
    run = write_run_files(tmp_path / "run", done=90, of=200)
    progress = json.loads((run / "progress.json").read_text())
    progress["parts"][-1]["ended"] = progress["updated"]
    (run / "progress.json").write_text(json.dumps(progress))
    text = text_of(write_page(run))
    assert " stopped " in text
    assert "--resume true goes on" in text
    assert "left at this pace" not in text


def test_an_interrupted_run_tells_its_parts(tmp_path: Path) -> None:
    text = text_of(write_page(write_run_files(tmp_path / "run", done=200, of=200)))
    assert "went on from its newest checkpoint" in text
    assert "1 0 to 60 2 Jan 2026, 03:04 UTC not told: it was killed, or it goes on" in text
    assert "2 50 to 200 2 Jan 2026, 03:14 UTC 2 Jan 2026, 03:14 UTC" in text


def test_a_line_of_metrics_that_a_kill_cut_short_is_left_out(tmp_path: Path) -> None:
    run = write_run_files(tmp_path / "run", done=90, of=200)
    before = write_page(run).read_bytes()
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 99, "pha')
    assert write_page(run).read_bytes() == before


def test_a_run_of_older_days_without_progress_has_a_page(tmp_path: Path) -> None:
    run = write_run_files(tmp_path / "run", done=200, of=200)
    (run / "progress.json").unlink()
    assert " finished " in text_of(write_page(run))


def test_a_page_tells_no_folder_of_this_machine(tmp_path: Path) -> None:
    run = write_run_files(tmp_path / "run", done=200, of=200)
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    config["data"] |= {"source": "imagefolder:/home/ada/photos", "root": "/home/ada/cache"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    content = write_page(run).read_text()
    assert "imagefolder:photos" in content
    assert "/home/ada" not in content
