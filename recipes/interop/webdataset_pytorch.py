"""SimCLR on positive pairs with webdataset and PyTorch, and no code of synthdata.

python recipes/interop/webdataset_pytorch.py
"""

from glob import glob

import torch
import torch.nn.functional as F
import webdataset as wds
from torchvision.transforms import v2

to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
view = v2.Compose([v2.RandomResizedCrop(16, (0.4, 1.0)), v2.ColorJitter(0.4, 0.4), *to_tensor])
pairs = wds.WebDataset(sorted(glob("out/digits/data/pairs/*.tar")), shardshuffle=100).shuffle(1000).decode("pil")
batches = pairs.to_tuple("a.png", "b.png").map_tuple(view, view).batched(32, partial=False)
convolutions = [torch.nn.Conv2d(3, 32, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(32, 64, 3, stride=2)]
encoder = torch.nn.Sequential(*convolutions, torch.nn.Flatten(), torch.nn.LazyLinear(64))
optimizer = torch.optim.Adam(encoder.parameters())

for view_a, view_b in torch.utils.data.DataLoader(batches, batch_size=None):
    embeddings = F.normalize(encoder(torch.cat([view_a, view_b])), dim=1)
    similarity = (embeddings @ embeddings.T / 0.2).fill_diagonal_(-torch.inf)
    loss = F.cross_entropy(similarity, torch.arange(64).roll(32))  # NT-Xent: row i belongs to row i ± 32
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"loss {loss.item():.3f}")
