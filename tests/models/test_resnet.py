import torch
import torch.nn.functional as F

from synthdata.models.resnet import SmallResNet


def test_a_shortcut_is_the_strided_convolution():
    torch.manual_seed(0)
    network = SmallResNet(channels=1, width=4)
    convolution = network.stages[1].downsample[0]
    features = torch.randn(2, 4, 7, 8)
    assert torch.allclose(convolution(features), F.conv2d(features, convolution.weight, stride=2), atol=1e-6)


def test_the_narrowest_networks_train():
    network = SmallResNet(channels=3, width=4)
    for _ in range(50):
        images = torch.randn(8, 3, 8, 8).to(memory_format=torch.channels_last)
        network(images).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
