"""What the worker of an export does: it writes a model in several formats, and asks each file what it answers."""

from __future__ import annotations

import shutil

from tlcore.errors import NotFoundError, RunError
from tlcore.export.source import find_source
from tlcore.jobs.worker import WorkerContext
from tlcore.storage.exports import delete_exports, export_dir, read_exports, replaced_by
from tlcore.storage.jobs import read_result
from tlcore.storage.requests import ExportRequest, ExportResult

GONE = "This model is not here any more. Choose another one on Export."


def make_files(context: WorkerContext) -> None:
    """Write the model of the request in its formats and keep their certificates."""
    # When there is a result, an earlier worker died after its work and before it could say so.
    if read_result(context.engine, context.job_id, ExportResult) is not None:
        return
    from tlcore.export.making import make_export  # with TensorFlow, which takes seconds

    request = context.request(ExportRequest)
    folder = export_dir(context.job_id, context.home)
    shutil.rmtree(folder, ignore_errors=True)  # what an earlier worker was writing
    context.progress.phase("opening", subject="the model")
    try:
        source = find_source(context.engine, context.home, context.project_id, request.model_id, request.settings)
    except NotFoundError as error:
        raise RunError(GONE) from error
    folder.mkdir(parents=True)
    context.answer(make_export(source, request.formats, folder, context.progress, context.home))


def remove_replaced(context: WorkerContext) -> None:
    """Remove earlier files of the same model that this job, which is finished, has made anew."""
    exports, _ = read_exports(context.engine, context.project_id)
    replaced = replaced_by(context.job_id, exports, context.home)
    delete_exports(context.engine, context.project_id, replaced, context.home)
