"""Eigenvalues of a dynamical system by spectral contrastive learning on pairs of frames, and roll-outs against DMD.

Reads the positives that `synthdata construct` made, and the states that they are about:

    synthdata construct partition --source trajectories.parquet --lag 5 20 40 --overlap 40 --length 80 --holdout 0.2 \\
        --output out/windows
    python recipes/interop/spectral_contrastive.py 100 0            # iterations, seed
    python recipes/interop/spectral_contrastive.py 100 0 shuffled   # the control: each frame with any other's future

An encoder learns what tells the states that follow from those that do not (HaoChen et al., NeurIPS 2021; Turri et al.,
arXiv 2505.18671). Where its output moves linearly, the matrix that moves it has the system's eigenvalues.
"""

import sys

import numpy as np
import pyarrow.parquet as pq
import torch
from datasets import load_dataset

iterations, seed, shuffled = [*sys.argv[1:], *("100", "0", "")[len(sys.argv) - 1 :]]
torch.manual_seed(int(seed))
table = pq.read_table("trajectories.parquet").to_pydict()
states, times, names = (torch.tensor(np.array(table[name], float)) for name in ("state", "t", "trajectory"))
relations = load_dataset("out/windows", "relations", split="train").filter(lambda row: row["kind"] == "positive")
first, second = torch.tensor(relations["anchor"][:]), torch.tensor([other for (other,) in relations["other"]])
lags = (times[second] - times[first]).round(decimals=6)
pairs = {float(lag): (first[lags == lag], second[lags == lag]) for lag in lags.unique()}
if shuffled:
    pairs = {lag: (a, b[torch.randperm(len(b))]) for lag, (a, b) in pairs.items()}
step = float((times[1:] - times[:-1])[names[1:] == names[:-1]].min())
scale = states[first].mean(0), states[first].std(0)
mlp = [torch.nn.Linear(states.shape[1], 32), torch.nn.Tanh(), torch.nn.Linear(32, 32), torch.nn.Tanh()]
network = torch.nn.Sequential(*mlp, torch.nn.Linear(32, states.shape[1] + 1)).double()
ahead = torch.cat([torch.ones(len(states), 1), (states - scale[0]) / scale[1]], 1)  # what is to be told


def encode(rows):
    return torch.cat([torch.ones(len(rows), 1), network(ahead[rows, 1:])], 1)


def loss_of(x, y):
    """Mean squared product of pairs that do not belong together, less twice the mean product of those that do."""
    count, xx, yy = len(x), x.T @ x, y.T @ y
    # The best linear map between the two sides, through which the gradient goes too: a line search wants it exact.
    best = torch.linalg.solve(xx + 1e-6 * count * torch.eye(len(xx)), x.T @ y) @ torch.linalg.inv(yy / count)
    own = (x @ best * y).sum(1)
    return (torch.trace(xx @ best @ yy @ best.T) - own.square().sum()) / (count * (count - 1)) - 2 * own.mean()


used = first.unique()
place = torch.zeros(len(states), dtype=torch.long).scatter(0, used, torch.arange(len(used)))
optimizer = torch.optim.LBFGS(
    network.parameters(), max_iter=int(iterations), history_size=20, tolerance_change=0, line_search_fn="strong_wolfe"
)


def loss_of_all():
    optimizer.zero_grad()
    embedded = encode(used)
    loss = sum(loss_of(embedded[place[a]], ahead[b]) for a, b in pairs.values())
    loss.backward()
    return loss


optimizer.step(loss_of_all)

with torch.no_grad():
    lag = sorted(pairs)[len(pairs) // 2]
    a, b = pairs[lag]
    z = encode(torch.arange(len(states)))
    move = torch.linalg.lstsq(z[a], z[b]).solution
    rates = sorted((torch.log(torch.linalg.eigvals(move)) / lag).tolist(), key=lambda rate: rate.real)
    read = torch.linalg.lstsq(z[a], states[a]).solution
    ones = torch.cat([states, torch.ones(len(states), 1)], 1)
    near = torch.arange(len(states) - 1)[(names[1:] == names[:-1]) & torch.isin(torch.arange(len(states))[1:], used)]
    dmd = torch.linalg.lstsq(ones[near], ones[near + 1]).solution
    start = torch.arange(len(states))[~torch.isin(names, names[used].unique())]  # of trajectories that were held out
    frames = round(lag / step)
    start = start[start + frames < len(states)]
    start = start[names[start] == names[start + frames]]
    target = states[start + frames]
    ours = (z[start] @ move @ read - target).square().mean()
    theirs = ((ones[start] @ torch.matrix_power(dmd, frames))[:, :-1] - target).square().mean()
told = [f"{rate.real:.4f}" + f"{rate.imag:+.4f}i" * (abs(rate.imag) > 1e-6) for rate in rates[:-1]]
print("rates " + " ".join(told))  # without the last, that of the constant
print(f"mean squared error {frames} frames ahead: {ours:.3g}, of DMD {theirs:.3g}, {theirs / ours:.3g} times as much")
