"""An encoder with its linear probe as one network."""

import torch
from sklearn.linear_model import LogisticRegression

from synthdata.data import DataConfig, load_images, to_float
from synthdata.evaluation import extract_features, fit_classifier
from synthdata.evaluation.probe import STRENGTHS
from synthdata.models import Encoder

CPU = torch.device("cpu")


def test_the_classifier_answers_as_the_best_probe_of_its_encoder_does():
    torch.manual_seed(0)
    encoder = Encoder("resnet8", 16, 1, width=4, hidden_dim=8, projection_dim=6)
    data = load_images(DataConfig("digits", image_size=16))
    classifier = fit_classifier(encoder, data, CPU, limit=200)
    assert classifier.classes == [str(digit) for digit in range(10)]
    features = extract_features(encoder, data.labelled, CPU, 200).double()
    mean, scale = features.mean(0), features.std(0, correction=0)
    held_out = (extract_features(encoder, data.validation, CPU).double() - mean) / scale
    assert data.labelled.labels is not None
    labels = data.labelled.labels[:200].numpy()
    probes = [
        LogisticRegression(C=strength, max_iter=1000).fit(((features - mean) / scale).numpy(), labels)
        for strength in STRENGTHS
    ]
    best = max(probes, key=lambda probe: probe.score(held_out.numpy(), data.validation.labels.numpy()))
    pixels = data.validation.pixels
    assert pixels is not None
    answers = classifier(to_float(pixels)).softmax(1)
    torch.testing.assert_close(
        answers.double(), torch.from_numpy(best.predict_proba(held_out.numpy())), atol=0.02, rtol=0
    )
    assert (answers.argmax(1) == torch.from_numpy(best.predict(held_out.numpy()))).double().mean() > 0.99
