"""Real images in: folders, Parquet and Hugging Face datasets, WebDataset shards, torchvision, the built-in digits."""

from synthdata.data.config import DataConfig
from synthdata.data.images import Images, RealData
from synthdata.data.load import load_images
from synthdata.data.pairs import Pairs, PairsConfig, ShuffledRows, load_pairs
from synthdata.data.pixels import to_float, to_uint8
from synthdata.data.sampling import shuffled_indices
from synthdata.data.stream import stream, stream_pairs

__all__ = [
    "DataConfig",
    "Images",
    "Pairs",
    "PairsConfig",
    "RealData",
    "ShuffledRows",
    "load_images",
    "load_pairs",
    "shuffled_indices",
    "stream",
    "stream_pairs",
    "to_float",
    "to_uint8",
]
