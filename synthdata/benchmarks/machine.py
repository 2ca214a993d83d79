"""The machine that is measured on: its device, its clock, its memory."""

import resource
import sys

import torch

from synthdata.errors import MisuseError


def open_device(name: str | None) -> torch.device:
    """The device of that name; a GPU where there is one, else the CPU, if None.

    Raises:
        MisuseError: there is no such device here.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MisuseError(f"device is {name}: there is none here; give cpu, or cuda where there is a GPU") from error
    return device


def describe_machine(device: torch.device) -> str:
    """The line that opens a table."""
    return f"device {device}, {torch.get_num_threads()} CPU threads, torch {torch.__version__}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def peak_mebibytes(device: torch.device) -> float:
    """The most memory that was in use: by tensors on a GPU; resident, by this process, on the CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
