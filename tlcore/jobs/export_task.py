"""What the worker of an export does: it writes a model in several formats, and asks each file what it answers."""

from __future__ import annotations

import shutil

from tlcore.errors import NotFoundError, RunError
from tlcore.export.source import find_source
from tlcore.jobs.worker import WorkerContext
from tlcore.storage.exports import delete_exports, export_dir, read_exports
from tlcore.storage.jobs import read_result
from tlcore.storage.requests import ExportRequest, ExportResult

GONE = "This model is not here any more. Choose another one on Export."


def make_files(context: WorkerContext) -> None:
    """Write the model of the request in its formats and keep their certificates; what it replaces goes afterwards."""
    from tlcore.export.making import make_export  # with TensorFlow, which takes seconds

    request = context.request(ExportRequest)
    folder = export_dir(context.job_id, context.home)
    # When there is a result, an earlier worker died after its work and before it could say so.
    if read_result(context.engine, context.job_id, ExportResult) is None:
        shutil.rmtree(folder, ignore_errors=True)  # what an earlier worker was writing
        context.progress.phase("opening", subject="the model")
        try:
            source = find_source(context.engine, context.home, context.project_id, request.model_id, request.settings)
        except NotFoundError as error:
            raise RunError(GONE) from error
        folder.mkdir(parents=True)
        result = make_export(source, request.formats, folder, context.progress, context.home)
        context.answer(result)
    _remove_replaced(context, request.model_id)


def _remove_replaced(context: WorkerContext, model_id: str) -> None:
    """Remove earlier files of the same model: the page shows the newest ones only."""
    exports, _ = read_exports(context.engine, context.project_id)
    of_model = (one.job_id for one in exports if one.result.model_id == model_id and one.job_id != context.job_id)
    delete_exports(context.engine, context.project_id, of_model, context.home)
