import numpy as np
import pytest

from augment.data.transforms import ClassicalAugmentation
from augment.errors import ConfigError
from recognizers.mixing import LabelledPixels, Recipe, mixed_stream

LEVELS = {"real": 10, "rendered": 20, "generated": 30}


def flat(level: int, labels) -> LabelledPixels:
    labels = np.asarray(labels, np.int64)
    return LabelledPixels(np.full((len(labels), 8, 8, 1), level, np.uint8), labels)


def stream(recipe: Recipe, labels=(0, 1, 2), **settings):
    sources = {name: flat(level, labels) for name, level in LEVELS.items()}
    return mixed_stream(
        recipe,
        sources,
        **{"steps": 10, "batch_size": 40, "seed": 3, **settings},
        augment=ClassicalAugmentation("none", (8, 8), 1),
    )


def composition(batch) -> dict[str, int]:
    return {name: int((batch.images[:, 0, 0, 0] == level).sum()) for name, level in LEVELS.items()}


def test_a_batch_holds_the_shares_of_the_recipe():
    batch = stream(Recipe(rendered=0.25, generated=0.5, augmentation="none"))(0)
    assert composition(batch) == {"real": 10, "rendered": 10, "generated": 20}


def test_after_the_mixed_part_only_real_images_come():
    batches = stream(Recipe(generated=0.5, augmentation="none", real_only_after=0.6))
    assert composition(batches(5))["generated"] == 20
    assert composition(batches(6)) == {"real": 40, "rendered": 0, "generated": 0}


def test_a_batch_is_a_function_of_seed_and_step():
    recipe = Recipe(rendered=0.5, augmentation="none")
    labels = [
        stream(recipe, seed=seed)(step)[1].tolist()
        for seed, step in [(3, 4), (3, 4), (3, 5), (4, 4)]
    ]
    assert labels[0] == labels[1]
    assert labels[0] != labels[2]
    assert labels[0] != labels[3]


def test_balanced_batches_draw_rare_classes_as_often_as_common_ones():
    labels = [0] * 98 + [1, 2]
    drawn = stream(Recipe(augmentation="none"), labels, batch_size=3000)(0)[1]
    assert np.bincount(drawn).min() > 850
    drawn = stream(Recipe(augmentation="none", balance_classes=False), labels, batch_size=3000)(0)
    assert np.bincount(drawn[1])[0] > 2800


def test_extra_images_can_lean_towards_classes_with_few_real_ones():
    labels = [0] * 100 + [1]
    recipe = Recipe(generated=1.0, towards_rare=0.5, augmentation="none")
    drawn = stream(recipe, labels, batch_size=3300)(0)[1]
    assert np.bincount(drawn)[1] / np.bincount(drawn)[0] == pytest.approx(10, rel=0.2)


def test_mixup_blends_images_and_labels_in_the_same_shares():
    sources = {
        "real": LabelledPixels(
            np.arange(4, dtype=np.uint8)[:, None, None, None].repeat(64, 1).reshape(4, 8, 8, 1)
            * 60,
            np.arange(4),
        )
    }
    recipe = Recipe(augmentation="none", mixup=1.0)
    augment = ClassicalAugmentation("none", (8, 8), 1)
    batches = mixed_stream(recipe, sources, steps=9, batch_size=200, augment=augment, seed=3)
    images, labels, (others, shares) = batches(0)
    expected = 60 * (shares * labels + (1 - shares) * others)
    np.testing.assert_allclose(images[:, 0, 0, 0], expected, atol=0.51)
    assert 0.4 < shares.mean() < 0.6
    assert (labels != others).mean() > 0.6
    again = batches(0)
    np.testing.assert_array_equal(again.images, images)
    np.testing.assert_array_equal(again.blend.shares, shares)


def test_without_mixup_nothing_is_blended():
    assert stream(Recipe(augmentation="none"))(0).blend is None


def test_a_share_without_its_source_is_refused():
    with pytest.raises(ConfigError, match="rendered"):
        mixed_stream(
            Recipe(rendered=0.5),
            {"real": flat(1, [0, 1])},
            steps=1,
            batch_size=4,
            augment=ClassicalAugmentation("none", (8, 8), 1),
            seed=0,
        )


@pytest.mark.parametrize("batch_size", range(1, 65))
@pytest.mark.parametrize("rendered", [0.0, 0.3, 0.335, 0.5, 0.75, 1.0])
def test_a_batch_of_any_size_is_full_and_has_no_source_without_a_share(
    batch_size: int, rendered: float
) -> None:
    for generated in {round(1 - rendered, 4), (1 - rendered) / 2, 0.0}:
        recipe = Recipe(rendered=rendered, generated=generated)
        sizes = recipe.sizes(batch_size, 0.0)
        assert sum(sizes.values()) == batch_size
        assert min(sizes.values()) > 0
        shares = {"rendered": rendered, "generated": generated, "real": recipe.real}
        for name, size in sizes.items():
            assert shares[name] > 1e-9, f"no share of {name}"
            assert abs(size - shares[name] * batch_size) <= 1


@pytest.mark.parametrize(
    "setting",
    [
        {"rendered": 0.6, "generated": 0.6},
        {"generated": -0.1},
        {"real_only_after": 1.2},
        {"mixup": -1},
    ],
)
def test_recipes_that_are_no_mixture_are_refused(setting):
    with pytest.raises(ConfigError):
        Recipe(**setting)
