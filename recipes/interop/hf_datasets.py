"""Contrastive learning on positive pairs read by `datasets`, and no code of synthdata.

In random access with `set_transform`, then streamed, where the transform is a `map`.

    python recipes/interop/hf_datasets.py
"""

from itertools import chain

import torch
import torch.nn.functional as F
from datasets import load_dataset
from torch.utils.data import DataLoader
from torchvision.transforms import v2

to_tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
view = v2.Compose([v2.RandomResizedCrop(16, (0.4, 1.0)), v2.ColorJitter(0.4, 0.4), *to_tensor])


def two_views(rows):
    return {name: [view(image) for image in rows[name]] for name in ("a.png", "b.png")}


pairs = load_dataset("out/digits", "pairs", split="train")
pairs.set_transform(two_views)
streamed = load_dataset("out/digits", "pairs", split="train", streaming=True).shuffle(seed=0, buffer_size=1000)
streamed = streamed.map(two_views, batched=True, batch_size=32)
encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(256), torch.nn.ReLU(), torch.nn.Linear(256, 64))
optimizer = torch.optim.Adam(encoder.parameters())
for batch in chain(DataLoader(pairs, batch_size=32, shuffle=True), DataLoader(streamed, batch_size=32)):
    embeddings_a, embeddings_b = (F.normalize(encoder(batch[name]), dim=1) for name in ("a.png", "b.png"))
    loss = F.cross_entropy(embeddings_a @ embeddings_b.T / 0.2, torch.arange(len(embeddings_a)))
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"loss {loss.item():.3f}")
