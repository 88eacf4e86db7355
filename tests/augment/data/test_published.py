"""Readers of published data sets, on small sets written in exactly their layouts."""

import io
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from PIL import Image
from sklearn.utils import Bunch

from augment.data.datasets import LabelledImages, open_data
from augment.data.sources import EncodedImages
from augment.errors import DataError
from recognizers.scenarios import data_root

Files = dict[str, bytes | str]


def jpeg(level: int, size: tuple[int, int] = (12, 10)) -> bytes:
    """A flat gray JPEG of (height, width)."""
    buffer = io.BytesIO()
    Image.new("RGB", size[::-1], (level,) * 3).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


def write(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root


def pack(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def class_names(data: LabelledImages) -> list[str]:
    return [data.classes[label] for label in data.labels]


# Labeled Faces in the Wild

LFW: Files = {
    "Abdullah_Gul/Abdullah_Gul_0001.jpg": jpeg(10),
    "Abdullah_Gul/Abdullah_Gul_0002.jpg": jpeg(20),
    "Zico/Zico_0001.jpg": jpeg(30),
}
LFW_ATTRIBUTES = (
    "# lfw_attributes.txt: attribute values for the images of LFW\n"
    "#\tperson\timagenum\tMale\tEyeglasses\n"
    "Abdullah Gul\t2\t1.5\t-0.25\n"
    "Nobody Here\t1\t1\t1\n"
    "Zico\t1\t-2e-1\t0.75\n"
)


@pytest.mark.parametrize("above", ["", "lfw-deepfunneled/", "lfw128/images/"])
def test_lfw_is_found_at_any_depth_in_folder_and_zip(tmp_path: Path, above: str) -> None:
    files: Files = {f"{above}{name}": data for name, data in LFW.items()}
    files["meta/pairs.txt"] = "10\t300\n"
    folder = open_data(f"lfw:{write(tmp_path / 'f', files)}")
    archive = open_data(f"lfw:{pack(tmp_path / 'z.zip', files)}")
    for data in (folder, archive):
        assert data.names == tuple(LFW)  # the same whatever lies above, so the split is too
        assert class_names(data) == ["Abdullah_Gul", "Abdullah_Gul", "Zico"]
        assert data.images()[:, 5, 5, 0].tolist() == pytest.approx([10, 20, 30], abs=1)
        assert data.attributes is None
        assert data.attribute_names == ()
    assert folder.digest() == archive.digest()


def test_lfw_attributes_are_signs_and_images_without_a_row_are_left_out(tmp_path: Path) -> None:
    data = open_data(f"lfw:{write(tmp_path, {**LFW, 'lfw_attributes.txt': LFW_ATTRIBUTES})}")
    assert data.names == ("Abdullah_Gul/Abdullah_Gul_0002.jpg", "Zico/Zico_0001.jpg")
    assert data.attribute_names == ("Male", "Eyeglasses")
    assert data.attributes is not None
    assert data.attributes.dtype == np.int8
    assert data.attributes.tolist() == [[1, -1], [-1, 1]]


BAD_LFW: dict[str, tuple[Files, str]] = {
    "empty": ({"pairs.txt": ""}, r"Name/Name_0001\.jpg.*got none"),
    "another layout": ({**LFW, "Zico/portrait.jpg": jpeg(1)}, r"got Zico/portrait\.jpg"),
    "somebody else's folder": ({**LFW, "Zico/Abba_0001.jpg": jpeg(1)}, r"got Zico/Abba_0001\.jpg"),
    "two copies": ({**LFW, "again/Zico/Zico_0001.jpg": jpeg(1)}, "each image once"),
    "attributes without header": (
        {**LFW, "lfw_attributes.txt": "Zico\t1\t0.5\n"},
        "and 0 numbers.*line 1",
    ),
    "attribute row too short": (
        {**LFW, "lfw_attributes.txt": LFW_ATTRIBUTES + "Zico\t2\t0.5\n"},
        "and 2 numbers.*line 6",
    ),
    "attribute that is no number": (
        {**LFW, "lfw_attributes.txt": LFW_ATTRIBUTES.replace("0.75", "nan")},
        "line 5",
    ),
    "image number that is no number": (
        {**LFW, "lfw_attributes.txt": LFW_ATTRIBUTES.replace("Zico\t1", "Zico\tone")},
        "line 5",
    ),
    "attributes of other people": (
        {
            **LFW,
            "lfw_attributes.txt": "#\tperson\timagenum\tMale\nSomebody Else\t1\t0.5\n",
        },
        "got 1 rows of others",
    ),
}


@pytest.mark.parametrize("name", BAD_LFW)
def test_an_unusable_lfw_is_refused(tmp_path: Path, name: str) -> None:
    files, message = BAD_LFW[name]
    with pytest.raises(DataError, match=message):
        open_data(f"lfw:{write(tmp_path, files)}")


# CelebA

CELEBA_LIST = (
    "3\nEyeglasses Male Smiling\n000001.jpg -1  1 1\n000002.jpg  1 -1 1\n000003.jpg -1 -1 1\n"
)
CELEBA_IMAGES: Files = {
    f"img_align_celeba/00000{number}.jpg": jpeg(10 * number) for number in (1, 2, 3)
}
CELEBA: Files = {
    **CELEBA_IMAGES,
    "list_attr_celeba.txt": CELEBA_LIST,
    "identity_CelebA.txt": "000001.jpg 2880\n000002.jpg 2937\n000003.jpg 2880\n000004.jpg 7\n",
    "list_eval_partition.txt": "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n",
}


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_celeba_gives_identities_attributes_and_its_own_splits(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        path = write(tmp_path, CELEBA)
    else:
        path = pack(tmp_path / "z.zip", {f"celeba/{name}": data for name, data in CELEBA.items()})
    data = open_data(f"celeba:{path}")
    assert data.names == ("000001.jpg", "000002.jpg", "000003.jpg")
    assert class_names(data) == ["2880", "2937", "2880"]
    assert data.groups.tolist() == ["2880", "2937", "2880"]
    assert data.splits.tolist() == ["train", "val", "test"]
    assert data.attribute_names == ("Eyeglasses", "Male", "Smiling")
    assert data.attributes is not None
    assert data.attributes.tolist() == [[-1, 1, 1], [1, -1, 1], [-1, -1, 1]]
    assert data.images()[:, 5, 5, 0].tolist() == pytest.approx([10, 20, 30], abs=1)


def test_celeba_without_partition_never_splits_an_identity(tmp_path: Path) -> None:
    names = [f"{number:06d}.jpg" for number in range(40)]
    files: Files = {f"images/{name}": jpeg(9) for name in names}
    files["list_attr_celeba.txt"] = "40\nMale\n" + "".join(f"{name} 1\n" for name in names)
    files["identity_CelebA.txt"] = "".join(f"{n} {i // 4}\n" for i, n in enumerate(names))
    data = open_data(f"celeba:{pack(tmp_path / 'z.zip', files)}")
    assert len(set(data.splits)) > 1
    for person in set(data.groups):
        assert len(set(data.splits[data.groups == person])) == 1


def test_celeba_without_identities_is_one_class_told_apart_by_attributes(tmp_path: Path) -> None:
    files = {**CELEBA_IMAGES, "list_attr_celeba.txt": CELEBA_LIST}
    data = open_data(f"celeba:{write(tmp_path, files)}")
    assert data.classes == ("face",)
    assert data.groups.tolist() == list(data.names)
    assert data.attributes is not None


def test_celeba_mask_hq_is_read_by_its_own_names(tmp_path: Path) -> None:
    files: Files = {
        "CelebA-HQ-img/0.jpg": jpeg(40),
        "CelebA-HQ-img/1.jpg": jpeg(50),
        "CelebAMask-HQ-mask-anno/0/00000_skin.png": jpeg(255),
        "CelebAMask-HQ-attribute-anno.txt": "2\nMale Young\n0.jpg -1 1\n1.jpg 1 1\n",
    }
    data = open_data(f"celeba:{write(tmp_path, files)}")
    assert data.names == ("0.jpg", "1.jpg")
    assert data.attributes is not None
    assert data.attributes.tolist() == [[-1, 1], [1, 1]]


def without(name: str) -> Files:
    return {key: data for key, data in CELEBA.items() if key != name}


BAD_CELEBA: dict[str, tuple[Files, str]] = {
    "no attribute list": (without("list_attr_celeba.txt"), r"expects list_attr_celeba\.txt"),
    "empty attribute list": (CELEBA | {"list_attr_celeba.txt": ""}, "got 0 lines"),
    "count of rows differs": (
        CELEBA | {"list_attr_celeba.txt": CELEBA_LIST.replace("3\n", "202599\n", 1)},
        "expected 202599 images.*got 3",
    ),
    "repeated row": (
        CELEBA | {"list_attr_celeba.txt": CELEBA_LIST.replace("000003", "000002")},
        "expected 3 images.*got 2",
    ),
    "value of 0": (
        CELEBA | {"list_attr_celeba.txt": CELEBA_LIST.replace("-1  1", "-1  0")},
        "each 1 or -1, in line 3.*000001",
    ),
    "value missing": (
        CELEBA | {"list_attr_celeba.txt": CELEBA_LIST.replace("-1  1", "-1")},
        "3 values.*line 3",
    ),
    "image missing": (
        without("img_align_celeba/000002.jpg"),
        r"an image for every row.*000002\.jpg",
    ),
    "image without row": (
        CELEBA | {"img_align_celeba/000009.jpg": jpeg(1)},
        r"for every image.*000009\.jpg",
    ),
    "no images at all": ({"list_attr_celeba.txt": CELEBA_LIST}, "an image for every row"),
    "identity missing": (
        CELEBA | {"identity_CelebA.txt": "000001.jpg 2880\n"},
        r"row in identity_CelebA\.txt.*got none for 000002\.jpg",
    ),
    "identity list of three columns": (
        CELEBA | {"identity_CelebA.txt": "000001.jpg 2880 1\n"},
        "expected 2 columns",
    ),
    "unknown partition": (
        CELEBA | {"list_eval_partition.txt": "000001.jpg 0\n000002.jpg 3\n000003.jpg 2\n"},
        "0, 1 or 2.*got 3",
    ),
    "list that is not text": (CELEBA | {"list_attr_celeba.txt": b"\xff\xfe3\n"}, "UTF-8"),
}


@pytest.mark.parametrize("name", BAD_CELEBA)
def test_an_unusable_celeba_is_refused(tmp_path: Path, name: str) -> None:
    files, message = BAD_CELEBA[name]
    with pytest.raises(DataError, match=message):
        open_data(f"celeba:{write(tmp_path, files)}")


# FaceScrub


def test_facescrub_prefers_the_cropped_faces_and_joins_actors_and_actresses(tmp_path: Path) -> None:
    faces: Files = {
        "actors/faces/Aaron Eckhart/Aaron Eckhart_1_1.jpeg": jpeg(10),
        "actresses/faces/Zooey Deschanel/Zooey Deschanel_9_3.jpeg": jpeg(20),
    }
    whole: Files = {name.replace("faces", "images"): data for name, data in faces.items()}
    lists: Files = {"facescrub_actors.txt": "name\timage_id\n"}
    data = open_data(f"facescrub:{write(tmp_path / 'a', {**faces, **whole, **lists})}")
    assert data.names == tuple(faces)
    assert class_names(data) == ["Aaron Eckhart", "Zooey Deschanel"]
    assert len(open_data(f"facescrub:{write(tmp_path / 'b', {**whole, **lists})}")) == 2


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"facescrub_actors.txt": ""}, "got none"),
        ({"A/1.jpg": jpeg(1), "stray.jpg": jpeg(1)}, r"a person in .*got stray\.jpg"),
    ],
)
def test_an_unusable_facescrub_is_refused(tmp_path: Path, files: Files, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_data(f"facescrub:{write(tmp_path, files)}")


# What scikit-learn downloads


def test_olivetti_has_forty_people_and_keeps_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def fetch_olivetti_faces(*, data_home: str | None) -> Bunch:
        asked.append(data_home)
        ramp = np.linspace(0, 1, 64, dtype=np.float32)
        return Bunch(images=np.tile(ramp, (80, 64, 1)), target=np.arange(80) // 2)

    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", fetch_olivetti_faces)
    data = open_data("olivetti:")
    assert (len(data.classes), data.classes[0], data.classes[39]) == (40, "s01", "s40")
    assert (data.image_size, data.channels) == ((64, 64), 1)
    assert data.images([3])[0, 7, :, 0].tolist() == np.rint(np.linspace(0, 255, 64)).tolist()
    open_data("olivetti:/data/faces")
    assert asked == [None, "/data/faces"]


def test_lfwpeople_has_the_classes_of_lfw(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_lfw_people(*, data_home: str | None, color: bool) -> Bunch:
        assert color
        images = np.zeros((3, 62, 47, 3), np.float32)
        images[1, :, :, 0] = 1.0
        names = np.array(["Abdullah Gul", "Zico"])
        return Bunch(images=images, target=np.array([1, 0, 0]), target_names=names)

    monkeypatch.setattr(sklearn.datasets, "fetch_lfw_people", fetch_lfw_people)
    data = open_data("lfwpeople:")
    assert class_names(data) == ["Zico", "Abdullah_Gul", "Abdullah_Gul"]
    assert (data.image_size, data.channels) == ((62, 47), 3)
    assert data.images([1])[0, 5, 5].tolist() == [255, 0, 0]


@pytest.mark.parametrize("scheme", ["olivetti", "lfwpeople"])
def test_a_failed_download_says_what_to_do(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch_nothing(**_: object) -> Bunch:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(sklearn.datasets, "fetch_olivetti_faces", fetch_nothing)
    monkeypatch.setattr(sklearn.datasets, "fetch_lfw_people", fetch_nothing)
    with pytest.raises(DataError, match=r"in /kept or.*no route to host.*connect to the internet"):
        open_data(f"{scheme}:/kept")


# Sets at hand


@pytest.mark.parametrize(
    ("scheme", "file", "images", "classes", "attributes"),
    [
        ("lfw", "lfw_all_64.zip", 13_233, 5_749, 0),
        ("lfw", "lfw_min10_128.zip", 4_324, 158, 0),
        ("celeba", "celeba_attr_64.zip", 9_682, 5_262, 40),
        ("zip", "orl_att_92x112.zip", 400, 40, 0),
    ],
)
def test_real_archives_open_whole_and_decode_nothing_before_it_is_asked_for(
    scheme: str,
    file: str,
    images: int,
    classes: int,
    attributes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = data_root() / "faces" / file
    if not path.exists():
        pytest.skip(f"needs the benchmark data, and {path} is not there")
    decoded: list[int] = []
    pixels = EncodedImages.pixels

    def counted(self: EncodedImages, item: int, channels: int) -> np.ndarray:
        decoded.append(item)
        return pixels(self, item, channels)

    monkeypatch.setattr(EncodedImages, "pixels", counted)
    data = open_data(f"{scheme}:{path}", image_size=(32, 32), channels=3)
    assert (len(data), len(data.classes), len(data.attribute_names)) == (
        images,
        classes,
        attributes,
    )
    assert decoded == []
    assert data.images([7, 3]).shape == (2, 32, 32, 3)
    assert decoded == [7, 3]
