"""Test images made worse, and what a classifier of clean ones makes of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from synthdata.data import DataConfig, load_images, to_float
from synthdata.evaluation.corruptions import CORRUPTIONS, pixelate, score_corruptions
from synthdata.evaluation.evaluate import EvaluateConfig, as_markdown, evaluate, open_subject
from synthdata.evaluation.finetune import FineTuningConfig
from synthdata.models import Encoder
from synthdata.rng import generator_at

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return to_float(load_images(DataConfig("digits", image_size=32)).test.gather(torch.arange(16)))


def corrupted(name: str, severity: int, images: Tensor) -> Tensor:
    corrupt, severities = CORRUPTIONS[name]
    return corrupt(images, severities[severity], generator_at("corruption"))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_worst_severity_takes_images_farthest_from_what_they_were(name: str, images: Tensor) -> None:
    distances = [float((corrupted(name, severity, images) - images).abs().mean()) for severity in range(5)]
    assert min(distances) > 0
    assert max(distances) == distances[-1] > 2 * distances[0]


def test_noise_and_contrast_have_the_sizes_of_the_benchmark(images: Tensor) -> None:
    assert (corrupted("noise", 4, images) - images).std().item() == pytest.approx(2 * 0.1, rel=0.02)
    pale = corrupted("contrast", 2, images)
    assert torch.allclose(pale.std((2, 3)), 0.4 * images.std((2, 3)))
    assert torch.allclose(pale.mean((2, 3)), images.mean((2, 3)), atol=1e-6)


def test_pixelation_keeps_the_mean_of_every_box() -> None:
    columns = torch.arange(32.0).expand(1, 3, 32, 32) / 16 - 1
    coarse = pixelate(columns, 0.25, generator_at("corruption"))
    assert torch.allclose(coarse, torch.arange(8.0).repeat_interleave(4) / 4 - 1 + 3 / 32)


def test_probes_of_clean_images_are_scored_on_corrupted_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    Encoder("resnet8", image_size=8, channels=1, width=8, hidden_dim=8, projection_dim=6).save_pretrained(tmp_path)
    config = EvaluateConfig(
        encoder=str(tmp_path), data=DataConfig("digits"), seeds=1, corruptions=True, fine_tuning=FineTuningConfig(0)
    )
    subject = open_subject(config, CPU)
    (evaluation,) = evaluate(subject, config, Accelerator(cpu=True))
    for way in ("linear", "knn"):
        each = [evaluation.scores[f"{way}_{name}_top1"].mean for name in CORRUPTIONS]
        assert evaluation.scores[f"{way}_corrupted_top1"].mean == pytest.approx(np.mean(each))
        assert 10 < np.mean(each) < evaluation.scores[f"{way}_top1"].mean
    assert "| digits | k-NN pixelation |" in as_markdown([evaluation], "encoder")
    assert (
        score_corruptions(subject.encoder, subject.data, CPU, config.limit).items()
        <= {name: summary.values for name, summary in evaluation.scores.items()}.items()
    )
