"""Face masks from CelebAMask-HQ's annotation and from GrabCut, on drawn faces."""

import io
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from augment.data.datasets import LabelledImages, open_data
from augment.data.face_masks import CelebAMaskHQ, GrabCutMasks, open_face_masks
from augment.errors import DataError
from augment.images import Pixels

# GrabCut


def draw_face(seed: int, side: int = 64, channels: int = 3) -> tuple[Pixels, Pixels]:
    """A skin ellipse under dark hair on a blue ground, aligned; and its face mask."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), (60, 90, 170), np.uint8)
    truth = np.zeros((side, side), np.uint8)

    def fill(center: tuple[float, float], axes: tuple[float, float], colour: object) -> None:
        shape = ((int(side * center[0]), int(side * center[1])), axes)
        where = (shape[0], (int(side * axes[0]), int(side * axes[1])), 0, 0, 360)
        cv2.ellipse(image, *where, colour, -1)
        cv2.ellipse(truth, *where, 1, -1)

    fill((0.51, 0.34), (0.36, 0.34), (45, 30, 25))
    fill((0.51, 0.55), (0.30, 0.37), (215, 170, 145))
    for x in (0.36, 0.66):
        cv2.circle(image, (int(side * x), int(side * 0.39)), side // 20, (30, 25, 25), -1)
    noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    if channels == 1:
        noisy = noisy.mean(axis=2, keepdims=True).astype(np.uint8)
    return noisy, truth


def faces(count: int, side: int = 64, channels: int = 3) -> tuple[LabelledImages, Pixels]:
    drawn = [draw_face(seed, side, channels) for seed in range(count)]
    images = np.stack([image for image, _ in drawn])
    data = LabelledImages.from_arrays(images, np.zeros(count, np.int64), ["face"])
    return data, np.stack([truth for _, truth in drawn])


def overlap(found: Pixels, truth: Pixels) -> float:
    return float((found & truth).sum() / (found | truth).sum())


@pytest.mark.parametrize(("side", "channels"), [(64, 3), (64, 1), (128, 3), (48, 3)])
def test_grabcut_finds_face_and_hair_and_leaves_the_ground(side: int, channels: int) -> None:
    data, truth = faces(3, side, channels)
    face_masks = GrabCutMasks().find(data)
    assert face_masks.shape == (3, side, side)
    assert face_masks.dtype == np.uint8
    assert set(np.unique(face_masks)) == {0, 1}
    for found, right in zip(face_masks, truth, strict=True):
        assert overlap(found, right) > 0.9


def test_a_face_mask_depends_on_its_image_alone() -> None:
    data, _ = faces(20)  # cut by as many threads as there are cores
    masks = GrabCutMasks()
    together = masks.find(data)
    cv2.setRNGSeed(7)
    np.testing.assert_array_equal(masks.find(data, [14, 1]), together[[14, 1]])
    alone = np.concatenate([masks.find(data, [index]) for index in range(len(data))])
    np.testing.assert_array_equal(alone, together)


def test_faces_beyond_one_chunk_get_their_own_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    data, _ = faces(5)
    whole = GrabCutMasks().find(data)
    monkeypatch.setattr("augment.data.face_masks._CHUNK", 2)
    np.testing.assert_array_equal(GrabCutMasks().find(data), whole)


def test_holes_in_a_face_are_filled() -> None:
    data, _ = faces(1)
    image = data.images()
    image[0, 30:36, 30:36] = (60, 90, 170)  # the ground's colour amid the face
    holed = LabelledImages.from_arrays(image, np.array([0]), ["face"])
    assert GrabCutMasks().find(holed)[0, 30:36, 30:36].all()


def test_images_without_a_plausible_face_get_the_ellipse_and_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    drawn, _ = faces(1)
    small = np.full((64, 64, 3), (60, 90, 170), np.uint8)
    cv2.ellipse(small, (32, 36), (14, 19), 0, 0, 360, (215, 170, 145), -1)
    cv2.ellipse(small, (32, 8), (12, 6), 0, 0, 360, (40, 30, 20), -1)  # no head joins the two
    images = np.stack([drawn.images()[0], small, small])
    data = LabelledImages.from_arrays(images, np.zeros(3, np.int64), ["face"])
    masks = GrabCutMasks()
    with caplog.at_level(logging.WARNING, "labelmint.data"):
        face_masks = masks.find(data)
        masks.find(data, [1])
    assert masks.count_of_ellipses == 3
    assert "in 2 of 3 images" in caplog.text
    np.testing.assert_array_equal(face_masks[1], face_masks[2])
    ys, xs = np.nonzero(face_masks[1])
    assert (ys.min() + ys.max() + 1) / 128 == pytest.approx(0.50, abs=0.02)
    assert (xs.min() + xs.max() + 1) / 128 == pytest.approx(0.51, abs=0.02)
    assert face_masks[1].mean() == pytest.approx(np.pi * 0.34 * 0.43, abs=0.02)


def test_an_image_of_one_colour_still_gets_a_plausible_mask() -> None:
    flat = LabelledImages.from_arrays(np.full((1, 64, 64, 3), 128, np.uint8), np.array([0]), ["x"])
    face_mask = GrabCutMasks().find(flat)[0]
    assert face_mask[22:50, 25:41].all()
    assert 0.28 <= face_mask.mean() <= 0.80


# CelebAMask-HQ


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def part(rows: slice, side: int = 512) -> bytes:
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[rows] = 255
    return png(pixels)


def write_celeba_mask_hq(root: Path, parts: dict[str, bytes]) -> Path:
    """Images 0, 1 and 2001; ``parts`` by their published names, such as 0/00000_skin.png."""
    names = ("0.jpg", "1.jpg", "2001.jpg")
    rows = "".join(f"{name} 1\n" for name in names)
    files: dict[str, bytes] = {"CelebAMask-HQ-attribute-anno.txt": f"3\nMale\n{rows}".encode()}
    files |= {f"CelebA-HQ-img/{name}": png(np.zeros((64, 64, 3), np.uint8)) for name in names}
    files |= {f"CelebAMask-HQ-mask-anno/{name}": data for name, data in parts.items()}
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


PARTS = {
    "0/00000_skin.png": part(slice(256, 512)),
    "0/00000_hair.png": part(slice(0, 128)),
    "0/00000_neck.png": part(slice(128, 192)),
    "0/00000_l_ear.png": part(slice(128, 192)),
    "0/00000_ear_r.png": part(slice(128, 192)),
    "0/00000_neck_l.png": part(slice(128, 192)),
    "0/00000_cloth.png": part(slice(128, 192)),
    "0/00001_skin.png": part(slice(0, 256)),
    "1/02001_hat.png": part(slice(0, 64)),
    "1/02001_eye_g.png": part(slice(448, 512)),
}


def test_annotated_parts_are_united_without_ears_neck_and_cloth(tmp_path: Path) -> None:
    path = write_celeba_mask_hq(tmp_path, PARTS)
    data = open_data(f"celeba:{path}", image_size=(32, 16))
    face_masks = CelebAMaskHQ(str(path)).find(data)
    rows = [[int(line.all()) for line in found[::4]] for found in face_masks]
    assert rows == [[1, 1, 0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 1]]
    assert face_masks.shape == (3, 32, 16)
    assert face_masks.dtype == np.uint8
    np.testing.assert_array_equal(
        CelebAMaskHQ(str(path)).find(data.subset([2, 0]), [1]), face_masks[:1]
    )


def test_a_folder_without_annotation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"00000_skin\.png and its like"):
        CelebAMaskHQ(str(write_celeba_mask_hq(tmp_path, {"0/readme.txt": b""})))


BAD_PARTS: dict[str, tuple[dict[str, bytes], str]] = {
    "image without parts": (
        {name: data for name, data in PARTS.items() if "02001" not in name},
        r"parts of 2001\.jpg",
    ),
    "parts of two sizes": (
        PARTS | {"0/00001_nose.png": part(slice(0, 9), side=256)},
        r"parts of 1\.jpg.*one size, got 256×256, 512×512 in .*/0",
    ),
    "part that is not square": (
        PARTS | {"0/00001_skin.png": png(np.zeros((512, 400, 3), np.uint8))},
        "got 512×400",
    ),
    "part that is no image": (PARTS | {"0/00001_skin.png": b"PNG"}, r"00001_skin\.png"),
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_unusable_parts_are_refused(tmp_path: Path, name: str) -> None:
    parts, message = BAD_PARTS[name]
    path = write_celeba_mask_hq(tmp_path, parts)
    with pytest.raises(DataError, match=message):
        CelebAMaskHQ(str(path)).find(open_data(f"celeba:{path}"))


def test_celebas_own_numbers_are_not_taken_for_those_of_celeba_hq(tmp_path: Path) -> None:
    path = write_celeba_mask_hq(tmp_path, PARTS)
    (path / "CelebA-HQ-img" / "1.jpg").rename(path / "CelebA-HQ-img" / "000001.jpg")
    table = path / "CelebAMask-HQ-attribute-anno.txt"
    table.write_text(table.read_text().replace("\n1.jpg", "\n000001.jpg"))
    with pytest.raises(DataError, match=r"parts of 000001\.jpg.*0\.jpg to 29999\.jpg"):
        CelebAMaskHQ(str(path)).find(open_data(f"celeba:{path}"))


def test_face_masks_are_opened_by_uri_and_say_their_source(tmp_path: Path) -> None:
    path = write_celeba_mask_hq(tmp_path, PARTS)
    assert open_face_masks(f"celebamaskhq:{path}").source == "CelebAMask-HQ annotation"
    assert "estimated" in open_face_masks("grabcut:").source
    for uri in ("grabcut", "parser:x", "grabcut:x"):
        with pytest.raises(DataError, match="grabcut: or celebamaskhq:PATH"):
            open_face_masks(uri)
