import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from tiny import tiny_config
from torch import Tensor

from synthdata.data import load_images, to_float
from synthdata.errors import MisuseError
from synthdata.models import Encoder
from synthdata.objectives import nt_xent
from synthdata.training.config import Arm
from synthdata.training.joint import JointTraining, Judgement
from synthdata.training.train import build_models

StartTraining = Callable[..., JointTraining]


@pytest.fixture
def start_training(tmp_path: Path) -> StartTraining:
    """`start_training(arm="hard", …)`: a tiny joint training without pre-training, at its first step."""

    def start(**changes: Any) -> JointTraining:
        config = tiny_config(tmp_path, **{"generator__pretrain_steps": 0, "synthetic__start": 0.0} | changes)
        data = load_images(config.data)
        torch.manual_seed(config.seed)
        return JointTraining(config, data, *build_models(config, data), Accelerator(cpu=True))

    return start


def record_inputs(encoder: Encoder) -> list[Tensor]:
    """The batches that the encoder is trained on from now on."""
    inputs: list[Tensor] = []

    def record(module: torch.nn.Module, arguments: tuple[Tensor]) -> None:
        if module.training:
            inputs.append(arguments[0].detach().clone())

    encoder.register_forward_pre_hook(record)
    return inputs


@pytest.mark.parametrize("arm", [arm for arm in get_args(Arm) if arm != "anchored"])
def test_every_arm_shows_the_encoder_equally_many_views_at_every_step(arm: Arm, start_training: StartTraining) -> None:
    training = start_training(arm=arm, synthetic__start=0.5)
    inputs = record_inputs(training.encoder)
    for iteration in range(training.iterations):
        training.run(iteration)
    assert [len(batch) for batch in inputs] == [2 * 16] * 6


def test_accumulated_gradients_are_the_mean_over_the_micro_batches(start_training: StartTraining) -> None:
    settings = {
        "train__optimizer": "sgd",
        "train__weight_decay": 0.0,
        "train__warmup": 0.0,
        "train__learning_rate": 0.5,
    }
    training = start_training(arm="both", train__accumulation=2, **settings)
    before = copy.deepcopy(training.encoder)
    inputs = record_inputs(training.encoder)
    loss = training.encoder_step(0)["contrastive"]
    assert len(inputs) == 2
    assert not torch.equal(*inputs)
    after = list(training.encoder.parameters())
    expected = sum(nt_xent(*before(batch).chunk(2), training.config.train.temperature) for batch in inputs) / 2
    torch.testing.assert_close(loss, expected.detach())
    for moved, initial, gradient in zip(
        after, before.parameters(), torch.autograd.grad(expected, list(before.parameters())), strict=True
    ):
        torch.testing.assert_close(moved, initial - 0.5 * gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("arm", ["pairs", "both"])
def test_four_views_of_a_pair_are_positives_of_each_other(arm: str, start_training: StartTraining) -> None:
    training = start_training(arm=arm, train__views_per_pair=4, synthetic__share=0.5)
    before, inputs = copy.deepcopy(training.encoder), record_inputs(training.encoder)
    loss = training.encoder_step(0)["contrastive"]
    views = inputs[0]
    pairs = training.plan.pair_anchors
    assert len(views) == 2 * 16
    assert pairs == {"pairs": 8, "both": 4}[arm]
    mates = [{i, i + 16} for i in range(16 - pairs)]
    mates += [{i, i + 1, i + 16, i + 17} for i in range(16 - pairs, 16, 2)]
    logits = before(views) @ before(views).T / training.config.train.temperature
    logits = logits.fill_diagonal_(-torch.inf)
    losses = [
        sum(logits[i].logsumexp(0) - logits[i, j] for j in group - {i}) / (len(group) - 1)
        for group in mates
        for i in group
    ]
    torch.testing.assert_close(loss, (sum(losses) / len(losses)).detach())
    # of one pair are one image and its partner, which the untuned generators make alike
    draw = training.synthetic_view
    latents = training._random(0).latents("pair latents", pairs // 2, training.generator.latent_shape)
    images = training.generator.sample(latents).detach().float().repeat_interleave(2, 0)
    for number, half in ((1, views[16 - pairs : 16]), (2, views[32 - pairs :])):
        drawn = training._random(0).rows(f"pair anchor view {number}", pairs, draw.draw)
        torch.testing.assert_close(half, draw.apply(images, drawn))


@pytest.mark.parametrize("arm", ["inflate", "both"])
def test_real_anchors_do_not_take_synthetic_ones_for_negatives_if_so_told(
    arm: str, start_training: StartTraining
) -> None:
    training = start_training(arm=arm, synthetic__share=0.5, synthetic__negatives_of_real="false")
    before, inputs = copy.deepcopy(training.encoder), record_inputs(training.encoder)
    loss = training.encoder_step(0)["contrastive"]
    logits = before(inputs[0]) @ before(inputs[0]).T / training.config.train.temperature
    logits = logits.fill_diagonal_(-torch.inf).unflatten(0, (2, 16)).unflatten(2, (2, 16))
    logits[:, :8, :, 8:] = -torch.inf  # half of the anchors are synthetic, the last ones
    positives = torch.cat([torch.arange(16, 32), torch.arange(16)])
    torch.testing.assert_close(loss, F.cross_entropy(logits.reshape(32, 32), positives).detach())


TUNING = {
    "synthetic__start": 0.9,
    "synthetic__hardness_warmup": 0.0,
    "synthetic__hardness_ceiling": 1.0,
    "synthetic__realism_floor": 0.0,
    "synthetic__similarity_weight": 100.0,
    "generator__batch_size": 16,
    "generator__tuning_learning_rate": 5e-3,
    "train__batch_size": 64,
    "train__steps": 80,
    "train__learning_rate": 1e-2,
}


def test_of_the_candidates_for_a_hard_sample_the_hardest_that_looks_real_is_taken(
    start_training: StartTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = start_training(arm="hard", synthetic__oversample=4)
    assert training.generator is not None
    realism = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, -1], [-3, -0.5, -2, -1], [1, -1, -1, -1]]).flatten()
    judged = Judgement(torch.arange(16.0), torch.full((8,), 2.0), realism, torch.tensor(0.0))
    monkeypatch.setattr(training, "_judge", lambda *arguments: judged)
    random = training._random(0)
    (taken, _), *_ = training._synthetic_anchors(torch.zeros(12, 1, 16, 16), random).values()
    candidates = training.generator.sample(random.latents("hard latents", 16, training.generator.latent_shape))
    assert torch.equal(taken, candidates[[3, 6, 9, 12]])  # of the third row none looks real: the most realistic
    assert training._terms["hardness_ratio"] == pytest.approx((3 + 6 + 9 + 12) / 4 / 2)


def tune(training: JointTraining, steps: int, term: str) -> list[float]:
    """A term of the losses over generator steps against an encoder and a critic that stay as they are."""
    training.start_at(0)
    real = to_float(next(training.references))
    return [training.generator_step(real, 75)[term].item() for _ in range(steps)]


def test_a_generator_paid_for_hardness_grows_harder_than_one_paid_for_realism_alone(
    start_training: StartTraining,
) -> None:
    reached = {}
    for weight in (0.0, 20.0):
        training = start_training(arm="hard", synthetic__hardness_weight=weight, **TUNING)
        for step in range(50):  # of an encoder that means nothing, nothing can be learnt
            training.encoder_step(step)
        encoder = copy.deepcopy(training.encoder.state_dict())
        hardness = tune(training, 40, "hardness")
        assert all(torch.equal(value, encoder[name]) for name, value in training.encoder.state_dict().items())
        reached[weight] = hardness[0], sum(hardness[-5:]) / 5
    assert reached[20.0][1] > reached[20.0][0] + 0.1
    assert reached[20.0][1] > reached[0.0][1] + 0.1


def test_pairs_move_to_the_scheduled_similarity_from_both_sides(start_training: StartTraining) -> None:
    training = start_training(arm="pairs", **TUNING)
    for step in range(50):
        training.encoder_step(step)
    assert training.generator is not None
    training.generator.begin_tuning()
    settings = training.config.synthetic
    settings.initial_similarity = settings.final_similarity = 0.5
    falling = tune(training, 60, "similarity")
    assert falling[0] == pytest.approx(1, abs=1e-4)
    assert falling[-1] < 0.8
    settings.initial_similarity = settings.final_similarity = 0.95
    assert tune(training, 60, "similarity")[-1] > 0.9


def test_the_encoder_sees_the_generators_of_its_own_step(start_training: StartTraining) -> None:
    training = start_training(arm="hard")
    inputs = record_inputs(training.encoder)
    training.encoder_step(0)
    training.start_at(0)
    real = to_float(next(training.references))
    training.generator_step(real, 0)
    training.encoder_step(0)
    synthetic = training.plan.synthetic
    assert torch.equal(inputs[0][: 16 - synthetic], inputs[1][: 16 - synthetic])
    assert not torch.equal(inputs[0][16 - synthetic : 16], inputs[1][16 - synthetic : 16])


@pytest.mark.parametrize("iteration", [1, 4, 6, 9])
def test_the_streams_of_real_images_can_start_anywhere(iteration: int, start_training: StartTraining) -> None:
    settings = {"generator__pretrain_steps": 4, "synthetic__start": 0.5, "train__accumulation": 2}
    whole, later = start_training(**settings), start_training(**settings)
    for earlier in range(iteration):
        whole.run(earlier)
    later.start_at(iteration)
    for _ in range(3):
        assert torch.equal(next(whole.references), next(later.references))
    for _ in range(2 * (whole.iterations - max(iteration, 4))):
        assert torch.equal(next(whole.anchors), next(later.anchors))


def test_a_batch_larger_than_the_data_is_refused_before_anything_is_written(start_training: StartTraining) -> None:
    with pytest.raises(MisuseError, match="a batch of 512 is larger than the data, 128 images"):
        start_training(train__batch_size=512)


def test_the_second_member_starts_as_a_copy_of_the_first_when_the_joint_phase_begins(
    start_training: StartTraining,
) -> None:
    training = start_training(generator__pretrain_steps=2, synthetic__start=0.5, generator__tuning_learning_rate=0.0)
    generator = training.generator
    assert generator is not None
    latents = torch.randn(2, *generator.latent_shape)
    joint = training.plan.pretrain_steps + training.plan.start
    for iteration in range(joint):
        training.run(iteration)
    assert not torch.equal(generator.sample(latents, "a"), generator.sample(latents, "b"))
    training.run(joint)
    assert torch.equal(generator.sample(latents, "a"), generator.sample(latents, "b"))
