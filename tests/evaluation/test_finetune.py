import pytest
import torch
from accelerate import Accelerator

from synthdata.data import DataConfig, RealData, load_images
from synthdata.errors import FailureError, MisuseError
from synthdata.evaluation.finetune import FineTuningConfig, fine_tune
from synthdata.models import Encoder


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return Accelerator(cpu=True)


@pytest.fixture(scope="module")
def digits() -> RealData:
    return load_images(DataConfig("digits", image_size=16))


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return Encoder("resnet8", image_size=16, channels=1, width=4, hidden_dim=8, projection_dim=6).eval()


def test_fine_tuning_learns_and_leaves_the_encoder_as_it_was(
    encoder: Encoder, digits: RealData, accelerator: Accelerator
) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    config = FineTuningConfig(steps=60, learning_rate=5e-3)
    scores = fine_tune(encoder, digits, 200, seed=0, config=config, accelerator=accelerator)
    assert scores.keys() == {"validation", "test"}
    assert min(scores.values()) > 40
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not encoder.training


def test_equal_seeds_give_equal_scores(encoder: Encoder, digits: RealData, accelerator: Accelerator) -> None:
    config = FineTuningConfig(steps=10, batch_size=16)
    first, again, other = (fine_tune(encoder, digits, 30, seed, config, accelerator) for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_fewer_labels_than_a_batch_are_enough(encoder: Encoder, digits: RealData, accelerator: Accelerator) -> None:
    scores = fine_tune(encoder, digits, 10, 0, FineTuningConfig(steps=3, batch_size=64), accelerator)
    assert 0 <= scores["test"] <= 100


def test_a_learning_rate_that_leads_to_infinity_is_told_with_its_step(
    encoder: Encoder, digits: RealData, accelerator: Accelerator
) -> None:
    config = FineTuningConfig(steps=10, learning_rate=1e30)
    with pytest.raises(FailureError, match=r"the loss is not finite: it became \S+ at step \d of fine-tuning; lower"):
        fine_tune(encoder, digits, 10, 0, config, accelerator)


def test_the_wrapper_goes_on_from_a_part_of_the_steps_until_the_labels_are_fitted(
    encoder: Encoder, digits: RealData, accelerator: Accelerator
) -> None:
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    config = FineTuningConfig(steps=60, learning_rate=5e-3, wrapper="explore_exploit", exploit_steps=300)
    scores = fine_tune(encoder, digits, 100, seed=0, config=config, accelerator=accelerator)
    assert scores.keys() == {"validation", "test", "training_loss", "rank_share"}
    assert min(scores["validation"], scores["test"]) > 40
    assert scores["rank_share"] == 1
    assert scores["training_loss"] < 0.1
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


def test_the_wrapper_works_with_the_least_exploration_and_tells_what_it_cannot_hold(
    encoder: Encoder, digits: RealData, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthdata.evaluation.explore_exploit.MOST_IMAGES", 20)
    config = FineTuningConfig(steps=2, wrapper="explore_exploit", explore=0.0, exploit_steps=1)
    assert fine_tune(encoder, digits, 10, 0, config, accelerator)["training_loss"] > 0
    with pytest.raises(MisuseError, match="at most 20 labels, not 21: lower fine_tuning_share"):
        fine_tune(encoder, digits, 21, 0, config, accelerator)
