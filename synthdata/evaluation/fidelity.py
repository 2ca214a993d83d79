"""Precision and recall of generated images: how many look real, and how much of the real is covered."""

import torch
from torch import Tensor

_QUERIES = 512


def precision_recall(real: Tensor, synthetic: Tensor, neighbours: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al., NeurIPS 2019, section 2, equations 1 and 2).

    The manifold of a set is the union of the balls around its members that reach to their ``neighbours``-th nearest
    other member. Sets of equal size compare fairly.

    Args:
        real: (N, D) features, N > ``neighbours``.
        synthetic: (M, D) features, M > ``neighbours``.
        neighbours: k of the k-NN radii; 3 in the paper.

    Returns:
        Precision, the share of ``synthetic`` inside the manifold of ``real``, and recall, the share of ``real`` inside
        that of ``synthetic``; both in [0, 1].

    Raises:
        ValueError: a set has too few members.
    """
    smaller = min(len(real), len(synthetic))
    if smaller <= neighbours:
        raise ValueError(f"{neighbours} neighbours need more than {neighbours} features on both sides, not {smaller}")
    real, synthetic = real.double(), synthetic.double()
    return _share_inside(synthetic, real, neighbours), _share_inside(real, synthetic, neighbours)


def _share_inside(queries: Tensor, members: Tensor, neighbours: int) -> float:
    radii = torch.cat(
        [
            # every member is its own nearest
            _distances(part, members).kthvalue(neighbours + 1, dim=1).values
            for part in members.split(_QUERIES)
        ]
    )
    inside = [(_distances(part, members) <= radii).any(1) for part in queries.split(_QUERIES)]
    return float(torch.cat(inside).double().mean())


def _distances(queries: Tensor, members: Tensor) -> Tensor:
    # by matrix products, the distance of equal rows would not be zero
    return torch.cdist(queries, members, compute_mode="donot_use_mm_for_euclid_dist")
