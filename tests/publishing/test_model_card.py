"""What the cards of encoder and generator say, and that what they say works."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard
from small_generators import small_diffusion, tuned

from synthdata.configuration import parse
from synthdata.errors import MisuseError
from synthdata.publishing.model_card import write_model_card
from synthdata.training import ContrastConfig, train_contrast

from .conftest import RunSnippets


def text_of(run: Path, part: str) -> str:
    return (run / part / "README.md").read_text(encoding="utf-8")


def test_the_encoders_snippet_runs(finished_run: Path, run_snippets: RunSnippets):
    (printed,) = run_snippets(finished_run / "encoder", finished_run / "encoder")
    assert printed.splitlines()[-1] == "torch.Size([2, 8])"


def test_the_generators_snippet_runs(finished_run: Path, run_snippets: RunSnippets):
    (printed,) = run_snippets(finished_run / "generator", finished_run / "generator")
    assert printed.splitlines()[-1] == "(16, 16) (16, 16)"


def test_the_headers_name_library_and_task(finished_run: Path):
    encoder = ModelCard.load(finished_run / "encoder" / "README.md").data
    generator = ModelCard.load(finished_run / "generator" / "README.md").data
    assert (encoder.library_name, encoder.pipeline_tag) == ("synthdata", "image-feature-extraction")
    assert (generator.library_name, generator.pipeline_tag) == ("diffusers", "unconditional-image-generation")


def test_scores_are_those_of_the_report_with_their_split(finished_run: Path):
    report, text = json.loads((finished_run / "report.json").read_text()), text_of(finished_run, "encoder")
    assert "| | test | validation |\n| --- | ---: | ---: |\n" in text
    for name, key in (("linear probe", "linear_top1"), ("linear probe on 20 labels", "linear_20_labels_top1")):
        assert f"| {name} | {report[key]:.2f} | {report[f'validation_{key}']:.2f} |\n" in text


def test_the_card_holds_the_runs_configuration(finished_run: Path):
    block = re.search(r"```yaml\n(.*?)```", text_of(finished_run, "encoder"), re.S)
    assert block is not None
    told, config = yaml.safe_load(block[1]), yaml.safe_load((finished_run / "config.yaml").read_text())
    config["data"].pop("root")
    assert told == config


@pytest.mark.parametrize("part", ["encoder", "generator"])
def test_a_model_card_holds_no_placeholder_and_no_date(finished_run: Path, part: str):
    text = text_of(finished_run, part)
    assert not re.findall(r"None|nan\b|\{\{|\{%|Information Needed|TODO|OWNER|20\d\d-\d\d", text)


def test_a_score_that_was_not_measured_has_no_place(finished_run: Path, tmp_path: Path):
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    report = json.loads((run / "report.json").read_text())
    without_test = {key: value for key, value in report.items() if not key.startswith(("linear", "knn"))}
    (run / "report.json").write_text(json.dumps(without_test))
    write_model_card(run)
    assert "| | validation |\n" in text_of(run, "encoder")
    without_any = {key: value for key, value in report.items() if not key.endswith("_top1")}
    (run / "report.json").write_text(json.dumps(without_any))
    write_model_card(run)
    assert "## Scores" not in text_of(run, "encoder")


def test_folders_of_this_machine_are_not_told(finished_run: Path, tmp_path: Path):
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["source"] = "imagefolder:/home/ada/photos"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    write_model_card(run)
    for part in ("encoder", "generator"):
        assert "imagefolder:photos" in text_of(run, part)
        assert "/home/ada" not in text_of(run, part)


def test_a_run_that_is_not_finished_is_misuse(finished_run: Path, tmp_path: Path):
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    (run / "report.json").unlink()
    with pytest.raises(MisuseError, match=r"report\.json"):
        write_model_card(run)


def test_the_snippets_of_a_diffusion_model_run(finished_run: Path, run_snippets: RunSnippets, tmp_path: Path):
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    shutil.rmtree(run / "generator")
    tuned(small_diffusion(channels=1)).save_pretrained(run / "generator")
    write_model_card(run)
    stock, pairs = run_snippets(run / "generator", run / "generator")
    assert stock.splitlines()[-1] == "(16, 16)"
    assert pairs.splitlines()[-1] == "torch.Size([16, 16]) torch.Size([16, 16])"
    text = text_of(run, "generator")
    assert "greyscale, 16 × 16 pixels" in text
    assert "from diffusers import DDIMPipeline" in text
    assert "None" not in text


def test_the_card_of_contrastive_training_names_method_and_datasets(tar_dataset: Path, tmp_path: Path):
    run = tmp_path / "run"
    settings = ["--method=byol", "--train.steps=2", "--train.batch_size=8", "--encoder.width=4"]
    train_contrast(parse(ContrastConfig, "", [f"--shards={tar_dataset}", f"--output_dir={run}", *settings]))
    write_model_card(run)
    text = text_of(run, "encoder")
    assert "BYOL (Grill et al., NeurIPS 2020) on\nthe synthetic images of `tar`." in text
    assert "recipes/contrast.py --config config.yaml" in text
    assert str(tar_dataset) not in text
    report = json.loads((run / "report.json").read_text())
    assert f"| mix of images | 0 real, {report['synthetic_rows']} synthetic rows, `ratio` |" in text


def test_a_dataset_of_the_hub_is_linked_and_in_the_header(finished_run: Path, tmp_path: Path):
    run = Path(shutil.copytree(finished_run, tmp_path / "run"))
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump(config | {"shards": "hf://datasets/ada/pairs"}))
    write_model_card(run)
    assert "[ada/pairs](https://huggingface.co/datasets/ada/pairs)" in text_of(run, "encoder")
    assert ModelCard.load(run / "encoder" / "README.md").data.datasets == ["ada/pairs"]
