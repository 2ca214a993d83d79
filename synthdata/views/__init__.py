"""Batched augmentations that run where the images are, draw per sample and let gradients reach the pixels."""

from synthdata.views.config import ViewConfig
from synthdata.views.diffaugment import DiffAugment, DiffAugmentParameters
from synthdata.views.random_view import RandomView, ViewParameters

__all__ = ["DiffAugment", "DiffAugmentParameters", "RandomView", "ViewConfig", "ViewParameters"]
