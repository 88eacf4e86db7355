"""Requests that bring images: their fields, from JSON or multipart/form-data, and their tasks."""

import json
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Final, Literal, Self, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from starlette.datastructures import UploadFile

from augment.attributes import MAX_STRENGTH
from augment.editing import MAX_FRAMES
from augment.errors import ImageError, RequestError
from augment.restoration.faces import FaceBox
from augment.restoration.inpainting import Blend
from serving.catalog import Entry
from serving.codec import check_pixels, decode_hole, decode_upload, from_base64
from serving.image_tasks import Edit, ImageTask, Inpaint, Morph, Reconstruct, SuperResolve
from serving.schemas import MAX_IMAGES, MAX_SEED

__all__ = [
    "EditRequest",
    "FormRequest",
    "ImageFile",
    "ImageRequest",
    "InpaintRequest",
    "MorphRequest",
    "OneImageRequest",
    "ReconstructRequest",
    "SuperResolveRequest",
    "read_request",
    "request_body",
]

SEVERAL = ("images", "labels", "texts")
"""Fields that a form may hold more than once."""
AS_JSON = ("attributes", "box", "read_back", "reader_band", "scale", "seed", "steps")
"""Fields that a form writes as JSON does."""
_MOST_FIELDS = MAX_IMAGES + 100
"""Of a form: as many texts as may be asked for, and the others."""
WHOLE: Final = "whole"
"""The box of an image that is an aligned face itself."""


def _file_bytes(value: object, info: ValidationInfo) -> bytes:
    """The bytes of a file that came as such or in base64."""
    name = "mask" if info.field_name == "hole" else str(info.field_name)
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        raise ImageError(f"{name}: expected one image file, got {len(value)}; send it once.")
    if not isinstance(value, str):
        raise ImageError(
            f"{name}: expected an image file, as a part of a form or in base64; got "
            f"{ascii(value)[:40]}."
        )
    return from_base64(value, name=name)


def _face_box(value: object) -> FaceBox | Literal["whole"] | None:
    if value is None:
        return None
    if value == WHOLE:
        return WHOLE
    sides = value if isinstance(value, list) else []
    if len(sides) != 4 or any(isinstance(s, bool) or not isinstance(s, int) for s in sides):
        raise RequestError(
            "box must be four whole numbers, [left, top, right, bottom] in pixels of the image, or "
            f"{WHOLE!r}; got {ascii(value)[:80]}."
        )
    return FaceBox(*sides)


ImageFile = Annotated[
    bytes, BeforeValidator(_file_bytes), WithJsonSchema({"type": "string", "format": "binary"})
]
Box = Annotated[
    FaceBox | Literal["whole"] | None,
    BeforeValidator(_face_box),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "array",
                    "items": {"type": "integer"},
                    "minItems": 4,
                    "maxItems": 4,
                },
                {"const": WHOLE},
            ],
            "description": "Where the face is: left, top, right and bottom in pixels, or "
            f'"{WHOLE}" for an aligned face. Left out, it is looked for where the service has a '
            "detector and the image is larger than the model's; else the image is taken for an "
            "aligned face.",
        }
    ),
]
Label = Annotated[
    str | None, Field(description="Of whom or what the image is; left out, it is estimated.")
]
Strength = Annotated[float, Field(ge=-MAX_STRENGTH, le=MAX_STRENGTH, allow_inf_nan=False)]


class FormRequest(BaseModel):
    """What all requests have that may come as a form."""

    model_config = ConfigDict(extra="forbid", strict=True)
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="Drawn and returned in X-Seed if left out."
    )


class ImageRequest(FormRequest, ABC):
    """What all requests with images to work on have."""

    task: ClassVar[type[ImageTask]]

    @abstractmethod
    def decoded(self, entry: Entry, seed: int) -> ImageTask:
        """The task, its images decoded.

        Raises:
            ImageError: a file that is no image, or one of unusable size.
            LabelError: an unknown label.
            RequestError: what the bundle cannot do.
        """


class OneImageRequest(ImageRequest):
    """What requests with one image have."""

    image: ImageFile = Field(
        description="PNG, JPEG, WebP, …, of any size, gray or in colour. It is turned as EXIF "
        "says, 16 bits become 8, and transparency is laid over white: the answer is opaque.",
    )
    box: Box = None
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="Taken and returned in X-Seed as by the other routes; the image does not "
        "depend on it, since nothing is drawn at random.",
    )

    def _common(self, entry: Entry, label: str | None = None) -> dict[str, Any]:
        """What their tasks have."""
        image = decode_upload(self.image, channels=entry.info.channels, name="image")
        number = None if label is None else entry.class_index(label)
        box = FaceBox.whole(image) if isinstance(self.box, str) else self.box
        return {"bundle": entry.bundle, "image": image, "box": box, "label": number}


class ReconstructRequest(OneImageRequest):
    """Encode and decode an image: what the model keeps of it."""

    task: ClassVar[type[ImageTask]] = Reconstruct
    label: Label = None

    def decoded(self, entry: Entry, seed: int) -> ImageTask:
        """As ``ImageRequest.decoded``."""
        return Reconstruct(**self._common(entry, self.label))


class EditRequest(OneImageRequest):
    """Change attributes of an image."""

    task: ClassVar[type[ImageTask]] = Edit
    attributes: dict[str, Strength] = Field(
        min_length=1,
        description="Attribute to strength: 1 adds it, -1 takes it away; at most the model's "
        "max_strength.",
        examples=[{"Eyeglasses": 1.0, "Smiling": -0.5}],
    )

    def decoded(self, entry: Entry, seed: int) -> ImageTask:
        """As ``ImageRequest.decoded``."""
        known = entry.info.attributes
        for name in self.attributes:
            if name not in known:
                raise RequestError(
                    f"unknown attribute {name[:40]!r}; {entry.bundle} knows: {', '.join(known)}."
                )
        return Edit(attributes=self.attributes, **self._common(entry))


class InpaintRequest(OneImageRequest):
    """Fill a hole in an image."""

    task: ClassVar[type[ImageTask]] = Inpaint
    hole: ImageFile = Field(
        alias="mask", description="An image of the same size, white where it is to be filled."
    )
    label: Label = None
    blend: Blend = Field("poisson", description="How the fill meets the rest.")

    def decoded(self, entry: Entry, seed: int) -> ImageTask:
        """As ``ImageRequest.decoded``."""
        common = self._common(entry, self.label)
        hole, (height, width) = decode_hole(self.hole, name="mask"), common["image"].shape[:2]
        if hole.shape != (height, width):
            raise RequestError(
                f"mask must have the size of image, {width}×{height} pixels; got "
                f"{hole.shape[1]}×{hole.shape[0]}: resize one to the other."
            )
        return Inpaint(hole=hole, blend=self.blend, **common)


class SuperResolveRequest(OneImageRequest):
    """Enlarge an image."""

    task: ClassVar[type[ImageTask]] = SuperResolve
    scale: Literal[2, 4]
    label: Label = None

    def decoded(self, entry: Entry, seed: int) -> ImageTask:
        """As ``ImageRequest.decoded``."""
        common = self._common(entry, self.label)
        height, width = common["image"].shape[:2]
        check_pixels(self.scale * width, self.scale * height, "the enlarged image")
        return SuperResolve(scale=self.scale, **common)


class MorphRequest(ImageRequest):
    """Go from one image to another, or from one label to another."""

    task: ClassVar[type[ImageTask]] = Morph
    images: list[ImageFile] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Two aligned faces; or, where the service has a detector, two pictures of one "
        "face each that are larger than the model's images.",
    )
    labels: list[str] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="Of the two images; without images, what to go between.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        le=MAX_SEED,
        description="Of what two labels without images have in common; drawn and returned in "
        "X-Seed if left out. Between two images nothing is drawn at random.",
    )
    steps: int = Field(8, ge=2, le=MAX_FRAMES, description="Images wanted, both ends included.")

    @model_validator(mode="after")
    def _check_ends(self) -> Self:
        if self.images is None and self.labels is None:
            raise RequestError("a morph needs two images or two labels; got neither.")
        return self

    def decoded(self, entry: Entry, seed: int) -> ImageTask:
        """As ``ImageRequest.decoded``."""
        labels: tuple[int | None, int | None] = (None, None)
        if self.labels is not None:
            first, second = self.labels
            labels = entry.class_index(first), entry.class_index(second)
        images = None
        if self.images is not None:
            channels = entry.info.channels
            first_image, second_image = (
                decode_upload(data, channels=channels, name=f"images[{position}]")
                for position, data in enumerate(self.images)
            )
            images = first_image, second_image
        return Morph(bundle=entry.bundle, images=images, labels=labels, steps=self.steps, seed=seed)


R = TypeVar("R", bound=FormRequest)


async def read_request(request: Request, kind: type[R]) -> R:
    """Read and check the fields of a request, from JSON or from a form.

    Raises:
        RequestValidationError, AugmentError: they are not as ``kind`` says.
        HTTPException: a form that does not parse.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = media_type == "multipart/form-data"
    fields = await _form_fields(request) if is_form else _json_fields(await request.body())
    if not isinstance(fields, dict):
        raise RequestError(
            f"expected a JSON object with the fields of the request, got {ascii(fields)[:40]}."
        )
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error


def _json_fields(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        problem = {"type": "json_invalid", "loc": ("body",), "msg": "", "ctx": {"error": error}}
        raise RequestValidationError([problem]) from error


async def _form_fields(request: Request) -> dict[str, Any]:
    """Fields of a form: files as bytes, numbers and objects parsed, the others as text."""
    fields: dict[str, list[Any]] = {}
    async with request.form(max_fields=_MOST_FIELDS) as form:
        for name, value in form.multi_items():
            content = await value.read() if isinstance(value, UploadFile) else value
            fields.setdefault(name, []).append(_parsed(name, content))
    return {
        name: values if name in SEVERAL or len(values) > 1 else values[0]
        for name, values in fields.items()
    }


def _parsed(name: str, content: str | bytes) -> Any:
    if name not in AS_JSON or isinstance(content, bytes):
        return content
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content  # refused as what it is


def request_body(kind: type[FormRequest]) -> dict[str, Any]:
    """What OpenAPI says of a request: the same fields as a form or as JSON with base64 files."""
    form, text = kind.model_json_schema(), kind.model_json_schema()
    for field in text["properties"].values():
        _say_base64(field)
    content = {"multipart/form-data": {"schema": form}, "application/json": {"schema": text}}
    told = "A form, whose box, attributes, numbers, true and false are written as JSON; or JSON."
    return {"requestBody": {"required": True, "description": told, "content": content}}


def _say_base64(field: dict[str, Any]) -> None:
    """Turn files of a JSON schema into base64 text."""
    if field.get("format") == "binary":
        field.update(format="byte")
    for part in [field.get("items"), *field.get("anyOf", [])]:
        if isinstance(part, dict):
            _say_base64(part)
