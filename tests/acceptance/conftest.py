"""One finished run of each deployment, made once; tests that tamper get a copy."""

from pathlib import Path

import pytest

from tests.acceptance.product import (
    ROOT,
    TUTORIAL,
    Answer,
    Deployment,
    small_deployment,
    small_manifest,
)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, Answer]:
    """The reference workload on the tutorial's manifest, and what ``ro run`` said. Not to touch."""
    deployment = Deployment(ROOT, tmp_path_factory.mktemp("reference") / "home")
    answer = deployment.ro("run", TUTORIAL / "purchases.yaml")
    assert answer.code == 0, answer.err
    return deployment, answer


@pytest.fixture
def finished(first_run: tuple[Deployment, Answer], tmp_path: Path) -> Deployment:
    """The reference workload after one run: a copy of its state."""
    return first_run[0].copied_to(tmp_path / "home")


@pytest.fixture
def fresh(tmp_path: Path) -> Deployment:
    """The reference deployment before anything was done with it."""
    return Deployment(ROOT, tmp_path / "home")


@pytest.fixture
def small(tmp_path: Path) -> Deployment:
    """The small deployment before anything was done with it."""
    return small_deployment(tmp_path / "small")


@pytest.fixture(scope="session")
def small_first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Deployment, Path]:
    """The small deployment after one run, and its manifest. Not to touch."""
    folder = tmp_path_factory.mktemp("small")
    deployment = small_deployment(folder)
    manifest = small_manifest(folder / "manifests")
    answer = deployment.ro("run", manifest)
    assert answer.code == 0, answer.err
    return deployment, manifest


@pytest.fixture
def small_finished(
    small_first_run: tuple[Deployment, Path], tmp_path: Path
) -> tuple[Deployment, Path]:
    """The small deployment after one run, in folders of its own, and its manifest."""
    first, manifest = small_first_run
    copy = small_deployment(tmp_path / "small")
    return Deployment(copy.root, first.copied_to(copy.home).home), manifest
