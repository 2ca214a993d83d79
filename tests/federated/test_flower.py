"""The same rounds on Flower: simulated for real, and what is told of nodes that are not there."""

import importlib
import os
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import REPOSITORY
from safetensors.torch import load_file
from small_federations import SMALL_FEDERATION

from synthdata.configuration import parse
from synthdata.errors import FailureError, MisuseError
from synthdata.federated import FederatedConfig, federate
from synthdata.training.run_directory import flatten

APP = REPOSITORY / "recipes" / "federated-app"
# Flower reads these as it is loaded; nothing here may ask the network.
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}
# one of two clients is lost in either round
SETTINGS = SMALL_FEDERATION | {"rounds": 1, "seed": 1, "train.dropout": 0.2}


@pytest.fixture
def flower() -> Any:
    pytest.importorskip("flwr", reason="pip install '.[federated]': flwr is not installed")
    return importlib.import_module("synthdata.federated.flower")


def flags_of(output_dir: Path) -> list[str]:
    return [f"--{key}={value}" for key, value in (SETTINGS | {"output_dir": output_dir}).items()]


def test_two_simulated_rounds_end_with_the_weights_of_two_rounds_in_this_process(flower: Any, tmp_path: Path) -> None:
    from flwr.simulation import run_simulation

    there, here = flags_of(tmp_path / "there"), flags_of(tmp_path / "here")
    machine = {"address": "local", "num_cpus": 2, "include_dashboard": False}  # not the Ray of another test
    resources = {"client_resources": {"num_cpus": 2, "num_gpus": 0.0}, "init_args": machine}
    run_simulation(flower.server_app(there), flower.client_app(there), num_supernodes=4, backend_config=resources)
    report = federate(parse(FederatedConfig, "", here))
    assert report["updates_left_out"] == 2
    simulated, expected = (load_file(tmp_path / name / "classifier/model.safetensors") for name in ("there", "here"))
    assert simulated.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(simulated[name], value, rtol=0, atol=1e-6, msg=name)
    finished = parse(FederatedConfig, "", [*there, "--resume=true"])
    assert federate(finished)["updates_left_out"] == 2


def test_a_node_that_fails_or_does_not_answer_is_told_as_such(flower: Any) -> None:
    from flwr.app import Error, Message, RecordDict

    sent = Message(RecordDict(), 7, "train")
    failed = Message(Error(3, "out of memory"), reply_to=sent)
    assert flower._read(failed, torch.device("cpu")) == "Flower tells error 3 of it: out of memory"
    assert flower._read(None, torch.device("cpu")) == "it did not answer within 3600 s"


def test_clients_that_do_not_connect_are_named(flower: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Empty:
        def get_node_ids(self) -> list[int]:
            return []

    monkeypatch.setattr(flower, "CONNECT_SECONDS", -1.0)
    with pytest.raises(FailureError, match=r"4 of 4 clients did not connect .* partition-id 0: start their nodes"):
        flower._connected(Empty(), 4)


def test_the_app_has_the_settings_of_the_recipe_on_digits(flower: Any) -> None:
    with (APP / "pyproject.toml").open("rb") as file:
        app = tomllib.load(file)["tool"]["flwr"]["app"]
    told = parse(FederatedConfig, "", list(flower.settings_of(flatten(app["config"]))))
    digits = APP.parent / "configs" / "federated" / "digits.yaml"
    recipe = parse(FederatedConfig, "", [f"--config={digits}", "--method=mfcl", f"--output_dir={told.output_dir}"])
    assert told == recipe


def test_the_app_names_programs_that_there_are(flower: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(APP))
    with (APP / "pyproject.toml").open("rb") as file:
        components = tomllib.load(file)["tool"]["flwr"]["app"]["components"]
    for component in components.values():
        module, _, name = component.partition(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_without_flower_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    monkeypatch.delitem(sys.modules, "synthdata.federated.flower", raising=False)
    with pytest.raises(MisuseError, match=r"Flower cannot be loaded .* pip install -e '.\[federated\]'"):
        importlib.import_module("synthdata.federated.flower")
