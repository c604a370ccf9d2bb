"""A model's card, README.md, generated only from config.json and results.json."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sslhsic_transfer.errors import PublishError
from sslhsic_transfer.hub.config_file import FolderConfig, timm_config
from sslhsic_transfer.hub.publishing.facts import ModelFacts, read_facts
from sslhsic_transfer.hub.publishing.redaction import OTHER_WEIGHTS, redacted_weights
from sslhsic_transfer.results import LOWER_IS_BETTER, Result

CARD_NAME = "README.md"
_TEMPLATE = Path(__file__).with_name("card_template.md")
_OBJECTIVES = {"ssl-hsic": "SSL-HSIC", "ssl-hsic-no-target": "SSL-HSIC without target network"}
# Fine-tuning tasks, with the Hub's names.
_FINE_TUNED = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
    "depth": "depth-estimation",
}
_FILES = ("storage", "onnx")  # results about stored and exported files, which compare them with the encoder
_TASKS = {"knn": "k-NN", "linear": "linear probe", "rankme": "RankMe"}
_METRICS = {"top-1": "accuracy", "mIoU": "mean_iou"}  # this library's names -> the Hub's
_MARK = "<!-- Written by sslhsic-transfer"


def written_by_hand(path: Path) -> bool:
    """Tell whether there is a card that this library did not write."""
    return path.is_file() and _MARK not in path.read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True)
class Row:
    """One row of a results table: data and task, each subject's figure, and the subjects not worse than the model."""

    data: str
    task: str
    cells: dict[str, str]
    n: int
    seeds: int
    rivals: tuple[str, ...]


def usage_snippet(repo_id: str, feature_dim: int) -> str:
    """Return the example that a card shows first; publishing runs it."""
    return "\n".join(
        [
            "from sslhsic_transfer import from_pretrained",
            "",
            f'encoder = from_pretrained("{repo_id}")',
            f'embeddings = encoder.embed(["cat.jpg", "dog.jpg"])  # (2, {feature_dim})',
            'batch = encoder.preprocessing.transform()("cat.jpg")[None]  # (1, 3, H, W)',
            'maps = encoder.feature_maps(batch, stages=("c4", "c5"))  # {stage: (1, C, H/stride, W/stride)}',
        ]
    )


def render_card(repo_id: str, config: FolderConfig, results: Sequence[Result], *, has_recipe: bool = False) -> str:
    """Return a model card in Markdown, which starts with the Hub's metadata.

    Args:
        repo_id: the repository to publish to; the examples name it.
        config: the model's config.json.
        results: the model's results.json. Records with the weights' hash are the model's; the others are baselines.
        has_recipe: whether the folder contains recipe.yaml.

    Raises:
        PublishError: facts are missing, or no result was measured with these weights.
    """
    from huggingface_hub import ModelCard

    facts = read_facts(config.metadata)
    sha256 = config.fingerprint.sha256
    own = [result for result in results if result.weights_sha256 == sha256 and result.task not in _FILES]
    if not own:
        raise PublishError(
            "results.json has no figure that was measured with these weights: run `sslhsic evaluate knn MODEL …` with "
            "--output MODEL/results.json."
        )
    name = repo_id.rpartition("/")[2]
    tables, subjects = _tables(results, sha256, name)
    strides = [spec.stride for spec in config.encoder.specs.values()]
    card = ModelCard.from_template(
        _metadata(name, facts, config, [result for result in own if result.task != "rankme"]),
        template_path=str(_TEMPLATE),
        name=name,
        repo_id=repo_id,
        architecture=_architecture(config),
        objective=_OBJECTIVES.get(facts.objective, facts.objective),
        facts=facts,
        hours=_duration(facts.hours),
        began_with=_began_with(config.metadata),
        feature_dim=config.encoder.feature_dim,
        strides=", ".join(str(stride) for stride in strides[:-1]) + f" and {strides[-1]}",
        snippet=usage_snippet(repo_id, config.encoder.feature_dim),
        in_timm=_in_timm(config),
        variants=list(config.onnx),
        encoder=config.encoder,
        preprocessing=config.preprocessing,
        tables=tables,
        subjects=subjects,
        behind=[row for rows in tables.values() for row in rows if row.rivals],
        protocols=list(dict.fromkeys(f"{_task(result)}: {result.protocol}." for result in own)),
        sha256=sha256,
        has_recipe=has_recipe,
    )
    return re.sub(r"\n{3,}", "\n\n", str(card.content)).rstrip() + "\n"


def _metadata(name: str, facts: ModelFacts, config: FolderConfig, own: Sequence[Result]) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    return ModelCardData(
        license=facts.licence,
        library_name="sslhsic-transfer",
        pipeline_tag="image-feature-extraction",
        tags=[
            "self-supervised-learning",
            facts.objective,
            config.encoder.architecture,
            *(["timm"] if _in_timm(config) else []),
        ],
        datasets=[re.sub(r"[^a-z0-9]+", "-", facts.data.lower()).strip("-")],
        metrics=sorted({_metric(result) for result in own}),
        model_name=name,
        eval_results=[
            EvalResult(
                task_type=_FINE_TUNED.get(_kind(result), "image-classification"),
                task_name=_task(result),
                dataset_type=result.dataset,
                dataset_name=result.dataset,
                dataset_split=result.split,
                metric_type=_metric(result),
                metric_value=round(result.value, 4),
                metric_name=f"{result.metric} ({_task(result)}{', ' + result.framework if result.framework else ''})",
            )
            for result in own
        ],
    )


def _task(result: Result) -> str:
    return _TASKS.get(result.task, result.task)


def _kind(result: Result) -> str:
    """Return the task without its qualifier: "classification, 10 % of labels" is "classification"."""
    return result.task.partition(",")[0]


def _metric(result: Result) -> str:
    return _METRICS.get(result.metric, result.metric)


def _tables(results: Sequence[Result], sha256: str, name: str) -> tuple[dict[str, list[Row]], dict[str, list[str]]]:
    """Return rows and subjects of the tables (frozen, fine-tuned, files); leave out tables without rows."""
    tables: dict[str, list[Row]] = {}
    subjects: dict[str, list[str]] = {}
    for group, chosen in (
        ("Frozen embeddings", [result for result in results if _kind(result) not in (*_FINE_TUNED, *_FILES)]),
        ("Fine-tuned networks", [result for result in results if _kind(result) in _FINE_TUNED]),
        ("Files", [result for result in results if result.task in _FILES and result.weights_sha256 == sha256]),
    ):
        if not chosen:
            continue
        renamed = group != "Files"  # in that table each file is a subject of its own
        named = [(name if renamed and result.weights_sha256 == sha256 else result.model, result) for result in chosen]
        subjects[group] = sorted({subject for subject, _ in named}, key=lambda subject: (subject != name, subject))
        tables[group] = _rows(named, subjects[group], name)
    return tables, subjects


def _rows(named: Sequence[tuple[str, Result]], subjects: Sequence[str], name: str) -> list[Row]:
    lines: dict[tuple[str, str, str], dict[str, Result]] = {}
    for subject, result in named:
        method = result.protocol.partition(";")[0]  # the rest describes each subject's own input
        task = f"{_task(result)}, {result.metric}"
        lines.setdefault((result.tested, task, method), {})[subject] = result
    return [
        Row(
            data=data,
            task=task,
            cells={subject: of[subject].figure() if subject in of else "–" for subject in subjects},
            n=next(iter(of.values())).n,
            seeds=max(len(result.seeds) for result in of.values()),
            rivals=_rivals(of, name),
        )
        for (data, task, _), of in lines.items()
    ]


def _rivals(of: Mapping[str, Result], name: str) -> tuple[str, ...]:
    """Return the subjects that the model does not surpass."""
    if (own := of.get(name)) is None or own.task == "rankme":  # the rank measures spread, not quality
        return ()
    sign = -1 if own.metric in LOWER_IS_BETTER else 1
    return tuple(other for other, result in of.items() if result is not own and sign * (result.value - own.value) >= 0)


def _in_timm(config: FolderConfig) -> bool:
    return bool(timm_config(config.encoder, config.preprocessing))


def _architecture(config: FolderConfig) -> str:
    wide = f" ×{config.encoder.width}" if config.encoder.width > 1 else ""
    return f"ResNet-{config.encoder.architecture.removeprefix('resnet')}{wide}"


def _began_with(metadata: Mapping[str, Any]) -> str | None:
    """Return the weights that training started from."""
    recipe = metadata.get("recipe")
    source = recipe.get("init_from") if isinstance(recipe, Mapping) else None
    if source is None:
        return None
    return OTHER_WEIGHTS if (name := redacted_weights(source)) == OTHER_WEIGHTS else f"`{name}`"


def _duration(hours: float) -> str:
    return f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"
