"""Which room imports which: the arrows of the design, by what the source says, imports inside functions included."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from processes import REPOSITORY

PACKAGE = REPOSITORY / "synthdata"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


@cache
def imported(path: Path) -> frozenset[str]:
    """The modules of the package that a file imports, with the packages that lead to them."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written with the package's name"
            names |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
    parents = {name.rpartition(".")[0] for name in names}
    return frozenset((names | parents) & FILES.keys())


def reached(room: str) -> set[str]:
    """The rooms that a room imports, itself or by way of others."""
    found = {name for name in FILES if name.startswith(f"synthdata.{room}.")} | {f"synthdata.{room}"}
    waiting = list(found)
    while waiting:
        new = imported(FILES[waiting.pop()]) - found
        found |= new
        waiting += new
    return {name.split(".")[1] for name in found if name.count(".")} - {room}


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("objectives", {"training", "data", "emission", "publishing"}),
        ("models", {"training"}),
        ("comparison", set(ROOMS)),
        ("emission", {"training", "publishing", "takedown"}),
        ("publishing", {"models", "training", "takedown"}),
        ("training", {"takedown"}),
    ],
)
def test_arrows_point_one_way(room: str, never: set[str]) -> None:
    assert not reached(room) & never


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "benchmarks"])
def test_no_room_imports_what_measures(room: str) -> None:
    assert "benchmarks" not in reached(room)


def test_only_the_benchmark_recipe_imports_what_measures() -> None:
    programs = [*PACKAGE.glob("*.py"), *(REPOSITORY / "recipes").rglob("*.py")]
    measuring = [path.name for path in programs if any("synthdata.benchmarks" in name for name in imported(path))]
    assert measuring == ["benchmark.py"]


def test_the_arrows_are_seen_where_they_are() -> None:
    """The reading of the source finds imports that are known to be there."""
    assert {"models", "data", "views", "objectives"} <= reached("training")
    assert "synthdata.data.digits" in imported(PACKAGE / "data" / "load.py")  # inside a function


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_on_its_door_what_comes_in_what_goes_out_and_who_may_call_it(room: str) -> None:
    door = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text())) or ""
    for words in (r"\bcomes?\b|\bin\b", r"\bout\b", r"\bcalls?\b|\bcaller\b"):
        assert re.search(words, door), f"{room}: {words}"


def test_only_one_file_reads_which_process_of_a_launcher_this_is() -> None:
    programs = [*PACKAGE.rglob("*.py"), *(REPOSITORY / "recipes").rglob("*.py")]
    reading = [path.name for path in programs if re.search(r"\b(LOCAL_)?(RANK|WORLD_SIZE)\b", path.read_text())]
    assert reading == ["processes.py"]
