"""Settings of tiny generators."""

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
"""Those whose images have no class, by a short name: architecture, configuration, its changes."""

SAAE = (
    "model.width=4",
    "model.style_dim=8",
    "model.discriminator_width=4",
    "model.steps.reconstruct=1",
    "model.steps.discriminate=1",
)
"""What is changed of SAAE on images of classes; a test adds the last stage and the batch."""
