"""What every kind of generator does for the joint loop and for emission."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
import torch
from small_generators import scramble, small_diffusion, small_gan, tuned
from torch import Tensor

from synthdata.models import Generator, GeneratorKind, Member, load_generator
from synthdata.rng import BatchRandom, generator_at

KINDS: dict[str, Callable[..., Generator]] = {
    "gan": small_gan,
    "diffusion": small_diffusion,
    "diffusion, all weights": lambda *size, **more: small_diffusion(*size, train="all", **more),
}
RANDOM = BatchRandom(seed=0, step=0)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., Generator]:
    return KINDS[request.param]


def latents(generator: Generator, count: int) -> Tensor:
    return torch.randn(count, *generator.latent_shape, generator=generator_at("latents"))


def real_images(count: int) -> Tensor:
    return torch.rand(count, 3, 16, 16, generator=generator_at("real")) * 2 - 1


def trained(generator: Generator) -> dict[str, Tensor]:
    return {name: value.grad for name, value in generator.named_parameters() if value.grad is not None}


def test_the_kinds_are_those_of_the_configuration() -> None:
    learning_from_images = set(get_args(GeneratorKind)) - {"data_free"}
    assert {make().kind for make in KINDS.values()} == learning_from_images


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("image_size", [16, 32])
def test_images_have_the_size_asked_for_and_lie_between_minus_one_and_one(
    image_size: int, channels: int, make: Callable[..., Generator]
) -> None:
    generator = make(image_size, channels)
    images = generator.sample(latents(generator, 2))
    assert images.shape == (2, channels, image_size, image_size)
    assert (generator.image_size, generator.channels) == (image_size, channels)
    assert images.abs().max() <= 1
    assert generator.realism(images).shape == (2,)


@pytest.mark.parametrize("member", ["a", "b"])
def test_an_image_depends_on_its_latent_and_not_on_its_batch(member: Member, make: Callable[..., Generator]) -> None:
    generator = tuned(make())
    z = latents(generator, 6)
    with torch.no_grad():
        whole = generator.sample(z, member, averaged=True)
        torch.testing.assert_close(generator.sample(z[2:3], member, averaged=True), whole[2:3], atol=1e-5, rtol=0)
        torch.testing.assert_close(generator.sample(z.flip(0), member, averaged=True).flip(0), whole, atol=1e-5, rtol=0)
    assert not torch.allclose(whole[0], whole[1], atol=1e-2)


def test_a_score_depends_on_its_image_and_not_on_its_batch(make: Callable[..., Generator]) -> None:
    generator, images = tuned(make()), real_images(6)
    with torch.no_grad():
        whole = generator.realism(images)
        torch.testing.assert_close(generator.realism(images[4:5]), whole[4:5], atol=1e-5, rtol=0)
        torch.testing.assert_close(generator.realism(images.flip(0)).flip(0), whole, atol=1e-5, rtol=0)
        assert torch.equal(generator.realism(images), whole)


def test_samples_carry_gradient_to_their_member_alone(make: Callable[..., Generator]) -> None:
    gradients = {}
    for member in get_args(Member):
        generator = tuned(make())
        generator.sample(latents(generator, 2), member).sum().backward()
        gradients[member] = trained(generator)
        assert gradients[member]
    assert not gradients["a"].keys() & gradients["b"].keys()
    assert not generator.sample(latents(generator, 2), averaged=True).requires_grad


def test_a_step_may_hold_samples_of_both_members(make: Callable[..., Generator]) -> None:
    generator = tuned(make())
    z = latents(generator, 2)
    together = [generator.sample(z, member).sum() for member in get_args(Member)]
    torch.stack(together).sum().backward()
    both = trained(generator)
    for member in get_args(Member):
        alone = tuned(make())
        alone.sample(z, member).sum().backward()
        for name, gradient in trained(alone).items():
            torch.testing.assert_close(both[name], gradient)


def test_pretraining_teaches_what_tuning_begins_with(make: Callable[..., Generator]) -> None:
    generator = make()
    z = latents(generator, 2)
    with torch.no_grad():
        before = generator.sample(z, averaged=True)
    generator.pretraining_loss(real_images(4), RANDOM).backward()
    torch.optim.SGD(generator.generator_parameters(), lr=1.0).step()
    with torch.no_grad():
        assert torch.equal(generator.sample(z, averaged=True), before)
        generator.update_average(0.0)
        after = generator.sample(z, averaged=True)
        generator.begin_tuning()
        assert not torch.allclose(after, before)
        torch.testing.assert_close(generator.sample(z, "b", averaged=True), after, atol=1e-5, rtol=0)


def test_realism_loss_trains_its_member_alone(make: Callable[..., Generator]) -> None:
    generator, gradients = tuned(make()), {}
    for member in get_args(Member):
        images = generator.sample(latents(generator, 4), member)
        generator.realism_loss(member, images, real_images(4), RANDOM).backward()
        gradients[member] = trained(generator)
        generator.zero_grad()
        assert gradients[member]
    assert not gradients["a"].keys() & gradients["b"].keys()


def test_the_average_moves_towards_the_weights_by_one_minus_decay(make: Callable[..., Generator]) -> None:
    generator = tuned(make())
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.update_average(decay=0.9)
    once = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.update_average(decay=0.9)
    moved = {name for name, value in once.items() if not torch.equal(value, before[name])}
    assert moved
    for name, value in generator.state_dict().items():
        if name in moved:
            torch.testing.assert_close(value - once[name], 0.9 * (once[name] - before[name]), atol=1e-6, rtol=1e-3)
        else:
            assert torch.equal(value, before[name])


def test_tuning_begins_with_equal_members_that_share_no_weights(make: Callable[..., Generator]) -> None:
    generator = make()
    scramble(generator, "pre-trained")
    generator.update_average(0.5)
    generator.begin_tuning()
    z = latents(generator, 3)
    with torch.no_grad():
        assert torch.equal(generator.sample(z, "a"), generator.sample(z, "b"))
        assert torch.equal(generator.sample(z, "a", averaged=True), generator.sample(z, "b", averaged=True))
        scramble(generator, "tuned")
        assert not torch.allclose(generator.sample(z, "a"), generator.sample(z, "b"))


@pytest.mark.parametrize("prepare", [lambda generator: generator, tuned], ids=["pre-training", "tuning"])
def test_a_state_makes_an_equal_generator(
    prepare: Callable[[Generator], Generator], make: Callable[..., Generator]
) -> None:
    original, restored = prepare(make()), make(seed=1)
    restored.load_state_dict(original.state_dict())
    z, images = latents(original, 3), real_images(3)
    with torch.no_grad():
        for member in get_args(Member):
            for averaged in (False, True):
                assert torch.equal(restored.sample(z, member, averaged), original.sample(z, member, averaged))
        assert torch.equal(restored.realism(images), original.realism(images))
    assert restored.state_dict().keys() == original.state_dict().keys()


def test_a_copy_samples_alike(make: Callable[..., Generator]) -> None:
    generator = tuned(make()).eval()
    duplicate, z = copy.deepcopy(generator), latents(generator, 3)
    scramble(generator, "no longer the same")
    original = tuned(make()).eval()
    with torch.inference_mode():
        for member in get_args(Member):
            assert torch.equal(duplicate.sample(z, member, True), original.sample(z, member, True))


def test_a_generator_survives_saving_and_loading(tmp_path: Path, make: Callable[..., Generator]) -> None:
    generator, images = tuned(make()), real_images(4)
    generator.save_pretrained(tmp_path / "generator")
    loaded, z = load_generator(tmp_path / "generator"), latents(generator, 4)
    assert type(loaded) is type(generator)
    assert loaded.latent_shape == generator.latent_shape
    with torch.no_grad():
        torch.testing.assert_close(loaded.realism(images), generator.realism(images), atol=1e-5, rtol=1e-4)
        for member in get_args(Member):
            saved = generator.sample(z, member, averaged=True)
            for averaged in (False, True):
                torch.testing.assert_close(loaded.sample(z, member, averaged), saved, atol=1e-4, rtol=0)
    suffixes = {path.suffix for path in (tmp_path / "generator").rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}


def test_loading_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    small_gan().save_pretrained(tmp_path)
    capfd.readouterr()
    load_generator(tmp_path)
    assert capfd.readouterr() == ("", "")
