"""Batched augmentations that run where the images are, draw per sample and let gradients reach the pixels.

In come float images in [−1, 1], NCHW, with a random generator or the parameters of an earlier draw; out come views of
the same shape rules, differentiable in the pixels. ``RandomView`` makes the views of contrastive learning,
``DiffAugment`` those that a discriminator sees. Any room may call it; it calls none but the ranges and the random
numbers of the package.
"""

from synthdata.views.config import ViewConfig
from synthdata.views.diffaugment import DiffAugment, DiffAugmentParameters
from synthdata.views.random_view import RandomView, ViewParameters

__all__ = ["DiffAugment", "DiffAugmentParameters", "RandomView", "ViewConfig", "ViewParameters"]
