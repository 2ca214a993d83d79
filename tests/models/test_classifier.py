"""Classifiers of three origins behind one interface, and those that are refused."""

import json
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from small_classifiers import CLASSES, small_classifier
from torch import Tensor, nn

from synthdata.errors import MisuseError
from synthdata.models import Classifier, load_classifier
from synthdata.rng import generator_at


def some_images(channels: int = 1, size: int = 16) -> Tensor:
    return torch.rand(4, channels, size, size, generator=generator_at("images")) * 2 - 1


def torchvision_source(folder: Path, name: str = "mobilenet_v3_small") -> str:
    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None, num_classes=4)
    save_file(network.state_dict(), folder / "weights.safetensors")
    return f"torchvision:{name}:{folder / 'weights.safetensors'}"


def transformers_folder(folder: Path, **changes: object) -> Path:
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(0)
    config = ResNetConfig(
        num_channels=3, embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], num_labels=3, layer_type="basic"
    )
    config.id2label = dict(enumerate(CLASSES))
    ResNetForImageClassification(config).save_pretrained(folder)
    processor = {"size": {"shortest_edge": 32}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}
    (folder / "preprocessor_config.json").write_text(json.dumps(processor | changes))
    return folder


def open_kind(kind: str, folder: Path) -> Classifier:
    if kind == "encoder":
        small_classifier().save_pretrained(folder / "own")
        return load_classifier(folder / "own")
    if kind == "torchvision":
        return load_classifier(torchvision_source(folder), image_size=32)
    return load_classifier(transformers_folder(folder / "foreign"))


@pytest.mark.parametrize("kind", ["encoder", "torchvision", "transformers"])
def test_a_classifier_of_any_kind_comes_back_as_it_was_saved(kind: str, tmp_path: Path):
    classifier = open_kind(kind, tmp_path)
    classifier.save_pretrained(tmp_path / "saved")
    again = load_classifier(tmp_path / "saved")
    images = some_images(classifier.channels, classifier.image_size)
    assert torch.equal(again(images), classifier(images))
    assert (again.classes, again.image_size, again.channels) == (
        classifier.classes,
        classifier.image_size,
        classifier.channels,
    )


def test_an_own_classifier_gives_the_answers_of_its_encoder_and_layer(tmp_path: Path):
    classifier = small_classifier()
    network, images = classifier.network, some_images()
    features = network.encoder.features(images)
    torch.testing.assert_close(classifier(images), features @ network.head.weight.T + network.head.bias)


def test_a_torchvision_classifier_sees_pixels_as_its_weights_expect_them(tmp_path: Path):
    classifier = load_classifier(torchvision_source(tmp_path), image_size=32)
    pixels = some_images(3, 32) / 2 + 0.5
    normalised = torchvision.transforms.functional.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    torch.testing.assert_close(classifier(pixels * 2 - 1), classifier.network(normalised))
    assert classifier.classes == ["0", "1", "2", "3"]


def test_a_transformers_classifier_is_what_its_folder_says(tmp_path: Path):
    classifier = load_classifier(transformers_folder(tmp_path / "foreign"))
    assert (classifier.classes, classifier.image_size, classifier.mean) == (CLASSES, 32, [0.1, 0.2, 0.3])
    assert load_classifier(tmp_path / "foreign", image_size=64).image_size == 64


def test_statistics_are_those_that_batch_normalisation_would_see():
    classifier, images = small_classifier(), some_images()
    logits, running, batch = classifier.with_moments(images)
    torch.testing.assert_close(logits, classifier(images))
    layers = classifier.normalising_layers()
    assert len(layers) == len(running) == len(batch) > 2
    for layer, kept, (mean, variance) in zip(layers, running, batch, strict=True):
        observer = nn.BatchNorm2d(len(mean), momentum=1.0)  # it keeps what it sees

        def observe(_: nn.Module, inputs: tuple[Tensor, ...], observer: nn.BatchNorm2d = observer) -> None:
            observer(inputs[0])
            observer.rows = inputs[0].numel() // inputs[0].shape[1]

        handle = layer.register_forward_pre_hook(observe)
        classifier(images)
        handle.remove()
        torch.testing.assert_close(mean, observer.running_mean)
        torch.testing.assert_close(variance, observer.running_var * (1 - 1 / observer.rows))
        assert torch.equal(kept[0], layer.running_mean)
        assert torch.equal(kept[1], layer.running_var)


def test_gradients_reach_the_images_and_not_the_classifier():
    classifier, images = small_classifier(), some_images().requires_grad_()
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    logits, _, batch = classifier.train().with_moments(images)
    (logits.sum() + sum(mean.sum() + variance.sum() for mean, variance in batch)).backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in classifier.parameters())
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_weights_as_a_pickle_are_refused(tmp_path: Path):
    transformers_folder(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(MisuseError, match=r"as a pickle, pytorch_model\.bin, which could run code"):
        load_classifier(tmp_path)
    with pytest.raises(MisuseError, match="no safetensors file"):
        load_classifier(f"torchvision:resnet18:{tmp_path / 'pytorch_model.bin'}")


def test_a_classifier_without_batch_normalisation_is_refused(tmp_path: Path):
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, image_size=16, patch_size=8
    )
    ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(MisuseError, match="has no batch normalisation, whose statistics stand in for the images"):
        load_classifier(tmp_path)


def test_a_classifier_of_one_class_is_refused(tmp_path: Path):
    classifier = small_classifier()
    network = classifier.network
    network.head = nn.Linear(network.head.in_features, 1)
    Classifier.of_encoder(network, ["all"]).save_pretrained(tmp_path)
    with pytest.raises(MisuseError, match="tells 1 class: name a classifier of two or more"):
        load_classifier(tmp_path)


def test_labels_that_do_not_fit_the_weights_are_refused(tmp_path: Path):
    small_classifier().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"classes": ["ant", "bee"]}))
    with pytest.raises(MisuseError, match=r"cannot be loaded .*size mismatch.*: restore it, or name another"):
        load_classifier(tmp_path)


def test_what_is_no_classifier_is_told_in_one_line(tmp_path: Path):
    with pytest.raises(MisuseError, match=r"holds no config\.json: name a folder of"):
        load_classifier(tmp_path)
    with pytest.raises(MisuseError, match="torchvision has no classifier called 'resnet9'"):
        load_classifier("torchvision:resnet9:weights.safetensors")
    small_classifier().save_pretrained(tmp_path)
    with pytest.raises(MisuseError, match="takes images of 16 px, not 32"):
        load_classifier(tmp_path, image_size=32)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(MisuseError, match="cannot be loaded"):
        load_classifier(tmp_path)
