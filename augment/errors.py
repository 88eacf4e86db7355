"""Every error Labelmint raises on purpose.

    AugmentError
    ├── ConfigError          (ValueError)       a setting is unknown, out of range or contradictory
    │   └── ResumeError                         a run is resumed with another configuration
    ├── DataError            (ValueError)       a data set cannot be used as it is
    │   └── ImageError                          one image cannot be decoded or has an unusable size
    ├── LabelError           (ValueError)       a label is outside the classes at hand
    │   └── GlyphError                          a font cannot draw a label
    ├── RequestError         (ValueError)       a generation request is outside its limits
    ├── BundleError          (ValueError)       a bundle is damaged or was written by something else
    ├── BundleNotFoundError  (LookupError)      a registry has no such bundle
    └── NonFiniteLossError   (ArithmeticError)  training met NaN or infinity

A message says what was expected, what came and what to do. Each class also derives from
the built-in that fits, so callers who know nothing of Labelmint can still catch it.
"""

__all__ = [
    "AugmentError",
    "BundleError",
    "BundleNotFoundError",
    "ConfigError",
    "DataError",
    "GlyphError",
    "ImageError",
    "LabelError",
    "NonFiniteLossError",
    "RequestError",
    "ResumeError",
]


class AugmentError(Exception):
    """Base of every error Labelmint raises on purpose."""


class ConfigError(AugmentError, ValueError):
    """A setting is unknown, out of range or contradicts another."""


class ResumeError(ConfigError):
    """A run is resumed with a configuration that differs from the one it started with."""


class DataError(AugmentError, ValueError):
    """A data set cannot be used as it is."""


class ImageError(DataError):
    """An image cannot be decoded, or its size is unusable."""


class LabelError(AugmentError, ValueError):
    """A label is outside the classes at hand."""


class GlyphError(LabelError):
    """A font has no glyph for a label."""


class RequestError(AugmentError, ValueError):
    """A generation request is outside its limits."""


class BundleError(AugmentError, ValueError):
    """A bundle is damaged, incomplete or was written by something else."""


class BundleNotFoundError(AugmentError, LookupError):
    """A registry holds no bundle of that name or version."""


class NonFiniteLossError(AugmentError, ArithmeticError):
    """A loss term became NaN or infinite; the message names the step and the term."""
