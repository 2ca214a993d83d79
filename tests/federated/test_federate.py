"""Whole federations: in this process, and as a user starts one."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import ForkedRecipe, wait_for
from safetensors.torch import load_file
from small_federations import SMALL_FEDERATION

from synthdata.configuration import parse
from synthdata.errors import MisuseError
from synthdata.federated import FederatedConfig, federate
from synthdata.models import load_classifier

SETTINGS = SMALL_FEDERATION | {"rounds": 2, "checkpoint.keep": 9}
LOSSY = {"seed": 1, "train__dropout": 0.2}


def flags_of(output_dir: Path, **changes: Any) -> list[str]:
    settings = SETTINGS | {"output_dir": output_dir} | {key.replace("__", "."): v for key, v in changes.items()}
    return [f"--{key}={value}" for key, value in settings.items()]


def run(output_dir: Path, **changes: Any) -> dict[str, Any]:
    return federate(parse(FederatedConfig, "", flags_of(output_dir, **changes)))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "classifier" / "model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run of mfcl that loses one of two clients in every round, and its report."""
    folder = tmp_path_factory.mktemp("federated") / "run"
    return folder, run(folder, **LOSSY)


def test_a_run_leaves_a_report_and_a_classifier_that_opens(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, report = whole
    assert json.loads((folder / "report.json").read_text()) == report
    assert report["average_accuracy"] == pytest.approx(sum(report["accuracies"]) / 2, abs=1e-3)
    assert report["last_accuracy"] == report["accuracies"][-1]
    first, last = report["task_accuracies"]
    assert (len(first), len(last)) == (1, 2)
    assert report["forgetting"] == pytest.approx(first[0] - last[0], abs=1e-3)
    assert report["wall_seconds"] > 0
    assert report["updates_left_out"] == 4
    assert report["images_seen"] == pytest.approx(4 * 25, abs=4)
    classifier = load_classifier(folder / "classifier")
    assert classifier.classes == [name for task in report["tasks"] for name in task]
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_server_killed_between_rounds_goes_on_with_the_same_bits(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, done: int
) -> None:
    folder, report = whole
    resumed = tmp_path / "resumed"
    shutil.copytree(folder, resumed)
    for later in range(done + 1, 5):
        shutil.rmtree(resumed / "checkpoints" / f"step-{later:09d}")
    shutil.rmtree(resumed / "classifier")
    (resumed / "report.json").unlink()
    again = run(resumed, **LOSSY, resume="true")
    for key in report.keys() - {"wall_seconds", "cpu_seconds", "images_per_second"}:
        assert again[key] == report[key], key
    for name, value in weights(folder).items():
        assert torch.equal(weights(resumed)[name], value), name


def test_oracle_keeps_the_images_of_all_tasks(tmp_path: Path) -> None:
    fedavg, oracle = (run(tmp_path / method, method=method) for method in ("fedavg", "oracle"))
    assert fedavg["images_seen"] == pytest.approx(2 * 2 * 2 * 25, abs=8)
    assert oracle["images_seen"] == pytest.approx(fedavg["images_seen"] * 3 / 2, rel=0.05)
    assert fedavg["task_accuracies"][0] == oracle["task_accuracies"][0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tasks": 11}, "tasks is 11 and there are 10 classes"),
        ({"tasks": 10}, "tasks of one class, which method mfcl cannot learn from"),
        ({"clients": 150}, "a client would be without images"),
        ({"train__clients_per_round": 5}, "train.clients_per_round is 5 and there are 4 clients"),
        ({"encoder__backbone": "vit_tiny"}, "vit_tiny has no batch normalisation"),
        ({"method": "fedavg", "contrastive": "true"}, "contrastive is a setting of method mfcl, not of fedavg"),
        ({"data__image_size": 8}, "set data.image_size to one of them, not 8"),
    ],
)
def test_what_does_not_fit_is_told_before_the_first_round(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(MisuseError, match=words):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_the_recipe_ends_misuse_with_one_line_and_tells_the_scores(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, report = whole
    running = ForkedRecipe("federate", flags_of(tmp_path / "run", tasks=11))
    finished = ForkedRecipe("federate", [f"--config={folder}/config.yaml", f"--output_dir={folder}", "--resume"])
    code, output, error = wait_for(running)
    assert (code, output, error.count("\n")) == (2, "", 1)
    assert error.startswith("error: tasks is 11")
    code, output, error = wait_for(finished)
    assert code == 0, error
    assert f"average accuracy   {report['average_accuracy']:.2f} %" in output
