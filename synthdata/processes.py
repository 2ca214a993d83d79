"""Which process of a launcher this is, by the variables that torchrun and Accelerate set; without one, the only one."""

import os


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """The number of this process among those of its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def set_local_rank(number: int) -> None:
    """Make this process number ``number`` of its machine, where no launcher says which it is."""
    os.environ["LOCAL_RANK"] = str(number)


def world_size() -> int:
    """How many processes there are, over all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def spans_machines() -> bool:
    """Whether one launcher started processes on several machines."""
    return world_size() > int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))
