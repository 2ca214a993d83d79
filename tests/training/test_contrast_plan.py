from typing import Any

import pytest

from synthdata.errors import MisuseError
from synthdata.training import ContrastConfig
from synthdata.training.config import TrainConfig
from synthdata.training.contrast_config import MethodConfig
from synthdata.training.contrast_plan import ContrastPlan


def plan(
    real: int = 1000, synthetic: int = 1000, world_size: int = 1, batch: int = 64, **settings: Any
) -> ContrastPlan:
    train = TrainConfig(steps=10, batch_size=batch, accumulation=2)
    return ContrastPlan.of(ContrastConfig(train=train, **settings), real, synthetic, world_size)


def test_the_stated_share_of_the_anchors_is_synthetic() -> None:
    assert (plan().real, plan().synthetic) == (32, 32)
    assert plan(synthetic_share=0.25).synthetic == 16
    assert plan(synthetic_share=0.0).synthetic == 0
    assert plan(synthetic_share=1.0).real == 0


def test_one_kind_of_images_alone_fills_the_batch() -> None:
    assert (plan(synthetic=0).real, plan(synthetic=0).synthetic) == (64, 0)
    assert (plan(real=0).real, plan(real=0).synthetic) == (0, 64)


def test_adainf_lets_a_real_image_count_as_ten_synthetic_ones() -> None:
    mixed = plan(real=1000, synthetic=10_000, mix="adainf")
    assert (mixed.real, mixed.synthetic) == (32, 32)
    mixed = plan(real=1000, synthetic=1000, mix="adainf", batch=110)
    assert (mixed.real, mixed.synthetic) == (100, 10)


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("share", [0.1, 0.33, 0.5])
def test_every_process_gets_as_many_of_each(world_size: int, share: float) -> None:
    shared = plan(batch=66, world_size=world_size, synthetic_share=share)
    assert shared.real % world_size == shared.synthetic % world_size == 0
    assert shared.batch == 66


def test_accumulated_anchors_count() -> None:
    assert (plan().images_before(3), plan().images) == (3 * 2 * 64, 10 * 2 * 64)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"real": 0, "synthetic": 0}, "nothing to train on: give --shards, --data.source"),
        ({"real": 0, "mix": "adainf"}, "--mix adainf mixes real and synthetic images: give --data.source"),
        ({"synthetic": 0, "mix": "adainf"}, "--mix adainf mixes real and synthetic images: give --shards"),
        ({"batch": 1, "method": "vicreg"}, "train.batch_size is 1: vicreg needs at least 2 anchors"),
        ({"batch": 64, "world_size": 3}, "train.batch_size is 64: on 3 processes it must be a multiple"),
        (
            {"method": "mocov2", "method_settings": MethodConfig(queue_size=32)},
            "queue_size is 32, less than one batch of 64",
        ),
    ],
)
def test_what_cannot_be_planned_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        plan(**settings)
    assert words in str(caught.value)
