import numpy as np
import pytest
import torch

from synthdata.rng import BatchRandom, generator_at, latents_at


def test_equal_places_give_equal_streams_and_different_places_different_ones() -> None:
    places: list[tuple[int | str, ...]] = [
        (0, "views", 1),
        (0, "views", 2),
        (1, "views", 1),
        (0, "crops", 1),
        (0, "views1"),
    ]
    draws = [torch.rand(4, generator=generator_at(*place)) for place in places]
    assert torch.equal(draws[0], torch.rand(4, generator=generator_at(0, "views", 1)))
    assert len({tuple(draw.tolist()) for draw in draws}) == len(places)


def test_a_stream_leaves_the_global_one_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    torch.rand(5, generator=generator_at(0, "views"))
    latents_at(0, torch.arange(3), (4,))
    assert torch.equal(torch.rand(2), expected)


def test_a_latent_depends_on_seed_and_index_alone() -> None:
    whole = latents_at(7, torch.arange(10), (2, 3))
    assert whole.shape == (10, 2, 3)
    assert whole.dtype == torch.float32
    assert torch.equal(latents_at(7, torch.tensor([8, 1]), (2, 3)), whole[[8, 1]])
    assert not torch.equal(latents_at(8, torch.arange(10), (2, 3)), whole)
    assert latents_at(7, torch.arange(0), (2, 3)).shape == (0, 2, 3)


def test_latents_are_philox_streams_keyed_on_seed_and_index() -> None:
    expected = np.random.Generator(np.random.Philox(key=np.array([7, 4], np.uint64))).standard_normal(5, np.float32)
    assert latents_at(7, torch.tensor([4]), (5,))[0].tolist() == expected.tolist()


def test_the_largest_seeds_are_kept_apart() -> None:
    largest = latents_at(2**64 - 1, torch.tensor([0]), (4,))
    assert not torch.equal(largest, latents_at(2**64 - 2, torch.tensor([0]), (4,)))


def test_latents_are_standard_normal() -> None:
    latents = latents_at(0, torch.arange(2000), (16,))
    assert latents.mean().item() == pytest.approx(0, abs=0.02)
    assert latents.std().item() == pytest.approx(1, abs=0.02)
    neighbours = (latents[:-1] * latents[1:]).mean().item()
    assert neighbours == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_the_slices_of_all_processes_are_the_whole_batch(world_size: int) -> None:
    whole = BatchRandom(seed=0, step=5).latents("latents", 8, (3,))
    slices = [
        BatchRandom(0, 5, rank, world_size).latents("latents", 8 // world_size, (3,)) for rank in range(world_size)
    ]
    assert torch.equal(torch.cat(slices), whole)


def test_purpose_step_and_seed_each_change_the_batch() -> None:
    draws = [
        BatchRandom(seed, step).latents(purpose, 4, (3,)).flatten().tolist()
        for seed, step, purpose in ((0, 5, "a"), (1, 5, "a"), (0, 6, "a"), (0, 5, "b"))
    ]
    assert len({tuple(draw) for draw in draws}) == 4
