"""What the processes of a run do together, so that a problem of one ends all of them alike."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import Accelerator

from synthdata.errors import SynthdataError
from synthdata.rng import BatchRandom

Result = TypeVar("Result")


def largest_of_processes(value: int) -> int:
    """The largest ``value`` that any process gives, so that all of them decide alike."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return value
    largest = torch.tensor(value)
    if dist.get_backend() == "nccl":
        largest = largest.cuda()
    dist.all_reduce(largest, dist.ReduceOp.MAX)
    return int(largest)


def on_main_process(act: Callable[[], Result], accelerator: Accelerator) -> Result | None:
    """Let the first process act and the others wait for it.

    Returns:
        What ``act`` returns, in the first process; None in the others.

    Raises:
        SynthdataError: what the first process met; the others exit with the same code and say nothing.
    """
    result, met = None, None
    if accelerator.is_main_process:
        try:
            result = act()
        except SynthdataError as error:
            met = error
    exit_code = largest_of_processes(met.exit_code if met else 0)
    if met:
        raise met
    if exit_code:
        sys.exit(exit_code)
    return result


def batch_random(
    accelerator: Accelerator, seed: int, step: int, device: torch.device | str | None = None
) -> BatchRandom:
    """The random numbers of this process's rows of the batch ``step``, on its own device if no other is given."""
    device = accelerator.device if device is None else device
    return BatchRandom(seed, step, accelerator.process_index, accelerator.num_processes, device)


@contextlib.contextmanager
def local_main_process_first(accelerator: Accelerator) -> Iterator[None]:
    """Let the first process of each machine do something before the others do it too, if only to meet the same error.

    Accelerate's own leaves the others waiting for a process that has failed.
    """
    if not accelerator.is_local_main_process:
        accelerator.wait_for_everyone()
    try:
        yield
    finally:
        if accelerator.is_local_main_process:
            accelerator.wait_for_everyone()
