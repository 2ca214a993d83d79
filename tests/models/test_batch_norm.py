import copy

import torch
from processes import TwoProcesses
from torch import Tensor, nn

from synthdata.models import synchronise_batch_norm
from synthdata.rng import generator_at

State = dict[str, Tensor]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5), nn.BatchNorm1d(5)
    )


def pass_through(module: nn.Module, rows: Tensor, weights: Tensor) -> tuple[Tensor, State, Tensor]:
    """Outputs, parameter gradients and input gradients of a weighted sum of the outputs."""
    rows = rows.clone().requires_grad_()
    outputs = module(rows)
    (outputs * weights).sum().backward()
    assert rows.grad is not None
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    return outputs.detach(), gradients, rows.grad


def half_batch(rank: int, rows: Tensor, weights: Tensor) -> tuple[Tensor, State, Tensor, State, Tensor]:
    module = synchronise_batch_norm(network(), torch.device("cpu"))
    outputs, gradients, input_gradient = pass_through(module, rows.chunk(2)[rank], weights.chunk(2)[rank])
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.no_grad():
        evaluated = module.eval()(rows.chunk(2)[rank])
    return outputs, gradients, input_gradient, buffers, evaluated


def test_two_processes_normalise_like_one_with_the_whole_batch(two_processes: TwoProcesses) -> None:
    rows = torch.randn(8, 2, 4, 4, generator=generator_at("rows")) * 2 + 1
    weights = torch.randn(8, 5, generator=generator_at("weights"))
    module = network()
    outputs, gradients, input_gradient = pass_through(module, rows, weights)
    results = two_processes.run(half_batch, rows, weights)
    close = {"atol": 2e-5, "rtol": 1e-4}
    torch.testing.assert_close(torch.cat([result[0] for result in results]), outputs, **close)
    torch.testing.assert_close(torch.cat([result[2] for result in results]), input_gradient, **close)
    for name, gradient in gradients.items():
        torch.testing.assert_close(results[0][1][name] + results[1][1][name], gradient, **close)
    for name, buffer in module.named_buffers():
        for result in results:
            torch.testing.assert_close(result[3][name], buffer, **close)
    with torch.no_grad():
        evaluated = module.eval()(rows)
    torch.testing.assert_close(torch.cat([result[4] for result in results]), evaluated, **close)


def test_in_one_process_nothing_changes() -> None:
    module = network()
    before = [type(child) for child in module.modules()]
    assert [type(child) for child in synchronise_batch_norm(module, torch.device("cpu")).modules()] == before


def test_weights_load_either_way() -> None:
    module = network()
    copy.deepcopy(module).load_state_dict(synchronise_batch_norm(module, torch.device("cpu")).state_dict())
