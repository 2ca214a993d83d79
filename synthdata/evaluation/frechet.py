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
    covariance_x, covariance_y = torch.cov(x.T), torch.cov(y.T)
    # The product of two covariances has real non-negative eigenvalues; rounding can push them slightly off.
    eigenvalues = torch.linalg.eigvals(covariance_x @ covariance_y).real.clamp(min=0)
    mean_term = (x.mean(0) - y.mean(0)).square().sum()
    return float(mean_term + covariance_x.trace() + covariance_y.trace() - 2 * eigenvalues.sqrt().sum())
