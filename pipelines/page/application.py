"""The addresses of the page: its files, a visitor's images, their answers and downloads."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from ...hierarchy import GROUP_NAMES, HierError
from ...models.classifier import Classifier
from ..reading.images import read
from ..reading.picture import Reading
from .answers import Answering, picture_of
from .downloads import KINDS, download
from .examples import EXAMPLES
from .guard import Guard
from .say import Say
from .visitors import UPLOAD, FullError, Kept, Visitor, Visitors

STATIC = Path(__file__).parent / "static"
COOKIE = "hier-visitor"
WORDS = 2**14  # bytes of a request that is no image


class Page:
    """The page's addresses, for visitors whose images are kept in a `folder`."""

    def __init__(self, classifier: Classifier, folder: Path) -> None:
        self.answering, self.visitors = Answering(classifier), Visitors(folder)
        self._decoding = Lock()  # a large image takes a GB for a moment: one at a time

    @property
    def routes(self) -> list[Route | Mount]:
        """What is answered where."""
        return [
            Route("/", self.index),
            Route("/api/state", self.state),
            Route("/api/examples/{number:int}", self.example, methods=["GET", "POST"]),
            Route("/api/images", self.upload, methods=["POST"]),
            Route("/api/images/{id}", self.remove, methods=["DELETE"]),
            Route("/api/images/{id}/picture", self.picture),
            Route("/api/images/{id}/answer", self.answer, methods=["POST"]),
            Route("/api/images/{id}/files/{kind}", self.file),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def index(self, request: Request) -> Response:
        """The page itself; a new visitor is given a token."""
        response = Response((STATIC / "index.html").read_bytes(), media_type="text/html")
        if self.visitors.find(request.cookies.get(COOKIE)) is None:
            token, _ = self.visitors.welcome()
            response.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return response

    async def state(self, request: Request) -> Response:
        """What there is to choose from, and the visitor's images."""
        visitor = self._visitor(request)
        return JSONResponse(
            {
                "groups": GROUP_NAMES,
                "examples": [example.title for example in EXAMPLES],
                "images": [_described(kept) for kept in visitor.images.values()],
                "largest": UPLOAD,
            }
        )

    async def example(self, request: Request) -> Response:
        """The picture of an example, or, when posted, the example as an image of the visitor's."""
        number = request.path_params["number"]
        if number >= len(EXAMPLES):
            raise HTTPException(404, "there is no such example")
        made = await run_in_threadpool(self.answering.example, number)
        if request.method == "GET":
            return Response(made, media_type="image/png")
        visitor = self._visitor(request)
        place = visitor.place(f"{EXAMPLES[number].title}.png")
        place.path.write_bytes(made)
        return await self._kept(visitor, place)

    async def upload(self, request: Request) -> Response:
        """An image, the body of the request, of the `name` in the query."""
        visitor = self._visitor(request)
        place = visitor.place(request.query_params.get("name", ""))
        try:
            with place.path.open("wb") as file:
                async for part in _bounded(request, UPLOAD):
                    file.write(part)
        except BaseException:
            visitor.remove(place)
            raise
        return await self._kept(visitor, place)

    async def remove(self, request: Request) -> Response:
        """Forget an image."""
        visitor, kept = self._image(request)
        visitor.remove(kept)
        return Response(status_code=204)

    async def picture(self, request: Request) -> Response:
        """The picture of an image that the page shows."""
        _, kept = self._image(request)
        return Response(kept.picture.read_bytes(), media_type="image/png")

    async def answer(self, request: Request) -> Response:
        """The answer for an image and what the visitor has set, JSON in the body."""
        _, kept = self._image(request)
        body = b"".join([part async for part in _bounded(request, WORDS)])
        return JSONResponse(await run_in_threadpool(self.answering.answer, kept, Say.parse(body)))

    async def file(self, request: Request) -> Response:
        """A file of the answer to what is set, JSON in the query's `say`."""
        _, kept = self._image(request)
        kind, say = request.path_params["kind"], Say.parse(request.query_params.get("say", ""))
        if kind not in KINDS:
            raise HTTPException(404, "there is no such file")

        def made() -> tuple[str, str, bytes]:
            with self.answering.predicted(kept, say) as found:
                return download(found, kind)

        name, media, content = await run_in_threadpool(made)
        attached = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type=media, headers=attached)

    def _visitor(self, request: Request) -> Visitor:
        found = self.visitors.find(request.cookies.get(COOKIE))
        if found is None:
            raise HTTPException(401, "this visit has ended: load the page again")
        return found

    def _image(self, request: Request) -> tuple[Visitor, Kept]:
        visitor = self._visitor(request)
        kept = visitor.images.get(request.path_params["id"])
        if kept is None:
            raise HTTPException(404, "there is no such image")
        return visitor, kept

    async def _kept(self, visitor: Visitor, place: Kept) -> Response:
        """Take an image that has been written, if it is one; its description."""

        def looked_at() -> Kept:
            with self._decoding:
                image = read(place.path, Reading()).image
                place.picture.write_bytes(picture_of(image))
            height, width = image.shape[-2:]
            return replace(place, size=place.path.stat().st_size, width=width, height=height)

        try:
            kept = await run_in_threadpool(looked_at)
        except BaseException:
            visitor.remove(place)
            raise
        visitor.images[kept.id] = kept
        return JSONResponse(_described(kept), 201)


def application(classifier: Classifier, host: str = "127.0.0.1") -> Starlette:
    """The page as an ASGI application, for a server that listens at `host`; its folder is gone when it ends."""
    folder = tempfile.TemporaryDirectory(prefix="hier-app-", ignore_cleanup_errors=True)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        warming = Thread(target=page.answering.warm)
        warming.start()
        with folder:
            yield
        warming.join()

    page = Page(classifier, Path(folder.name))
    return Starlette(
        routes=page.routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, host=host)],
        exception_handlers={HTTPException: _refused, HierError: _misused, ClientDisconnect: _gone},
    )


async def _bounded(request: Request, most: int) -> AsyncIterator[bytes]:
    """The body of a request, in parts; HTTPException as soon as there are more than `most` bytes."""
    told = request.headers.get("content-length", "0")
    size = 0
    if told.isdigit() and int(told) > most:
        raise HTTPException(413, f"{int(told) >> 20} MB are too much: at most {most / 2**20:g} MB")
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"more than {most / 2**20:g} MB are too much")
        yield part


def _described(kept: Kept) -> dict[str, Any]:
    return {"id": kept.id, "name": kept.name, "width": kept.width, "height": kept.height}


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


async def _misused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 507 if isinstance(error, FullError) else 422)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)
