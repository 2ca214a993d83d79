"""A frozen encoder and its linear probe as one network."""

import torch
from torch import Tensor, nn

from synthdata.data import RealData
from synthdata.evaluation.probe import fit_probe
from synthdata.evaluation.score import labelled_features
from synthdata.models import Classifier, Encoder, LinearClassifier

_NEVER = -1e4
"""The logit of a class that no training image shows."""


def fit_classifier(encoder: Encoder, data: RealData, device: torch.device, limit: int = 10_000) -> Classifier:
    """The classifier that ``encoder`` and the linear probe of its features make.

    Args:
        data: labelled images; the probe's regularisation is chosen on the validation split.
        limit: the most images that the probe trains on.

    Returns:
        On the CPU, with the names of the data's classes.
    """
    assert data.classes is not None
    train = labelled_features(encoder, data.labelled, device, limit)
    probe, _ = fit_probe(train, labelled_features(encoder, data.validation, device))
    scaler, regression = probe[0], probe[1]
    weight, bias = torch.from_numpy(regression.coef_), torch.from_numpy(regression.intercept_)
    if len(regression.classes_) == 2:  # scikit-learn then keeps the difference of the two alone
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    weight = weight / torch.from_numpy(scaler.scale_)
    bias = bias - weight @ torch.from_numpy(scaler.mean_)
    classifier = LinearClassifier(encoder, len(data.classes)).cpu()
    assert isinstance(classifier.head, nn.Linear)
    with torch.no_grad():
        rows: Tensor = torch.from_numpy(regression.classes_).long()
        classifier.head.bias.fill_(_NEVER)
        classifier.head.weight[rows] = weight.float()
        classifier.head.bias[rows] = bias.float()
    return Classifier.of_encoder(classifier, data.classes)
