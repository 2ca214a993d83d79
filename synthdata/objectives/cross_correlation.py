"""Losses of the correlation, over a batch, between the dimensions of two embeddings of the same images."""

import torch.nn.functional as F
from torch import Tensor

REDUNDANCY_WEIGHT = 0.005
"""λ of Barlow Twins (Zbontar et al., ICML 2021, section 3.1)."""


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """How each dimension of ``first`` correlates, over the batch, with each of ``second``.

    Args:
        first: (N, D) embeddings of any norm, N ≥ 2.
        second: (N, D); row i is of the same image as ``first[i]``.

    Returns:
        (D, D), in [−1, 1].
    """
    return _standardised(first).T @ _standardised(second) / len(first)


def barlow_twins(first: Tensor, second: Tensor) -> Tensor:
    """Cross-correlation driven to the identity: Σᵢ (1 − Cᵢᵢ)² + λ Σᵢ≠ⱼ Cᵢⱼ² (Zbontar et al., ICML 2021, equation 1).

    Args:
        first: (N, D), of the batch of all processes; likewise ``second``, as for ``cross_correlation``.

    Returns:
        Scalar.
    """
    correlation = cross_correlation(first, second)
    diagonal = correlation.diagonal()
    redundancy = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + REDUNDANCY_WEIGHT * redundancy


def log_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross entropy of the student's softmax over dimensions, weighted by the teacher's standardised embedding.

    A form of cross-distillation that Meng et al. (NeurIPS 2023, supplement) tried and found the lesser. The weights are
    signed, so this is no cross entropy of distributions, and it may be negative.

    Args:
        student: (N, D), standardised over the batch here.
        teacher: (N, D), likewise.

    Returns:
        Scalar: the mean over rows of −Σ_d t_d · log softmax(s)_d.
    """
    return -(_standardised(teacher) * F.log_softmax(_standardised(student), dim=1)).sum(1).mean()


def _standardised(embeddings: Tensor) -> Tensor:
    """Each dimension to zero mean and unit, biased variance over the batch."""
    return F.batch_norm(embeddings, None, None, training=True)
