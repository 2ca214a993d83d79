"""lightly's SimCLR on the positive pairs of an emitted dataset, in memory, with views of this package.

    python recipes/interop/lightly_simclr.py

Needs lightly: pip install lightly.
"""

import torch
import torchvision
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead

from synthdata.data import PairsConfig, load_pairs, to_float
from synthdata.views import RandomView, ViewConfig

pairs = load_pairs(PairsConfig("out/digits", kinds="pairs"))  # or "OWNER/NAME", from the Hub
view = RandomView(ViewConfig.weak(), pairs.image_size, pairs.channels)
backbone = torchvision.models.resnet18()
backbone.conv1 = torch.nn.Conv2d(pairs.channels, 64, 3, padding=1)  # a stem for small images
backbone.fc = torch.nn.Identity()
model = torch.nn.Sequential(backbone, SimCLRProjectionHead(512, 512, 128))
criterion = NTXentLoss(temperature=0.2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.06, momentum=0.9)
generator = torch.Generator().manual_seed(0)

for image_a, image_b in torch.utils.data.DataLoader(pairs, batch_size=32, shuffle=True, drop_last=True):
    view_a, view_b = view(to_float(image_a), generator), view(to_float(image_b), generator)
    loss = criterion(model(view_a), model(view_b))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"loss {loss.item():.3f}")
