"""Windows of trajectories, and pairs of states along time: what an encoder of dynamics learns from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from synthdata.construction.relation import Relation, rounded
from synthdata.construction.table import Table
from synthdata.errors import MisuseError
from synthdata.ranges import NonNegativeFloat, NonNegativeInt, PartialShare, PositiveInt
from synthdata.rng import stream_at


@dataclass
class Partition:
    """Overlapping windows of trajectories; in them pairs of frames a lag apart as positives, and far ones as negatives.

    Attributes:
        length: frames of a window; the last one of a trajectory holds what is left.
        overlap: frames that a window shares with the one before. With an overlap of the lag no transition is lost
            between windows, with none one is lost at every cut.
        lag: frames from a positive pair's first to its second; several make pairs of each.
        negatives: of each positive pair's first frame, drawn from other trajectories and from its own beyond the guard.
        guard: frames of its own trajectory up to so far from it are no negatives.
        state_guard: nor are frames of any trajectory whose state is nearer to its own: orbits come back.
        holdout: share of the trajectories that is left out of everything, for evaluation; drawn before all else.
        trajectory: column of names or numbers of trajectories.
        t: column of times, evenly spaced within a trajectory; rows may come in any order.
        state: column of vectors or numbers, read where the state guard or the audit need it.
    """

    name: ClassVar[str] = "partition"

    length: PositiveInt = 20
    overlap: NonNegativeInt = 1
    lag: list[PositiveInt] = field(default_factory=lambda: [1])
    negatives: NonNegativeInt = 0
    guard: NonNegativeInt = 10
    state_guard: NonNegativeFloat = 0.0
    holdout: PartialShare = 0.0
    trajectory: str = "trajectory"
    t: str = "t"
    state: str = "state"

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.trajectory, self.t)

    def units(self, rows: Table) -> int:
        return len(self._trajectories(rows))

    def propose(self, rows: Table, seed: int, start: int = 0) -> Iterator[list[Relation]]:
        trajectories = self._trajectories(rows)
        held_out = self.held_out(len(trajectories), seed)
        used = np.concatenate([frames for number, frames in enumerate(trajectories) if number not in held_out])
        states = _states(rows, self.state) if self.negatives and self.state_guard else None
        for number in range(start, len(trajectories)):
            if number in held_out:
                yield []
                continue
            stream, frames = stream_at(seed, number), trajectories[number]
            made: list[Relation] = []
            for first, window, pairs in self._windows(frames):
                made.append(Relation(int(window[0]), "window", tuple(window.tolist()), span=(first, len(window))))
                for place, lag in pairs:
                    anchor = int(frames[place])
                    made.append(Relation(anchor, "positive", (int(frames[place + lag]),), why=f"{lag} frames later"))
                    negatives = self._far(frames, place, used, states, stream)
                    made += [Relation(anchor, "negative", (int(row),), why="beyond the guards") for row in negatives]
            yield made

    def audit(self, rows: Table, relations: Iterator[Relation], truth: Table | None = None) -> dict[str, float]:
        """Counts; and where there are states, how well one linear map leads along the positives, and, as the control,
        along pairs of an anchor with another's second frame: R², 1 for exactly."""
        trajectories = self._trajectories(rows)
        counts = {"windows": 0, "positives": 0, "negatives": 0}
        pairs = []
        for relation in relations:
            counts[f"{relation.kind}s"] += 1
            if relation.kind == "positive":
                pairs.append((relation.anchor, relation.other[0]))
        possible = sum(max(len(frames) - lag, 0) for frames in trajectories for lag in self.lag)
        told: dict[str, float] = {
            "trajectories": len(trajectories),
            **counts,
            "transitions_kept": len(pairs) / max(possible, 1),
        }
        if self.state in rows and len(pairs) > 1:
            states = _states(rows, self.state)
            before, after = (states[[pair[side] for pair in pairs]] for side in (0, 1))
            shuffled = after[stream_at(0, len(pairs)).permutation(len(pairs))]
            told |= {"linear_r2": _linear_r2(before, after), "linear_r2_shuffled": _linear_r2(before, shuffled)}
        return rounded(told)

    def held_out(self, count: int, seed: int) -> set[int]:
        """The numbers of the trajectories that are left out, of ``count`` in the order of their first rows."""
        order = stream_at(seed, 2**63).permutation(count)
        return set(order[: round(self.holdout * count)].tolist())

    def _windows(self, frames: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64], list[tuple[int, int]]]]:
        """First position, rows, and the pairs (position, lag) of each window that no window before it has."""
        if self.overlap >= self.length:
            raise MisuseError(f"overlap is {self.overlap}: it must be less than length, {self.length}")
        paired = {lag: 0 for lag in self.lag}
        for first in range(0, len(frames), self.length - self.overlap):
            window = frames[first : first + self.length]
            end = first + len(window)
            if first and end - first <= self.overlap:
                return
            pairs = [
                (place, lag) for place in range(first, end) for lag in self.lag if paired[lag] <= place < end - lag
            ]
            paired = {lag: max(paired[lag], end - lag) for lag in self.lag}
            yield first, window, pairs

    def _far(
        self,
        frames: NDArray[np.int64],
        place: int,
        used: NDArray[np.int64],
        states: NDArray[np.float64] | None,
        stream: np.random.Generator,
    ) -> NDArray[np.int64]:
        if not self.negatives:
            return np.empty(0, np.int64)
        near = frames[max(place - self.guard, 0) : place + self.guard + 1]
        far = used[~np.isin(used, near)]
        if states is not None:
            far = far[np.linalg.norm(states[far] - states[frames[place]], axis=1) >= self.state_guard]
        if len(far) < self.negatives:
            raise MisuseError(
                f"row {frames[place]} has {len(far)} frames beyond its guards, not --negatives {self.negatives}: "
                "lower --negatives, --guard or --state_guard"
            )
        return np.sort(stream.choice(far, self.negatives, replace=False))

    def _trajectories(self, rows: Table) -> list[NDArray[np.int64]]:
        """The rows of each trajectory in order of time, in the order in which trajectories first appear."""
        if max(self.lag) >= self.length:
            raise MisuseError(
                f"lag is {max(self.lag)}: a window of --length {self.length} holds no two frames so far apart"
            )
        times = rows.numbers(self.t)
        members: dict[str, list[int]] = {}
        for row, name in enumerate(rows.keys(self.trajectory)):
            members.setdefault(name, []).append(row)
        trajectories = []
        for name, found in members.items():
            frames = np.array(found)[np.argsort(times[found], kind="stable")]
            steps = np.diff(times[frames])
            if len(frames) < self.length:
                raise MisuseError(
                    f"trajectory {name} of {rows.source} has {len(frames)} frames, fewer than a window of "
                    f"{self.length}: lower --length, or leave it out"
                )
            if len(steps) and not (steps.min() > 0 and np.allclose(steps, steps[0], rtol=1e-3)):
                odd = int(np.argmax(~np.isclose(steps, np.median(steps), rtol=1e-3) | (steps <= 0)))
                raise MisuseError(
                    f"trajectory {name} of {rows.source} goes from {self.t} {times[frames[odd]]:g} to "
                    f"{times[frames[odd + 1]]:g}: frames must be evenly spaced, divide it there or resample it"
                )
            trajectories.append(frames)
        return trajectories


def _states(rows: Table, name: str) -> NDArray[np.float64]:
    """(N, D) states, of which a column of numbers is one dimension."""
    values = rows.values(name)
    return rows.numbers(name)[:, None] if np.ndim(values[0]) == 0 else rows.vectors(name).astype(np.float64)


def _linear_r2(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    before, after = before - before.mean(0), after - after.mean(0)
    left = after - before @ np.linalg.lstsq(before, after, rcond=None)[0]
    return 1 - float((left**2).sum()) / max(float((after**2).sum()), 1e-12)
