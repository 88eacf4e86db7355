from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import squeezenet1_1

from augment.bundle import BundleInfo, load_bundle, save_bundle
from augment.config import to_mapping
from augment.data.datasets import LabelledImages
from augment.errors import BundleError, DataError
from augment.images import to_tensor
from augment.models.masked_vae import MaskedVAE, MaskedVAEConfig
from recognizers.reconstruction import (
    MIN_MEASURED_SIDE,
    ReconstructionRow,
    Scores,
    find_lpips,
    format_masked_table,
    l1_error,
    l2_error,
    lpips_distance,
    masked_table,
    ms_ssim_distance,
    score_reconstructions,
    ssim_distance,
    vif_distance,
)

TINY = MaskedVAEConfig(
    latent_dim=4, encoder=((4,), (4,)), hidden_dim=8, decoder=(4, 4), mask_decoder=(4, 4)
)
STRUCTURAL = [ms_ssim_distance, vif_distance]


def some_images(count: int = 3, size: int = 64, seed: int = 0) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    noise = torch.rand(count, 3, size, size, generator=draws) * 2 - 1
    return torch.nn.functional.avg_pool2d(noise, 5, 1, 2) * 2


def some_face_masks(count: int = 3, size: int = 64) -> torch.Tensor:
    face_masks = torch.zeros(count, 1, size, size)
    face_masks[:, :, 10:-8, 12:-12] = 1
    return face_masks


def some_data(count: int = 5, size: int = MIN_MEASURED_SIDE) -> LabelledImages:
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    labels = np.arange(count) % 2
    return LabelledImages.from_arrays(images, labels, ("a", "b"), splits=["test"] * count)


def write_model(folder: Path, config: MaskedVAEConfig, seed: int) -> MaskedVAE:
    torch.manual_seed(seed)
    size = (MIN_MEASURED_SIDE, MIN_MEASURED_SIDE)
    model = MaskedVAE(config, num_classes=2, image_size=size, channels=3).eval()
    info = BundleInfo(
        architecture="masked_vae",
        model=to_mapping(config),
        sampling={},
        classes=("a", "b"),
        image_size=size,
        channels=3,
    )
    save_bundle(folder, info, model.state_dict(), np.zeros((2, 2, 3), np.uint8))
    return model


def test_equal_images_are_at_no_distance():
    images, face_masks = some_images(), some_face_masks()
    scores = score_reconstructions(images, images, face_masks)
    assert set(scores) == {
        "one_minus_ssim",
        "one_minus_ms_ssim",
        "one_minus_vif",
        "ten_l1",
        "ten_l2",
    }
    for values in scores.values():
        assert values.shape == (3,)
        torch.testing.assert_close(values, torch.zeros(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("measure", [*STRUCTURAL, ssim_distance])
def test_more_noise_is_further_away(measure):
    images, noise = some_images(), some_images(seed=1)
    rest = (some_face_masks(),) if measure is ssim_distance else ()
    little, much = (measure(images + share * noise, images, *rest) for share in (0.1, 0.5))
    assert (little > 0).all()
    assert (much > little).all()
    assert (much <= 1).all()


def test_what_is_decoded_outside_the_face_changes_no_figure():
    images, face_masks = some_images(), some_face_masks()
    decoded = some_images(seed=1)
    elsewhere = torch.where(face_masks > 0, decoded, -decoded)
    scores, after = (
        score_reconstructions(values, images, face_masks) for values in (decoded, elsewhere)
    )
    for name, values in scores.items():
        assert (values > 0).all()
        assert torch.equal(after[name], values)


def test_distances_are_of_face_pixels_on_images_from_zero_to_one():
    images = torch.zeros(1, 3, 64, 64)
    decoded = images.clone()
    decoded[..., :32] = 0.8  # 0.4 on [0, 1], in one half of the face
    face_masks = torch.zeros(1, 1, 64, 64)
    face_masks[..., 16:48] = 1
    torch.testing.assert_close(l1_error(decoded, images, face_masks), torch.tensor([0.2]))
    torch.testing.assert_close(l2_error(decoded, images, face_masks), torch.tensor([0.08**0.5]))
    scores = score_reconstructions(decoded, images, face_masks)
    torch.testing.assert_close(scores["ten_l1"], torch.tensor([2.0]))
    torch.testing.assert_close(scores["ten_l2"], torch.tensor([10 * 0.08**0.5]))


def test_similarity_is_averaged_over_the_face_only():
    images = some_images()
    changed = images.clone()
    changed[..., 40:] = -changed[..., 40:]
    face_masks = torch.zeros(3, 1, 64, 64)
    face_masks[..., :30] = 1  # further than half a window from the change
    torch.testing.assert_close(
        ssim_distance(changed, images, face_masks), torch.zeros(3), atol=1e-5, rtol=0
    )
    assert (ssim_distance(changed, images, 1 - face_masks) > 0.1).all()


@pytest.mark.parametrize(("size", "scales"), [(41, 2), (64, 3), (144, 4), (176, 5)])
def test_ms_ssim_takes_as_many_scales_as_fit(monkeypatch, size, scales):
    taken = []

    def measure(images, targets, **options):
        taken.append(options["betas"])
        return torch.ones(len(images))

    monkeypatch.setattr(
        "recognizers.reconstruction.multiscale_structural_similarity_index_measure", measure
    )
    ms_ssim_distance(torch.zeros(1, 3, size, size), torch.zeros(1, 3, size, size))
    (exponents,) = taken
    assert len(exponents) == scales
    assert sum(exponents) == pytest.approx(1)
    assert exponents[1] / exponents[0] == pytest.approx(0.2856 / 0.0448)


@pytest.mark.parametrize("size", [41, 43, 64, 144])
def test_every_size_from_the_least_on_is_measured(size):
    images = some_images(1, size)
    for measure in STRUCTURAL:
        assert torch.isfinite(measure(images + 0.1, images)).all()


def test_images_below_the_least_size_are_refused():
    images = some_images(1, 40)
    with pytest.raises(DataError, match="at least 41 pixels a side, got 40×40"):
        score_reconstructions(images, images, some_face_masks(1, 40))


def test_lpips_is_left_out_without_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert find_lpips() is None


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_measures_with_weights_from_the_cache(monkeypatch, tmp_path, channels):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(squeezenet1_1().state_dict(), cache / "squeezenet1_1-b8a52dc0.pth")
    lpips = find_lpips("squeeze")
    images = some_images(2, 32)[:, :channels]
    both = lpips_distance(images + 0.3, images, lpips)
    assert both.shape == (2,)
    assert (both > 0).all()
    alone = lpips_distance(images[1:] + 0.3, images[1:], lpips)
    torch.testing.assert_close(alone, both[1:])
    assert torch.equal(lpips_distance(images, images, lpips), torch.zeros(2))
    images, whole = some_images(2, 41), torch.ones(2, 1, 41, 41)
    scores = score_reconstructions(images * 0.5, images, whole, lpips)
    assert torch.equal(scores["lpips"], lpips_distance(images * 0.5, images, lpips))


def test_table_has_a_row_a_bundle_measured_on_what_its_mean_decodes(tmp_path, monkeypatch):
    monkeypatch.setattr("recognizers.reconstruction.BATCH", 2)
    data = some_data()
    face_masks = np.zeros((5, 41, 41), np.uint8)
    face_masks[:, 5:30, 5:35] = 1
    configs = {"first": TINY, "second": replace(TINY, masked=False, reconstruction="l1")}
    models = {
        name: write_model(tmp_path / name, config, seed)
        for seed, (name, config) in enumerate(configs.items())
    }
    rows = masked_table({name: tmp_path / name for name in models}, data, face_masks)
    assert [(row.bundle, row.reconstruction, row.masked, row.images) for row in rows] == [
        ("first", "l2+ssim", True, 5),
        ("second", "l1", False, 5),
    ]
    images, regions = to_tensor(data.images()), torch.from_numpy(face_masks[:, None]).float()
    for row, model in zip(rows, models.values(), strict=True):
        with torch.no_grad():
            decoded = model.decode(model.encode(images)[0])
        expected = score_reconstructions(decoded, images, regions)
        assert row.scores.lpips is None
        for name, values in expected.items():
            assert getattr(row.scores, name) == pytest.approx(float(values.mean()), rel=1e-4)


def test_table_is_printed_as_in_the_paper():
    rows = [
        ReconstructionRow("a/1", "l2+ssim", True, 9, Scores(0.307, 0.077, 0.144, 0.523, 0.487, 1)),
        ReconstructionRow("b/1", "l1", False, 9, Scores(0.5, 0.25, None, 0.125, 2, 3)),
    ]
    assert format_masked_table(rows).splitlines() == [
        "| bundle | loss | face masks | 1−SSIM | 1−MS-SSIM | LPIPS | 1−VIF | 10·l1 | 10·l2 |",
        "|---|---|---|---|---|---|---|---|---|",
        "| a/1 | l2+ssim | yes | 0.307 | 0.077 | 0.144 | 0.523 | 0.487 | 1.000 |",
        "| b/1 | l1 | no | 0.500 | 0.250 | no weights | 0.125 | 2.000 | 3.000 |",
    ]


def test_masks_must_be_one_an_image_and_hold_a_face(tmp_path):
    data = some_data()
    with pytest.raises(DataError, match=r"\(5, 41, 41\), one an image, got \(4, 41, 41\)"):
        masked_table({}, data, np.ones((4, 41, 41), np.uint8))
    face_masks = np.ones((5, 41, 41), np.uint8)
    face_masks[3] = 0
    with pytest.raises(DataError, match="none for image000003"):
        masked_table({}, data, face_masks)


def test_bundles_of_another_size_are_refused(tmp_path):
    write_model(tmp_path / "faces", TINY, 0)
    with pytest.raises(DataError, match="expected images of 41×41×3, got 48×48×3"):
        masked_table(
            {"faces": tmp_path / "faces"}, some_data(size=48), np.ones((5, 48, 48), np.uint8)
        )


def test_bundles_of_another_architecture_are_refused(tmp_path, monkeypatch):
    write_model(tmp_path / "faces", TINY, 0)
    info = replace(load_bundle(tmp_path / "faces"), architecture="saae")
    monkeypatch.setattr("recognizers.reconstruction.load_bundle", lambda folder: info)
    with pytest.raises(BundleError, match="faces: expected a masked_vae bundle, got one of saae"):
        masked_table({"faces": tmp_path}, some_data(), np.ones((5, 41, 41), np.uint8))
