"""The recipes, with all that they are told and say."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from processes import REPOSITORY, ForkedRecipe, Running, wait_for

from synthdata.configuration import parse
from synthdata.models import Encoder
from synthdata.training import JointConfig

Ended = tuple[int, str, str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Ended]]:
    """Several recipes, run side by side: exit code, output and errors."""
    folder = tmp_path_factory.mktemp("recipes")
    torch.manual_seed(0)
    Encoder("resnet8", 16, 1, width=4, hidden_dim=8, projection_dim=6).save_pretrained(folder / "encoder")
    run, encoder = f"--output_dir={folder}/run", f"--encoder={folder}/encoder"
    probe_settings = ["--evaluation.limit=100", "--evaluation.labels=[10]"]
    evaluate_settings = ["--seeds=2", "--limit=150", "--fine_tuning.steps=2", "--data.source=digits"]
    commands = {
        "defaults": ("joint", ["--print_config"]),
        "unknown arm": ("joint", [run, "--arm", "nonsense"]),
        "missing data": ("joint", [run, f"--data.source=imagefolder:{folder}/absent"]),
        "probe": ("probe", [encoder, *probe_settings]),
        "evaluate": ("evaluate", [encoder, *evaluate_settings, f"--output={folder}/evaluation"]),
        "missing encoder": ("evaluate", [f"--encoder={folder}/absent/encoder"]),
    }
    running: dict[str, Running] = {}
    results: dict[str, Ended] = {}
    for name, (recipe, flags) in commands.items():
        running[name] = ForkedRecipe(recipe, flags)
    for name, process in running.items():
        results[name] = wait_for(process)
    written = [(folder / "evaluation" / name).read_text() for name in ("evaluation.json", "evaluation.md")]
    results["evaluation files"] = (0, written[0], written[1])
    yield results
    assert not (folder / "run").exists()


def test_without_a_word_about_data_the_settings_for_digits_are_used(ended: dict[str, Ended]) -> None:
    code, output, _ = ended["defaults"]
    settings = yaml.safe_load(output)
    assert code == 0
    assert (settings["data"]["source"], settings["output_dir"]) == ("digits", "runs/digits")
    assert settings["views"]["flip_probability"] == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unknown arm", ("arm", "nonsense", "inflate")),
        ("missing data", ("absent", "does not exist")),
        ("missing encoder", ("absent/encoder", "neither a folder nor a repository")),
    ],
)
def test_misuse_ends_in_one_line_and_exit_code_2(ended: dict[str, Ended], name: str, words: tuple[str, ...]) -> None:
    code, output, error = ended[name]
    assert (code, output) == (2, "")
    lines = error.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_probe_prints_one_json_line(ended: dict[str, Ended]) -> None:
    code, output, error = ended["probe"]
    assert code == 0, error
    assert output.count("\n") == 1
    scores = json.loads(output)
    assert scores.keys() >= {"linear_top1", "knn_top1", "linear_10_labels_top1", "validation_linear_top1"}


def test_evaluate_prints_one_json_line_and_writes_it_with_a_table(ended: dict[str, Ended]) -> None:
    code, output, error = ended["evaluate"]
    assert code == 0, error
    assert output.count("\n") == 1
    report = json.loads(output)
    assert report["scores"]["digits"].keys() >= {"linear_12_labels_top1", "fine_tuned_120_labels_top1", "uniformity"}
    _, written, table = ended["evaluation files"]
    assert json.loads(written) == report
    assert "| digits | k-NN | " in table


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "recipes" / "configs").glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_file_of_settings_is_understood(path: Path) -> None:
    parse(JointConfig, "", ["--config", str(path)])
