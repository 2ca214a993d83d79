"""Adversarial losses: what makes generated images look like the real ones."""

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real_scores: Tensor, synthetic_scores: Tensor) -> Tensor:
    """Logistic loss of the discriminator (Goodfellow et al., NeurIPS 2014): scores (N,) and (M,) to nats."""
    return F.softplus(-real_scores).mean() + F.softplus(synthetic_scores).mean()


def generator_loss(synthetic_scores: Tensor) -> Tensor:
    """Non-saturating loss of the generator (Goodfellow et al., 2014): (N,) scores to a scalar, in nats."""
    return F.softplus(-synthetic_scores).mean()


def r1_penalty(real_images: Tensor, real_scores: Tensor) -> Tensor:
    """Half the mean squared gradient norm of the scores at real images (Mescheder et al., ICML 2018, equation 9).

    Args:
        real_images: (N, C, H, W), requiring grad.
        real_scores: (N,) scores computed from them.

    Returns:
        Scalar, differentiable in the discriminator's parameters.
    """
    (gradient,) = torch.autograd.grad(real_scores.sum(), real_images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2
