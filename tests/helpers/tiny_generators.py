"""Settings of tiny generators whose images have no class, by a short name."""

UNLABELLED: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "masked": (
        "masked_vae",
        "labelmint",
        ("model.encoder=[[4],[8]]", "model.decoder=[8,4]", "model.mask_decoder=[4,4]"),
    ),
    "deepsim": (
        "deepsim",
        "vae",
        ("model.width=4", "model.comparator=untrained:squeezenet1_1:features.3"),
    ),
    "vae_gan": ("vae_gan", "labelmint", ("model.width=4", "model.hidden=8")),
}
"""Architecture, configuration and what is changed of it."""
