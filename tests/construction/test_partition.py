"""Windows and pairs of trajectories: what they keep, what they leave out, and what a linear map makes of them."""

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from synthdata.construction.partition import Partition
from synthdata.construction.relation import Relation, problem
from synthdata.construction.table import Table
from synthdata.errors import MisuseError

FRAMES, TRAJECTORIES = 200, 50


def slow_manifold(trajectories: int = TRAJECTORIES, frames: int = FRAMES, shuffled: bool = False) -> Table:
    """x' = −0.05 x, y' = x² − y by Runge and Kutta's fourth order, lifted to (x, y, x²), where it is linear."""
    random, step = np.random.default_rng(0), 0.05

    def slope(z: np.ndarray) -> np.ndarray:
        return np.stack([-0.05 * z[:, 0], z[:, 0] ** 2 - z[:, 1]], 1)

    states = [random.uniform(-1, 1, (trajectories, 2))]
    for _ in range(frames - 1):
        z = states[-1]
        k1 = slope(z)
        k2 = slope(z + step / 2 * k1)
        k3 = slope(z + step / 2 * k2)
        k4 = slope(z + step * k3)
        states.append(z + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4))
    z = np.stack(states, 1).reshape(-1, 2)
    lifted = np.column_stack([z, z[:, 0] ** 2])
    times, names = np.tile(np.arange(frames), trajectories), np.repeat(np.arange(trajectories), frames)
    order = random.permutation(len(lifted)) if shuffled else np.arange(len(lifted))
    return Table.of(trajectory=names[order], t=times[order], state=lifted[order])


def rendered_pendulums(held_out: set[int], count: int = 30, frames: int = 120) -> Table:
    """Pendulums with friction, θ'' = −sin θ − 0.2 θ', rendered at 16 pixels, a frame every 0.1 time units.

    The state of a row is polynomials of degree 3 of the first three principal components of two frames, half a time
    unit apart: one frame does not tell a speed. The components are those of the trajectories that are not held out.
    """
    random, step, apart = np.random.default_rng(0), 0.1 / 20, 5
    angle, speed = random.uniform(-1, 1, (2, count))
    angles = []
    for _ in range(frames + apart):
        angles.append(angle)
        for _ in range(20):
            speed = speed - step * (np.sin(angle) + 0.2 * speed)
            angle = angle + step * speed
    swing = np.stack(angles, 1)[..., None, None]
    y, x = np.mgrid[:16, :16]
    rod = [(x - 7.5 - r * np.sin(swing)) ** 2 + (y - 1 - r * np.cos(swing)) ** 2 for r in np.linspace(1.6, 11, 12)]
    images = np.round(255 * np.exp(-np.min(rod, 0) / 2)).astype(np.uint8).reshape(count, -1, 256) / 255
    seen = images[[number for number in range(count) if number not in held_out]].reshape(-1, 256)
    parts = np.linalg.svd(seen - seen.mean(0), full_matrices=False)[2][:3]
    places = (images - seen.mean(0)) @ parts.T / (seen @ parts.T).std(0)
    both = np.concatenate([places[:, :frames], places[:, apart:]], 2).reshape(count * frames, -1)
    states = PolynomialFeatures(3).fit_transform(both)
    return Table.of(
        trajectory=np.repeat(np.arange(count), frames), t=np.tile(np.arange(frames) * 0.1, count), state=states
    )


def proposed(strategy: Partition, rows: Table, seed: int = 0, start: int = 0) -> list[Relation]:
    return [relation for unit in strategy.propose(rows, seed, start) for relation in unit]


def transitions(relations: list[Relation]) -> np.ndarray:
    return np.array([(r.anchor, r.other[0]) for r in relations if r.kind == "positive"])


def operator(rows: Table, pairs: np.ndarray) -> np.ndarray:
    states = np.asarray(rows.values("state"))
    return np.linalg.lstsq(states[pairs[:, 0]], states[pairs[:, 1]], rcond=None)[0].T


@pytest.mark.parametrize(("overlap", "windows", "kept"), [(0, 10, 9_500), (1, 11, 9_950), (5, 13, 9_950)])
def test_an_overlap_of_the_lag_keeps_every_transition_once(overlap: int, windows: int, kept: int):
    found = proposed(Partition(overlap=overlap), slow_manifold())
    assert sum(relation.kind == "window" for relation in found) == windows * TRAJECTORIES
    pairs = transitions(found)
    assert len(pairs) == len(np.unique(pairs, axis=0)) == kept


def test_the_operator_of_overlapping_windows_is_that_of_the_whole_to_the_bit():
    rows = slow_manifold()
    whole = np.array([(row, row + 1) for row in range(len(rows)) if (row + 1) % FRAMES])
    found = operator(rows, transitions(proposed(Partition(overlap=1), rows)))
    assert np.array_equal(found, operator(rows, whole))


@pytest.mark.parametrize("lag", [1, 5])
def test_planted_eigenvalues_are_recovered_and_shuffled_pairs_lose_them(lag: int):
    rows = slow_manifold()
    pairs = transitions(proposed(Partition(overlap=lag, lag=[lag]), rows))
    rates = np.sort(np.log(np.linalg.eigvals(operator(rows, pairs)).real) / (lag * 0.05))
    assert rates == pytest.approx([-1, -0.1, -0.05], rel=1e-4)
    mixed = np.column_stack([pairs[:, 0], np.random.default_rng(0).permutation(pairs[:, 1])])
    assert np.abs(np.linalg.eigvals(operator(rows, mixed))).min() < 0.5


def test_planted_rates_of_a_pendulum_come_back_from_its_rendered_frames():
    strategy = Partition(length=40, overlap=10, lag=[10], holdout=0.2)
    held_out = strategy.held_out(30, seed=0)
    rows = rendered_pendulums(held_out)
    pairs, states = transitions(proposed(strategy, rows)), np.asarray(rows.values("state"))
    assert set(rows.values("trajectory")[pairs[:, 0]]) == set(range(30)) - held_out
    of_swing = -0.1 + 0.99499j  # the root of r² + 0.2 r + 1

    def nearest_rate(second: np.ndarray) -> float:
        found = np.linalg.lstsq(states[pairs[:, 0]], states[second], rcond=1e-8)[0]
        rates = np.log(np.linalg.eigvals(found).astype(complex))  # ten frames are one time unit
        return float(np.abs(rates - of_swing).min())

    assert nearest_rate(pairs[:, 1]) < 0.01
    assert nearest_rate(np.random.default_rng(0).permutation(pairs[:, 1])) > 0.5

    new = np.concatenate([np.flatnonzero(rows.values("trajectory") == number)[:-10] for number in sorted(held_out)])

    def error(columns: slice) -> float:
        move = np.linalg.lstsq(states[pairs[:, 0], columns], states[pairs[:, 1], 1:7], rcond=1e-8)[0]
        return float(((states[new, columns] @ move - states[new + 10, 1:7]) ** 2).mean())

    assert error(slice(None)) < 0.3 * error(slice(7))


def test_the_audit_tells_a_linear_system_from_shuffled_pairs():
    strategy, rows = Partition(), slow_manifold()
    told = strategy.audit(rows, iter(proposed(strategy, rows)))
    assert (told["trajectories"], told["windows"], told["transitions_kept"]) == (50, 550, 1)
    assert told["linear_r2"] > 0.9999
    assert abs(told["linear_r2_shuffled"]) < 0.01


def test_windows_follow_time_whatever_the_order_of_rows():
    rows = slow_manifold(trajectories=3, frames=30, shuffled=True)
    times, names = (np.asarray(rows.values(name)) for name in ("t", "trajectory"))
    for relation in proposed(Partition(length=8, overlap=3, lag=[2, 3]), rows):
        frames = [relation.anchor, *relation.other]
        assert len(set(names[frames])) == 1
        if relation.kind == "window":
            first, length = relation.span
            assert times[list(relation.other)].tolist() == list(range(first, first + length))
        else:
            assert times[relation.other[0]] - times[relation.anchor] in (2, 3)


def test_negatives_are_far_in_time_and_in_state():
    rows = slow_manifold(trajectories=4, frames=40)
    strategy = Partition(negatives=2, guard=6, state_guard=0.2)
    found = [relation for relation in proposed(strategy, rows) if relation.kind == "negative"]
    assert len(found) == 2 * 4 * 39
    states = np.asarray(rows.values("state"))
    for relation in found:
        row, other = relation.anchor, relation.other[0]
        assert row // 40 != other // 40 or abs(row - other) > 6
        assert np.linalg.norm(states[row] - states[other]) >= 0.2


def test_held_out_trajectories_are_in_no_relation():
    rows = slow_manifold(trajectories=10, frames=30)
    strategy = Partition(holdout=0.3, negatives=3)
    away = strategy.held_out(10, seed=0)
    assert len(away) == 3
    used = {row // 30 for relation in proposed(strategy, rows) for row in (relation.anchor, *relation.other)}
    assert used == set(range(10)) - away
    assert strategy.held_out(10, seed=1) != away


def test_negatives_depend_on_the_seed_and_the_trajectory_alone():
    rows = slow_manifold(trajectories=300, frames=20)
    whole = proposed(Partition(negatives=1), rows)
    tail = proposed(Partition(negatives=1), rows, start=256)
    assert tail == whole[-len(tail) :]
    assert proposed(Partition(negatives=1), rows, seed=1) != whole


@pytest.mark.parametrize(
    ("columns", "settings", "words"),
    [
        ({"t": range(9)}, {}, "trajectory 0 of rows has 9 frames, fewer than a window of 20"),
        ({"t": [0, 1, 2, 3, 9, 10, 11, 12, 13]}, {"length": 4}, "goes from t 3 to 9: frames must be evenly spaced"),
        ({"t": [0, 1, 2, 2, 3, 4, 5, 6, 7]}, {"length": 4}, "goes from t 2 to 2"),
        ({"t": ["a"] * 9}, {}, "row 0, holds 'a', not a number"),
        ({"time": range(9)}, {}, "no column t, only time, trajectory"),
        ({"t": range(9)}, {"length": 4, "overlap": 4}, "overlap is 4: it must be less than length, 4"),
        ({"t": range(9)}, {"length": 4, "lag": [1, 4]}, "lag is 4: a window of --length 4 holds no two frames so far"),
        ({"t": range(9)}, {"length": 4, "negatives": 1}, "has 0 frames beyond its guards, not --negatives 1"),
        (
            {"t": range(9), "state": [[0.0]] * 8 + [[np.inf]]},
            {"length": 4, "state_guard": 1.0, "negatives": 1},
            "finite",
        ),
    ],
)
def test_trajectories_that_do_not_fit_are_told(columns: dict, settings: dict, words: str):
    rows = Table.of(**{name: list(values) for name, values in columns.items()}, trajectory=[0] * 9)
    with pytest.raises(MisuseError, match=words):
        proposed(Partition(**settings), rows)


def test_every_relation_holds():
    rows = slow_manifold(trajectories=4, frames=50)
    assert not any(problem(relation, len(rows)) for relation in proposed(Partition(negatives=1), rows))
