"""Several trainings, one after the other, as one."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from synthdata.training.loop import Training


class InTurn:
    """The iterations of several trainings in their order, for one loop.

    Args:
        parts: by name, in order; each sees its own iterations, from 0.
    """

    def __init__(self, parts: Mapping[str, Training]) -> None:
        self.parts = dict(parts)

    @property
    def iterations(self) -> int:
        """Of all parts."""
        return sum(part.iterations for part in self.parts.values())

    def describe(self, iteration: int) -> dict[str, Any]:
        """As of the part that ``iteration`` falls in."""
        part, own = self._place(iteration)
        return part.describe(own)

    def start_at(self, iteration: int) -> None:
        """Point all parts at where they are before ``iteration``: at their end, on their way, or at their start."""
        for part in self.parts.values():
            part.start_at(min(max(iteration, 0), part.iterations))
            iteration -= part.iterations

    def run(self, iteration: int) -> dict[str, Tensor]:
        """One iteration of the part that it falls in."""
        part, own = self._place(iteration)
        return part.run(own)

    def state_dict(self) -> dict[str, Any]:
        """Of every part, by its name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])

    def _place(self, iteration: int) -> tuple[Training, int]:
        for part in self.parts.values():
            if iteration < part.iterations:
                return part, iteration
            iteration -= part.iterations
        raise IndexError("an iteration after the last")
