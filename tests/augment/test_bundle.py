import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from augment.bundle import (
    CARD_FILE,
    MEASURES_FILE,
    Registry,
    load_bundle,
    load_tensors,
    open_bundle,
    save_bundle,
)
from augment.errors import BundleError, BundleNotFoundError, ConfigError
from augment.generators import load_sampler


@pytest.fixture
def folder(demo_registry: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(Registry(demo_registry).fetch("digits"), tmp_path / "bundle"))


def change_config(folder: Path, **changes) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_bundle_describes_its_classes_size_and_data(folder):
    info = load_bundle(folder)
    assert info.classes == tuple("0123456789")
    assert (info.image_size, info.channels, info.architecture) == ((16, 16), 1, "saae")
    assert info.data["images"] == 60
    assert set(info.files) == {"model.safetensors", "samples.png"}


def test_equal_bundles_have_equal_digests_and_other_data_another(folder):
    digest = load_bundle(folder).digest
    assert load_sampler(folder).digest == digest
    change_config(folder, data={"uri": "digits:", "digest": "other"})
    assert load_bundle(folder).digest != digest


def test_weights_of_another_network_are_an_error_that_says_what_to_do(folder):
    change_config(folder, classes=list("01234"))
    with pytest.raises(BundleError, match="train it again"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "samples.png"])
def test_a_changed_byte_is_an_error_that_names_the_file(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(bytes(data))
    with pytest.raises(BundleError, match=name):
        load_bundle(folder)


def test_a_missing_file_is_an_error_that_names_it(folder):
    (folder / "samples.png").unlink()
    with pytest.raises(BundleError, match=r"samples\.png, found none"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"colour": 1}, "unknown setting colour"),
        ({"model": {"widht": 3}}, "unknown setting model.widht"),
        ({"sampling": {"warp": 7.0}}, "warp must be in"),
        ({"architecture": "gpt"}, "architecture must be one of .*saae"),
        ({"format": 9}, "format must be 1"),
        ({"classes": "0123"}, "classes must be a list"),
    ],
)
def test_unknown_keys_and_values_are_named(folder, changes, named):
    change_config(folder, **changes)
    with pytest.raises(BundleError, match=named):
        load_bundle(folder)


def test_a_description_that_is_not_json_is_refused(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(BundleError):
        load_bundle(folder)


def test_a_folder_without_a_bundle_says_how_to_make_one(tmp_path):
    with pytest.raises(BundleNotFoundError, match=r"jobs\.train"):
        load_bundle(tmp_path)


@pytest.fixture(params=["local", "memory"])
def registry(request, tmp_path) -> Registry:
    root = tmp_path / "registry" if request.param == "local" else f"memory://{tmp_path}/registry"
    return Registry(root)


def test_publishing_numbers_versions_and_the_newest_is_the_default(registry, folder):
    assert [registry.publish("digits", folder) for _ in range(2)] == ["digits/1", "digits/2"]
    assert registry.names() == ["digits"]
    assert registry.resolve("digits") == ("digits", 2)
    assert registry.resolve("digits/1") == ("digits", 1)
    assert load_bundle(registry.fetch("digits")).digest == load_bundle(folder).digest


def test_a_version_without_its_description_does_not_exist_yet(folder, tmp_path):
    registry = Registry(tmp_path / "registry")
    registry.publish("digits", folder)
    shutil.copytree(tmp_path / "registry/digits/1", tmp_path / "registry/digits/2")
    (tmp_path / "registry/digits/2/config.json").unlink()
    assert registry.versions("digits") == [1]


def test_what_is_not_there_is_an_error_that_lists_what_is(registry, folder):
    with pytest.raises(BundleNotFoundError, match="none"):
        registry.fetch("digits")
    registry.publish("digits", folder)
    with pytest.raises(BundleNotFoundError, match="bundles there: digits"):
        registry.fetch("letters")
    with pytest.raises(BundleNotFoundError, match="versions there: 1"):
        registry.fetch("digits/7")
    with pytest.raises(BundleNotFoundError):
        registry.fetch("../digits")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b"])
def test_names_that_could_escape_the_registry_are_refused(registry, folder, name):
    with pytest.raises(ConfigError):
        registry.publish(name, folder)


def test_a_damaged_bundle_is_not_published(registry, folder):
    (folder / "samples.png").write_bytes(b"")
    with pytest.raises(BundleError):
        registry.publish("digits", folder)
    assert registry.names() == []


def test_notes_beside_a_bundle_travel_with_it_and_change_no_digest(registry, folder):
    digest = load_bundle(folder).digest
    (folder / CARD_FILE).write_text("first")
    registry.publish("digits", folder)
    assert (registry.fetch("digits") / CARD_FILE).read_text() == "first"
    registry.annotate("digits", {CARD_FILE: "second", MEASURES_FILE: "{}"})
    kept = registry.files.cat_file(f"{registry.path}/digits/1/{CARD_FILE}")
    assert kept == b"second"
    assert registry.files.exists(f"{registry.path}/digits/1/{MEASURES_FILE}")
    assert load_bundle(registry.fetch("digits/1")).digest == digest
    with pytest.raises(BundleNotFoundError):
        registry.annotate("digits/2", {CARD_FILE: ""})


def test_a_bundle_written_over_an_annotated_one_leaves_the_notes_out_of_its_digest(folder):
    (folder / CARD_FILE).write_text("a card")
    info = load_bundle(folder)
    samples = np.zeros((8, 8, 1), np.uint8)
    assert CARD_FILE not in save_bundle(folder, info, load_tensors(folder), samples).files
