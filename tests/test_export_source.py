"""What is exported is found in a project under its id: its parts, what each counts, and what it is called."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.finished_runs import Finished
from tlcore.config import RunConfig
from tlcore.errors import RunError
from tlcore.export.source import ExportSource, find_source
from tlcore.model.cut import plan_model
from tlcore.results.prediction import PredictorSpec, save_predictor_spec
from tlcore.storage.ensembles import EnsembleConfig, create_ensemble
from tlcore.storage.model_settings import ModelSettings
from tlcore.storage.simple_heads import simple_head_dir


def test_what_leaves_is_called_as_on_the_pages(make_finished: Callable[..., Finished]) -> None:
    finished = make_finished()
    spec = PredictorSpec.of(plan_model(RunConfig().phases[-1].model), finished.dataset)
    runs = [finished.add_run(), finished.add_run(), finished.add_run()]
    head = finished.add_head()
    folders = [*map(finished.home.run_dir, runs), simple_head_dir(head.split(".")[0], "linear_svm", finished.home)]
    for folder in folders:
        save_predictor_spec(spec, folder)
    config = EnsembleConfig((runs[2], runs[0], runs[1]), (0.4, 0.6, 0.0))
    group = create_ensemble(
        finished.engine, finished.project_id, "Best two", finished.version, config, test_correct=1, test_total=2
    )

    def found(model_id: str) -> ExportSource:
        return find_source(finished.engine, finished.home, finished.project_id, model_id, ModelSettings(2.0, 0.5))

    titles = {"Run 1": runs[0], "Linear SVM": head, "Group \u201cBest two\u201d": group}
    assert {title: found(model_id).title for title, model_id in titles.items()} == {title: title for title in titles}
    assert [(part.folder, part.weight) for part in found(group).parts] == [(folders[2], 0.4), (folders[0], 0.6)]
    (part,) = found(head).parts
    assert (part.kind, part.config, part.model.first_trainable) == ("simple_head", None, None)
    assert found(runs[0]).settings == ModelSettings(2.0, 0.5)
    (folders[0] / "predictor.json").unlink()
    for model_id in (runs[0], group):
        with pytest.raises(RunError, match="missing or damaged"):
            found(model_id)
