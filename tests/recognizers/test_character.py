import pytest
import torch

from augment.errors import ConfigError
from recognizers.base import find_recognizer
from recognizers.character import CharacterConfig, CharacterRecognizer


@pytest.mark.parametrize(("size", "channels"), [((8, 8), 1), ((24, 24), 3), ((40, 17), 3)])
def test_logits_have_one_column_a_class(size, channels):
    model = CharacterRecognizer(7, size, channels, CharacterConfig(width=4)).eval()
    assert model(torch.zeros(5, channels, *size)).shape == (5, 7)


def test_decode_gives_the_most_probable_class_and_its_probability():
    model = CharacterRecognizer(3, (8, 8), 1, CharacterConfig(width=4))
    labels, confidences = model.decode(torch.tensor([[0.0, 2.0, 0.0], [9.0, 0.0, 0.0]]))
    assert labels.tolist() == [1, 0]
    torch.testing.assert_close(confidences[0], torch.tensor([0.0, 2.0, 0.0]).softmax(0)[1])


def test_loss_is_per_sample_and_smaller_for_the_right_label():
    torch.manual_seed(0)
    model = CharacterRecognizer(3, (8, 8), 1, CharacterConfig(width=4)).eval()
    images = torch.rand(6, 1, 8, 8)
    right = model.decode(model(images))[0]
    assert model.loss(images, right).shape == (6,)
    assert (model.loss(images, right) < model.loss(images, (right + 1) % 3)).all()


def test_an_image_is_read_alike_beside_any_neighbours():
    torch.manual_seed(0)
    model = CharacterRecognizer(3, (16, 16), 1, CharacterConfig(width=4)).eval()
    images = torch.rand(6, 1, 16, 16)
    torch.testing.assert_close(model(images)[2:3], model(images[2:3]), atol=1e-5, rtol=1e-4)


def test_images_too_small_for_three_halvings_are_refused():
    with pytest.raises(ConfigError, match="8×8"):
        CharacterRecognizer(3, (7, 20), 1)


@pytest.mark.parametrize("setting", [{"width": 0}, {"dropout": 1.0}, {"label_smoothing": -0.1}])
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(ConfigError):
        CharacterConfig(**setting)


def test_a_users_recognizer_is_found_by_module_and_class():
    found = find_recognizer("recognizers.character:CharacterRecognizer")
    assert found.__name__ == "CharacterRecognizer"


@pytest.mark.parametrize(
    "reference",
    ["recognizers.character", "no.such:Thing", "recognizers.character:Nothing", "json:JSONDecoder"],
)
def test_what_is_no_recognizer_is_refused(reference):
    with pytest.raises(ConfigError):
        find_recognizer(reference)
