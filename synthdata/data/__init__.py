"""Real images in, and emitted datasets in.

In comes a ``DataConfig`` that names a source (folders, Parquet and Hugging Face datasets, WebDataset shards,
torchvision, the built-in digits), or a ``PairsConfig`` that names an emitted dataset; out come uint8 images of one
size, indexed and divided into splits (``load_images``), rows of hard samples and pairs (``load_pairs``), and
reproducible orders and streams of both. Any room but objectives and views may call it; it knows nothing of models.
"""

from synthdata.data.config import DataConfig
from synthdata.data.identity import image_identity
from synthdata.data.images import Images, RealData
from synthdata.data.load import load_images
from synthdata.data.negatives import Negatives, load_negatives
from synthdata.data.pairs import Pairs, PairsConfig, ShuffledRows, load_pairs
from synthdata.data.pixels import to_float, to_uint8
from synthdata.data.sampling import shuffled_indices
from synthdata.data.stream import stream, stream_pairs

__all__ = [
    "DataConfig",
    "Images",
    "Negatives",
    "Pairs",
    "PairsConfig",
    "RealData",
    "ShuffledRows",
    "image_identity",
    "load_images",
    "load_negatives",
    "load_pairs",
    "shuffled_indices",
    "stream",
    "stream_pairs",
    "to_float",
    "to_uint8",
]
