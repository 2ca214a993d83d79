"""Classifiers that are small enough for tests."""

import torch

from synthdata.models import Classifier, DataFree, DataFreeConfig, Encoder, LinearClassifier
from synthdata.rng import generator_at

CLASSES = ["ant", "bee", "cat"]
SMALL = DataFreeConfig(latent_dim=8, width=4, max_width=8)


def small_classifier(image_size: int = 16, channels: int = 1) -> Classifier:
    """An encoder that was not trained, whose batch normalisation has seen some noise, and a random linear layer."""
    torch.manual_seed(0)
    network = LinearClassifier(Encoder("resnet8", image_size, channels, width=4), len(CLASSES))
    torch.nn.init.normal_(network.head.weight, generator=generator_at("head"))
    noise = torch.randn(256, channels, image_size, image_size, generator=generator_at("noise"))
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(noise)
        network.head.bias -= network.eval()(noise).mean(0)
    return Classifier.of_encoder(network, CLASSES)


def small_data_free() -> DataFree:
    """A generator that was not trained, but whose averaged weights make images that differ, in more than one class."""
    torch.manual_seed(1)
    generator = DataFree(SMALL, small_classifier())
    with torch.no_grad():
        for parameter in generator.averages.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator_at("averages"))
    return generator
