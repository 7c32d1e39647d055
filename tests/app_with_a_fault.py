"""The app with a mistake in it, which one person meets: their list of projects fails as nobody foresaw."""

import streamlit as st
from sqlalchemy import Engine

from app import ROOT
from app import app as real_app
from pages.server.asgi import lifespan, middleware, routes
from tlcore.storage import projects
from tlcore.storage.configs import Unreadable

UNLUCKY_OWNER = "u" * 24
SECRET = "/home/teacher/exams"

read_projects = projects.read_projects


def read_projects_badly(engine: Engine, owner: str) -> tuple[list[projects.Project], list[Unreadable]]:
    """Read the projects, but for one person."""
    if owner == UNLUCKY_OWNER:
        raise KeyError(SECRET)
    return read_projects(engine, owner)


projects.read_projects = read_projects_badly

app = st.App(
    ROOT / "pages" / "router.py",
    routes=routes(),
    middleware=middleware(),
    lifespan=lifespan,
    on_script_error=real_app._on_script_error,
)
