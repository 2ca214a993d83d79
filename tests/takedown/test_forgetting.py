"""The step of the encoder, and when it stops."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from synthdata.emission.run import load_part
from synthdata.errors import MisuseError
from synthdata.models import Encoder
from synthdata.rng import BatchRandom
from synthdata.takedown.before import Before, divide
from synthdata.takedown.config import ForgettingConfig, TakedownRunConfig
from synthdata.takedown.forgetting import LEAST_STEPS_BETWEEN_LOOKS, EncoderForgetting, _others
from synthdata.takedown.membership import view_similarity

CPU = torch.device("cpu")


def forgetting(before: Before, rows: list[int], steps: int = 12, **settings: Any) -> EncoderForgetting:
    settings = {"run": str(before.folder), "share": 1.0, "learning_rate": 2e-3, "stop": False, **settings}
    config = TakedownRunConfig(**vars(before.config), takedown=ForgettingConfig(**settings))
    config = replace(config, train=replace(config.train, steps=steps))
    encoder: Encoder = load_part(before.folder, "encoder").train()
    return EncoderForgetting(config, encoder, divide(before, rows), Accelerator(cpu=True))


def trained(training: EncoderForgetting) -> EncoderForgetting:
    for iteration in range(training.iterations):
        training.run(iteration)
    return training


def known(training: EncoderForgetting) -> float:
    """How much more alike views of the forgotten images are than views of images that nothing was learned of."""
    encoder, views, images = training.encoder, training.config.views, training.images
    own, others = (view_similarity(encoder, each, views, CPU) for each in (images.forgotten, images.retained.test))
    return float(own.mean() - others.mean())


@pytest.fixture(scope="module")
def rows(memorised: Before) -> list[int]:
    return memorised.data.train.source_indices[:8].tolist()


@pytest.fixture(scope="module")
def finetuned(memorised: Before, rows: list[int]) -> float:
    return known(trained(forgetting(memorised, rows, method="finetune")))


@pytest.mark.parametrize("method", ["calibration", "contrastive", "ascent"])
def test_views_of_forgotten_images_grow_less_alike_than_by_mere_training(
    memorised: Before, rows: list[int], finetuned: float, method: str
) -> None:
    assert known(trained(forgetting(memorised, rows, method=method))) < finetuned - 0.01


@pytest.mark.parametrize(
    ("method", "weight"), [("calibration", "positive_weight"), ("contrastive", "unlearning_weight")]
)
def test_without_the_weight_of_what_drives_them_apart_they_do_not(
    memorised: Before, rows: list[int], method: str, weight: str
) -> None:
    with_it, without = (
        known(trained(forgetting(memorised, rows, method=method, **changes))) for changes in ({}, {weight: 0.0})
    )
    assert with_it < without - 0.01


def test_without_the_weight_of_retained_images_their_loss_grows(memorised: Before, rows: list[int]) -> None:
    def loss_of_retained(**settings: float) -> float:
        training = trained(forgetting(memorised, rows, method="contrastive", **settings))
        training.start_at(0)
        training.encoder.eval()
        with torch.no_grad():
            return float(training.finetuning(BatchRandom(0, 10_000)))

    assert loss_of_retained(retaining_weight=0.0) > loss_of_retained() + 0.05


def test_with_labels_a_forgotten_class_is_classified_as_others(memorised: Before) -> None:
    labels = memorised.data.train.labels
    assert labels is not None
    rows = memorised.data.train.source_indices[labels == 3].tolist()
    training = forgetting(memorised, rows, steps=60, method="contrastive", supervised=True, learning_rate=1e-2)
    accuracy_before, chance = training._known()
    assert accuracy_before > 0.5
    assert chance == pytest.approx(0.1)
    assert trained(training)._known()[0] < 0.2


def test_labels_that_are_not_there_are_missed(memorised: Before, rows: list[int]) -> None:
    unlabelled = replace(memorised, data=replace(memorised.data, classes=None))
    images = divide(unlabelled, rows)
    images = replace(images, retained=replace(images.retained, classes=None))
    training = forgetting(memorised, rows)
    config = replace(training.config, takedown=replace(training.settings, method="contrastive", supervised=True))
    with pytest.raises(MisuseError, match="has no labels"):
        EncoderForgetting(config, training.encoder, images, Accelerator(cpu=True))


def test_it_stops_as_soon_as_they_are_no_better_known_than_others(memorised: Before, rows: list[int]) -> None:
    training = trained(forgetting(memorised, rows, steps=40, method="calibration", stop=True))
    assert training.steps_taken is not None
    assert training.steps_taken < 40
    assert training.steps_taken % LEAST_STEPS_BETWEEN_LOOKS == 0
    weights = {name: tensor.clone() for name, tensor in training.encoder.state_dict().items()}
    assert training.run(39) == {}
    assert all(torch.equal(weights[name], tensor) for name, tensor in training.encoder.state_dict().items())


def unseen(before: Before) -> list[int]:
    """Rows that are no training images of a run, in ascending order."""
    return sorted(set(range(1197)) - set(before.data.train.source_indices.tolist()))


@pytest.mark.parametrize("method", ["calibration", "contrastive", "finetune", "ascent"])
def test_images_that_were_never_trained_on_change_nothing(memorised: Before, method: str) -> None:
    training = forgetting(memorised, unseen(memorised)[:8], method=method)
    weights = {name: tensor.clone() for name, tensor in training.encoder.state_dict().items()}
    assert trained(training).steps_taken == 0
    assert all(torch.equal(weights[name], tensor) for name, tensor in training.encoder.state_dict().items())


def test_of_a_list_only_what_may_have_been_learned_is_forgotten(memorised: Before, rows: list[int]) -> None:
    def learned(config: Any, *listed: int) -> list[int]:
        return divide(replace(memorised, config=config), listed).learned.source_indices.tolist()

    plain, (first, second) = memorised.config, unseen(memorised)[:2]
    assert learned(plain, rows[0], first) == [rows[0]]
    assert learned(replace(plain, data=replace(plain.data, exclude=[first])), first, second) == [first]
    begun = replace(plain, arm="both", generator=replace(plain.generator, pretrained="somewhere"))
    assert learned(begun, first, second) == [first, second]


def test_an_only_image_has_no_other_to_be_held_to(memorised: Before, rows: list[int]) -> None:
    one = forgetting(memorised, rows[:1], method="calibration")
    assert torch.isfinite(one.run(0)["calibration"])
    assert _others(torch.tensor([0, 0]), 1, 5).tolist() == [0, 0]
    for step in range(7):
        assert (_others(torch.arange(5), 5, step) != torch.arange(5)).all()


def test_batch_statistics_are_of_retained_images_in_the_end(memorised: Before, rows: list[int]) -> None:
    training = forgetting(memorised, rows, steps=4, method="finetune", learning_rate=1e-9)
    pixels = training.images.forgotten.pixels
    assert pixels is not None
    pixels.fill_(0)  # an odd set of images, which would shift the statistics
    with_odd = trained(training).encoder.state_dict()
    plain = trained(forgetting(memorised, rows, steps=4, method="finetune", learning_rate=1e-9)).encoder.state_dict()
    for name in with_odd:
        if "running" in name:
            torch.testing.assert_close(with_odd[name], plain[name], msg=name)
