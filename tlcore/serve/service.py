"""The prediction service: a picture comes, an answer goes; all else explains the two."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Annotated, Any

import numpy as np
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tlcore.errors import ImageError
from tlcore.export.formats import FORMATS
from tlcore.export.opening import Bundle
from tlcore.intake.limits import MEGAPIXELS
from tlcore.serve.door import Door
from tlcore.serve.pages import docs_page, front_page
from tlcore.serve.receiving import BYTES, FIELD, MULTIPART, Limits, Places, receive_picture

USUAL_TOP = 5
PREDICT = "/predict"
_FILE = {"type": "string", "format": "binary"}
_FORM = {"schema": {"type": "object", "required": [FIELD], "properties": {FIELD: _FILE}}}
_BODY = {
    "required": True,
    "description": "The picture: as the only file of a form, or as the whole body.",
    "content": {MULTIPART: _FORM, "image/*": {"schema": _FILE}, BYTES: {"schema": _FILE}},
}
_UNFORESEEN = "Something unforeseen went wrong here. Whoever runs this service finds it in its terminal."


Schema = dict[str, Any]


def _object(fields: Mapping[str, tuple[Schema, str]]) -> Schema:
    """Return the schema of a JSON object from the schemas of its fields, each with what it means."""
    properties = {name: {**schema, "description": words} for name, (schema, words) in fields.items()}
    return {"type": "object", "required": list(fields), "properties": properties}


def _answer_of(schema: Schema, words: str) -> Schema:
    return {"description": words, "content": {"application/json": {"schema": schema}}}


_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_ANSWER = _object(
    {
        "class": ({"type": ["string", "null"]}, "The most probable class; null when the model does not know."),
        "probability": (_SHARE, "Of the most probable class, from 0 to 1."),
        "known": ({"type": "boolean"}, "Whether the probability reaches the threshold; else the model does not know."),
        "threshold": (_SHARE, "The least probability of an answer, as chosen in the app; 0: it always answers."),
        "probabilities": (
            {"type": "object", "additionalProperties": _SHARE},
            "The most probable classes, the best one first.",
        ),
    }
)
_HEALTH = _object(
    {
        "status": ({"type": "string"}, "Always ok; without it there is no answer at all."),
        "model": ({"type": "string"}, "The model's title."),
        "format": ({"type": "string"}, "The kind of file that answers."),
        "classes": ({"type": "array", "items": {"type": "string"}}, "What the model tells apart, in its own order."),
        "threshold": (_SHARE, "The least probability of an answer; below it the model does not know."),
    }
)
_PROBLEM = _object({"problem": ({"type": "string"}, "What went wrong, and what to do.")})


def _responses(limits: Limits) -> dict[int | str, Schema]:
    words = {
        408: f"The picture took longer than {limits.seconds:g} seconds to arrive.",
        413: f"The picture has more than {limits.megabytes:g} MB.",
        415: "This is neither a picture nor a form with one.",
        422: f"There is not one picture, it is damaged, or it has more than {MEGAPIXELS} megapixels.",
        503: "Too many pictures are there already: send it again in a second.",
    }
    problems: dict[int | str, Schema] = {status: _answer_of(_PROBLEM, text) for status, text in words.items()}
    return {200: _answer_of(_ANSWER, "What the model says."), **problems}


def make_service(bundle: Bundle, limits: Limits, hosts: Collection[str] | None = None) -> FastAPI:
    """Return the service for a model.

    Args:
        bundle: The model.
        limits: What it takes.
        hosts: By which names it may be called; `None` for any.
    """
    manifest, places = bundle.manifest, Places(limits)
    # The pages of FastAPI itself load their scripts from a foreign server.
    app = FastAPI(
        title=manifest.title,
        version="1",
        summary="Tells what is on a picture.",
        description=f"An image classifier for {len(manifest.class_names)} classes, made with Transfer Lab.",
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Door, hosts=hosts)

    async def answer_to(request: Request, top: int) -> Schema:
        data = await receive_picture(request, limits, places)
        with places.answered():
            try:
                probabilities = await run_in_threadpool(bundle.predict_bytes, data)
            except ImageError as error:
                raise HTTPException(422, str(error)) from error
        return _answer(bundle, probabilities, top)

    @app.post(
        PREDICT, summary="Ask about a picture", responses=_responses(limits), openapi_extra={"requestBody": _BODY}
    )
    async def predict(
        request: Request,
        top: Annotated[
            int, Query(ge=1, le=100_000, description="For how many classes to say the probability.")
        ] = USUAL_TOP,
    ) -> JSONResponse:
        """Send one picture; the answer is its class and the probabilities of the likeliest ones."""
        return JSONResponse(await answer_to(request, top))

    @app.get("/health", summary="Ask whether the service is well", responses={200: _answer_of(_HEALTH, "It is well.")})
    async def health() -> JSONResponse:
        """Answers as long as the service does."""
        said = {"status": "ok", "model": manifest.title, "format": FORMATS[bundle.format].title}
        return JSONResponse({**said, "classes": manifest.class_names, "threshold": manifest.threshold})

    @app.get("/", include_in_schema=False)
    async def front() -> HTMLResponse:
        return HTMLResponse(front_page(manifest))

    @app.post("/", include_in_schema=False)
    async def try_one(request: Request) -> HTMLResponse:
        try:
            answer = await answer_to(request, USUAL_TOP)
        except HTTPException as error:
            return HTMLResponse(front_page(manifest, problem=error.detail), error.status_code, error.headers)
        return HTMLResponse(front_page(manifest, answer["probabilities"], is_known=answer["known"]))

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    _say_problems(app)
    return app


def _answer(bundle: Bundle, probabilities: NDArray[np.float32], top: int) -> Schema:
    names, threshold = bundle.manifest.class_names, bundle.manifest.threshold
    order = np.argsort(-probabilities, kind="stable")
    best = float(probabilities[order[0]])
    is_known = best >= threshold
    return {
        "class": names[order[0]] if is_known else None,
        "probability": best,
        "known": is_known,
        "threshold": threshold,
        "probabilities": {names[place]: float(probabilities[place]) for place in order[:top]},
    }


def _say_problems(app: FastAPI) -> None:
    """Let every error be an answer in words, without a word of where things lie on this computer."""

    async def refused(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        known = {404: "There is nothing at this address. The front page / says what there is.", 405: _wrong_method()}
        words = known.get(error.status_code, error.detail)
        return JSONResponse({"problem": words}, error.status_code, headers=error.headers)

    async def not_understood(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"problem": "`top` must be a whole number from 1 on, such as /predict?top=3."}, 422)

    async def unforeseen(_request: Request, _error: Exception) -> JSONResponse:
        return JSONResponse({"problem": _UNFORESEEN}, HTTPStatus.INTERNAL_SERVER_ERROR)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, not_understood)
    app.add_exception_handler(Exception, unforeseen)


def _wrong_method() -> str:
    return f"This address is asked in another way: {PREDICT} takes POST with a picture, the others take GET."
