"""Real bundles of every architecture: what is loaded, what they offer, new identities."""

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from augment.bundle import Registry, load_bundle
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.errors import ConfigError, RequestError
from augment.generators import GENERATORS
from augment.generators.base import write_bundle
from augment.images import encode_png
from serving.app import build, create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.generation import Chunk
from serving.models import Models, abilities_of, load_model
from serving.schemas import ServeArguments

TINY = {
    "cvae_gan": (
        "labelmint",
        ["model.width=4", "model.latent_dim=6", "model.label_dim=5", "model.classifier_steps=1"],
    ),
    "masked_vae": ("labelmint", ["model.hidden_dim=16", "model.latent_dim=8"]),
    "saae": ("labelmint", ["model.width=4", "model.style_dim=8"]),
    "vae_gan": ("labelmint", ["model.width=4", "model.hidden=8", "model.latent_dim=6"]),
}
STYLE = base64.b64encode(encode_png(np.full((8, 8, 3), 90, np.uint8))).decode()
IMAGES = ("reconstruct", "morph", "inpaint", "super-resolve")
OFFERED = {
    "cvae_gan": ("generate", "new-identities", *IMAGES),
    "masked_vae": IMAGES,
    "saae": ("generate",),
    "vae_gan": ("generate", *IMAGES, "edit"),
}


@pytest.fixture(scope="module")
def real_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with an untrained bundle of every architecture."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 256, (20, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    plain = LabelledImages.from_arrays(images, np.repeat(np.arange(5), 4), tuple("abcde"))
    with_attributes = LabelledImages.from_arrays(
        images,
        plain.labels,
        plain.classes,
        attributes=np.where(np.arange(40).reshape(20, 2) % 3 == 0, 1, -1).astype(np.int8),
        attribute_names=("Smiling", "Eyeglasses"),
    )
    root = tmp_path_factory.mktemp("real")
    kinds = [(name, name, with_attributes if name == "vae_gan" else plain) for name in TINY]
    for name, architecture, data in (*kinds, ("vae_gan_classes", "vae_gan", plain)):
        variant, settings = TINY[architecture]
        config = with_overrides(GENERATORS[architecture][variant], settings)
        write_bundle(root / name, config.build_model(data).eval(), data, config)
        Registry(root / "registry").publish(name, root / name)
    return root / "registry"


@pytest.fixture(scope="module")
def backend(real_registry: Path) -> LocalBackend:
    arguments = ServeArguments(registry=str(real_registry), batch_size=8, compile=False)
    return LocalBackend(Models(arguments))


@pytest.fixture
def client(real_registry: Path, backend: LocalBackend, make_client: Callable[..., Any]) -> Any:
    return make_client(create_app(Catalog(str(real_registry)), backend))


@pytest.mark.parametrize("name", TINY)
def test_what_a_bundle_offers_is_what_is_loaded_over_one_network(
    real_registry: Path, backend: LocalBackend, name: str
) -> None:
    folder = real_registry / name / "1"
    assert abilities_of(load_bundle(folder), folder).capabilities == OFFERED[name]
    model = backend.models.model(f"{name}/1")
    assert (model.sampler is not None) == ("generate" in OFFERED[name])
    able = () if model.editor is None else model.editor.capabilities
    assert able == tuple(w for w in OFFERED[name] if w not in ("generate", "new-identities"))
    if model.sampler is not None and model.editor is not None:
        assert model.sampler.model is model.editor.model


def test_a_bundle_that_draws_nothing_is_listed_ready_and_says_so(client: Any) -> None:
    assert "masked_vae/1" in client.get("/healthz").json()["models"]
    answer = client.post("/v1/models/masked_vae/generate", json={"labels": {"a": 1}})
    assert answer.status_code == 422
    message = answer.json()["error"]["message"]
    assert "masked_vae/1 (masked_vae) offers no generate; it offers: reconstruct" in message
    styled = {"labels": {"a": 1}, "style": {"index": 0}}
    assert client.post("/v1/models/masked_vae/generate", json=styled).status_code == 422


@pytest.mark.parametrize("style", [{"index": 0}, {"images": [STYLE]}], ids=["index", "images"])
def test_a_style_in_which_all_labels_would_be_the_same_is_refused(client: Any, style: Any) -> None:
    asked = {"style": style, "read_back": False}
    body = {**asked, "labels": {"a": 1, "d": 1}}
    answer = client.post("/v1/models/vae_gan_classes/generate", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["type"] == "RequestError"
    assert "expected no style: this bundle (vae_gan)" in answer.json()["error"]["message"]
    body = {**asked, "labels": {"Smiling": 1, "Eyeglasses": 1}}
    assert client.post("/v1/models/vae_gan/generate", json=body).status_code == 200


def test_a_morph_between_labels_is_repeated_by_its_seed(client: Any) -> None:
    path, body = "/v1/models/cvae_gan/morph", {"labels": ["a", "d"], "steps": 3}
    drawn = client.post(path, json=body)
    assert drawn.status_code == 200
    again = client.post(path, json={**body, "seed": int(drawn.headers["x-seed"])})
    assert again.content == drawn.content
    assert client.post(path, json={**body, "seed": 1}).content != drawn.content


def test_a_label_says_of_whom_an_image_is(client: Any) -> None:
    image = encode_png(np.full((32, 32, 3), 90, np.uint8))

    def rebuilt(**data: str) -> Any:
        path = "/v1/models/cvae_gan/reconstruct"
        return client.post(path, files={"image": image}, data=data)

    answers = [rebuilt(), rebuilt(label="a"), rebuilt(label="b")]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len({answer.content for answer in answers}) == 3
    assert rebuilt(label="z").json()["error"]["type"] == "LabelError"


def generate(client: Any, **body: Any) -> Any:
    return client.post("/v1/models/cvae_gan/generate", json={"seed": 3, **body})


def test_new_identities_are_named_and_not_read_back(client: Any) -> None:
    answer = generate(client, new_identities=3, per_label=4)
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        *rows, last = map(json.loads, archive.read("manifest.jsonl").decode().splitlines())
    names = [f"new-000{i}" for i in (1, 2, 3) for _ in range(4)]
    assert [row["label"] for row in rows] == names
    assert {row["confidence"] for row in rows} == {None}
    assert last["summary"]["read_back"] is False
    assert (last["summary"]["new_identities"], last["summary"]["kept"]) == (3, 12)
    assert answer.headers["x-kept"] == "12"


def test_a_new_identity_depends_on_the_seed_and_its_number_alone(client: Any) -> None:
    def images(**body: Any) -> dict[tuple[str, int], str]:
        told = generate(client, format="json", **body).json()["images"]
        return {(image["label"], image["index"]): image["sha256"] for image in told}

    few, more = images(new_identities=2, per_label=2), images(new_identities=6, per_label=3)
    assert few.items() <= more.items()
    assert not few.items() & images(new_identities=2, per_label=2, seed=4).items()
    assert images(new_identities=2, per_label=2) == few


def test_new_identities_share_a_batch_with_others_and_leave_them_as_they_are(
    backend: LocalBackend,
) -> None:
    chunks = [
        Chunk("cvae_gan/1", np.array([0, 1]), np.array([0, 0]), 3, False, new_identities=count)
        for count in (2, None)
    ]
    together = backend.generation.draw(chunks)
    alone = [backend.generation.draw([chunk])[0] for chunk in chunks]
    assert [d.records for d in together] == [d.records for d in alone]
    assert [r.label for d in alone for r in d.records] == ["new-0001", "new-0002", "a", "b"]


def test_a_bundle_without_new_identities_says_so(client: Any, backend: LocalBackend) -> None:
    answer = client.post("/v1/models/vae_gan/generate", json={"new_identities": 2})
    assert answer.status_code == 422
    assert "offers no new-identities" in answer.json()["error"]["message"]
    chunk = Chunk("vae_gan/1", np.array([0]), np.array([0]), 3, False, new_identities=1)
    with pytest.raises(RequestError, match="draws no new identities"):
        backend.generation.check(chunk)
    with pytest.raises(RequestError, match="draws no labelled images"):
        backend.generation.check(Chunk("masked_vae/1", np.array([0]), np.array([0]), 3, False))


def test_a_face_detector_that_does_not_load_stops_the_service_at_its_start(
    real_registry: Path, tmp_path: Path
) -> None:
    for file in (tmp_path / "none.onnx", real_registry / "saae" / "1" / "config.json"):
        arguments = ServeArguments(registry=str(real_registry), face_detector=str(file))
        for start in (build, Models):
            with pytest.raises(ConfigError, match="YuNet"):
                start(arguments)


def test_a_face_detector_is_given_to_every_editor(
    real_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Finder:
        def find(self, image: np.ndarray) -> Any:
            asked.append(image.shape)
            raise RequestError("expected one face")

    monkeypatch.setattr("serving.models.FaceDetector.load", lambda file: Finder())
    arguments = ServeArguments(registry=str(real_registry), face_detector="x", compile=False)
    editor = Models(arguments, load_model).model("vae_gan/1").editor
    assert editor is not None
    with pytest.raises(RequestError, match="expected one face"):
        editor.reconstruct([np.zeros((99, 99, 3), np.uint8)])
    assert asked == [(99, 99, 3)]
