"""``ro`` loads what Dagster loads under the name of the deployment's module, or says why not."""

import itertools
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from ro_platform.config.settings import Settings
from ro_platform.errors import SettingsError
from ro_platform.orchestration.code_location import load_definitions, workload_names

HEAD = """
import dagster as dg
from ro_platform.orchestration import govern

@dg.asset
def orders() -> list[int]:
    return [1]

def governed():
    return govern(dg.Definitions(assets=[orders], jobs=[dg.define_asset_job("shop")]))
"""
NUMBERS = itertools.count()
Deploy = Callable[..., Settings]


@pytest.fixture
def deploy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deploy:
    """A deployment whose module has this text, under a name that no other test has imported."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str, workspace: str = "", module: str = "") -> Settings:
        name = f"code_of_test_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(HEAD + text)
        if workspace:
            (tmp_path / "workspace.yaml").write_text(workspace.replace("MODULE", name))
        variables = {
            "RO_ROOT": str(tmp_path),
            "RO_HOME": str(tmp_path / "home"),
            "RO_DEFINITIONS_MODULE": module or name,
        }
        return Settings.load(variables, cwd=tmp_path)

    return write


@pytest.mark.parametrize(
    ("text", "workspace"),
    [
        ("defs = governed()", ""),
        ("@dg.definitions\ndef defs():\n    return governed()", ""),
        ("@dg.definitions\ndef project():\n    return governed()", ""),
        ("everything = governed()", ""),
        ("defs = governed()\nolder = dg.Definitions()", ""),
        (
            "defs = dg.Definitions()\nmine = governed()",
            "load_from:\n- python_module: {module_name: MODULE, attribute: mine}",
        ),
        (
            "@dg.definitions\ndef mine():\n    return governed()",
            (
                "load_from: [python_module: {module_name: x}, python_module: "
                "{module_name: MODULE, attribute: mine}]"
            ),
        ),
    ],
)
def test_what_dagster_loads_is_loaded(deploy: Deploy, text: str, workspace: str) -> None:
    """At once or lazily, as `defs`, as the only one, or as workspace.yaml names it."""
    assert workload_names(load_definitions(deploy(text, workspace))) == ["shop"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("defs = 1 / 0", "ZeroDivisionError: division by zero"),
        ("import a_module_that_nobody_has", "No module named 'a_module_that_nobody_has'"),
        ("defs = (", "SyntaxError"),
        ("@dg.definitions\ndef defs():\n    return governed", "must return a Definitions"),
        ("first = governed()\nsecond = dg.Definitions()", "more than one Definitions"),
        (
            (
                "jobs = [dg.define_asset_job('a'), dg.define_asset_job('a', selection=[orders])]\n"
                "defs = govern(dg.Definitions(assets=[orders], jobs=jobs))"
            ),
            "DagsterInvalidDefinitionError",
        ),
        ("@dg.repository\ndef defs():\n    return []", "RepositoryDefinition"),
        ("defs = dg.Definitions(jobs=[dg.define_asset_job('a', selection='b')])", "Dagster"),
    ],
)
def test_a_mistake_in_the_deployments_code_is_named_and_is_no_fault_of_the_program(
    deploy: Deploy, text: str, words: str
) -> None:
    """RO_SETTINGS with the module and the sentence of Dagster or Python; never a traceback."""
    settings = deploy(text)
    with pytest.raises(SettingsError) as refused:
        load_definitions(settings)
    assert words in str(refused.value)
    assert settings.definitions_module in str(refused.value)


def test_of_several_code_locations_the_setting_names_one(deploy: Deploy) -> None:
    """A module that is not there is answered with those that workspace.yaml loads."""
    two = "load_from:\n- python_module: shop\n- python_module: {module_name: MODULE}"
    with pytest.raises(SettingsError, match=r"workspace\.yaml loads: shop, code_of_test"):
        load_definitions(deploy("", two, module="nobody_has_this"))


def test_outside_of_a_deployment_the_next_step_is_to_go_there(deploy: Deploy) -> None:
    """No module and no workspace.yaml: the folder is the wrong one."""
    with pytest.raises(SettingsError, match="Run from the deployment's folder"):
        load_definitions(deploy("", module="nobody_has_this"))


def test_governed_definitions_may_be_merged_or_lazy_and_are_found_by_their_jobs(
    deploy: Deploy,
) -> None:
    """The plane asks the very definitions that it was put around for a job's own config."""
    found = load_definitions(deploy("@dg.definitions\ndef defs():\n    return governed()"))
    plane = (found.resources or {})["plane"]
    assert plane.declarations.job_of("shop").name == "shop"
    assert plane.declarations.job_of("nobody's") is None
    assert isinstance(found, dg.Definitions)
