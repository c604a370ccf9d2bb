"""`sslhsic transfer`: fine-tune, evaluate, draw predictions, and save a model that can be loaded."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sslhsic_transfer._config import configured
from sslhsic_transfer._devices import default_device
from sslhsic_transfer._files import atomic_path, write_json
from sslhsic_transfer._fingerprint import fingerprint_of
from sslhsic_transfer._memory import advising_on_memory
from sslhsic_transfer._precision import resolve_precision
from sslhsic_transfer._processes import is_main_process, process_count
from sslhsic_transfer._seeds import mix_seed
from sslhsic_transfer.data.labelled.classification import ClassificationData
from sslhsic_transfer.errors import ConfigError, DataError
from sslhsic_transfer.hub.loading import from_pretrained
from sslhsic_transfer.hub.state import some
from sslhsic_transfer.models.config import EncoderConfig
from sslhsic_transfer.models.encoder import Encoder, create_encoder
from sslhsic_transfer.models.resnet_shapes import ARCHITECTURES
from sslhsic_transfer.results import RESULTS_NAME, Result, new_result, save_results
from sslhsic_transfer.training.run_folder import RunFolder
from sslhsic_transfer.transfer.config import Framework, TransferConfig
from sslhsic_transfer.transfer.model import FRAMEWORKS, TransferredModel, load_transferred
from sslhsic_transfer.transfer.settings import SETTINGS, ClassificationSettings, DepthSettings, Task, TransferSettings
from sslhsic_transfer.transfer.tasks import TASKS
from sslhsic_transfer.transfer.tasks.augmentation import seeded

# The metrics that go into results.json; evaluation.json has all of them.
_RECORDED = (
    *("top-1", "top-5", "mean per class", "mIoU", "pixel accuracy", "AP", "AP50", "AP75"),
    *("abs_rel", "rmse", "delta1"),
)


def transfer(
    task: Task,
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    framework: Framework | None = None,
    init: str = "pretrained",
    overrides: Sequence[str] = (),
    resume: bool = False,
    progress: bool = True,
) -> list[Result]:
    """Fine-tune an encoder on a task, and evaluate it on the test split.

    Args:
        task: "classification", "segmentation", "detection" or "depth".
        model: the encoder, as a name or path for `from_pretrained`; with ``init="random"`` also an architecture.
        data: folder of the data set, in a layout of `sslhsic_transfer.data.labelled`.
        output: folder of the run: recipe.yaml, metrics.jsonl, checkpoints/, model/, results.json, evaluation.json,
            predictions.png.
        framework: "torchvision" (all but depth), "mmseg" (segmentation), "detectron2" (detection) or "depth"; None uses
            the task's first.
        init: the encoder's initial weights: "pretrained" for the model's own; "random"; "supervised" for torchvision's
            ImageNet weights; or a name or path for `from_pretrained`.
        overrides: ``"key=value"``, settings of `sslhsic_transfer.transfer.settings`.
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
    with folder.held():
        return _transfer(task, model, data, folder, framework, init, overrides, resume, progress)


def _transfer(
    task: Task,
    model: str | Path,
    data: str | Path,
    folder: RunFolder,
    framework: Framework | None,
    init: str,
    overrides: Sequence[str],
    resume: bool,
    progress: bool,
) -> list[Result]:
    if task not in FRAMEWORKS:
        raise ConfigError(f"Unknown task {task!r}; expected {', '.join(FRAMEWORKS)}.")
    framework = framework or next(iter(FRAMEWORKS[task]))
    if framework not in FRAMEWORKS[task]:
        raise ConfigError(f"{framework} does no {task} here; expected {' or '.join(FRAMEWORKS[task])}.")
    runner = FRAMEWORKS[task][framework]
    if process_count() > 1 and not runner.distributed:
        raise ConfigError(
            f"Got {process_count()} processes; by {framework} this command trains in one. For several GPUs use its own "
            "launcher, as the guide's page on dense tasks tells, or another framework."
        )
    settings = _settings(task, overrides)
    training, test = (TASKS[task].find(data, split, settings) for split in (settings.train, settings.test))
    if isinstance(settings, ClassificationSettings):
        training = _labelled(training, settings)
    classes, tested = (getattr(split, "classes", ()) for split in (training, test))
    if classes != tested:
        odd = some("in one of them only", sorted(set(classes) ^ set(tested))) or ["the same in another order"]
        raise DataError(
            f"{settings.train} has {len(classes)} classes, {settings.test} {len(tested)}, {odd[0].strip()}; expected "
            "the same in both."
        )
    precision = resolve_precision(settings.precision, default_device())
    settings = settings.model_copy(update={"precision": precision})
    encoder, initial, size = _encoder(model, init, settings.seed)
    if isinstance(settings, ClassificationSettings) and settings.size is None:
        settings = settings.model_copy(update={"size": size})
    config = TransferConfig(
        task=task,
        framework=framework,
        classes=classes,
        data=f"{training.name}, {settings.train}: {len(training)} pictures",
        pictures_sha256=fingerprint_of(training),
        encoder=encoder.config,
        preprocessing=encoder.preprocessing,
        initial_weights=initial,
        initial_sha256=encoder.weights_sha256,
        settings=settings.model_dump(mode="json"),
    )
    if is_main_process():
        folder.begin(config, resume=resume)
    with advising_on_memory(f"Set batch_size={max(1, settings.batch_size // 2)}, or smaller pictures, and begin anew."):
        runner.train(config, encoder, training, folder, progress=progress)
    if not is_main_process():
        return []
    config.save(folder.model)
    return _measure(load_transferred(folder.model), test, folder, progress)


def _measure(model: TransferredModel, test: Any, folder: RunFolder, progress: bool) -> list[Result]:
    config, settings = model.config, model.config.typed_settings()
    figures = model.evaluate(test, progress=progress)
    results = [
        new_result(
            model=config.initial_weights,
            task=_named(config.task, settings),
            dataset=test.name,
            split=settings.test,
            framework=config.framework,
            protocol=protocol(config),
            metric=metric,
            value=figures[metric],
            seeds=[settings.seed],
            n=len(test),
            weights_sha256=config.initial_sha256,
        )
        for metric in _RECORDED
        if metric in figures
    ]
    write_json(folder.root / "evaluation.json", figures)
    save_results(folder.root / RESULTS_NAME, results)
    with atomic_path(folder.root / "predictions.png") as temporary:
        model.draw(test).save(temporary, format="png")
    return results


def _named(task: Task, settings: TransferSettings) -> str:
    """Return the task's name in records, which tells if only some labels were used."""
    if isinstance(settings, ClassificationSettings):
        if settings.label_list is not None:
            return f"{task}, labels of {Path(settings.label_list).name}"
        if settings.label_share < 1:
            return f"{task}, {100 * settings.label_share:.3g} % of labels"
    return task


def protocol(config: TransferConfig) -> str:
    """Describe in one line every choice that affects the metrics, except the seed."""
    settings = config.typed_settings()
    hidden = {"train", "test", "layout", "mask_values", "seed", "workers", "log_every", "checkpoint_every", "protocol"}
    hidden |= set() if settings.nesterov else {"nesterov"}
    values = ", ".join(f"{key} {value}" for key, value in settings.model_dump().items() if key not in hidden)
    measured = f"; {settings.protocol.describe()}" if isinstance(settings, DepthSettings) else ""
    return f"{config.framework}, {config.encoder.architecture}, {values}{measured}"


def _settings(task: Task, overrides: Sequence[str]) -> TransferSettings:
    kind = SETTINGS[task]
    return configured(kind, kind().model_dump(mode="json"), overrides, source=f"Settings of {task}")


def _labelled(training: ClassificationData, settings: ClassificationSettings) -> ClassificationData:
    """Return the part of the training data whose labels are used."""
    if settings.label_list is not None:
        return training.listed(settings.label_list)
    return training.share(settings.label_share, settings.seed)


def _encoder(model: str | Path, init: str, seed: int) -> tuple[Encoder, str, int]:
    """Return the initial encoder, the name of its weights, and the picture size of the named model."""
    if init == "random" and str(model) in ARCHITECTURES:
        with seeded(mix_seed(seed)):
            untrained = create_encoder(str(model))
        return untrained, f"random {model}", untrained.preprocessing.crop
    encoder = from_pretrained(model)
    other, name = encoder, str(model)
    if init == "random":
        with seeded(mix_seed(seed)):
            other, name = Encoder(encoder.config, encoder.preprocessing), f"random {encoder.config.architecture}"
    elif init == "supervised":
        if encoder.config != EncoderConfig(architecture=encoder.config.architecture):
            raise ConfigError(f"torchvision has weights of plain networks only; the model is {encoder.config}.")
        other = Encoder.from_torchvision(encoder.config.architecture, weights="IMAGENET1K_V1")
        name = f"supervised {encoder.config.architecture}"
    elif init != "pretrained":
        other, name = from_pretrained(init), init
    if other.config != encoder.config:
        raise ConfigError(
            f"init={init} is a {other.config.architecture} of {other.config}; the model is {encoder.config}. "
            "Choose weights of the same network, or name them as the model."
        )
    return other, name, encoder.preprocessing.crop
