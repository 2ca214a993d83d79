"""How close the generator's images come to the real ones at the end of a run."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from synthdata.evaluation import (
    find_inception_weights,
    frechet_distance,
    inception_features,
    load_inception,
    map_images,
)
from synthdata.models import Generator
from synthdata.rng import latents_at
from synthdata.training.joint import JointTraining

_BATCH = 250

Features = Callable[[Tensor], Tensor]


@torch.no_grad()
def generated_distances(training: JointTraining, generator: Generator) -> dict[str, float]:
    """Fréchet distances of generated to validation images, in the encoder's own feature space and in Inception's.

    Returns:
        ``frechet_distance``, and ``inception_frechet_distance`` where there are weights for it; nothing for fewer than
        two validation images.
    """
    encoder, settings, device = training.encoder, training.config.evaluation, training.accelerator.device
    validation = training.data.validation
    if len(validation) < 2:
        return {}
    features: dict[str, tuple[Features, nn.Module]] = {"frechet_distance": (encoder.features, encoder)}
    weights = find_inception_weights(settings.inception)
    if weights is not None:
        inception = load_inception(weights).to(device)
        features["inception_frechet_distance"] = partial(inception_features, inception), inception
    distances = {}
    for name, (function, network) in features.items():
        real = map_images(function, network, validation, device)
        network.eval()
        synthetic = []
        for indices in torch.arange(settings.generated).split(_BATCH):
            latents = latents_at(training.config.seed, indices, generator.latent_shape).to(device)
            synthetic.append(function(generator.sample(latents, averaged=True)).float().cpu())
        network.train(True)
        distances[name] = round(frechet_distance(torch.cat(synthetic), real), 4)
    return distances
