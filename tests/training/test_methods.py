"""Every contrastive method: it learns, it is whole in its state, and processes share its batch."""

import copy
import math
import sys
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from processes import TwoProcesses
from torch import Tensor

from synthdata.errors import MisuseError
from synthdata.models import Encoder, synchronise_batch_norm
from synthdata.rng import generator_at
from synthdata.training.contrast_config import Method, MethodConfig
from synthdata.training.methods import BYOL, METHODS, NNCLR, ContrastiveMethod, MoCoV2, build_method
from synthdata.training.optimisation import encoder_optimizer, step_optimizer

NAMES = get_args(Method)
SETTINGS = MethodConfig(momentum=0.9, queue_size=20, predictor_dim=16, slim_every=2, slim_warmup=0.05)


def method_of(name: Method, settings: MethodConfig = SETTINGS) -> ContrastiveMethod:
    torch.manual_seed(0)
    encoder = Encoder("resnet8", image_size=8, channels=1, width=4, hidden_dim=16, projection_dim=8)
    return build_method(name, encoder, settings, temperature=0.2)


def views(step: int) -> tuple[Tensor, Tensor]:
    """Two noisy versions of each of 16 fixed images."""
    images = torch.rand(16, 1, 8, 8, generator=generator_at("images")) * 2 - 1
    noise = 0.3 * torch.randn(2, *images.shape, generator=generator_at("noise", step))
    view_1, view_2 = (images + noise).clamp(-1, 1)
    return view_1, view_2


def train(method: ContrastiveMethod, steps: range) -> list[float]:
    """Steps of a training of 40; returns the losses."""
    optimizer = encoder_optimizer(method, "adamw", 1e-2, 0.0)
    losses = []
    for step in steps:
        loss = method.loss(*views(step))
        loss.backward()
        step_optimizer(optimizer, 1e-2)
        method.after_step((step + 1) / 40)
        losses.append(loss.item())
    return losses


def test_every_method_of_the_configuration_is_there() -> None:
    assert tuple(METHODS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_falls_and_its_gradient_reaches_every_weight_that_is_trained(name: Method) -> None:
    method = method_of(name)
    method.loss(*views(0)).backward()
    trained = {key: weight for key, weight in method.named_parameters() if weight.requires_grad}
    assert {key for key in trained if key.startswith("encoder.backbone")}
    for key, weight in trained.items():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all()
    assert any(weight.grad.abs().max() > 0 for key, weight in trained.items() if key.startswith("encoder.backbone"))
    losses = train(method_of(name), range(40))
    # MoCo's loss is measured against keys that at first are random, and easier to tell apart than images.
    first = max(losses[:8]) if name == "mocov2" else sum(losses[:4]) / 4
    assert sum(losses[-4:]) / 4 < first - 0.05 * abs(first)


@pytest.mark.parametrize("name", NAMES)
def test_no_method_lets_the_embeddings_collapse(name: Method) -> None:
    method = method_of(name)
    train(method, range(40))
    embeddings = method.encoder(views(50)[0])
    between_images = (embeddings @ embeddings.T).fill_diagonal_(0).sum() / (16 * 15)
    assert between_images < 0.9


@pytest.mark.parametrize("name", NAMES)
def test_a_methods_state_is_all_that_it_remembers(name: Method) -> None:
    method = method_of(name)
    train(method, range(3))
    restored = build_method(name, Encoder("resnet8", 8, 1, width=4, hidden_dim=16, projection_dim=8), SETTINGS, 0.2)
    restored.load_state_dict(copy.deepcopy(method.state_dict()))
    assert train(restored, range(3, 6)) == train(method, range(3, 6))


def train_on_share(rank: int, name: Method, world_size: int = 2) -> dict[str, Tensor]:
    """The method after three steps on this process's rows, in double precision and without Adam.

    Adam makes whole steps of what rounding leaves of a gradient that is zero.
    """
    method = method_of(name).double()
    if isinstance(method, MoCoV2 | NNCLR):
        method.queue = method.queue.float()  # of the embeddings' precision, which are brought to float32 for the loss
    synchronise_batch_norm(method, torch.device("cpu"))
    optimizer = encoder_optimizer(method, "sgd", 1e-2, 0.0)
    for step in range(3):
        method.loss(*(view.double().chunk(world_size)[rank] for view in views(step))).backward()
        step_optimizer(optimizer, 1e-2)
        method.after_step((step + 1) / 40)
    return method.state_dict()


@pytest.mark.parametrize("name", NAMES)
def test_two_processes_with_half_the_batch_each_become_what_one_becomes(
    two_processes: TwoProcesses, name: Method
) -> None:
    expected = train_on_share(0, name, world_size=1)
    for state in two_processes.run(train_on_share, name):
        assert state.keys() == expected.keys()
        for key, value in expected.items():
            assert state[key].sub(value).abs().max() < 1e-4, key


def test_the_momentum_encoder_follows_the_encoder() -> None:
    method = method_of("byol")
    assert isinstance(method, BYOL)
    before = copy.deepcopy(method.momentum_encoder.state_dict())
    with torch.no_grad():
        for weight in method.encoder.parameters():
            weight += 1.0
    method.after_step(progress=0.0)
    for name, weight in method.momentum_encoder.named_parameters():
        torch.testing.assert_close(weight, before[name] + 0.1)
    method.after_step(progress=1.0)
    for name, weight in method.momentum_encoder.named_parameters():
        torch.testing.assert_close(weight, before[name] + 0.1)


def test_the_queue_holds_the_newest_keys_and_forgets_the_oldest() -> None:
    method = method_of("mocov2")
    assert isinstance(method, MoCoV2)
    keys = F.normalize(torch.randn(5, 8, 8, generator=generator_at("keys")), dim=2)
    for batch in keys:
        method.objective(batch, batch)
    newest = keys.flatten(0, 1)[-20:]
    for key in newest:
        assert (method.queue == key).all(1).sum() == 1


def test_without_lightly_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightly.loss", None)
    with pytest.raises(MisuseError, match=r"lightly is not installed: pip install 'synthdata\[contrast\]'"):
        method_of("vicreg")
    method_of("mocov3")


def test_the_positive_of_a_view_is_the_nearest_of_earlier_batches() -> None:
    method = method_of("nnclr")
    assert isinstance(method, NNCLR)
    earlier, predictions = F.normalize(torch.randn(2, 20, 8, generator=generator_at("earlier")), dim=2)
    method.remember(earlier)
    near = F.normalize(earlier[[3, 7, 11]] + 0.01, dim=1)
    similarities = (earlier[[3, 7, 11]] @ predictions[:3].T / 0.2).tolist()
    rows = [math.log(sum(map(math.exp, row))) - row[i] for i, row in enumerate(similarities)]
    loss = method.objective(predictions[:3], predictions[:3], near, near)
    assert loss.item() == pytest.approx(sum(rows) / 3, rel=1e-5)
    assert torch.equal(method.queue[:3], near)
