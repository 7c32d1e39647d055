"""What the README says about adding things is enough: the steps are taken on a copy, and the addition works."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.page_tests import ROOT_DIR
from tlcore.home import DataRoot


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the library and the pages, to be changed."""
    for name in ("tlcore", "pages"):
        shutil.copytree(ROOT_DIR / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def add(path: Path, anchor: str, addition: str) -> None:
    """Insert text before an anchor that is there exactly once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(anchor) == 1, (path.name, anchor)
    path.write_text(text.replace(anchor, addition + anchor), encoding="utf-8")


def run(copy: Path, program: str) -> str:
    """Run a program beside the changed copy; return what it prints."""
    done = subprocess.run([sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_pages(copy: Path, home: DataRoot, program: str) -> str:
    """Run a program beside the changed copy that opens its pages; `lab` is a project with pictures."""
    (copy / "tests").mkdir()
    for file in (ROOT_DIR / "tests").glob("*.py"):
        shutil.copy(file, copy / "tests")
    opening = (
        f"import os\nos.environ['TRANSFER_LAB_HOME'] = {str(home.path)!r}\n"
        "from tlcore.jobs import control\n"
        "control.ensure_runner = lambda home: None\n"  # queued jobs stay queued
        "from tests.coloured_pictures import coloured_dataset\n"
        "from tests.lab import Lab\n"
        "from tests.page_tests import check, open_app, texts\n"
        "from tlcore.home import DataRoot\n"
        "home = DataRoot.configured()\n"
        "lab = Lab.make(home, coloured_dataset(home))\n"
        "def labelled(widgets, label):\n"
        "    return next(widget for widget in widgets if widget.label == label)\n"
    )
    return run(copy, opening + program)


def named_in_the_readme(what: str) -> str:
    """Return where the README's table says that a thing is added."""
    rows = [line for line in (ROOT_DIR / "README.md").read_text("utf-8").splitlines() if line.startswith(f"| {what} |")]
    assert len(rows) == 1
    return rows[0]


def test_an_augmentation_is_a_field_a_control_and_a_step(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("an augmentation")
    for part in ("AugmentationConfig", "augmentation_controls.py", "augmentation.py"):
        assert part in row
    add(copy / "tlcore/config.py", '    fill_mode: FillMode = "nearest"\n', "    invert: bool = False\n")
    add(
        copy / "tlcore/settings/augmentation_controls.py",
        "CONTROLS: Final[tuple[AugmentationSpec, ...]] = (\n",
        "INVERT = AugmentationSpec('invert', 'Negative', 'Turns colours round.', 'To try it.', 'switch')\n",
    )
    controls = copy / "tlcore/settings/augmentation_controls.py"
    head = "CONTROLS: Final[tuple[AugmentationSpec, ...]] = (\n"
    controls.write_text(controls.read_text("utf-8").replace(head, head + "    INVERT,\n"), encoding="utf-8")
    add(
        copy / "tlcore/images/augmentation.py",
        "    return image\n\n\ndef _inverse_map(",
        "    if config.invert:\n        image = 255 - image\n",
    )
    printed = run_pages(
        copy,
        home,
        "import numpy as np\n"
        "from tlcore.images.augmentation import augment\n"
        "app = check(labelled(lab.open('augment').toggle, 'Negative').set_value(True).run())\n"
        "pixels = np.full((8, 8, 3), 200, np.uint8)\n"
        "changed = augment(pixels, lab.config.augmentation, image_key='0' * 64, view=0)\n"
        "print(int(changed.max()), 'Turns colours round.' in texts(app))\n",
    )
    assert printed.splitlines()[-1] == "55 True"


def test_a_backbone_is_a_row_named_in_the_registry(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a backbone")
    for part in ("rows.py", "measure_blocks"):
        assert part in row
    add(
        copy / "tlcore/backbones/rows.py",
        "    _efficientnet_v2(0,",
        """    _keras(
        "vgg_mine",
        "VGG16",
        0.7,
        CAFFE,
        _tf_kernels("vgg_mine", 58_889_256, ""),
        VGG_ENDS,
        OXFORD,
        title="My VGG",
    ),
""",
    )
    run(copy, "from tlcore.backbones.measure_blocks import main\nmain(['vgg_mine'])\n")
    printed = run(
        copy,
        "from tlcore.model.architecture import describe_model\n"
        "from tlcore.model.classifier import build_classifier\n"
        "from tlcore.config import ModelConfig\n"
        "from tlcore.home import DataRoot\n"
        "from tlcore.model.cut import plan_model\n"
        "config = ModelConfig('vgg_mine', 32, weights='random', first_trainable='block5')\n"
        "model = build_classifier(plan_model(config), 2, DataRoot.configured()).model\n"
        "learned = sum(variable.value.shape.num_elements() for variable in model.trainable_variables)\n"
        "expected = describe_model(config, 2).trainable_parameters\n"
        "print(learned == expected)\n",
    )
    assert printed.strip() == "True"
    printed = run_pages(
        copy,
        home,
        "app = lab.open('model')\n"
        "assert 'My VGG' in app.selectbox(key='backbone').options\n"
        "app = check(app.selectbox(key='backbone').set_value('vgg_mine').run())\n"
        "print(lab.config.model.backbone, app.selectbox(key='backbone').value)\n",
    )
    assert printed.splitlines()[-1] == "vgg_mine vgg_mine"


def test_a_schedule_is_a_name_and_a_function(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a schedule")
    for part in ("ScheduleName", "schedules.py", "settings/words.py"):
        assert part in row
    config = copy / "tlcore/config.py"
    old = 'ScheduleName = Literal["constant", "step", "cosine"]'
    assert old in config.read_text("utf-8")
    config.write_text(config.read_text("utf-8").replace(old, old[:-1] + ', "half"]'), encoding="utf-8")
    add(copy / "tlcore/training/schedules.py", '    "step": lambda', '    "half": lambda done: 0.5,\n')
    words = copy / "tlcore/settings/words.py"
    add(words, '        "step": ChoiceSpec(', '        "half": ChoiceSpec("Half", "half", "Half of it."),\n')
    printed = run_pages(
        copy,
        home,
        "from tlcore.training.schedules import learning_rate_at\n"
        "from tlcore.settings.words import rate_words\n"
        "app = lab.open('train')\n"
        "assert 'Half' in app.selectbox(key='schedule').options\n"
        "app = check(app.selectbox(key='schedule').set_value('half').run())\n"
        "training = lab.config.training\n"
        "print('Half of it.' in texts(app), rate_words(training))\n"
        "print(learning_rate_at(3, training) == training.learning_rate / 2)\n",
    )
    assert printed.splitlines()[-2:] == ["True learning rate 0.003, half", "True"]


def test_an_optimizer_is_a_name_a_line_and_a_sentence(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("an optimizer")
    for part in ("OptimizerName", "build_optimizer", "settings/words.py"):
        assert part in row
    add(copy / "tlcore/config.py", '"adamw"]\n', '"adamax", ')
    add(copy / "tlcore/training/steps.py", '        "adamw": keras', '        "adamax": keras.optimizers.Adamax,\n')
    words = copy / "tlcore/settings/words.py"
    add(words, '        "adamw": ChoiceSpec(', '        "adamax": ChoiceSpec("Adamax", "Adamax", "To try it."),\n')
    printed = run_pages(
        copy,
        home,
        "app = lab.open('train')\n"
        "assert 'Adamax' in app.selectbox(key='optimizer').options\n"
        "app = check(app.selectbox(key='optimizer').set_value('adamax').run())\n"
        "from tlcore.training.steps import build_optimizer\n"
        "print('To try it.' in texts(app), type(build_optimizer(lab.config.training)).__name__)\n",
    )
    assert printed.splitlines()[-1] == "True Adamax"


def test_a_simple_head_is_a_name_and_a_row(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a simple head")
    for part in ("SimpleHeadKind", "SimpleHeadSpec", "simple_heads/training.py"):
        assert part in row
    add(copy / "tlcore/storage/requests.py", '"linear_svm"]\n', '"mine", ')
    add(
        copy / "tlcore/simple_heads/training.py",
        '    SimpleHeadSpec(\n        "linear_svm",\n',
        '    SimpleHeadSpec("mine", "Mine", "To try it.", train_logistic_regression),\n',
    )
    printed = run_pages(
        copy,
        home,
        "from typing import get_args\n"
        "from tlcore.simple_heads.training import SIMPLE_HEADS\n"
        "from tlcore.storage.requests import SimpleHeadKind\n"
        "print('**Mine**: To try it.' in texts(lab.open('train')))\n"
        "print({spec.kind for spec in SIMPLE_HEADS} == set(get_args(SimpleHeadKind)))\n",
    )
    assert printed.splitlines()[-2:] == ["True", "True"]


def test_a_recipe_is_a_row(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a recipe")
    for part in ("RECIPES", "settings/recipes.py"):
        assert part in row
    add(
        copy / "tlcore/settings/recipes.py",
        '    RecipeSpec(\n        name="vgg16_dense_1024",\n',
        '    RecipeSpec(name="mine", title="Mine", sentence="To try it.", teaches="Much.",'
        " config=RunConfig(augmentation=PRESETS['tutorial'])),\n",
    )
    printed = run_pages(
        copy,
        home,
        "app = check(lab.open('train').button(key='recipe-mine').click().run())\n"
        "print('**Mine**' in texts(app), lab.config.augmentation.rotation_range)\n",
    )
    assert printed.splitlines()[-1] == "True 20.0"


def test_a_ready_data_set_is_a_row_and_its_drawings(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a ready data set")
    for part in ("READY_SETS", "ready_sets/registry.py", "pages/components/data/drawings/NAME/"):
        assert part in row
    add(
        copy / "tlcore/ready_sets/registry.py",
        '    ReadySetSpec(\n        name="digits",\n',
        '    ReadySetSpec("mine", "Mine", "pin", "To try it.", "Much.", "All.", "CC0", "Here", (("a", 5), ("b", 7)),'
        " lambda _paths, _stack: read_surfaces()),\n",
    )
    drawings = copy / "pages/components/data/drawings"
    shutil.copytree(drawings / "cifar10", drawings / "mine")
    printed = run_pages(
        copy,
        home,
        "from tlcore.storage.jobs import last_job, read_request\n"
        "from tlcore.storage.requests import ImportRequest\n"
        "check(lab.open('data').button(key='sample-mine').click().run())\n"
        "job = last_job(lab.engine, lab.project_id, 'import')\n"
        "print(read_request(lab.engine, job.id, ImportRequest).sample)\n",
    )
    assert printed.splitlines()[-1] == "mine"


def test_a_kind_of_job_is_a_row_a_name_and_words(copy: Path) -> None:
    row = named_in_the_readme("a kind of job")
    for part in ("JOBS", "jobs/specs.py", "JobKind", "JOB_NAMES", "frame.py"):
        assert part in row
    add(copy / "tlcore/storage/jobs.py", '    "search",\n', '    "mine",\n')
    add(
        copy / "tlcore/jobs/specs.py",
        '        JobSpec("search", ',
        '        JobSpec("mine", "tlcore.jobs.mine:work"),\n',
    )
    add(copy / "pages/components/frame.py", '    "search": "Learning-rate search",\n', '    "mine": "My work",\n')
    (copy / "tlcore/jobs/mine.py").write_text("def work(context):\n    return 'finished', 'Done.'\n", encoding="utf-8")
    printed = run(
        copy,
        "from typing import get_args\n"
        "from pages.components.frame import JOB_NAMES\n"
        "from tlcore.jobs.specs import JOBS\n"
        "from tlcore.storage.jobs import JobKind\n"
        "print(JOBS['mine'].load_task()(None), JOB_NAMES['mine'], "
        "set(JOBS) == set(JOB_NAMES) == set(get_args(JobKind)))\n",
    )
    assert printed.strip() == "('finished', 'Done.') My work True"


def test_a_page_is_a_file_and_a_step(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a page")
    for part in ("one file in `pages/`", "one step", "frame.py"):
        assert part in row
    frame = copy / "pages/components/frame.py"
    add(frame, '"understand", "predict", "export"]', '"mine", ')
    add(frame, '    StepSpec("export", ', '    StepSpec("mine", "Mine", "To try it.", "nothing"),\n')
    (copy / "pages/mine.py").write_text(
        "import streamlit as st\nfrom pages.components.frame import open_page\nopen_page('mine')\nst.write('Hello')\n",
        encoding="utf-8",
    )
    printed = run_pages(
        copy,
        home,
        "app = lab.open('mine')\nprint('Hello' in texts(app), [title.value for title in app.title])\n",
    )
    assert printed.splitlines()[-1] == "True ['Mine']"


def test_a_training_setting_is_a_field_and_a_widget(copy: Path, home: DataRoot) -> None:
    row = named_in_the_readme("a training setting")
    for part in ("TrainingConfig", "training_form.py"):
        assert part in row
    add(copy / "tlcore/config.py", '    schedule: ScheduleName = "constant"\n', "    mine: int = 3\n")
    add(
        copy / "pages/components/train/training_form.py",
        '    with st.expander("More settings"):\n',
        '    st.number_input("Mine", 0, 9, **form.bind("mine"))\n',
    )
    printed = run_pages(
        copy,
        home,
        "widget = labelled(lab.open('train').number_input, 'Mine')\n"
        "before = widget.value\n"
        "app = widget.set_value(7).run()\n"
        "print([error.value for error in app.exception], before, lab.config.training.mine)\n",
    )
    assert printed.splitlines()[-1] == "[] 3 7"
