"""Anchors with a third view: variants of real images, the bank that holds them, and the choice of their level."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny import TINY_DIFFUSION, tiny_config
from torch import Tensor

from synthdata.data import load_images, to_float
from synthdata.errors import MisuseError
from synthdata.evaluation.features import evaluated
from synthdata.models.diffusion import Diffusion
from synthdata.objectives import nt_xent, pair_similarity, similarity_target
from synthdata.rng import BatchRandom, generator_at
from synthdata.training import train_joint
from synthdata.training.anchored import AnchoredTraining
from synthdata.training.checkpoint import load_checkpoint, save_checkpoint
from synthdata.training.train import build_training
from synthdata.training.variants import VariantBank

SMALL: dict[str, Any] = {
    "arm": "anchored",
    "data__limit": 80,
    "generator__diffusion__variation_steps": 2,
    "synthetic__variants__levels": "[0.2,0.5,0.8]",
    "synthetic__variants__each": 2,
    "synthetic__variants__renew_every": 1,
    "synthetic__variants__measure_every": 2,
    "synthetic__start": 0.5,
}


def start(folder: Path, **changes: Any) -> AnchoredTraining:
    config = tiny_config(folder, **TINY_DIFFUSION | SMALL | changes)
    training = build_training(config, load_images(config.data), Accelerator(cpu=True))
    assert isinstance(training, AnchoredTraining)
    return training


def bank_of(training: AnchoredTraining) -> VariantBank:
    assert training.bank is not None
    return training.bank


def run(training: AnchoredTraining, first: int, last: int) -> list[dict[str, Tensor]]:
    return [training.run(iteration) for iteration in range(first, last)]


def random_at(step: int) -> BatchRandom:
    return BatchRandom(seed=0, step=step)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> AnchoredTraining:
    """A training whose joint phase has just begun."""
    training = start(tmp_path_factory.mktemp("filled") / "run")
    run(training, 0, training.plan.pretrain_steps + training.plan.start + 1)
    return training


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("anchored") / "run"
    train_joint(tiny_config(folder, **TINY_DIFFUSION | SMALL | {"evaluation__generated": 16}))
    return folder


def test_a_run_logs_levels_similarities_and_copies_once_its_joint_phase_has_begun(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in lines] == ["pre-training"] * 4 + ["warm-up"] * 3 + ["joint"] * 3
    assert not {"alignment", "noise_level"} & lines[6].keys()
    for line in lines[7:]:
        assert 0.2 <= round(line["noise_level"], 6) <= 0.8
        assert {"alignment", "similarity", "similarity_target", "copies", "similarity_at_0.5"} <= line.keys()
    assert (finished / "curves" / "noise_level.png").exists()
    assert len(list((finished / "samples").glob("*.png"))) == 5


@pytest.mark.parametrize("arm", ["anchored", "real"])
def test_a_third_view_of_every_anchor_is_pulled_to_the_first_and_is_no_negative(arm: str, tmp_path: Path) -> None:
    training = start(tmp_path / "run", arm=arm, synthetic__start=0.0, train__views=3 if arm == "real" else 2)
    run(training, 0, training.plan.pretrain_steps)
    weight = training.config.synthetic.variants.weight = 0.5
    inputs: list[Tensor] = []
    before = copy.deepcopy(training.encoder)
    training.encoder.register_forward_pre_hook(
        lambda module, arguments: inputs.append(arguments[0].clone()) if module.training else None
    )
    terms = training.run(training.plan.pretrain_steps)
    assert [len(batch) for batch in inputs] == [3 * 16]
    first, second, third = before(inputs[0]).chunk(3)
    alignment = (first - third).square().sum(1).mean()
    torch.testing.assert_close(terms["alignment"], alignment.detach())
    expected = nt_xent(first, second, training.config.train.temperature) + weight * alignment
    torch.testing.assert_close(terms["contrastive"], expected.detach())


def test_a_bank_holds_variants_of_every_image_at_every_level(filled: AnchoredTraining) -> None:
    bank = bank_of(filled)
    assert bank.pixels is not None
    assert bank.pixels.shape == (3, 2, 80, 1, 16, 16)
    images = to_float(filled.data.train.gather())
    away = [(to_float(bank.pixels[level]) - images).square().mean().item() for level in range(3)]
    assert 0 < away[0] < away[1] < away[2]
    assert not torch.equal(bank.pixels[1, 0], bank.pixels[1, 1])
    assert bank.similarity.shape == (80, 3)


def test_the_similarity_of_a_level_is_that_of_images_and_variants_as_the_encoder_is_then(
    filled: AnchoredTraining,
) -> None:
    bank = bank_of(filled)
    assert bank.pixels is not None
    bank._measure(2)  # the first 64 images again, by their other variant
    filled.encoder.eval()
    with torch.no_grad():
        anchors = filled.encoder(to_float(filled.data.train.gather()[:64]))
        for level in range(3):
            variants = filled.encoder(to_float(bank.pixels[level, 1, :64]))
            torch.testing.assert_close(bank.similarity[:64, level], pair_similarity(anchors, variants))
    filled.encoder.train()


def test_every_image_gets_the_level_that_comes_nearest_to_the_falling_target(filled: AnchoredTraining) -> None:
    bank = copy.copy(bank_of(filled))
    bank.copied = torch.zeros(3, 2, 80, dtype=torch.bool)
    bank.similarity = torch.tensor([[0.95, 0.9, 0.6], [0.8, 0.7, 0.5], [0.99, 0.98, 0.97]]).repeat(27, 1)[:80]
    rows = torch.tensor([0, 1, 2, 3])
    targets = [similarity_target(progress, 0.95, 0.6) for progress in (0.0, 0.5, 1.0)]
    chosen = [bank.choose(rows, 0.5, target).tolist() for target in targets]
    assert chosen == [[0, 0, 2, 0], [1, 0, 2, 1], [2, 1, 2, 2]]


def test_the_level_is_raised_where_variants_are_their_image_again(filled: AnchoredTraining) -> None:
    bank = copy.copy(bank_of(filled))
    bank.similarity = torch.tensor([0.95, 0.9, 0.6]).repeat(80, 1)
    bank.copied = torch.zeros(3, 2, 80, dtype=torch.bool)
    bank.copied[0, :, 1:] = bank.copied[1, 0, 2:] = bank.copied[2, :, 3:] = True
    assert bank.choose(torch.arange(4), 0.0, 0.95).tolist() == [0, 1, 2, 2]
    told = bank.measured(torch.arange(4), torch.tensor([0, 1, 2, 2]))
    assert told["copies"].item() == pytest.approx(1 / 4)
    assert told["noise_level"].item() == pytest.approx((0.2 + 0.5 + 0.8 + 0.8) / 4)


def test_a_variant_that_is_its_image_again_counts_as_a_copy(filled: AnchoredTraining) -> None:
    bank = copy.copy(bank_of(filled))
    assert bank.pixels is not None
    bank.pixels, bank.copied = bank.pixels.clone(), bank.copied.clone()
    assert 0 < bank.copy_distance < 0.2
    bank.generator = copy.copy(filled.generator)  # type: ignore[assignment]
    bank.generator.vary = lambda images, *_, **__: images  # type: ignore[method-assign]
    bank._make(0, turn=1)
    assert bank.copied[0, 0, :64].all()
    bank.generator.vary = lambda images, *_, **__: -images  # type: ignore[method-assign]
    bank._make(0, turn=1)
    assert not bank.copied[0, 0, :64].any()


def test_levels_by_time_follow_one_another(filled: AnchoredTraining) -> None:
    bank = copy.copy(bank_of(filled))
    bank.settings = copy.copy(bank.settings)
    bank.settings.level_by = "time"
    levels = [bank.choose(torch.arange(2), progress / 6, 0.9).tolist() for progress in range(6)]
    assert levels == [[level] * 2 for level in (0, 0, 1, 1, 2, 2)]


def test_slices_are_made_anew_in_turn_and_the_rest_stays(tmp_path: Path) -> None:
    training = start(tmp_path / "run")
    run(training, 0, 8)
    bank = bank_of(training)
    assert bank.pixels is not None
    before = bank.pixels.clone()
    run(training, 8, 10)  # two steps later, two slices: the first 64 images at two levels
    changed = (bank.pixels != before).flatten(3).any(3)
    assert changed[:2, 0, :64].float().mean() > 0.9
    changed[:2, 0, :64] = False
    assert not changed.any()


def test_a_resumed_anchored_run_ends_with_the_bits_of_one_never_stopped(tmp_path: Path) -> None:
    whole, first = (start(tmp_path / "run") for _ in range(2))
    run(whole, 0, whole.iterations)
    done = 0
    for stop in (6, 8):  # before there is a bank, and after
        run(first, done, stop)
        done = stop
        _, state = load_checkpoint(save_checkpoint(tmp_path / "checkpoints", stop, first.state_dict(), keep=1))
        second = start(tmp_path / "run")
        second.load_state_dict(state)
        second.start_at(stop)
        run(second, stop, second.iterations)
        for name, value in whole.encoder.state_dict().items():
            assert torch.equal(second.encoder.state_dict()[name], value)
        for name, value in bank_of(whole).state_dict().items():
            found = bank_of(second).state_dict()[name]
            assert torch.equal(found, value) if isinstance(value, Tensor) else found == value


def test_tuning_brings_variants_to_the_target_similarity_at_every_level(tmp_path: Path) -> None:
    changes = {"synthetic__tune_variants": "true", "synthetic__similarity_weight": 100, "synthetic__start": 0.0}
    changes |= {"generator__tuning_learning_rate": 1e-2, "synthetic__initial_similarity": 0.0}
    training = start(tmp_path / "run", **changes, synthetic__final_similarity=0.0, train__steps=60)
    run(training, 0, training.plan.pretrain_steps + 1)
    real, encoder, generator = to_float(next(training.references)), training.encoder, training.generator
    latents = torch.randn(len(real), 1, 16, 16, generator=generator_at("variants"))
    assert isinstance(generator, Diffusion)

    def alike(level: float) -> float:
        with torch.no_grad(), evaluated(encoder):
            variants = generator.vary(real, level, latents)
            return pair_similarity(encoder(real), encoder(variants)).mean().item()

    before = {level: alike(level) for level in (0.2, 0.5, 0.8)}
    weights = copy.deepcopy(encoder.state_dict())
    base = copy.deepcopy([*generator.pair.base_parameters()])
    for step in range(40):
        training.generator_step(real, training.plan.pretrain_steps + step)
    assert all(torch.equal(encoder.state_dict()[name], weight) for name, weight in weights.items())
    assert all(torch.equal(*both) for both in zip(base, generator.pair.base_parameters(), strict=True))
    assert all(1 - alike(level) > 1.2 * (1 - before[level]) for level in before)


def test_a_run_that_tunes_its_variants_logs_their_similarity(tmp_path: Path) -> None:
    training = start(tmp_path / "run", synthetic__tune_variants="true")
    told = run(training, 0, training.iterations)
    assert [step for step, terms in enumerate(told) if "tuned_similarity" in terms] == [7, 9]


def test_variants_are_negatives_of_other_anchors_where_that_is_asked_for(filled: AnchoredTraining) -> None:
    losses = {}
    for filled.config.synthetic.as_negatives in (True, False):
        filled.start_at(8)
        losses[filled.config.synthetic.as_negatives] = filled.loss(4, random_at(4))
    assert losses[True] > losses[False]


def test_a_bank_that_does_not_fit_is_told_with_its_size(tmp_path: Path) -> None:
    with pytest.raises(MisuseError, match=r"the bank of variants, 900000000 of each of 80 images at 3 .* GiB") as told:
        start(tmp_path / "run", synthetic__variants__each=900_000_000)
    assert "lower synthetic.variants.each" in str(told.value)
