"""The cards of a data-free generator and of its replay, and that what they say works."""

import json
import runpy
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from PIL import Image
from processes import REPOSITORY
from small_classifiers import CLASSES, SMALL, small_classifier, small_data_free

from synthdata.cli import main
from synthdata.emission.config import EmissionConfig
from synthdata.emission.emit import emit
from synthdata.publishing.complete import complete_dataset
from synthdata.publishing.distil_card import write_distil_card

from .conftest import RunSnippets


@pytest.fixture(scope="module")
def free_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the recipe leaves of a tiny training; its generator is replaced by one with more than one class."""
    folder = tmp_path_factory.mktemp("free")
    small_classifier().save_pretrained(folder / "classifier")
    flags = [
        f"--classifier={folder}/classifier",
        f"--output_dir={folder}/run",
        "--train.steps=4",
        "--train.batch_size=8",
    ]
    flags += [f"--generator.{name}={value}" for name, value in vars(SMALL).items()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["distil.py", *flags])
        runpy.run_path(str(REPOSITORY / "recipes" / "distil.py"), run_name="__main__")
    assert (folder / "run" / "generator" / "README.md").is_file()
    small_data_free().save_pretrained(folder / "run" / "generator")
    write_distil_card(folder / "run")
    return folder / "run"


@pytest.fixture(scope="module", params=["webdataset", "parquet"])
def replay(request: pytest.FixtureRequest, free_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("datasets") / f"free-{request.param}"
    emit(EmissionConfig(run=str(free_run), output=str(output), replay=12, shard_size=8, format=request.param))
    complete_dataset(output)
    return output


def exit_code_of(verb: str, folder: Path) -> object:
    with pytest.raises(SystemExit) as ended:
        main([verb, str(folder)])
    return ended.value.code


def test_every_snippet_of_a_replay_card_runs(replay: Path, run_snippets: RunSnippets):
    whole, stream, third = run_snippets(replay, replay.parent)
    assert "'label'" in whole
    assert [line.split()[0] for line in stream.splitlines()] == ["(16,"] * 12
    assert "confidence" in third if replay.name.endswith("parquet") else len(third.splitlines()) == 12


def test_a_replay_card_says_what_the_images_are_and_are_not(replay: Path):
    card = DatasetCard.load(replay / "README.md")
    assert card.data.task_categories == ["image-classification"]
    assert {"data-free", "synthetic"} <= set(card.data.tags)
    assert [config["config_name"] for config in card.data.to_dict()["configs"]] == ["replay"]
    text = " ".join(card.text.split())
    assert "They do not look like the data" in text
    assert "Privacy is not promised" in text
    assert "contrastive" not in text
    for name in CLASSES:
        assert f"| {name} |" in text
    for picture in ("confidence.png", "labels.png"):
        assert Image.open(replay / "assets" / picture).size[0] > 300


def test_a_lost_replay_card_is_written_again(replay: Path, capsys: pytest.CaptureFixture[str]):
    before = (replay / "README.md").read_text()
    (replay / "README.md").unlink()
    assert exit_code_of("finish", replay) == 0
    assert (replay / "README.md").read_text() == before
    assert exit_code_of("verify", replay) == 0
    assert "is sound: 12 replay in 2 shards" in capsys.readouterr().out


def test_every_snippet_of_a_generator_card_runs(free_run: Path, run_snippets: RunSnippets):
    image, answers = run_snippets(free_run / "generator", free_run / "generator")
    assert image.strip() == "(16, 16)"
    assert answers.startswith("torch.Size([4, 1, 16, 16])")


def test_the_pages_tell_what_was_made_from_what(free_run: Path, replay: Path):
    page = (free_run / "index.html").read_text(encoding="utf-8")
    assert "Training of a generator from a classifier alone" in page
    assert "recipes/distil.py --config" in page
    assert "through the encoder" not in page
    assert "Terms of the generator" in page
    rows = (replay / "index.html").read_text(encoding="utf-8")
    assert "They teach; they do not look like the data" in rows
    metadata = json.loads((replay / "croissant.json").read_text(encoding="utf-8"))
    assert metadata["description"].startswith("Images that stand in for those a classifier learned from")
    assert "encoder" not in json.dumps(metadata)


def test_a_generator_card_says_what_it_is_and_tells_no_folder(free_run: Path):
    card = ModelCard.load(free_run / "generator" / "README.md")
    text = " ".join(card.text.split())
    assert "The generator itself saw no image" in text
    assert "It is not a picture of the data" in text
    assert "classifier: classifier" in text
    assert str(free_run.parent) not in text
    assert sum(int(text.split(f"| {name} | ")[1].split(" |")[0].replace(",", "")) for name in CLASSES) == 2048
