"""The generator that learns from a classifier alone, behind the interface that all generators have."""

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from small_classifiers import SMALL, small_classifier, small_data_free

from synthdata.errors import MisuseError
from synthdata.models import DataFree, DataFreeConfig, load_generator
from synthdata.rng import BatchRandom, generator_at
from synthdata.training.config import GeneratorConfig
from synthdata.training.train import new_generator


def latents(count: int = 8) -> torch.Tensor:
    return torch.randn(count, SMALL.latent_dim, generator=generator_at("latents"))


def test_a_saved_generator_makes_the_same_images_and_brings_its_classifier(tmp_path: Path):
    generator = small_data_free()
    generator.save_pretrained(tmp_path)
    again = load_generator(tmp_path)
    assert isinstance(again, DataFree)
    images = generator.sample(latents(), averaged=True)
    assert torch.equal(again.sample(latents(), averaged=True), images)
    assert torch.equal(again.classifier(images), generator.classifier(images))
    assert again.classifier.classes == generator.classifier.classes


def test_diffusers_opens_a_saved_generator(tmp_path: Path):
    generator = small_data_free()
    generator.save_pretrained(tmp_path)
    pipeline = DiffusionPipeline.from_pretrained(tmp_path)
    images = pipeline(3, generator=torch.Generator().manual_seed(0), output_type="pt").images
    seeded = torch.randn(3, SMALL.latent_dim, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(images, generator.sample(seeded, averaged=True) / 2 + 0.5)


def test_a_saved_generator_without_its_classifier_is_refused(tmp_path: Path):
    small_data_free().save_pretrained(tmp_path)
    shutil.rmtree(tmp_path / "classifier")
    with pytest.raises(MisuseError, match=r"classifier holds no config\.json"):
        load_generator(tmp_path)


def test_all_terms_train_the_generator_and_none_the_classifier():
    generator = DataFree(SMALL, small_classifier())
    for name in generator.terms(generator.sample(latents())):
        generator.zero_grad()
        generator.terms(generator.sample(latents()))[name].backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in generator.members["a"].parameters()), name
        assert all(parameter.grad is None for parameter in generator.classifier.parameters())


def test_a_weight_of_0_takes_a_term_out():
    off = DataFreeConfig(8, 4, 8, confidence_weight=0, diversity_weight=0, statistics_weight=0, smoothness_weight=0)
    generator = DataFree(off, small_classifier())
    assert all(term.item() == 0 for term in generator.terms(generator.sample(latents())).values())


def test_real_images_are_not_looked_at():
    generator, random = small_data_free(), BatchRandom(0, 0)
    black, white = -torch.ones(4, 1, 16, 16), torch.ones(4, 1, 16, 16)
    assert torch.equal(generator.pretraining_loss(black, random), generator.pretraining_loss(white, random))


def test_realism_is_the_classifiers_confidence():
    generator = small_data_free()
    images = generator.sample(latents())
    torch.testing.assert_close(generator.realism(images).exp(), generator.classifier(images).softmax(1).amax(1))


def test_joint_training_cannot_begin_one_without_a_classifier():
    with pytest.raises(MisuseError, match=r"make one with recipes/distil\.py, and name it as generator\.pretrained"):
        new_generator(GeneratorConfig(kind="data_free"), 16, 1)


def test_a_classifier_of_a_size_that_no_generator_makes_is_refused():
    with pytest.raises(MisuseError, match="makes images of 16, 32, 64, 128 px"):
        DataFree(SMALL, small_classifier(image_size=24))
