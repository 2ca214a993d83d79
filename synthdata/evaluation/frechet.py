"""Fréchet distance between two sets of features."""

import torch
from torch import Tensor


def frechet_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to features (Heusel et al., NeurIPS 2017, equation 6).

    Args:
        features_1: (N, D), N ≥ 2.
        features_2: (M, D), M ≥ 2.

    Returns:
        The squared distance, ≥ 0 up to rounding, in squared units of the features.
    """
    x, y = features_1.double(), features_2.double()
    mean_term = (x.mean(0) - y.mean(0)).square().sum()
    # Each covariance is the product of such a factor's transpose with the factor.
    x, y = (centred / (len(centred) - 1) ** 0.5 for centred in (x - x.mean(0), y - y.mean(0)))
    return float(mean_term + x.square().sum() + y.square().sum() - 2 * _root_trace(x, y))


def _root_trace(x: Tensor, y: Tensor) -> Tensor:
    """The trace of the square root of the product of two covariances, from factors (N, D) and (M, D) of them."""
    if min(len(x), len(y)) < x.shape[1]:
        return torch.linalg.svdvals(x @ y.T).sum()
    # The product of two covariances has real non-negative eigenvalues; rounding can push them slightly off.
    return torch.linalg.eigvals(x.T @ x @ (y.T @ y)).real.clamp(min=0).sqrt().sum()
