from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from synthdata.data import DataConfig, load_images
from synthdata.errors import MisuseError
from synthdata.evaluation import score_encoder
from synthdata.evaluation.evaluate import (
    EvaluateConfig,
    Evaluation,
    as_json,
    as_markdown,
    evaluate,
    open_subject,
)
from synthdata.evaluation.finetune import FineTuningConfig
from synthdata.models import Encoder


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EvaluateConfig:
    """An RGB encoder that was not trained, on converted digits, and greyscale noise of two classes as other data."""
    folder = tmp_path_factory.mktemp("evaluate")
    torch.manual_seed(0)
    encoder = Encoder("resnet8", image_size=16, channels=3, width=4, hidden_dim=8, projection_dim=6)
    encoder.save_pretrained(folder / "encoder")
    random = np.random.default_rng(0)
    for name, brightest in (("dark", 100), ("light", 255)):
        (folder / "other" / name).mkdir(parents=True)
        for i in range(20):
            pixels = random.integers(0, brightest, (24, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "other" / name / f"{i:02}.png")
    return EvaluateConfig(
        encoder=str(folder / "encoder"),
        data=DataConfig("digits", channels=3),
        seeds=2,
        limit=200,
        transfer=[f"imagefolder:{folder / 'other'}"],
        fine_tuning=FineTuningConfig(steps=4, batch_size=16),
    )


@pytest.fixture(scope="module")
def evaluations(config: EvaluateConfig) -> list[Evaluation]:
    accelerator = Accelerator(cpu=True)
    return evaluate(open_subject(config, accelerator.device), config, accelerator)


def test_an_encoder_is_measured_in_all_the_usual_ways(config: EvaluateConfig, evaluations: list[Evaluation]) -> None:
    own, other = evaluations
    assert (own.source, other.source) == ("digits", *config.transfer)
    random = {"linear_12_labels_top1", "linear_120_labels_top1", "fine_tuned_120_labels_top1"}
    fixed = {"linear_top1", "knn_top1"}
    spread = {"alignment", "uniformity", "feature_alignment", "feature_uniformity"}
    assert own.scores.keys() == random | fixed | spread | {f"validation_{name}" for name in random | fixed}
    assert other.scores.keys() == fixed | {f"validation_{name}" for name in fixed}
    for name, summary in own.scores.items():
        assert len(summary.values) == (1 if name.removeprefix("validation_") in fixed else 2)


def test_frozen_features_score_as_at_the_end_of_training(config: EvaluateConfig, evaluations: list[Evaluation]) -> None:
    data = load_images(replace(config.data, image_size=16))
    encoder = Encoder.from_pretrained(config.encoder)
    expected = score_encoder(encoder, data, torch.device("cpu"), limit=200)
    for name, score in expected.items():
        assert evaluations[0].scores[name].mean == pytest.approx(score, abs=0.006)


def test_the_table_has_a_row_for_every_score_on_test_images(
    config: EvaluateConfig, evaluations: list[Evaluation]
) -> None:
    rows = [line.split(" | ") for line in as_markdown(evaluations, config.encoder).splitlines() if line[:1] == "|"][2:]
    assert len(rows) == 10 + 2
    assert [row[0] for row in rows] == ["| digits"] * 10 + [f"| {config.transfer[0]}"] * 2
    names = ["linear", "k-NN", "linear, 12 labels", "linear, 120 labels", "fine-tuned, 120 labels", "alignment"]
    assert [row[1] for row in rows][:6] == names
    assert ["±" in row[2] for row in rows][:6] == [False, False, True, True, True, True]


def test_json_has_every_value(config: EvaluateConfig, evaluations: list[Evaluation]) -> None:
    content = as_json(evaluations, config.encoder)
    score = content["scores"]["digits"]["linear_12_labels_top1"]
    assert score["mean"] == pytest.approx(np.mean(score["values"]), abs=1e-3)
    assert score["std"] == pytest.approx(np.std(score["values"], ddof=1), abs=1e-3)


def test_label_reach_is_told_in_the_table_and_in_json(config: EvaluateConfig, evaluations: list[Evaluation]) -> None:
    reach = as_json(evaluations, config.encoder)["label_reach"]
    assert reach.keys() == {"digits"}
    assert (reach["digits"]["images"], reach["digits"]["features"]) == (160, 16)
    assert len(reach["digits"]["excess"]["values"]) == 2
    (row,) = [line for line in as_markdown(evaluations, config.encoder).splitlines() if "| label reach |" in line]
    assert f"{reach['digits']['reach']['mean']:.2f} ± " in row
    assert "160 of 600 held-out images, 16 features" in row


def test_two_phases_of_fine_tuning_have_rows_of_their_own_and_say_whether_the_guarantee_holds(
    config: EvaluateConfig,
) -> None:
    accelerator, tuning = Accelerator(cpu=True), FineTuningConfig(steps=2, wrapper="explore_exploit", exploit_steps=5)
    changed = replace(config, fine_tuning=tuning, transfer=[], label_shares=[])
    evaluations = evaluate(open_subject(changed, accelerator.device), changed, accelerator)
    names = {"explore_exploit_120_labels_top1", "explore_exploit_120_labels_training_loss"}
    assert evaluations[0].scores.keys() >= names | {"validation_explore_exploit_120_labels_top1"}
    table = as_markdown(evaluations, changed.encoder)
    assert "| digits | explore-exploit, 120 labels: training loss, nats | " in table
    assert "| digits | explore-exploit, 120 labels: rank over images | 1.00 ± 0.00 |" in table
    assert "have full rank: enough steps" in table


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reach_images": 601}, "reach_images asks for 601 held-out labelled images of 600"),
        ({"limit": 100}, "limit is 100, and a low-label probe needs 120 labels"),
        ({"transfer": ["digits"]}, "transfer names digits, which is data.source"),
        ({"data": DataConfig("digits")}, "3 channel"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    config: EvaluateConfig, changes: dict[str, object], told: str
) -> None:
    accelerator, changed = Accelerator(cpu=True), replace(config, **changes)  # type: ignore[arg-type]
    with pytest.raises(MisuseError, match=told):
        evaluate(open_subject(changed, accelerator.device), changed, accelerator)
