from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import Tensor, nn

from augment.autoencoders import Coder, FaceCoder
from augment.bundle import BundleInfo, save_bundle
from augment.config import to_mapping
from augment.editing import Editor
from augment.errors import AugmentError, LabelError, RequestError
from augment.images import to_tensor, to_uint8
from augment.models.cvae_gan import CVAEGAN
from augment.models.cvae_gan_config import CVAEGANConfig
from augment.models.masked_vae import MaskedVAE
from augment.models.masked_vae_config import MaskedVAEConfig
from augment.models.saae import SAAE
from augment.models.saae_config import SAAEConfig
from augment.models.vae_gan import VAEGAN
from augment.models.vae_gan_config import VAEGANConfig
from augment.restoration.faces import FaceBox
from augment.restoration.super_resolution import down

SIDE = 32
CLASSES = ("ann", "bob", "cem", "dua")
NAMES = ("Smiling", "Eyeglasses")
RNG = np.random.default_rng(0)


def cvae_gan(**settings) -> CVAEGAN:
    config = CVAEGANConfig(networks="compact", width=4, latent_dim=8, label_dim=6, **settings)
    return CVAEGAN(config, num_classes=len(CLASSES), image_size=(SIDE, SIDE), channels=3)


def vae_gan(**settings) -> VAEGAN:
    config = VAEGANConfig(width=4, hidden=8, latent_dim=8, **settings)
    return VAEGAN(config, num_classes=len(NAMES), image_size=(SIDE, SIDE), channels=3)


def masked_vae(**settings) -> MaskedVAE:
    config = MaskedVAEConfig(
        encoder=((4,), (8,)),
        decoder=(8, 4),
        mask_decoder=(4, 4),
        hidden_dim=16,
        latent_dim=8,
        **settings,
    )
    return MaskedVAE(config, num_classes=0, image_size=(SIDE, SIDE), channels=3)


def saae() -> SAAE:
    config = SAAEConfig(width=4, style_dim=4, discriminator_width=4)
    return SAAE(config, num_classes=4, image_size=(SIDE, SIDE), channels=3)


def editor_of(make: Callable[[], nn.Module], banks=None, **how) -> Editor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make()
    info = BundleInfo(
        architecture=type(model).__name__.lower(),
        model=to_mapping(model.config),
        sampling={},
        classes=CLASSES,
        image_size=(SIDE, SIDE),
        channels=getattr(model, "channels", 3),
        attributes=NAMES,
    )
    return Editor(info, model, banks or {}, **{"batch_size": 4, "half": False, **how})


KINDS = {"CVAE-GAN": cvae_gan, "VAE/GAN": vae_gan, "masked VAE": masked_vae}


@pytest.fixture(scope="module", params=KINDS.values(), ids=KINDS)
def editor(request) -> Editor:
    return editor_of(request.param, {"bank.attribute_vectors": torch.eye(2, 8)})


def pictures(count: int = 5, height: int = SIDE, width: int = SIDE) -> list[np.ndarray]:
    coarse = RNG.integers(0, 256, (count, 6, 6, 3), dtype=np.uint8)
    return [cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) for image in coarse]


def hole_in(image: np.ndarray, rows: slice = slice(8, 16), columns: slice = slice(10, 20)):
    hole = np.zeros(image.shape[:2], bool)
    hole[rows, columns] = True
    return hole


class Level(Coder):
    """Knows an image by its mean alone, and draws it flat."""

    def __init__(self) -> None:
        super().__init__(None)

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mu = images.mean(dim=(1, 2, 3))[:, None]
        return mu, torch.zeros_like(mu)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return z[:, :, None, None].expand(-1, 3, SIDE, SIDE)


@pytest.fixture
def level() -> Editor:
    """An editor of known answer, for images and for one attribute: brightness."""
    editor = editor_of(vae_gan, {"bank.attribute_vectors": torch.tensor([[0.24], [-0.48]])})
    editor.coder = Level()
    return editor


def every_task(editor: Editor, images: list[np.ndarray], **how) -> list[list[np.ndarray]]:
    return [
        editor.reconstruct(images, **how),
        editor.inpaint(images, [hole_in(image) for image in images], **how),
        editor.super_resolve(images, 2, **how),
    ]


def test_a_sample_does_not_depend_on_what_is_asked_for_beside_it(editor):
    images = pictures()
    together = every_task(editor, images)
    for row, image in enumerate(images):
        for alone, all_rows in zip(every_task(editor, [image]), together, strict=True):
            assert np.array_equal(alone[0], all_rows[row])


@pytest.mark.parametrize("half", [False, True])
def test_both_precisions_give_about_the_same(half):
    images = pictures(2)
    full = every_task(editor_of(cvae_gan), images)
    other = every_task(editor_of(cvae_gan, half=half), images)
    for ours, theirs in zip(full, other, strict=True):
        assert np.abs(np.stack(ours).astype(int) - np.stack(theirs)).mean() < 3


def test_a_reconstruction_is_the_models_own():
    editor, image = editor_of(vae_gan), pictures(1)[0]
    with torch.no_grad():
        mu, _ = editor.model.encode(to_tensor(image[None]))
        expected = to_uint8(editor.model.decode(mu))[0]
    assert np.abs(editor.reconstruct([image])[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(SIDE, SIDE), (50, 70), (20, 24)], ids=str)
def test_inpainting_changes_the_hole_and_nothing_else(editor, size):
    images = pictures(3, *size)
    holes = [hole_in(image) for image in images]
    for blend in ("none", "poisson"):
        for image, hole, filled in zip(
            images, holes, editor.inpaint(images, holes, blend=blend), strict=True
        ):
            assert np.array_equal(filled[~hole], image[~hole])
            assert not np.array_equal(filled[hole], image[hole])


def test_a_fill_meets_an_image_larger_than_the_model_without_a_seam(level):
    y, x = np.mgrid[:256, :256]
    waves = 128 + 50 * np.sin(x / 3) * np.sin(y / 3)  # finer than the model can see
    image = waves.astype(np.uint8)[:, :, None].repeat(3, axis=2)
    hole = hole_in(image, slice(80, 160), slice(100, 180))
    steps = {}
    for blend in ("none", "poisson"):
        filled = level.inpaint([image], [hole], blend=blend)[0].astype(int)
        top = np.abs(filled[80, 100:180] - filled[79, 100:180]).mean()
        right = np.abs(filled[80:160, 180] - filled[80:160, 179]).mean()
        steps[blend] = (top + right) / 2
        assert np.array_equal(filled[~hole], image[~hole])
    own = np.abs(np.diff(image.astype(int), axis=0)).mean()
    assert steps["poisson"] < own < steps["none"] / 1.5


def test_what_lies_in_a_hole_is_not_looked_at(editor):
    image = pictures(1)[0]
    hole, painted = hole_in(image), image.copy()
    painted[hole] = (255, 0, 255)
    ours, theirs = (editor.inpaint([i], [hole])[0] for i in (image, painted))
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (21, 30)], ids=str)
def test_an_enlarged_image_shrinks_to_the_one_given(editor, scale, size):
    images = pictures(2, *size)
    for image, large in zip(images, editor.super_resolve(images, scale), strict=True):
        assert large.shape == (scale * size[0], scale * size[1], 3)
        back = down(to_tensor(large[None]), scale)
        assert (back - to_tensor(image[None])).abs().max() <= 0.5 / 127.5 + 1e-5


class Plain(Coder):
    """Rebuilds what it is given, as well as its size allows: it adds nothing."""

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return images.flatten(1), torch.zeros(len(images), 1)

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return z.view(-1, 3, SIDE, SIDE)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("side", [SIDE // 4, SIDE, 3 * SIDE])
def test_enlarging_a_photograph_is_better_than_bicubic_however_large_it_is(scale, side):
    editor, large = editor_of(vae_gan), scale * side
    editor.coder = Plain(None)
    photograph = load_sample_image("china.jpg")[: 12 * SIDE, 4 * SIDE : 16 * SIDE]
    truth = cv2.resize(photograph, (large, large), interpolation=cv2.INTER_AREA)
    small = cv2.resize(truth, (side, side), interpolation=cv2.INTER_AREA)
    cubic = cv2.resize(small, (large, large), interpolation=cv2.INTER_CUBIC)
    ours = editor.super_resolve([small], scale)[0]
    errors = [np.square(image.astype(float) - truth).mean() for image in (ours, cubic)]
    assert errors[0] < 0.99 * errors[1]


def test_a_box_larger_than_the_model_can_take_is_shown_to_it_as_large_as_it_can():
    editor, seen = editor_of(vae_gan), []
    crop, editor.coder = editor._crops, Plain(None)

    def watched(images, boxes, size):
        seen.append((len(images), size))
        return crop(images, boxes, size)

    editor._crops = watched
    sizes = [(8, 8), (20, 9), (32, 32)]
    images = [pictures(1, *size)[0] for size in sizes]
    large = editor.super_resolve(images, 4)
    assert seen == [(1, (8, 8)), (2, (16, 16))]
    assert [image.shape for image in large] == [(32, 32, 3), (80, 36, 3), (128, 128, 3)]


def test_gray_images_are_worked_on_as_gray():
    class Gray(VAEGAN):
        channels = 1

    config = VAEGANConfig(width=4, hidden=8, latent_dim=8)
    editor = editor_of(
        lambda: Gray(config, num_classes=2, image_size=(SIDE, SIDE), channels=1),
        {"bank.attribute_vectors": torch.eye(2, 8)},
    )
    images = [image[:, :, :1] for image in pictures(2, 40, 50)]
    rebuilt, filled, large = every_task(editor, images)
    assert {image.shape for image in rebuilt + filled} == {(40, 50, 1)}
    assert large[0].shape == (80, 100, 1)
    assert editor.edit(images, [{"Smiling": 1.0}, {}])[0].shape == (40, 50, 1)
    assert editor.morph(*images, 3).shape == (3, SIDE, SIDE, 1)


def test_only_the_face_box_changes(level):
    image, box = pictures(1, 60, 80)[0], FaceBox(20, 10, 52, 42)
    inside = np.zeros((60, 80), bool)
    inside[box.inside(image)] = True
    rebuilt = level.reconstruct([image], boxes=[box])[0]
    assert np.array_equal(rebuilt[~inside], image[~inside])
    assert np.ptp(rebuilt[inside].astype(int)) == 0  # flat
    assert abs(int(rebuilt[inside][0, 0]) - image[inside].mean()) < 1
    large = level.super_resolve([image], 2, boxes=[box])[0]
    cubic = cv2.resize(image, (160, 120), interpolation=cv2.INTER_CUBIC)
    outside = ~inside.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(large[outside], cubic[outside])
    assert not np.array_equal(large[~outside], cubic[~outside])


def test_a_finder_is_asked_only_where_no_box_is_given():
    class Finder:
        def __init__(self) -> None:
            self.asked = 0

        def find(self, image: np.ndarray) -> FaceBox:
            self.asked += 1
            return FaceBox(-4, -4, 28, 28)

    finder = Finder()
    editor = editor_of(vae_gan, finder=finder)
    images = pictures(2, 60, 80)
    rebuilt = editor.reconstruct(images, boxes=[FaceBox(0, 0, 60, 60), None])
    assert finder.asked == 1
    assert np.array_equal(rebuilt[1][28:], images[1][28:])
    assert not np.array_equal(rebuilt[1][:28, :28], images[1][:28, :28])


def test_edits_add_the_attributes_vector_for_each_image(level):
    images = [np.full((SIDE, SIDE, 3), 100, np.uint8)] * 3
    wanted = [{"Smiling": 1.0}, {}, {"Smiling": 1.0, "Eyeglasses": 0.5}]
    plain, brighter = 100, 100 + 0.24 * 127.5
    for keep in (True, False):
        edited = level.edit(images, wanted, keep_detail=keep)
        assert [round(float(image.mean())) for image in edited] == [round(brighter), plain, plain]


def test_an_edit_keeps_the_detail_that_the_model_cannot_draw(level):
    image = pictures(1, 48, 48)[0] // 2 + 40
    kept = level.edit([image], [{"Smiling": 1.0}], keep_detail=True)[0]
    assert np.abs(kept.astype(int) - image - 0.24 * 127.5).max() <= 0.5
    assert np.ptp(level.edit([image], [{"Smiling": 1.0}], keep_detail=False)[0].astype(int)) == 0


def test_a_conditional_vae_gan_edits_without_vectors():
    editor = editor_of(lambda: vae_gan(conditional=True))
    assert editor.max_strength == 1
    assert "edit" in editor.capabilities
    image = pictures(1)[0]
    wanted = [{"Smiling": strength} for strength in (0.5, 1.0, -0.5, -1.0)]
    edited = editor.edit([image] * 4, wanted, keep_detail=False)
    assert len({e.tobytes() for e in (*edited, editor.reconstruct([image])[0])}) == 5
    with pytest.raises(RequestError, match=r"Smiling must be in \[-1, 1\] with this model"):
        editor.edit([image], [{"Smiling": 1.5}])


@pytest.mark.parametrize("wanted", [{"Beard": 1.0}, {"Smiling": 1e9}, {"Smiling": float("nan")}])
def test_unknown_attributes_and_absurd_strengths_are_refused(level, wanted):
    with pytest.raises(RequestError):
        level.edit(pictures(1), [wanted])


def test_a_morph_goes_from_one_reconstruction_to_the_other(editor):
    first, second = pictures(2)
    frames = editor.morph(first, second, 7)
    assert frames.shape == (7, SIDE, SIDE, 3)
    ends = np.stack(editor.reconstruct([first, second]))
    assert np.abs(frames[[0, -1]].astype(int) - ends).max() <= 1
    steps = np.abs(np.diff(frames.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < np.abs(ends[1].astype(int) - ends[0]).mean()


def test_a_morph_is_linear_in_the_code(level):
    black, white = np.zeros((SIDE, SIDE, 3), np.uint8), np.full((SIDE, SIDE, 3), 255, np.uint8)
    frames = level.morph(black, white, 6)
    assert frames.mean(axis=(1, 2, 3)).tolist() == [0, 51, 102, 153, 204, 255]


def test_a_morph_mixes_class_vectors_where_labels_differ():
    editor, image = editor_of(cvae_gan), pictures(1)[0]
    frames = editor.morph(image, image, 3, labels=[0, 1])
    ends = editor.reconstruct([image, image], labels=[0, 1])
    assert np.abs(frames[[0, -1]].astype(int) - np.stack(ends)).max() <= 1
    assert not np.array_equal(frames[0], frames[-1])
    same = editor.morph(image, image, 3, labels=[2, 2])
    assert np.array_equal(same[0], same[-1])


def test_classes_morph_with_one_z_that_the_seed_draws():
    editor = editor_of(cvae_gan)
    frames = editor.morph_classes(0, 3, 5, seed=1)
    assert np.array_equal(frames[::-1], editor.morph_classes(3, 0, 5, seed=1))
    assert not np.array_equal(frames, editor.morph_classes(0, 3, 5, seed=2))
    assert np.array_equal(editor.morph_classes(2, 2, 2)[0], editor.morph_classes(2, 2, 2)[1])


@pytest.mark.parametrize("steps", [1, 257])
def test_morphs_of_too_few_or_too_many_steps_are_refused(steps):
    with pytest.raises(RequestError, match=f"got {steps}"):
        editor_of(cvae_gan).morph(*pictures(2), steps)
    with pytest.raises(RequestError, match=f"got {steps}"):
        editor_of(cvae_gan).morph_classes(0, 1, steps)


def test_an_unknown_class_is_the_mean_of_those_the_classifier_reads():
    editor, image = editor_of(cvae_gan), pictures(1)[0]
    with torch.no_grad():
        shares = editor.model.classify(to_tensor(image[None])).softmax(dim=1)
        expected = shares @ editor.model.vectors.weight
    told = editor.coder.condition(to_tensor(image[None]), torch.tensor([-1]))
    torch.testing.assert_close(told, expected)
    given = editor.coder.condition(to_tensor(image[None]), torch.tensor([2]))
    assert torch.equal(given[0], editor.model.vectors.weight[2])
    given, unknown = editor.reconstruct([image, image], labels=[2, None])
    assert not np.array_equal(given, unknown)


def test_a_masked_vae_leaves_what_is_not_face_as_it_is():
    editor, image = editor_of(masked_vae), pictures(1)[0]
    assert isinstance(editor.coder, FaceCoder)
    editor.model.predict_mask = lambda z: torch.cat(
        [torch.zeros(len(z), 1, SIDE, SIDE // 2), torch.ones(len(z), 1, SIDE, SIDE // 2)], dim=3
    )
    rebuilt = editor.reconstruct([image])[0]
    assert np.array_equal(rebuilt[:, : SIDE // 2], image[:, : SIDE // 2])
    assert not np.array_equal(rebuilt[:, SIDE // 2 :], image[:, SIDE // 2 :])


@pytest.mark.parametrize(
    "make",
    [saae, lambda: vae_gan(variant="gan"), lambda: cvae_gan(encodes=False)],
    ids=["SAAE", "GAN", "CGAN"],
)
def test_a_model_that_encodes_no_images_says_so(make):
    editor = editor_of(make)
    assert editor.capabilities == ()
    image = pictures(1)[0]
    with pytest.raises(AugmentError, match="cannot inpaint; it can: none"):
        editor.inpaint([image], [hole_in(image)])
    with pytest.raises(RequestError, match="cannot morph"):
        editor.morph_classes(0, 1, 3)


def test_capabilities_without_attribute_vectors_lack_edit():
    editor = editor_of(vae_gan)
    assert editor.capabilities == ("reconstruct", "morph", "inpaint", "super-resolve")
    with pytest.raises(RequestError, match="cannot edit; it can: reconstruct, morph"):
        editor.edit(pictures(1), [{"Smiling": 1.0}])


def test_bad_labels_are_refused():
    images = pictures(2)
    with pytest.raises(LabelError, match="got 4 at index 1"):
        editor_of(cvae_gan).reconstruct(images, labels=[None, 4])
    with pytest.raises(RequestError, match="labels for each of 2 images, got 1"):
        editor_of(cvae_gan).reconstruct(images, labels=[0])
    with pytest.raises(RequestError, match="takes no labels; send images without them"):
        editor_of(vae_gan).reconstruct(images, labels=[0, 1])
    with pytest.raises(RequestError, match="takes no labels; send images without them"):
        editor_of(vae_gan).morph_classes(0, 1, 3)


def test_bad_images_boxes_and_holes_are_refused(level):
    image = pictures(1)[0]
    with pytest.raises(RequestError, match="at least one image"):
        level.reconstruct([])
    for bad in (image[:, :, :1], image.astype(np.float32), image[0]):
        with pytest.raises(RequestError, match="of 8 bits"):
            level.reconstruct([bad])
    with pytest.raises(RequestError, match="32×32; got left 0, top 0, right 33"):
        level.reconstruct([image], boxes=[FaceBox(0, 0, 33, 32)])
    with pytest.raises(RequestError, match="32×32; got 30×31"):
        level.inpaint([image], [np.ones((31, 30), bool)])
    for fill, said in ((np.zeros, "empty"), (np.ones, "0 of the box's 1024 pixels")):
        with pytest.raises(RequestError, match=said):
            level.inpaint([image], [fill((SIDE, SIDE), bool)])
    with pytest.raises(RequestError, match="pixels outside"):
        level.inpaint([image], [hole_in(image)], boxes=[FaceBox(0, 0, 12, 12)])
    with pytest.raises(RequestError, match="holes for each of 1 images, got 0"):
        level.inpaint([image], [])


def test_scales_and_sizes_that_cannot_be_are_refused(level):
    image = pictures(1)[0]
    with pytest.raises(RequestError, match="2 or 4; got 3"):
        level.super_resolve([image], 3)
    with pytest.raises(RequestError, match="got 8196"):
        level.super_resolve([np.zeros((10, 2049, 3), np.uint8)], 4)
    level.image_size = (30, 30)
    with pytest.raises(RequestError, match="30×30 images, which scale 4"):
        level.super_resolve([image], 4)


def test_a_saved_bundle_loads_and_edits_as_before(tmp_path: Path):
    editor = editor_of(cvae_gan)
    info = BundleInfo(**{**vars(editor.info), "architecture": "cvae_gan", "sampling": {}})
    tensors = {**editor.model.state_dict(), "bank.styles": torch.zeros(1, 8)}
    save_bundle(tmp_path, info, tensors, np.zeros((4, 4, 3), np.uint8))
    loaded = Editor.load(tmp_path, batch_size=4, half=False)
    assert loaded.classes == CLASSES
    assert loaded.attribute_names == NAMES
    images = pictures(2)
    for ours, theirs in zip(every_task(loaded, images), every_task(editor, images), strict=True):
        assert np.array_equal(ours, theirs)
