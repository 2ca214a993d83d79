"""The sentence of a dataset's card on what encoders trained on it reach."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from synthdata.comparison import Summary
from synthdata.errors import FailureError, MisuseError
from synthdata.publishing.card import write_dataset_card
from synthdata.publishing.label_reach import FILE, keep_label_reach


def figures(reach: list[float]) -> dict[str, Any]:
    return {"reach": Summary.of(reach).as_json(), "chance": Summary.of([0.1] * len(reach)).as_json()}


def circumstances(**changes: Any) -> dict[str, Any]:
    found = {"images": 640, "features": 64, "ways": {"real": figures([0.5, 0.6]), "real + x": figures([0.61, 0.63])}}
    return {"source": "digits", "method": "simclr", "steps": 1500, "label_reach": found} | changes


@pytest.fixture
def dataset(tar_dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tar_dataset, tmp_path / "dataset"))


def card(folder: Path) -> str:
    write_dataset_card(folder)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_what_was_measured_is_told_with_chance_and_the_numbers_of_images_and_features(dataset: Path) -> None:
    assert keep_label_reach(dataset, "real + x", circumstances())
    (sentence,) = [line for line in card(dataset).splitlines() if line.startswith("Label reach: ")]
    for words in (
        "64 features",
        "(simclr, 1,500 steps) expresses 62.0 ± 1.4 % of the variance of the labels of 640 held-out images",
        "(permuted labels: 10.0 ± 0.0 %)",
        "one trained on the real images alone, 55.0 ± 7.1 % (permuted labels:",
        "Means over 2 seeds",
    ):
        assert words in sentence


def test_nothing_is_told_where_nothing_was_measured(dataset: Path) -> None:
    assert "Label reach" not in card(dataset)
    assert not keep_label_reach(dataset, "real + x", circumstances(label_reach={"refused": "too few images"}))
    assert not (dataset / FILE).exists()
    assert "Label reach" not in card(dataset)


def test_what_was_measured_of_other_rows_is_not_told(dataset: Path) -> None:
    keep_label_reach(dataset, "real + x", circumstances())
    manifest = json.loads((dataset / "manifest.json").read_text())
    manifest["shards"][0]["sha256"] = "0" * 64
    (dataset / "manifest.json").write_text(json.dumps(manifest))
    assert "Label reach" not in card(dataset)


@pytest.mark.parametrize("content", ["", "[]", "{}", "\x00"])
def test_a_damaged_record_is_named(dataset: Path, content: str) -> None:
    (dataset / FILE).write_text(content)
    with pytest.raises(MisuseError, match=rf"{FILE} is damaged .*: delete it, or compare again"):
        write_dataset_card(dataset)


def test_a_record_that_cannot_be_written_is_told(dataset: Path) -> None:
    (dataset / FILE).mkdir()
    with pytest.raises(FailureError, match=f"cannot write .*{FILE}: Is a directory"):
        keep_label_reach(dataset, "real + x", circumstances())
