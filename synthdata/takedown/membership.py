"""How much an encoder gives away of who was in its training.

Liu et al., "EncoderMI" (CCS 2021, arXiv 2108.11023), in its threshold form: an encoder embeds random views of an image
that it was trained on more alike than those of another.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from synthdata.data import Images, to_float
from synthdata.evaluation.features import evaluated
from synthdata.models import Encoder
from synthdata.rng import generator_at
from synthdata.views import RandomView, ViewConfig

VIEWS = 10
BOOTSTRAPS = 1000
_BATCH = 64
_BINS = 500


@torch.inference_mode()
def view_similarity(
    encoder: Encoder, images: Images, views: ViewConfig, device: torch.device, count: int = VIEWS, seed: str = "audit"
) -> Tensor:
    """Mean cosine similarity of the features of ``count`` random views of each image.

    Args:
        encoder: in whichever mode; it is asked in evaluation mode.
        images: any.
        views: the augmentation that the encoder was trained with.
        seed: of the views, which depend on it and on the place of an image.

    Returns:
        (N,) float32 on the CPU, in [−1, 1].
    """
    view = RandomView(views, encoder.image_size, encoder.channels)
    scores = []
    with evaluated(encoder):
        for start, batch in _batches(images, device):
            drawn = view.draw(len(batch) * count, generator_at(seed, "membership", start, device=device))
            features = encoder.features(view.apply(batch.repeat_interleave(count, 0), drawn))
            unit = F.normalize(features.float(), dim=1).unflatten(0, (len(batch), count))
            total = unit.sum(1).square().sum(1)  # of all pairs in both orders, each view with itself among them
            scores.append(((total - count) / (count * (count - 1))).cpu())
    return torch.cat(scores)


def auc(members: Tensor, others: Tensor) -> float:
    """Probability that a member's score (N,) is above another's (M,), ties counted half: area under the ROC curve."""
    others = others.sort().values
    below = torch.searchsorted(others, members, side="left") + torch.searchsorted(others, members, side="right")
    return float(below.double().mean() / (2 * len(others)))


def true_positive_rate(members: Tensor, others: Tensor, false_positive_rate: float = 0.01) -> float:
    """Share of members (N,) with a score above all but ``false_positive_rate`` of the others' (M,)."""
    allowed = int(false_positive_rate * len(others))
    threshold = others.sort(descending=True).values[allowed]
    return float((members > threshold).double().mean())


def bootstrapped(
    measure: Callable[[Tensor, Tensor], float], members: Tensor, others: Tensor, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of ``measure`` over ``BOOTSTRAPS`` draws, with replacement, of both sets of scores."""
    generator = generator_at(seed, "bootstrap")
    values = []
    for _ in range(BOOTSTRAPS):
        first, second = (
            scores[torch.randint(len(scores), (len(scores),), generator=generator)] for scores in (members, others)
        )
        values.append(measure(first, second))
    low, high = torch.tensor(values).quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def told_non_members(forgotten: Tensor, retained: Tensor, others: Tensor) -> float:
    """Share of forgotten images that the threshold which best tells retained images from others calls non-members."""
    edges = torch.linspace(float(min(retained.min(), others.min())), 1, _BINS)
    right = (retained[:, None] >= edges).double().mean(0) + (others[:, None] < edges).double().mean(0)
    return float((forgotten < edges[right.argmax()]).double().mean())


def _batches(images: Images, device: torch.device) -> Iterator[tuple[int, Tensor]]:
    for positions in torch.arange(len(images)).split(_BATCH):
        yield int(positions[0]), to_float(images.gather(positions).to(device))
