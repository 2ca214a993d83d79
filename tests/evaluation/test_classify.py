"""An encoder with its linear probe as one network."""

import torch

from synthdata.data import DataConfig, load_images, to_float
from synthdata.evaluation import extract_features, fit_classifier
from synthdata.evaluation.probe import fit_probe
from synthdata.models import Encoder

CPU = torch.device("cpu")


def test_the_classifier_answers_as_the_probe_of_its_encoder_does():
    torch.manual_seed(0)
    encoder = Encoder("resnet8", 16, 1, width=4, hidden_dim=8, projection_dim=6)
    data = load_images(DataConfig("digits", image_size=16))
    classifier = fit_classifier(encoder, data, CPU, limit=200)
    assert classifier.classes == [str(digit) for digit in range(10)]
    train, held_out = (extract_features(encoder, images, CPU, 200) for images in (data.labelled, data.validation))
    assert data.labelled.labels is not None
    assert data.validation.labels is not None
    whole = extract_features(encoder, data.validation, CPU)
    probe, score = fit_probe((train, data.labelled.labels[:200]), (whole, data.validation.labels))
    pixels = data.validation.pixels
    assert pixels is not None
    answers = classifier(to_float(pixels)).softmax(1)
    expected = torch.from_numpy(probe.predict_proba(held_out.numpy())).float()
    torch.testing.assert_close(answers[:200], expected, atol=1e-4, rtol=1e-3)
    assert float((answers.argmax(1) == data.validation.labels).double().mean()) == score
