"""`synthdata push-model`, and the clients that load what it pushed."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from synthdata.models import Encoder

from .conftest import Run
from .server import LoopbackHub

LOAD = """
import json, torch
from diffusers import DiffusionPipeline
from synthdata.models import Encoder
encoder = Encoder.from_pretrained("ada/encoder", revision="v2").eval()
with torch.no_grad():
    embedding = encoder(torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16))
pipeline = DiffusionPipeline.from_pretrained("ada/generator")
images = pipeline(generator=torch.Generator().manual_seed(0), num_inference_steps=2, output_type="np").images
print(json.dumps([embedding.tolist(), type(pipeline).__name__, images.tolist()]))
"""


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    Encoder("resnet8", image_size=16, channels=1, width=4).save_pretrained(tmp_path / "run" / "encoder")
    return tmp_path / "run" / "encoder"


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "block_out_channels": (8,)}
    unet = UNet2DModel(8, in_channels=1, out_channels=1, layers_per_block=1, norm_num_groups=4, **blocks)
    DDPMPipeline(unet, DDPMScheduler(10)).save_pretrained(tmp_path / "run" / "generator")
    return tmp_path / "run" / "generator"


def test_pushed_models_load_by_name(run: Run, encoder: Path, generator: Path) -> None:
    pushed = run("synthdata", "push-model", encoder, "ada/encoder", "--private", "--revision", "v2")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    assert pushed.stdout == 'Encoder.from_pretrained("ada/encoder", revision="v2")\n'
    pushed = run("synthdata", "push-model", generator, "ada/generator")
    assert (pushed.returncode, pushed.stderr) == (0, "")
    assert pushed.stdout == 'DiffusionPipeline.from_pretrained("ada/generator")\n'

    loaded = run("python", "-c", LOAD, USE_TORCH=None)
    assert loaded.returncode == 0, loaded.stderr
    embedding, name, images = json.loads(loaded.stdout)
    local = Encoder.from_pretrained(encoder).eval()
    with torch.no_grad():
        expected = local(torch.linspace(-1, 1, 256).reshape(1, 1, 16, 16))
    assert torch.tensor(embedding) == pytest.approx(expected, abs=1e-5)
    assert name == "DDPMPipeline"
    random = torch.Generator().manual_seed(0)
    pipeline = DDPMPipeline.from_pretrained(generator)
    assert images == pytest.approx(pipeline(generator=random, num_inference_steps=2, output_type="np").images, abs=1e-5)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "modeling.py"])
def test_what_could_run_code_is_not_pushed(run: Run, hub: LoopbackHub, encoder: Path, name: str) -> None:
    (encoder / name).write_bytes(b"\x80\x02.")
    pushed = run("synthdata", "push-model", encoder, "ada/foreign")
    assert pushed.returncode == 2
    assert pushed.stderr.count("\n") == 1
    assert name in pushed.stderr
    assert hub.requests == []
