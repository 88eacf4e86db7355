"""Faces that the service has to find, by a detector whose answers are known."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from sent_images import FLAT, HOLE, NOISE, at, b64, pixels_of, png, refusal

from augment.errors import RequestError
from augment.restoration.faces import FaceBox
from serving.app import create_app
from serving.catalog import Catalog
from serving.fulfilment import LocalBackend
from serving.models import Models
from serving.schemas import ServeArguments


class KnownFinder:
    """Finds as many faces as the first level says; one lies at the left top and beyond."""

    def find(self, image: np.ndarray) -> FaceBox:
        count = int(image[0, 0, 0])
        if count != 1:
            raise RequestError(f"expected one face in the image, found {count or 'none'}.")
        return FaceBox(-4, -4, 28, 28)


@pytest.fixture
def finding_client(face_registry: Path, load_known: Any, make_client: Callable[..., Any]) -> Any:
    models = Models(ServeArguments(registry=str(face_registry)), load_known)
    models.model("faces/1").editor.finder = KnownFinder()  # type: ignore[union-attr]
    return make_client(create_app(Catalog(str(face_registry)), LocalBackend(models)))


def scene(faces: int) -> np.ndarray:
    image = cv2.resize(NOISE, (80, 60))
    image[0, 0] = faces
    return image


def test_a_face_is_found_where_no_box_is_given(finding_client: Any) -> None:
    found = pixels_of(finding_client.post(at("reconstruct"), files={"image": png(scene(1))}))
    assert np.array_equal(found[28:], scene(1)[28:])
    assert np.ptp(found[:28, :28].astype(int)) == 0
    given = finding_client.post(
        at("reconstruct"), files={"image": png(scene(2))}, data={"box": "[40, 20, 60, 40]"}
    )
    assert np.array_equal(pixels_of(given)[:20], scene(2)[:20])


def test_a_face_is_not_looked_for_in_an_aligned_crop(finding_client: Any) -> None:
    small = finding_client.post(at("reconstruct"), files={"image": png(FLAT)})  # as the model's
    assert np.array_equal(pixels_of(small), FLAT)
    image = {"image": png(scene(0))}
    for form in ("whole", '"whole"'):
        told = finding_client.post(at("reconstruct"), files=image, data={"box": form})
        assert np.ptp(pixels_of(told).astype(int)) == 0


@pytest.mark.parametrize(("faces", "told"), [(0, "found none"), (3, "found 3")])
def test_no_face_or_several_are_refused(finding_client: Any, faces: int, told: str) -> None:
    image, hole = b64(png(scene(faces))), b64(png(cv2.resize(HOLE, (80, 60))[:, :, None]))
    bodies = {
        "reconstruct": {"image": image},
        "inpaint": {"image": image, "mask": hole},
        "morph": {"images": [image, image]},
    }
    for what, body in bodies.items():
        status, kind, message = refusal(finding_client.post(at(what), json=body))
        assert (status, kind) == (422, "RequestError")
        assert told in message
    assert finding_client.post(at("reconstruct"), files={"image": png(scene(1))}).status_code == 200
