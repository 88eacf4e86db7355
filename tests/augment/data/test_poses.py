import numpy as np
import torch

from augment.data.content import Font, draw_glyphs
from augment.data.poses import fit_poses, identity_poses, relative_poses, warp_to_poses

LEANING = torch.tensor([[[0.9, 0.3, 0.1], [-0.1, 1.1, -0.05]]])


def glyph(label: str):
    return draw_glyphs([label], (24, 24), [Font(weight=700)])


def as_inks(pixels):
    return torch.from_numpy(pixels[:, 0]).permute(0, 3, 1, 2).float() / 127.5 - 1


def correlation(first, second) -> float:
    return float(np.corrcoef(first.flatten(), second.flatten())[0, 1])


def test_the_identity_changes_nothing():
    inks = as_inks(glyph("京"))
    torch.testing.assert_close(warp_to_poses(inks, identity_poses(1)), inks, atol=1e-5, rtol=0)


def test_a_fitted_pose_stands_the_glyph_as_the_ink_stands():
    glyphs = glyph("R")
    leaning = warp_to_poses(as_inks(glyphs), LEANING)
    pixels = ((leaning + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
    poses = fit_poses(pixels, np.zeros(1, np.int64), glyphs)
    fitted = warp_to_poses(as_inks(glyphs), poses)
    assert correlation(as_inks(glyphs), leaning) < 0.7
    assert correlation(fitted, leaning) > 0.95


def test_contents_can_be_taken_from_one_pose_to_another():
    upright = as_inks(glyph("R"))
    leaning = warp_to_poses(upright, LEANING)
    back = warp_to_poses(leaning, relative_poses(LEANING, identity_poses(1)))
    assert correlation(back, upright) > 0.95


def test_relative_poses_of_a_pose_to_itself_are_the_identity():
    torch.testing.assert_close(relative_poses(LEANING, LEANING), identity_poses(1))


def test_an_ink_without_strokes_keeps_a_sound_pose():
    poses = fit_poses(np.zeros((2, 24, 24, 1), np.uint8), np.zeros(2, np.int64), glyph("8"))
    assert torch.isfinite(poses).all()
    assert (torch.linalg.det(poses[:, :, :2]) > 0.3).all()


def test_poses_of_no_images_are_an_empty_table():
    assert identity_poses(0).shape == (0, 2, 3)
