"""A takedown from its list to a run directory."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tiny import tiny_config

from synthdata.emission.run import load_run
from synthdata.errors import MisuseError
from synthdata.models import Encoder
from synthdata.publishing.model_card import write_model_card
from synthdata.publishing.pages import write_page
from synthdata.takedown.before import Before, open_before
from synthdata.takedown.config import TakedownConfig
from synthdata.takedown.forgetting import EncoderForgetting
from synthdata.takedown.generator import GeneratorTuning
from synthdata.takedown.takedown import take_down
from synthdata.training import train_joint

from .conftest import ROWS, SCORED_QUICKLY, TakeDown

CPU = torch.device("cpu")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}/{name}": tensor
        for path in sorted([*folder.glob("encoder/*.safetensors"), *folder.glob("generator/*/*.safetensors")])
        for name, tensor in load_file(path).items()
    }


def test_the_new_run_is_one_that_emission_opens_without_the_images(taken_down: Path, before: Before) -> None:
    run = load_run(taken_down, CPU)
    assert set(run.images.source_indices.tolist()) == set(before.data.train.source_indices.tolist()) - set(ROWS)
    assert run.forgotten is not None
    assert run.identity["forgotten"]["images"] == len(ROWS)
    report = json.loads((taken_down / "report.json").read_text())
    told = report["takedown"]
    assert len(set(ROWS) & set(before.data.train.source_indices.tolist())) == 2
    assert (told["method"], told["forgotten"], told["never_trained_on"]) == ("calibration", 4, 2)
    assert report["validation_linear_top1"] > 0


def test_encoder_and_generator_are_others_and_the_run_before_is_as_it_was(run_folder: Path, taken_down: Path) -> None:
    begun = (taken_down / "config.yaml").stat().st_mtime_ns
    assert all(path.stat().st_mtime_ns < begun for path in run_folder.rglob("*"))
    old, new = weights(run_folder), weights(taken_down)
    assert old.keys() == new.keys()
    for part in ("encoder", "generator", "partner", "discriminator"):
        names = [name for name in old if name.startswith(f"{part}/") and old[name].is_floating_point()]
        assert any(not torch.equal(old[name], new[name]) for name in names), part


@pytest.mark.parametrize("way", ["tune", "retrain"])
def test_a_list_that_was_never_trained_on_changes_nothing(
    before: Before, take_down_from: TakeDown, tmp_path: Path, way: str
) -> None:
    trained_on = before.data.train.source_indices.tolist()
    unseen = next(row for row in range(1197) if row not in trained_on)
    (tmp_path / "forget.txt").write_text(str(unseen))
    report = take_down_from(tmp_path / "new", forget=str(tmp_path / "forget.txt"), generator=way)
    assert (report["steps"], report["takedown"]["never_trained_on"]) == (0, 1)
    old, new = weights(before.folder), weights(tmp_path / "new")
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], tensor) for name, tensor in new.items())


@pytest.mark.parametrize("phase", [EncoderForgetting, GeneratorTuning])
def test_one_that_was_killed_goes_on_to_the_same_bits(
    phase: type, take_down_from: TakeDown, taken_down: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = phase.run

    def dying(self: object, iteration: int) -> object:
        if iteration == 3:
            raise KeyboardInterrupt
        return run(self, iteration)

    with monkeypatch.context() as patch:
        patch.setattr(phase, "run", dying)
        with pytest.raises(KeyboardInterrupt):
            take_down_from(tmp_path / "new")
    take_down_from(tmp_path / "new", resume=True)
    expected, found = weights(taken_down), weights(tmp_path / "new")
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_retraining_is_the_run_itself_without_the_images(take_down_from: TakeDown, tmp_path: Path) -> None:
    def trained(name: str, **changes: object) -> Path:
        train_joint(tiny_config(tmp_path / name, arm="real", **SCORED_QUICKLY, **changes))
        return tmp_path / name

    settings = {"run": str(trained("before")), "method": "retrain"}
    report = take_down_from(tmp_path / "new", **settings)
    expected, found = weights(trained("by hand", data__exclude=str(ROWS))), weights(tmp_path / "new")
    assert expected
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert report["takedown"]["method"] == "retrain"
    assert take_down_from(tmp_path / "new", **settings, resume=True) == report


def test_retraining_from_a_generator_that_may_have_seen_the_images_is_refused(
    run_folder: Path, take_down_from: TakeDown, tmp_path: Path
) -> None:
    pretrained = Path(shutil.copytree(run_folder, tmp_path / "pretrained"))
    config = (pretrained / "config.yaml").read_text()
    (pretrained / "config.yaml").write_text(config.replace("pretrained: null", f"pretrained: {run_folder}/generator"))
    with pytest.raises(MisuseError, match="which may have seen the images"):
        take_down_from(tmp_path / "new", run=str(pretrained), method="retrain")


def test_a_takedown_of_a_takedown_keeps_out_what_was_taken_down_before(
    take_down_from: TakeDown, taken_down: Path, tmp_path: Path
) -> None:
    (tmp_path / "more.txt").write_text("24")
    report = take_down_from(tmp_path / "new", run=str(taken_down), forget=str(tmp_path / "more.txt"))
    assert (report["takedown"]["forgotten"], report["takedown"]["taken_down"]) == (1, 5)
    assert yaml.safe_load((tmp_path / "new" / "config.yaml").read_text())["data"]["exclude"] == sorted([*ROWS, 24])


def test_a_generator_is_trained_anew_where_it_is_asked_for(take_down_from: TakeDown, tmp_path: Path) -> None:
    assert take_down_from(tmp_path / "new", generator="retrain")["takedown"]["generator"] == "retrain"
    phases = [json.loads(line)["phase"] for line in (tmp_path / "new" / "metrics.jsonl").read_text().splitlines()]
    assert list(dict.fromkeys(phases)) == ["forgetting", "pre-training", "warm-up", "joint"]


def test_a_diffusion_model_is_never_tuned_away_as_its_base_would_keep_the_images(
    run_folder: Path, take_down_from: TakeDown, tmp_path: Path
) -> None:
    diffusion = Path(shutil.copytree(run_folder, tmp_path / "diffusion"))
    config = (diffusion / "config.yaml").read_text()
    (diffusion / "config.yaml").write_text(config.replace("kind: gan", "kind: diffusion"))
    with pytest.raises(MisuseError, match=r"a diffusion model cannot be tuned.*--generator retrain"):
        take_down_from(tmp_path / "refused", run=str(diffusion), generator="tune")


def test_near_finds_the_given_image_and_waits_for_an_answer(
    before: Before, take_down_from: TakeDown, tmp_path: Path
) -> None:
    row = int(before.data.train.source_indices[5])
    Image.fromarray(before.data.train[5][0].numpy()).save(tmp_path / "photo.png")
    near, picture = f"near:{tmp_path / 'photo.png'}", tmp_path / "new-near.png"
    with pytest.raises(MisuseError, match=r"nobody can be asked.*--yes"):
        take_down_from(tmp_path / "new", forget=near, near_distance=1e-6)
    assert picture.exists()
    assert not (tmp_path / "new").exists()
    take_down_from(tmp_path / "new", forget=near, near_distance=1e-6, yes=True)
    assert not picture.exists()
    assert row in yaml.safe_load((tmp_path / "new" / "config.yaml").read_text())["data"]["exclude"]


def test_settings_of_the_takedown_are_understood() -> None:
    from synthdata.configuration import parse

    config = parse(TakedownConfig, "", ["--run=a", "--forget=near:b.png", "--yes", "--method=contrastive"])
    assert (config.forget, config.yes, config.method) == ("near:b.png", True, "contrastive")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"forget": "near:{tmp}/forget.txt"}, "is no image"),
        ({"forget": "{tmp}/forget.txt", "run": "{tmp}"}, "holds no config.yaml"),
        ({"forget": "{tmp}/all.txt"}, "all 128 training images"),
        ({"forget": "{tmp}/unknown.txt"}, "1 of 2 entries name no training image of digits"),
        ({"output_dir": "{run}"}, "is the run before"),
        ({"method": "contrastive", "forgotten_share": 1.0}, "leaves no retained image"),
        ({"run": "{old}"}, "made by an earlier version"),
        ({"run": "{changed}"}, "holds other images"),
        ({"run": "{foreign}"}, "of another version"),
    ],
)
def test_what_cannot_be_taken_down_is_told_in_one_line(
    changes: dict[str, str], words: str, run_folder: Path, forget: Path, tmp_path: Path
) -> None:
    (tmp_path / "forget.txt").write_text("3")
    (tmp_path / "all.txt").write_text("\n".join(map(str, range(1197))))
    (tmp_path / "unknown.txt").write_text("3\nclass:cat")
    places = {"tmp": str(tmp_path), "run": str(run_folder)}
    for name in ("old", "changed", "foreign"):
        places[name] = str(shutil.copytree(run_folder, tmp_path / name))
    report = json.loads((run_folder / "report.json").read_text())
    source = report.pop("source")
    (tmp_path / "old" / "report.json").write_text(json.dumps(report))
    (tmp_path / "changed" / "report.json").write_text(json.dumps(report | {"source": source | {"sha256": "0" * 64}}))
    config = (run_folder / "config.yaml").read_text()
    (tmp_path / "foreign" / "config.yaml").write_text(config + "colour: red\n")
    told = {name: each.format(**places) if isinstance(each, str) else each for name, each in changes.items()}
    settings = {"run": str(run_folder), "forget": str(forget), "output_dir": str(tmp_path / "new"), **told}
    with pytest.raises(MisuseError, match=words) as error:
        take_down(TakedownConfig(**settings))  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new" / "encoder").exists()


def test_unknown_entries_are_told_a_line_each(
    take_down_from: TakeDown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "forget.txt").write_text("3\nclass:cat\n99999")
    with pytest.raises(MisuseError, match="2 of 3 entries"):
        take_down_from(tmp_path / "new", forget=str(tmp_path / "forget.txt"))
    assert capsys.readouterr().err == "line 2: class:cat\nline 3: 99999\n"
    assert not (tmp_path / "new").exists()


def test_damaged_weights_of_the_run_before_are_told(run_folder: Path, take_down_from: TakeDown, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(run_folder, tmp_path / "damaged"))
    (damaged / "encoder" / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(MisuseError, match="encoder"):
        take_down_from(tmp_path / "new", run=str(damaged))


def test_page_and_card_tell_of_the_takedown_and_name_no_image(taken_down: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(taken_down, tmp_path / "run"))
    write_model_card(run)
    page, card = write_page(run).read_text(), (run / "encoder" / "README.md").read_text()
    assert "Takedown of images from a joint training, by the method calibration" in page
    assert "| taken down | 4 training images, by the method `calibration` |" in card
    for text in (page, card):
        assert "exclude" not in text
        assert str(taken_down.parent) not in text


def test_the_encoder_of_the_new_run_loads_as_any(taken_down: Path) -> None:
    assert Encoder.from_pretrained(taken_down / "encoder").image_size == 16
    assert open_before(taken_down).config.data.exclude == ROWS
