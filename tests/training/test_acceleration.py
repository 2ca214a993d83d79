"""What makes steps faster leaves what they compute as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from tiny import tiny_config
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from synthdata.data import load_images
from synthdata.errors import MisuseError
from synthdata.training.acceleration import compile_networks
from synthdata.training.joint import JointTraining
from synthdata.training.optimisation import encoder_optimizer, restore_layouts
from synthdata.training.train import build_training

StartTraining = Callable[..., JointTraining]
CPU = torch.device("cpu")


@pytest.fixture
def start_training(tmp_path: Path) -> StartTraining:
    def start(**changes: Any) -> JointTraining:
        settings = {"generator__pretrain_steps": 2, "synthetic__start": 0.0, "generator__gan__r1_interval": 4}
        config = tiny_config(tmp_path, **settings | changes)
        return build_training(config, load_images(config.data), Accelerator(cpu=True))

    return start


def test_compiled_networks_have_the_losses_of_those_that_are_not(start_training: StartTraining) -> None:
    eager, compiled = (start_training(arm="hard", train__steps=2) for _ in range(2))
    # the same graphs as for a device, without minutes of a C++ compiler
    compile_networks(compiled.encoder, compiled.generator, CPU, backend="aot_eager")
    for iteration in range(eager.iterations):
        expected, found = eager.run(iteration), compiled.run(iteration)
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3, msg=f"{name} at {iteration}")
    assert compiled.encoder.state_dict().keys() == eager.encoder.state_dict().keys()


def test_without_a_compiler_one_line_says_what_to_do(
    start_training: StartTraining, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    training = start_training(arm="real")
    monkeypatch.setenv("CXX", "/absent/compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    torch.compiler.reset()
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("/absent/compiler",))
    with pytest.raises(MisuseError, match=r"train\.compile needs a compiler that works .*install g\+\+"):
        compile_networks(training.encoder, None, CPU)


class _Questions(TorchDispatchMode):
    """Operations after which the host waits for a device: they bring numbers over, or a shape depends on them."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: Any = None) -> Any:
        if any(part in str(function) for part in ("_local_scalar_dense", "nonzero", "masked_select", "unique")):
            self.asked.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("arm", "objective"), [("real", "nt_xent"), ("inflate", "nt_xent"), ("both", "nt_xent"), ("real", "sacl_xd")]
)
def test_no_step_asks_the_device_for_an_answer(arm: str, objective: str, start_training: StartTraining) -> None:
    training = start_training(arm=arm, train__objective=objective, slimming__slim_every=1)
    training.run(0)  # the first one begins to stream the images
    with _Questions() as questions:
        for iteration in range(1, training.iterations):
            training.run(iteration)
    assert questions.asked == []


def test_state_loaded_for_weights_in_channels_last_order_goes_on_as_it_was() -> None:
    def layer(memory_format: torch.memory_format) -> nn.Module:
        torch.manual_seed(0)
        return nn.Conv2d(3, 4, 3).to(memory_format=memory_format)  # type: ignore[call-overload]

    def step(network: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        network(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()

    network = layer(torch.channels_last)
    optimizer = encoder_optimizer(network, "adamw", 0.1, 0.0)
    step(network, optimizer, 1)
    # as a checkpoint has it: contiguous
    state = optimizer.state_dict()
    state["state"] = {
        position: {name: value.clone(memory_format=torch.contiguous_format) for name, value in values.items()}
        for position, values in state["state"].items()
    }
    resumed = layer(torch.channels_last)
    resumed.load_state_dict(network.state_dict())
    loaded = encoder_optimizer(resumed, "adamw", 0.1, 0.0)
    loaded.load_state_dict(state)
    restore_layouts(loaded)
    step(network, optimizer, 2)
    step(resumed, loaded, 2)
    for expected, found in zip(network.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(found, expected)
