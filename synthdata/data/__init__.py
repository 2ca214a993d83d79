"""Real images in: folders, Parquet and Hugging Face datasets, WebDataset shards, torchvision, the built-in digits."""

from synthdata.data.config import DataConfig
from synthdata.data.images import Images, RealData
from synthdata.data.load import load_images
from synthdata.data.pixels import to_float, to_uint8
from synthdata.data.sampling import shuffled_indices
from synthdata.data.stream import stream

__all__ = ["DataConfig", "Images", "RealData", "load_images", "shuffled_indices", "stream", "to_float", "to_uint8"]
