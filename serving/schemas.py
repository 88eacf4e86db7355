"""What goes in and out of the service over HTTP, and the arguments that start it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from augment.errors import RequestError
from serving.counts import MAX_IMAGES, count_labels, list_texts
from serving.reading import ReaderBand, check_reader_band

__all__ = [
    "FORMAT_HELP",
    "MAX_DRAWN_SEED",
    "MAX_IMAGES",
    "MAX_SEED",
    "MAX_STYLES",
    "MAX_STYLE_IMAGES",
    "MAX_TEXT",
    "ErrorBody",
    "ErrorDetail",
    "Format",
    "GenerateRequest",
    "GenerateResponse",
    "Health",
    "ImageResponse",
    "LabelledImage",
    "ModelDetail",
    "ModelList",
    "ModelSummary",
    "MorphResponse",
    "SelectRequest",
    "ServeArguments",
    "StyleRequest",
]

MAX_TEXT = 256
"""Most characters of a text; a line that long is wider than any bundle writes."""
MAX_STYLES = 1000
"""Most sources, or colours, that a selection of styles may name."""
MAX_STYLE_IMAGES = 4
"""Most style images that one request may mix."""
MAX_SEED = 2**53 - 1
"""Largest seed: the largest integer that every JSON reader keeps exactly."""
MAX_DRAWN_SEED = 2**31 - 1
"""Seeds drawn for requests without one stay short enough to be copied by hand."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False, strict=False)]


Format = Literal[
    "zip",
    "webdataset",
    "json",
    "ccpd",
    "csv",
    "easyocr",
    "insightface",
    "jsonl",
    "lfw",
    "lmdb",
    "mmocr",
    "paddleocr",
    "parquet",
]
"""What a request may name: json, or a layout of ``augment.export.WRITERS``."""
FORMAT_HELP = (
    "zip: an ImageFolder; webdataset: a tar; json: base64 PNGs; each other one: the layout of "
    "that trainer, as `jobs.generate --format` writes it, in a zip. Left out, the header Accept "
    "chooses among the first three; zip if it does not mind."
)


class StyleRequest(_Strict):
    """Whose style the images take; without it each image draws its own from the bundle's bank.

    Either ``index``, or ``images`` with optional ``weights``. A VAE/GAN of classes takes none: it
    knows these by their images alone.
    """

    index: int | None = Field(None, ge=0, description="A style of the bundle's bank.")
    images: list[str] | None = Field(
        None,
        min_length=1,
        max_length=MAX_STYLE_IMAGES,
        description="Base64 image files whose style is taken, or mixed if there are several.",
    )
    weights: list[Weight] | None = Field(
        None, description="One per image, scaled to sum to 1; equal if left out."
    )

    @model_validator(mode="after")
    def _check_combination(self) -> "StyleRequest":
        if (self.index is None) == (self.images is None):
            raise RequestError("style must hold either index or images; give exactly one of them.")
        if self.weights is not None:
            count = len(self.images or ())
            if len(self.weights) != count or sum(self.weights) <= 0:
                raise RequestError(
                    f"style.weights must hold {count} numbers with a sum above 0, one per style "
                    f"image; got {self.weights}."
                )
        return self


StyleName = Annotated[str, Field(max_length=MAX_TEXT)]

Shares = Annotated[tuple[float, float], Field(strict=False)]
"""The least and greatest share of the bank, in [0, 1]."""


class SelectRequest(_Strict):
    """Which styles of the bank lines of text may take; all conditions hold together."""

    sources: list[StyleName] = Field(
        [], max_length=MAX_STYLES, description="Where the real lines came from; empty: anywhere."
    )
    colours: list[StyleName] = Field(
        [], max_length=MAX_STYLES, description="Of their ground, such as blue; empty: any."
    )
    brightness: Shares = Field((0.0, 1.0), description="[0.5, 1] is the bank's brighter half.")
    sharpness: Shares = Field((0.0, 1.0), description="From its most blurred line to its sharpest.")


class GenerateRequest(_Strict):
    """A request for labelled images: of ``labels``, ``new_identities``, or lines of text."""

    labels: Annotated[
        dict[str, int] | None,
        BeforeValidator(count_labels),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                    {"type": "array", "items": {"type": "string"}},
                ],
                "description": "How many images of each label, or a list with one label per "
                f"image; at most {MAX_IMAGES:,} images.",
                "examples": [{"3": 20, "7": 20}],
            }
        ),
    ] = None
    new_identities: int | None = Field(
        None,
        ge=1,
        le=MAX_IMAGES,
        description="Instead of labels: how many classes that do not exist, new-0001 and so on, "
        "each a mix of three known ones; they are not read back.",
    )
    texts: Annotated[
        list[Annotated[str, Field(max_length=MAX_TEXT)]] | None,
        Field(min_length=1, max_length=MAX_IMAGES),
        BeforeValidator(list_texts),
        WithJsonSchema(
            {
                "anyOf": [
                    {
                        "type": "array",
                        "items": {"type": "string", "maxLength": MAX_TEXT},
                        "minItems": 1,
                        "maxItems": MAX_IMAGES,
                    },
                    {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}},
                ],
                "description": "Instead of labels, of a bundle of lines: what each image is to "
                "say, or how many images each text gets.",
                "examples": [["OPEN", "CLOSED"], {"OPEN": 20}],
            }
        ),
    ] = None
    random_texts: int | None = Field(
        None,
        ge=1,
        le=MAX_IMAGES,
        description="Instead of texts: how many random ones of the bundle's layout.",
    )
    select: SelectRequest | None = Field(None, description="Styles that texts may take.")
    per_label: int = Field(1, ge=1, le=MAX_IMAGES, description="Images of each new identity.")
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Drawn and returned in X-Seed if left out."
    )
    format: Format | None = Field(None, description=FORMAT_HELP)
    read_back: bool | None = Field(
        None,
        description="Keep only images that the bundle's reader reads as their label or text. Left "
        "out: labels are read back, texts if the bundle has a reader, new identities never.",
    )
    reader_band: ReaderBand = None
    style: StyleRequest | None = None

    @model_validator(mode="after")
    def _check_combination(self) -> "GenerateRequest":
        kinds = ("labels", "new_identities", "texts", "random_texts")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise RequestError(f"a request must hold one of {', '.join(kinds)}; give one.")
        self._check_lines()
        check_reader_band(self.reader_band, self.read_back)
        if self.new_identities is None:
            if "per_label" in self.model_fields_set:
                raise RequestError(
                    "per_label goes with new_identities; give each label its number in labels."
                )
            return self
        for option in ("read_back", "reader_band"):
            if getattr(self, option):
                raise RequestError(f"no reader knows new identities; leave {option} out.")
        total = self.new_identities * self.per_label
        if total > MAX_IMAGES:
            raise RequestError(
                f"a request may ask for 1 to {MAX_IMAGES:,} images in all, got {total:,}; split "
                "it into several with different seeds."
            )
        return self

    def _check_lines(self) -> None:
        if not self.asks_for_lines:
            if self.select is not None:
                raise RequestError("select goes with texts or random_texts; leave it out.")
        elif self.style is not None and self.select is not None:
            raise RequestError("a request may hold either style or select; leave one out.")

    @property
    def asks_for_lines(self) -> bool:
        """Whether lines of text are asked for."""
        return self.texts is not None or self.random_texts is not None

    @property
    def reads_labels_back(self) -> bool:
        """Whether images of labels are to be read back."""
        return self.read_back is not False and self.new_identities is None


class LabelledImage(BaseModel):
    """One image of a JSON response."""

    label: str
    index: int
    content: int | None
    styles: tuple[int, int] | None
    mix: float | None
    confidence: float | None
    sha256: str
    png: str = Field(description="The PNG file in base64.")


class GenerateResponse(BaseModel):
    """The answer to a request with format json."""

    model: str
    bundle: str
    seed: int
    read_back: bool
    reader_band: tuple[float, float] | None = Field(description="As asked for.")
    new_identities: int | None
    asked: int
    made: int
    kept: int
    dropped: int
    copies: int = Field(description="Of the dropped: near-copies, 0 where none are looked for.")
    shortfall: dict[str, int]
    images: list[LabelledImage]


class ImageResponse(BaseModel):
    """The answer to a request with an image, as JSON."""

    model: str
    bundle: str
    seed: int
    width: int
    height: int
    png: str = Field(description="The PNG file in base64.")


class MorphResponse(BaseModel):
    """The answer to a morph, as JSON."""

    model: str
    bundle: str
    seed: int
    width: int
    height: int
    frames: list[str] = Field(description="The PNG files in base64, from first to last.")


class ModelSummary(BaseModel):
    """One line of the list of models."""

    name: str
    version: int
    digest: str | None = None
    classes: int | None = None
    capabilities: list[str] = Field(default_factory=list, description="What it can be asked for.")
    attributes: list[str] = Field(default_factory=list, description="What edit knows.")
    error: str | None = Field(None, description="Why the bundle cannot be used.")


class ModelList(BaseModel):
    """The models of the registry, each in its newest version."""

    models: list[ModelSummary]


class ModelDetail(BaseModel):
    """What is known about one model."""

    name: str
    version: int
    versions: list[int]
    digest: str
    architecture: str
    classes: list[str]
    image_size: tuple[int, int] = Field(description="Height and width in pixels.")
    channels: int
    capabilities: list[str] = Field(description="What it can be asked for.")
    attributes: list[str] = Field(description="What edit knows.")
    max_strength: float | None = Field(
        description="Largest strength of an edit, either way; null: the model does not edit."
    )
    reader: bool = Field(description="Whether images can be read back.")
    reader_band: tuple[float, float] | None = Field(
        description="Confidences that the reader keeps unless a request says otherwise."
    )
    published: datetime = Field(description="When this version came into the registry.")
    licence: str | None = Field(
        description="Terms of the images that it was trained on, as given; null: not stated."
    )
    data: dict[str, Any]
    metrics: dict[str, float]


class Health(BaseModel):
    """Whether the service can answer."""

    status: Literal["ready", "loading", "failed"]
    models: list[str]
    failed: dict[str, str] = Field(default_factory=dict, description="Bundles left out, and why.")


class ErrorDetail(BaseModel):
    """What went wrong."""

    type: str
    message: str


class ErrorBody(BaseModel):
    """The body of every 4xx and 5xx answer."""

    error: ErrorDetail


class ServeArguments(BaseModel):
    """Arguments of ``serve run serving.app:build registry=DIR [name=value ...]``."""

    model_config = ConfigDict(extra="forbid")

    registry: str = Field(min_length=1, description="Folder or fsspec URL of bundles.")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N.")
    half: bool | None = Field(
        None, description="Run the generators in bfloat16; left out: where that is faster."
    )
    batch_size: int = Field(128, ge=1, le=4096, description="Images drawn in one go.")
    edit_batch_size: int = Field(8, ge=1, le=1024, description="Images edited in one go.")
    batch_wait_s: float = Field(0.002, ge=0, le=1, description="How long a batch waits to fill.")
    replicas: int = Field(1, ge=1, le=64)
    threads: int | None = Field(
        None, ge=1, description="Torch threads of a replica; left out: its share of the cores."
    )
    encoders: int = Field(2, ge=1, le=64, description="PNG encoding threads of a replica.")
    compile: bool | None = Field(
        None,
        description="Compile the generators while loading; left out: where there is a compiler.",
    )
    face_detector: str | None = Field(
        None,
        description="ONNX file of a YuNet face detector; left out, images sent without a box are "
        "taken for aligned faces.",
    )
    spare_models: int = Field(
        4, ge=1, description="Older versions that a replica keeps loaded once asked for."
    )
    max_queued: int = Field(
        256,
        ge=1,
        description="Requests under way at a time, each until its answer is sent; further ones "
        "are answered 503.",
    )
