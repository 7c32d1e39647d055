"""Download weights while the page waits: how far it is, and why it stopped."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from pages.components.frame import show_error
from pages.components.text import count
from tlcore.backbones.registry import BackboneSpec
from tlcore.backbones.weights.download import download_weights
from tlcore.backbones.weights.status import published_weights, weights_status
from tlcore.downloading import is_reachable, megabytes
from tlcore.errors import TransferLabError
from tlcore.home import DataRoot


def download_while_waiting(specs: Sequence[BackboneSpec], home: DataRoot) -> None:
    """Fetch the weights of some backbones, one after the other, and draw the page anew when all are there.

    Leaving the page pauses it, and the next try goes on from there.
    """
    bar = st.progress(0.0, text="Looking for the publisher")
    for number, spec in enumerate(specs, start=1):
        if weights_status(spec, home).ready_offline:
            continue
        where = f" ({number} of {len(specs)})" if len(specs) > 1 else ""

        def show(done: int, total: int, text: str = f"{spec.title}{where}") -> None:
            part = min(1.0, done / total) if total else 0.0
            bar.progress(part, text=f"{text}: {megabytes(done)} of {megabytes(total)}")

        try:
            # Without a network some computers take minutes to say so; this takes seconds.
            if not is_reachable(published_weights(spec).url):
                bar.empty()
                _say_offline(spec, number - 1)
                return
            download_weights(spec, home, progress=show)
        except TransferLabError as error:
            bar.empty()
            show_error(error)
            return
    st.rerun()


def _say_offline(spec: BackboneSpec, done: int) -> None:
    here = f" {count(done, 'backbone is', 'backbones are')} here already." if done else ""
    st.error(
        f"The weights of {spec.title} cannot be fetched: there is no way to the internet from this computer.{here} "
        "Connect it and try again, or choose a backbone that is ready.",
        icon=":material/cloud_off:",
    )
