"""`sslhsic transfer`: fine-tune, evaluate, draw predictions, and save a model that can be loaded."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sslhsic_transfer._config import apply_overrides
from sslhsic_transfer._devices import default_device
from sslhsic_transfer._files import atomic_path, write_json
from sslhsic_transfer._fingerprint import fingerprint_of
from sslhsic_transfer._memory import advising_on_memory
from sslhsic_transfer._precision import resolve_precision
from sslhsic_transfer._processes import is_main_process, process_count
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.hub.tensor_checks import summarize_names
from sslhsic_transfer.results import RESULTS_NAME, Result, new_result, save_results
from sslhsic_transfer.training.batch_statistics import advising_on_statistics
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import TransferConfig
from sslhsic_transfer.transfer.frameworks import frameworks_of, load_framework
from sslhsic_transfer.transfer.initial import initial_encoder
from sslhsic_transfer.transfer.model import TransferredModel, load_transferred
from sslhsic_transfer.transfer.settings import TransferSettings
from sslhsic_transfer.transfer.tasks import load_task
from sslhsic_transfer.transfer.tasks.task import LabelledData


def transfer(
    task: str,
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    framework: str | None = None,
    init: str = "pretrained",
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool = True,
) -> list[Result]:
    """Fine-tune an encoder on a task, and evaluate it on the test split.

    Args:
        task: a name in `TASKS`: "classification", "segmentation", "detection" or "depth".
        model: the encoder, as a name or path for `from_pretrained`; with ``init="random"`` also an architecture.
        data: folder of the data set, in a layout of `sslhsic_transfer.data.labelled`.
        output: folder of the run: recipe.yaml, metrics.jsonl, checkpoints/, model/, results.json, evaluation.json,
            predictions.png.
        framework: "torchvision" (all but depth), "mmseg" (segmentation), "detectron2" (detection) or "depth"; None uses
            the task's first.
        init: the encoder's initial weights: "pretrained" for the model's own; "random"; "supervised" for torchvision's
            ImageNet weights; or a name or path for `from_pretrained`.
        overrides: ``"key=value"``, settings of the task, such as `SegmentationSettings`.
        resume: resume from the latest checkpoint in ``output``.
        progress: whether to show progress bars.

    Returns:
        The results, as in results.json; an empty list in all processes of a launcher but the first.

    Raises:
        ConfigError: the task, settings or framework cannot be used.
        DataError: the data do not exist, or are not as expected.
        MissingDependencyError: the framework is not installed; the message gives the command that installs it.
        DeviceMemoryError: the device has run out of memory.
        OutputExistsError, CheckpointError: ``output`` holds a run that cannot be overwritten or resumed.
        OutputBusyError: another process is using ``output``.
    """
    folder = RunFolder(output)
    with folder.locked():
        return _transfer(task, model, data, folder, framework, init, overrides, resume, progress)


def _transfer(
    task_name: str,
    model: str | Path,
    data: str | Path,
    folder: RunFolder,
    framework_name: str | None,
    init: str,
    overrides: Sequence[str],
    resume: bool,
    progress: bool,
) -> list[Result]:
    kind = load_task(task_name)
    framework_name = framework_name or frameworks_of(task_name)[0]
    framework = load_framework(framework_name, task_name)
    if process_count() > 1 and not framework.distributed:
        raise ConfigError(
            f"Got {process_count()} processes; by {framework_name} this command trains in one. For several GPUs use "
            "its own launcher, as the guide's page on dense tasks tells, or another framework."
        )
    settings = read_settings(task_name, overrides)
    training, test = kind.find_training(data, settings), kind.find(data, settings.test, settings)
    _require_same_classes(training, test, (settings.train, settings.test))
    precision = resolve_precision(settings.precision, default_device())
    encoder, initial, side = initial_encoder(model, init, settings.seed)
    settings = kind.for_pictures_of(settings.model_copy(update={"precision": precision}), side)
    config = TransferConfig(
        task=task_name,
        framework=framework_name,
        classes=training.classes,
        data=f"{training.name}, {settings.train}: {len(training)} pictures",
        pictures_sha256=fingerprint_of(training),
        encoder=encoder.config,
        preprocessing=encoder.preprocessing,
        initial_weights=initial,
        initial_sha256=encoder.weights_sha256,
        settings=settings.model_dump(mode="json"),
    )
    if is_main_process():
        folder.begin(config, resume=resume, names_sha256=fingerprint_of(training, sizes=False))
    with (
        folder.noting_unreadable(partial(fingerprint_of, training, sizes=False)),
        advising_on_memory(f"Set batch_size={max(1, settings.batch_size // 2)}, or smaller pictures, and begin anew."),
        advising_on_statistics("Set batch_size to 2 or more for each process, or larger pictures, and begin anew."),
    ):
        framework.train(config.build_task(), encoder, training, folder, progress=progress)
    if not is_main_process():
        return []
    config.save(folder.model)
    return _measure(load_transferred(folder.model), test, folder, progress)


def read_settings(task: str, overrides: Sequence[str]) -> TransferSettings:
    """Return a task's settings, with some changed by ``"key=value"``.

    Raises:
        ConfigError: there is no such task, or the settings do not validate.
    """
    kind = load_task(task).settings_class
    return apply_overrides(kind, kind().model_dump(mode="json"), overrides, source=f"Settings of {task}")


def _require_same_classes(training: LabelledData, test: LabelledData, splits: tuple[str, str]) -> None:
    if training.classes == test.classes:
        return
    odd = summarize_names("in one of them only", sorted(set(training.classes) ^ set(test.classes)))
    odd = odd or ["the same in another order"]
    raise DataError(
        f"{splits[0]} has {len(training.classes)} classes, {splits[1]} {len(test.classes)}, {odd[0].strip()}; expected "
        "the same in both."
    )


def _measure(model: TransferredModel, test: LabelledData, folder: RunFolder, progress: bool) -> list[Result]:
    config, task = model.config, model.task
    figures = model.evaluate(test, progress=progress)
    results = [
        new_result(
            model=config.initial_weights,
            task=", ".join(filter(None, (config.task, task.labels_used()))),
            dataset=test.name,
            split=task.settings.test,
            framework=config.framework,
            protocol=task.protocol(config.framework, config.encoder.architecture),
            metric=metric,
            value=figures[metric],
            seeds=[task.settings.seed],
            n=len(test),
            weights_sha256=config.initial_sha256,
        )
        for metric in task.recorded
        if metric in figures
    ]
    write_json(folder.root / "evaluation.json", figures)
    save_results(folder.root / RESULTS_NAME, results)
    with atomic_path(folder.root / "predictions.png") as temporary:
        model.draw(test).save(temporary, format="png")
    return results
