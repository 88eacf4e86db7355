import numpy as np
import pytest

from augment.errors import ConfigError, RequestError
from augment.restoration.faces import (
    FaceBox,
    FaceDetector,
    crop_hole,
    crop_image,
    find_box,
    paste_image,
)

RNG = np.random.default_rng(0)


def picture(height: int = 40, width: int = 60, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


class FakeDetector:
    """Answers as cv2.FaceDetectorYN does, with faces whose eyes are given in pixels of an image.

    It finds those whose eyes are 3 to 90 pixels apart in the picture it is shown.
    """

    def __init__(self, width: int, *eyes: tuple[float, float, float, float]) -> None:
        self.width, self.eyes, self.sizes, self.seen = width, np.array(eyes), [], None

    def setInputSize(self, size):  # noqa: N802
        self.sizes.append(size)

    def detect(self, image):
        assert image.shape[1::-1] == self.sizes[-1]
        self.seen = image
        shown = self.eyes * image.shape[1] / self.width
        rows = [
            [0, 0, 1, 1, *eyes, *[0] * 6, 0.9] for eyes in shown if 3 <= eyes[2] - eyes[0] <= 90
        ]
        return 1, np.array(rows, np.float32) if rows else None


@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_of_the_models_size_goes_back_unchanged(channels):
    image, box = picture(channels=channels), FaceBox(10, 5, 42, 37)
    crop = crop_image(image, box, (32, 32))
    assert np.array_equal(crop, image[5:37, 10:42])
    assert np.array_equal(paste_image(image, box, crop), image)


@pytest.mark.parametrize("box", [FaceBox(10, 5, 42, 37), FaceBox(-6, -4, 20, 22)])
def test_only_the_box_changes_and_of_it_only_the_pixels_wanted(box):
    image = picture()
    white = np.full((8, 8, 3), 255, np.uint8)
    in_box = np.zeros((40, 60), bool)
    in_box[box.inside(image)] = True
    pasted = paste_image(image, box, white)
    assert (pasted[in_box] == 255).all()
    assert np.array_equal(pasted[~in_box], image[~in_box])
    hole = in_box & (RNG.random((40, 60)) < 0.5)
    pasted = paste_image(image, box, white, hole)
    assert (pasted[hole] == 255).all()
    assert np.array_equal(pasted[~hole], image[~hole])


def test_a_paste_lands_where_the_crop_came_from_even_beyond_the_border():
    image, box = picture(), FaceBox(-5, 20, 25, 50)
    crop = crop_image(image, box)
    assert crop.shape == (30, 30, 3)
    assert np.array_equal(crop[:20, 5:], image[20:40, :25])
    assert (crop[:20, :5] == image[20:40, :1]).all()  # the edge goes on
    assert np.array_equal(paste_image(image, box, crop), image)


def test_the_whole_image_is_a_box():
    image = picture()
    assert FaceBox.whole(image).size == (40, 60)
    assert crop_image(image, FaceBox.whole(image), (16, 16)).shape == (16, 16, 3)
    FaceBox.whole(image).check_inside(image)


def test_a_box_can_be_scaled_with_its_image():
    assert FaceBox(1, 2, 5, 8).scaled(4) == FaceBox(4, 8, 20, 32)


@pytest.mark.parametrize(
    "sides", [(-1, 0, 10, 10), (0, -1, 10, 10), (0, 0, 61, 10), (0, 0, 10, 41)], ids=str
)
def test_a_box_outside_the_image_is_refused_naming_both(sides):
    with pytest.raises(RequestError, match=rf"60×40; got left {sides[0]}, top {sides[1]}"):
        FaceBox(*sides).check_inside(picture())


@pytest.mark.parametrize("sides", [(5, 0, 5, 10), (0, 9, 10, 3), (0, 0, 1, 10)], ids=str)
def test_a_box_without_an_area_is_refused(sides):
    with pytest.raises(RequestError, match="left < right"):
        FaceBox(*sides)


@pytest.mark.parametrize("size", [(8, 8), (64, 64)], ids=["smaller", "larger"])
def test_every_pixel_that_a_hole_touches_is_hole_at_the_models_size(size):
    image, hole = picture(32, 32), np.zeros((32, 32), bool)
    hole[13, 9:20] = True  # thinner than a pixel of the smaller size
    small = crop_hole(hole, image, FaceBox.whole(image), size)
    y, x = np.nonzero(hole)
    factor = size[0] / 32
    assert small[(y * factor).astype(int), (x * factor).astype(int)].all()
    assert 0 < small.mean() < 0.2


@pytest.mark.parametrize("column", [0, 101, 148, 299])
def test_a_thin_hole_is_not_lost_in_a_box_that_shrinks_one_way_and_grows_the_other(column):
    image, hole = picture(50, 300), np.zeros((50, 300), bool)
    hole[20:30, column] = True
    small = crop_hole(hole, image, FaceBox.whole(image), (64, 64))
    y, x = np.nonzero(hole)
    assert small[y * 64 // 50, x * 64 // 300].all()
    assert small.mean() < 0.02


def test_a_hole_of_another_size_or_beyond_the_box_is_refused():
    image, box = picture(), FaceBox(10, 5, 42, 37)
    with pytest.raises(RequestError, match="60×40; got 40×60"):
        crop_hole(np.ones((60, 40), bool), image, box, (32, 32))
    hole = np.zeros((40, 60), bool)
    hole[10:12, 8:12] = True
    with pytest.raises(RequestError, match="4 pixels outside"):
        crop_hole(hole, image, box, (32, 32))


@pytest.mark.parametrize(
    ("box", "rows", "columns", "known"),
    [
        (FaceBox(0, 0, 70, 90), slice(3, 87), slice(3, 67), 70 * 90 - 64 * 84),  # a thin rim
        (FaceBox(0, 0, 70, 90), slice(0, 90), slice(0, 70), 0),
        (FaceBox(9, 5, 41, 37), slice(5, 37), slice(9, 41), 0),
    ],
    ids=["all but a rim", "the whole image", "the whole box"],
)
def test_a_hole_that_leaves_nothing_known_at_the_models_size_is_refused_with_what_is(
    box, rows, columns, known
):
    image, hole = picture(90, 70), np.zeros((90, 70), bool)
    hole[rows, columns] = True
    message = rf"\({box}\) known at the model's size of 8×10, .*: {known} of the box's .* larger"
    with pytest.raises(RequestError, match=message):
        crop_hole(hole, image, box, (10, 8))


def test_a_rim_as_wide_as_a_pixel_of_the_model_stays_known():
    image, hole = picture(90, 70), np.zeros((90, 70), bool)
    hole[9:81, 9:61] = True
    small = crop_hole(hole, image, FaceBox.whole(image), (10, 8))
    assert (~small).sum() == 2 * 10 + 2 * 6


@pytest.mark.parametrize("channels", [1, 3])
def test_a_found_face_has_its_eyes_where_aligned_crops_have_them(channels):
    image = picture(200, 320, channels)
    detector = FakeDetector(320, (120.0, 80.0, 150.0, 80.0))
    box = FaceDetector(detector).find(image)
    assert box.size == (100, 100)
    assert (box.left, box.top) == (135 - 51, 80 - 39)
    assert detector.sizes == [(320, 200)]
    assert detector.seen.shape == (200, 320, 3)
    if channels == 3:
        assert np.array_equal(detector.seen, image[:, :, ::-1])  # OpenCV's order


@pytest.mark.parametrize(
    ("side", "apart", "sizes"),
    [
        (80, 20, [(320, 160)]),
        (2560, 700, [(320, 160)]),
        (2560, 20, [(320, 160), (1280, 640)]),
        (640, 4, [(320, 160), (1280, 640)]),
    ],
    ids=["a small image", "a large face", "a small face", "a small face in a small image"],
)
def test_a_face_is_looked_for_at_sizes_that_the_detector_knows(side, apart, sizes):
    left, y = 0.4 * side, 0.2 * side
    detector = FakeDetector(side, (left, y, left + apart, y))
    box = FaceDetector(detector).find(np.zeros((side // 2, side, 3), np.uint8))
    assert detector.sizes == sizes
    assert box.size[0] == pytest.approx(apart / 0.3, abs=1)
    assert box.left + 0.36 * box.size[1] == pytest.approx(left, abs=1)


def test_a_small_image_is_not_searched_twice():
    detector = FakeDetector(80)
    with pytest.raises(RequestError, match="found none"):
        FaceDetector(detector).find(picture(60, 80))
    assert detector.sizes == [(320, 240)]


def test_no_face_and_several_faces_are_refused_naming_how_many():
    image = picture()
    with pytest.raises(RequestError, match="one face in the image of 60×40, found none"):
        FaceDetector(FakeDetector(60)).find(image)
    eyes = (10.0, 10.0, 20.0, 10.0)
    with pytest.raises(RequestError, match="found 2"):
        FaceDetector(FakeDetector(60, eyes, eyes)).find(image)


def test_only_images_larger_than_the_models_are_searched():
    class Finder:
        def find(self, image):
            raise RequestError("asked")

    crop, larger = picture(16, 24), picture(16, 25)
    assert find_box(crop, None, Finder(), (16, 24)) == FaceBox.whole(crop)
    assert find_box(larger, None, None, (16, 24)) == FaceBox.whole(larger)
    assert find_box(larger, FaceBox(0, 0, 8, 8), Finder(), (16, 24)) == FaceBox(0, 0, 8, 8)
    with pytest.raises(RequestError, match="asked"):
        find_box(larger, None, Finder(), (16, 24))


def test_a_detector_file_that_is_missing_or_no_model_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="found no file"):
        FaceDetector.load(tmp_path / "yunet.onnx")
    (tmp_path / "yunet.onnx").write_bytes(b"not a model")
    with pytest.raises(ConfigError, match="does not load"):
        FaceDetector.load(tmp_path / "yunet.onnx")
