"""The examples in docstrings run, and every public name has one."""

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import speechgru

PACKAGE = Path(speechgru.__file__).parent

#: Public names that have no example, by the reason. Only shrinks.
WITHOUT_EXAMPLE: dict[str, set[str]] = {
    "an interface or what its implementations exchange": {
        "speechgru.augment.stage.Clip",
        "speechgru.augment.stage.Stage",
        "speechgru.grammar.sentence.Block",
        "speechgru.grammar.sentence.Intent",
        "speechgru.model.direction.Direction",
        "speechgru.model.direction.StreamSteps",
        "speechgru.model.parts.Chunk",
        "speechgru.model.parts.Part",
        "speechgru.model.parts.Rows",
        "speechgru.runtime.windows.Windows",
    },
    "needs a trained run or its bundle; the example of speechgru.train goes through them": {
        "speechgru.adapt.run.Adaptation",
        "speechgru.adapt.run.adapt",
        "speechgru.align.aligning.align",
        "speechgru.align.aligning.align_manifest",
        "speechgru.align.aligning.align_recording",
        "speechgru.align.segmenting.segment",
        "speechgru.export.bundle.export",
        "speechgru.export.saved_model.SavedModelPredictor",
        "speechgru.runtime.bundle.is_bundle",
        "speechgru.runtime.bundle.model_file",
        "speechgru.runtime.bundle.read_bundle",
        "speechgru.runtime.keywords.KeywordStream",
        "speechgru.runtime.recognizer.Recognizer",
        "speechgru.runtime.stream.Stream",
        "speechgru.runtime.stream.StreamResult",
        "speechgru.runtime.tflite.facts.ConstantFacts",
        "speechgru.runtime.tflite.facts.SignatureFacts",
        "speechgru.runtime.tflite.facts.TFLiteFacts",
        "speechgru.runtime.tflite.facts.TensorFacts",
        "speechgru.runtime.tflite.facts.describe",
        "speechgru.runtime.tflite.facts.foreign_operators",
        "speechgru.runtime.tflite.metadata.read_metadata",
        "speechgru.runtime.tflite.metadata.require_intact",
        "speechgru.scoring.evaluation.evaluate",
        "speechgru.scoring.predictions.load_run",
        "speechgru.scoring.predictions.transcribe_recordings",
        "speechgru.scoring.trained_run.TrainedRun",
        "speechgru.scoring.trained_run.open_run",
        "speechgru.train.feature_statistics.corpus_statistics",
        "speechgru.web.site.write_site",
    },
    "needs a sweep, of several trainings; the tutorial of sweeps goes through them": {
        "speechgru.tune.chief.SweepResult",
        "speechgru.tune.chief.join",
        "speechgru.tune.chief.tune",
        "speechgru.tune.sweep_file.LoadedSweep",
        "speechgru.tune.sweep_file.load_sweep",
    },
    "needs a microphone; the example of speechgru.recording has one that is an array": {
        "speechgru.recording.dictation.dictate",
        "speechgru.recording.microphone.LiveMicrophone",
        "speechgru.recording.microphone.SoundDeviceMicrophone",
        "speechgru.recording.microphone.list_microphones",
    },
    "parts of what another public function makes, whose example shows it": {
        "speechgru.dataset.corpus.ManifestSource",
        "speechgru.dataset.corpus.ShardSource",
    },
    "an exception; its message is for the user": {
        "speechgru.errors.UserError",
    },
}


def name_of(path):
    return ".".join(["speechgru", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")


def import_or_skip(name):
    """Imports a module of the package; skips the test where it needs a package of an extra that is not installed."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("speechgru"):
            raise
        pytest.skip(f"{name} needs {error.name}, which is not installed")


@pytest.mark.parametrize(
    "path", [p for p in sorted(PACKAGE.rglob("*.py")) if ">>>" in p.read_text("utf-8")], ids=name_of
)
def test_examples_run(path, tmp_path, monkeypatch):
    module = import_or_skip(name_of(path))
    monkeypatch.chdir(tmp_path)  # an example may write files
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    examples = [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]
    assert examples, f"{path} has '>>>' outside every docstring that doctest finds"
    for test in examples:
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


def module_names():
    """The package and all its modules, except programs."""
    names = [module.name for module in pkgutil.walk_packages(speechgru.__path__, "speechgru.")]
    return ["speechgru", *(name for name in names if not name.endswith(".__main__"))]


def is_layer(thing):
    return inspect.isclass(thing) and hasattr(thing, "compute_output_shape")


def public_things(module):
    """(full name, class or function) for each public one of a module: those of `__all__`, and layers."""
    listed = getattr(module, "__all__", ())
    members = dict(inspect.getmembers(module)) | {name: getattr(module, name) for name in listed}  # some come when used
    for name, thing in members.items():
        home = getattr(thing, "__module__", "")
        if (
            not (inspect.isclass(thing) or inspect.isfunction(thing))
            or not home.startswith("speechgru.")
            or name.startswith("_")
        ):
            continue
        if name in listed or (is_layer(thing) and home == module.__name__):
            yield f"{home}.{thing.__qualname__}", thing


def lines_of_examples(text):
    return "\n".join(example.source for example in doctest.DocTestParser().get_examples(text or ""))


def own_docstring(member):
    """A member's docstring; a plain value has its type's, and int's has an example (`__firstlineno__`, Python 3.13)."""
    docstring = getattr(member, "__doc__", None) or ""
    return "" if docstring == type(member).__doc__ else docstring


def has_example(thing, room):
    """Whether a docstring of its own, of a method, or an example of its module or room shows a thing."""
    if ">>>" in (thing.__doc__ or ""):
        return True
    if inspect.isclass(thing) and any(">>>" in own_docstring(member) for member in vars(thing).values()):
        return True
    around = lines_of_examples(inspect.getmodule(thing).__doc__) + lines_of_examples(room.__doc__)
    return re.search(rf"\b{thing.__name__}\b", around) is not None


@pytest.fixture(scope="module")
def shown():
    """{full name: whether it has an example} of all public things."""
    found = {}
    for name in module_names():
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("speechgru"):
                raise
            continue  # an extra that is not installed; the tests of that room skip as well
        for full_name, thing in public_things(module):
            found[full_name] = found.get(full_name, False) or has_example(thing, module)
    return found


def test_every_public_name_has_an_example_or_a_reason(shown):
    excused = set().union(*WITHOUT_EXAMPLE.values())
    missing = {name for name, has in shown.items() if not has} - excused
    assert not missing, f"without an example in a docstring: {sorted(missing)}"


def test_the_list_of_names_without_example_only_shrinks(shown):
    for name in set().union(*WITHOUT_EXAMPLE.values()):
        assert name in shown, f"{name} is not public any more: remove it from WITHOUT_EXAMPLE"
        assert not shown[name], f"{name} has an example: remove it from WITHOUT_EXAMPLE"
