"""A residual network small enough to train on a CPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class SmallResNet(nn.Module):
    """ResNet of three stages for images of up to 64 px (He et al., CVPR 2016, section 4.2).

    Args:
        channels: channels of the images.
        width: channels of the first stage; the second and third have twice and four times as many.
        blocks: residual blocks of a stage; the network has ``6 · blocks + 2`` layers.
        whiten: whether a frozen ``Whitening`` is before the first layer, which then looks at single pixels.
    """

    def __init__(self, channels: int, width: int = 16, blocks: int = 1, whiten: bool = False) -> None:
        super().__init__()
        if whiten:
            whitening = Whitening(channels)
            first = [whitening, nn.ReLU(), nn.Conv2d(whitening.out_channels, width, 1, bias=False)]
        else:
            first = [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        self.stem = nn.Sequential(*first, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
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


class Whitening(nn.Conv2d):
    """Frozen filters of 3 × 3 px that whiten patches: the eigenvectors of their covariance, and their negatives.

    After David Page, "How to Train Your ResNet 8" (2019), and Jordan, arXiv 2404.00498, section 3.2.

    Args:
        channels: C, channels of the images; there are 18 · C filters.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 18 * channels, 3, padding=1, bias=False)
        self.weight.requires_grad_(False)

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Set the filters from the patches of ``images`` (N, C, H, W) in [−1, 1]."""
        patches = F.unfold(images, 3).transpose(1, 2).flatten(0, 1)
        variances, directions = torch.linalg.eigh(torch.cov(patches.double().T))
        # Which of the two signs comes out may differ between machines, and so between the processes of a training.
        directions = directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
        # Directions without variance, as those between the colours of a grey image, would be noise made large.
        filters = (directions / (variances + 0.01).sqrt()).T.reshape(-1, *self.weight.shape[1:])
        self.weight.copy_(torch.cat([filters, -filters]))


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
