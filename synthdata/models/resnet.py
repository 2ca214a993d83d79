"""A residual network small enough to train on a CPU."""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class SmallResNet(nn.Module):
    """ResNet of three stages for images of up to 64 px (He et al., CVPR 2016, section 4.2).

    Args:
        channels: channels of the images.
        width: channels of the first stage; the second and third have twice and four times as many.
        blocks: residual blocks of a stage; the network has ``6 · blocks + 2`` layers.
    """

    def __init__(self, channels: int, width: int = 16, blocks: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        stages: list[nn.Module] = []
        inputs = width
        for stage, stride in enumerate((1, 2, 2)):
            outputs = width * 2**stage
            for block in range(blocks):
                stages.append(_block(inputs, outputs, stride if block == 0 else 1))
                inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.out_features = inputs

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) to features (N, ``out_features``)."""
        return F.adaptive_avg_pool2d(self.stages(self.stem(images)), 1).flatten(1)


class _PointwiseConv2d(nn.Conv2d):
    """A 1 × 1 convolution that leaves out pixels before it looks at the others.

    Told to do so by its stride, oneDNN (torch 2.14 and 2.15, CPUs with AVX2 alone) writes past the end of its buffers
    when there are fewer than 8 channels.
    """

    def forward(self, input: Tensor) -> Tensor:
        down, across = self.stride
        return F.conv2d(input[:, :, ::down, ::across], self.weight)


def _block(inputs: int, outputs: int, stride: int) -> BasicBlock:
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(_PointwiseConv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
    return BasicBlock(inputs, outputs, stride, downsample)
