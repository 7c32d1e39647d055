"""The app with one address more, which tells what its server and its sessions are made of."""

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from streamlit.runtime import get_instance

from app import ROOT  # importing it replaces what the app replaces
from pages.server.asgi import lifespan, middleware, routes
from pages.server.private_streamlit import lost_effects
from tests.server import PROBE


async def made_of(_request: Request) -> Response:
    """Tell about the server that answers."""
    runtime = get_instance()
    sessions = [info.session for info in runtime._session_mgr.list_sessions()]
    uploads = runtime._uploaded_file_mgr.file_storage
    return JSONResponse(
        {
            "lost": lost_effects(runtime),
            "storage": type(runtime._media_file_mgr._storage).__name__,
            "queues": [type(session._browser_queue).__name__ for session in sessions],
            "uploaded_bytes": sum(len(file.data) for files in uploads.values() for file in files.values()),
        }
    )


app = st.App(
    ROOT / "pages" / "router.py", routes=[*routes(), Route(PROBE, made_of)], middleware=middleware(), lifespan=lifespan
)
