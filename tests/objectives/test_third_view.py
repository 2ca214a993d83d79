"""Objectives of a third view, against computations of their own."""

import pytest
import torch
from torch import Tensor

from synthdata.objectives import alignment_loss, nt_xent, nt_xent_with_variants
from synthdata.rng import generator_at


def embeddings(count: int, purpose: str) -> Tensor:
    drawn = torch.randn(count, 6, generator=generator_at(purpose), dtype=torch.float64)
    return torch.nn.functional.normalize(drawn, dim=1)


def test_alignment_is_the_squared_distance_of_unit_vectors() -> None:
    first, second = embeddings(5, "first"), embeddings(5, "second")
    expected = sum(((a - b) ** 2).sum() for a, b in zip(first, second, strict=True)) / 5
    torch.testing.assert_close(alignment_loss(first, second), expected)
    assert alignment_loss(first, first).item() == pytest.approx(0, abs=1e-12)


def test_variants_of_other_images_are_negatives_and_an_images_own_is_neither() -> None:
    first, second, variants = (embeddings(4, purpose) for purpose in ("first", "second", "variants"))
    losses = []
    for views, partners in ((first, second), (second, first)):
        for i in range(4):
            negatives = [rows[j] for rows in (first, second, variants) for j in range(4) if j != i]
            logits = torch.stack([views[i] @ partners[i], *(views[i] @ other for other in negatives)]) / 0.3
            losses.append(logits.logsumexp(0) - logits[0])
    torch.testing.assert_close(nt_xent_with_variants(first, second, variants, 0.3), torch.stack(losses).mean())
    moved = variants.clone().requires_grad_()
    assert nt_xent_with_variants(first, second, moved, 0.3) > nt_xent(first, second, 0.3)
