"""Who may import whom, read from the source; and what an import really loads."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("augment", "recognizers", "serving", "jobs")

MAY_IMPORT = {
    "augment": {"augment"},
    "recognizers": {"recognizers", "augment"},
    "serving": {"serving", "recognizers", "augment"},
    "jobs": {"jobs", "recognizers", "augment"},
}

# Inside augment a file imports from its own layer and the ones above it in this list.
LAYERS = (
    ("augment.config", "augment.errors", "augment.files", "augment.images"),
    (
        "augment.comparators",
        "augment.data",
        "augment.diffaugment",
        "augment.layers",
        "augment.losses",
        "augment.phases",
    ),
    ("augment.models", "augment.restoration"),
    (
        "augment.attributes",
        "augment.autoencoders",
        "augment.bundle",
        "augment.candidates",
        "augment.draws",
        "augment.editing",
        "augment.export",
        "augment.feature_networks",
        "augment.generate",
        "augment.generators",
        "augment.journal",
        "augment.network",
        "augment.training",
    ),
)

ONE_HOME = {
    "albumentations": {"augment/data/transforms.py"},  # its MIT line has ended: keep it replaceable
}


def source_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


ALL_FILES = [path for package in PACKAGES for path in source_files(package)]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> set[str]:
    """Every module named by an import statement, at any depth of the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write absolute imports, found a relative one"
            assert node.module is not None
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def layer_of(module: str) -> int | None:
    for rank, names in enumerate(LAYERS):
        if any(module == name or module.startswith(f"{name}.") for name in names):
            return rank
    return None


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_import_only_what_they_may(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    roots = {module.partition(".")[0] for module in imports_of(path)}
    assert roots & set(PACKAGES) <= MAY_IMPORT[package]
    if package not in ("serving", "jobs"):
        assert "ray" not in roots, "ray belongs in serving/ and jobs/ only"


@pytest.mark.parametrize(
    "path", source_files("augment"), ids=lambda path: str(path.relative_to(ROOT))
)
def test_augment_files_import_from_their_own_layer_or_a_lower_one(path: Path) -> None:
    own = layer_of(name_of(path))
    if path.name == "__init__.py" and own is None:
        return  # the package itself may gather names from everywhere
    assert own is not None, f"give {name_of(path)} a place in LAYERS"
    for module in imports_of(path):
        other = layer_of(module)
        if other is not None:
            assert other <= own, f"{name_of(path)} must not import {module}, which is above it"


@pytest.mark.parametrize("library", sorted(ONE_HOME))
def test_replaceable_libraries_are_imported_in_one_file_only(library: str) -> None:
    users = {
        path.relative_to(ROOT).as_posix()
        for path in ALL_FILES
        if library in {module.partition(".")[0] for module in imports_of(path)}
    }
    assert users <= ONE_HOME[library]


def test_no_file_is_longer_than_a_head_can_hold() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in ALL_FILES
    }
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_importing_augment_and_recognizers_does_not_load_ray() -> None:
    modules = [
        name_of(path) for package in ("augment", "recognizers") for path in source_files(package)
    ]
    program = "import importlib, sys\n"
    program += f"for name in {modules!r}: importlib.import_module(name)\n"
    program += "sys.exit('ray was loaded' if 'ray' in sys.modules else 0)"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
