"""What every strategy has to be, so that the room stays small."""

import ast
import inspect
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from synthdata.construction.config import STRATEGIES
from synthdata.construction.relation import Relation

HERE = Path(__file__).parent
LONGEST = 200
PROVIDED = {"numpy", "scikit-learn", "scipy"}
"""Libraries for arithmetic that come with the package; scipy comes with scikit-learn."""


def source(name: str) -> Path:
    strategy = next(base for base in STRATEGIES[name].__mro__ if base.__name__.lower() == name.replace("_", ""))
    return Path(inspect.getfile(strategy))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_is_a_file_of_its_name_with_fewer_than_200_lines(name: str):
    assert source(name).name == f"{name}.py"
    assert len(source(name).read_text().splitlines()) < LONGEST


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_imports_arithmetic_and_this_package_alone(name: str):
    imported = set()
    for node in ast.walk(ast.parse(source(name).read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module))
    outside = {module.partition(".")[0] for module in imported} - set(sys.stdlib_module_names)
    assert outside <= {"numpy", "scipy", "sklearn", "synthdata"}
    assert not any(
        module.startswith(("synthdata.training", "synthdata.objectives", "synthdata.models")) for module in imported
    )


def test_what_strategies_import_is_installed_with_the_package():
    hard = {Requirement(line).name for line in requires("synthdata") or [] if "extra" not in line}
    assert PROVIDED - {"scipy"} <= hard
    assert "scipy" in {Requirement(line).name for line in requires("scikit-learn") or [] if "extra" not in line}


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_a_planted_test_with_a_negative_control(name: str):
    tests = (HERE / f"test_{name}.py").read_text()
    titles = [node.name for node in ast.parse(tests).body if isinstance(node, ast.FunctionDef)]
    assert any("planted" in title or "tell_quality" in title for title in titles)
    controls = ("control", "random_one", "shuffled", "no_rule", "elsewhere")
    assert any(word in title for title in titles for word in controls)


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_has_the_methods_of_one(name: str):
    config = STRATEGIES[name]()
    assert config.name == name
    assert all(isinstance(column, str) for column in config.needs)
    for method in ("units", "propose", "audit"):
        assert callable(getattr(config, method))


def test_the_row_of_a_relation_is_what_the_card_explains():
    template = (HERE.parents[1] / "cards" / "templates" / "relations.md").read_text()
    for column in Relation.__dataclass_fields__:
        assert f"}}}}{column}`" in template
