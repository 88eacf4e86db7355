"""The HTTP service: routes, and the application that Ray Serve runs.

    serve run serving.app:build registry=DIR        # then http://127.0.0.1:8000/

The routes are a plain FastAPI application over a ``Backend``; Ray appears only in ``Ingress``
and ``build``. Serve listens on loopback alone unless its own configuration says otherwise.
"""

import asyncio
import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Response
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.routing import Route

from augment.bundle import Registry
from augment.errors import BundleNotFoundError
from augment.generate import Style
from augment.generators.line_sampler import LineStyle
from augment.restoration.faces import FaceDetector
from serving.accept import joined
from serving.answers import TAR, ZIP, answer, choose_format
from serving.catalog import Catalog, Entry
from serving.codec import decode_upload, from_base64
from serving.deployments import HandleBackend, replica_deployment, with_threads
from serving.errors import AdmissionGate, BodyGuard, install_error_handlers
from serving.fulfilment import Backend, Order
from serving.generation import StyleSource
from serving.image_routes import CAPABILITIES, image_routes
from serving.line_routes import LINE_FORMS, line_order, line_routes
from serving.schemas import (
    MAX_DRAWN_SEED,
    ErrorBody,
    GenerateRequest,
    GenerateResponse,
    Health,
    ModelDetail,
    ModelList,
    ServeArguments,
    StyleRequest,
)

__all__ = ["Ingress", "build", "create_app"]

CONSOLE = Path(__file__).parent / "console"
ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorBody}}


def create_app(catalog: Catalog, backend: Backend, *, max_queued: int = 256) -> FastAPI:
    """Return the routes over a backend.

    Args:
        catalog: the bundles.
        backend: draws, and works on images.
        max_queued: requests under way at a time; further ones are answered 503.
    """
    app = FastAPI(
        title="Labelmint",
        description="Labelled images for recognizers that lack them.",
        responses=ERRORS,
    )
    app.add_middleware(AdmissionGate, limit=max_queued)
    app.add_middleware(BodyGuard, forms=(*CAPABILITIES, *LINE_FORMS))
    install_error_handlers(app)
    app.include_router(_model_routes(catalog))
    app.include_router(_generation_routes(catalog, backend))
    app.include_router(image_routes(catalog, backend))
    app.include_router(line_routes(catalog, backend))

    @app.get("/healthz")
    async def healthz(response: Response) -> Health:
        """Return 200 once the models are loaded, 503 before."""
        health = await backend.health()
        response.status_code = 200 if health.status == "ready" else 503
        return health

    page = StaticFiles(directory=CONSOLE, html=True)
    for file in ("", *sorted(file.name for file in CONSOLE.iterdir())):
        # no mount at /, which would answer every wrong method with 404
        app.router.routes.append(Route(f"/{file}", page, methods=["GET"]))
    return app


def _model_routes(catalog: Catalog) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["models"])

    @router.get("")
    def list_models() -> ModelList:
        """List the bundles of the registry, each in its newest version."""
        return ModelList(models=catalog.summaries())

    @router.get("/{name}")
    @router.get("/{name}/{version:int}")
    def describe_model(name: str, version: int | None = None) -> ModelDetail:
        """Return classes, image size, digest and metrics of a bundle."""
        return catalog.detail(name, version)

    @router.get("/{name}/samples.png", response_class=FileResponse)
    @router.get("/{name}/{version:int}/samples.png", response_class=FileResponse)
    def samples(name: str, version: int | None = None) -> FileResponse:
        """Return the bundle's picture of samples."""
        return FileResponse(catalog.entry(name, version).samples, media_type="image/png")

    return router


def _generation_routes(catalog: Catalog, backend: Backend) -> APIRouter:
    router = APIRouter(prefix="/v1/models", tags=["generation"])
    answers: dict[int | str, dict[str, Any]] = {
        200: {"content": {ZIP: {}, TAR: {}}, "model": GenerateResponse}
    }

    @router.post("/{name}/generate", responses=answers)
    @router.post("/{name}/{version:int}/generate", responses=answers)
    async def generate(
        name: str,
        request: GenerateRequest,
        version: int | None = None,
        accept: Annotated[list[str] | None, Header()] = None,
    ) -> Response:
        """Draw labelled images: a zip (ImageFolder, or a trainer's layout), a tar or JSON.

        The format says which; without it Accept does.
        """
        layout = request.format or choose_format(joined(accept))
        entry = await asyncio.to_thread(catalog.entry, name, version)
        return await answer(await _order(request, entry, backend), entry, backend, layout)

    return router


async def _order(request: GenerateRequest, entry: Entry, backend: Backend) -> Order:
    """Check a request against its bundle; its style is encoded before anything is drawn."""
    if request.asks_for_lines:
        return await line_order(request, entry, await _style(request.style, entry, backend))
    entry.require("generate")
    classes = entry.info.classes
    if request.new_identities is not None:
        entry.require("new-identities")
        classes = ()  # names are given as they are drawn
        counts = dict.fromkeys(range(request.new_identities), request.per_label)
    else:
        if request.reader_band is not None:
            entry.require_reader("reader_band")
        counts = entry.count_by_class(request.labels or {})
    return Order(
        bundle=entry.bundle,
        classes=classes,
        counts=counts,
        seed=secrets.randbelow(MAX_DRAWN_SEED) if request.seed is None else request.seed,
        read_back=request.reads_labels_back,
        reader_band=request.reader_band,
        style=await _style(request.style, entry, backend),
        new_identities=request.new_identities,
    )


async def _style(
    wanted: StyleRequest | None, entry: Entry, backend: Backend
) -> Style | LineStyle | None:
    if wanted is None:
        return None
    images = []
    for position, text in enumerate(wanted.images or ()):
        name = f"style.images[{position}]"
        data = from_base64(text, name=name)
        channels = entry.info.channels
        images.append(await asyncio.to_thread(decode_upload, data, channels=channels, name=name))
    ids = () if wanted.index is None else (wanted.index,)
    weights = tuple(wanted.weights or ())
    return await backend.style(StyleSource(entry.bundle, ids, tuple(images), weights))


class Ingress:
    """Builds the routes inside the ingress replica, over a handle to the other replicas."""

    def __init__(self, replicas: DeploymentHandle, arguments: ServeArguments) -> None:
        """Serve's constructor arguments: the bound deployment arrives as a handle."""
        self.replicas = replicas
        self.arguments = arguments

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Return the application that answers HTTP."""
        return create_app(
            Catalog(self.arguments.registry),
            HandleBackend(self.replicas, self.arguments),
            max_queued=self.arguments.max_queued,
        )


def build(arguments: ServeArguments) -> Application:
    """Return the application for ``serve run serving.app:build registry=DIR``.

    Raises:
        BundleNotFoundError: the registry holds no bundle.
        ConfigError: the face detector cannot be loaded.
    """
    root = arguments.registry
    if "://" not in root:  # replicas may run in another folder
        root = str(Path(root).expanduser().resolve())
    detector = arguments.face_detector
    if detector is not None:
        detector = str(Path(detector).expanduser().resolve())
        FaceDetector.load(detector)
    update = {"registry": root, "face_detector": detector}
    arguments = with_threads(arguments.model_copy(update=update))
    if not Registry(root).names():
        raise BundleNotFoundError(
            f"expected a registry with at least one bundle, found none in {root}; "
            "train one with `python -m jobs.train saae --data digits: --out DIR/NAME`."
        )
    ingress = serve.deployment(
        serve.ingress()(Ingress),
        name="Ingress",
        max_ongoing_requests=2 * arguments.max_queued,
        ray_actor_options={"num_cpus": 0},
    )
    replicas = replica_deployment(arguments).bind(arguments)
    return ingress.bind(replicas, arguments)
