import re

import pytest
import torch
import yaml
from torch import nn

from sslhsic_transfer import Encoder
from sslhsic_transfer._config import as_yaml
from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.networks import Learner
from sslhsic_transfer.pretrain.objectives import OBJECTIVES
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.recipe_file import SHIPPED
from sslhsic_transfer.pretrain.schedules import warmup_steps
from sslhsic_transfer.training.optimizer import build_optimizer
from sslhsic_transfer.training.schedules import learning_rate

SHIPPED_FILES = [pytest.param(path, id=path.stem) for path in sorted(SHIPPED.glob("*.yaml"))]
STEPS_OF_IMAGENET = 312_784


@pytest.mark.parametrize("path", SHIPPED_FILES)
def test_shipped_recipes_load_by_name_and_survive_dumping(path, tmp_path):
    recipe = load_recipe(path.stem)
    (tmp_path / "again.yaml").write_text(as_yaml(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize("path", SHIPPED_FILES)
def test_the_comment_of_a_shipped_recipe_starts_that_recipe(path):
    commands = re.findall(r"^#   (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(commands) == 1
    assert re.search(rf"(sslhsic|-m sslhsic_transfer\.)\s?pretrain {path.stem} --data \S+ --output RUN$", commands[0])


@pytest.mark.parametrize("path", SHIPPED_FILES)
def test_shipped_recipes_build_networks_that_embed_their_views(path):
    recipe = load_recipe(path.stem)
    with torch.device("meta"):
        learner = build_learner(recipe)
        views = learner(*torch.empty(2, 2, 3, recipe.augmentation.size, recipe.augmentation.size))
    assert [view.shape for view in views] == [(2, recipe.head.embedding_dim)] * 4
    specs = learner.online.encoder.specs["c5"]
    assert recipe.augmentation.size // specs.stride >= 2, "what the pooling sees has more than one position"


@pytest.mark.parametrize("path", SHIPPED_FILES)
def test_shipped_recipes_are_consistent_in_themselves(path):
    recipe = load_recipe(path.stem)
    views, stored = recipe.augmentation, recipe.encoder_preprocessing
    assert (stored.crop, stored.mean, stored.std) == (views.size, views.mean, views.std)
    assert (recipe.loss.regularizer == "biased") == (recipe.batch_size >= 1000)
    assert views.blur_taps <= views.size / 8


def build_learner(recipe):
    encoder = Encoder(recipe.encoder, recipe.encoder_preprocessing, zero_init_residual=recipe.zero_init_residual)
    head = recipe.head
    return Learner(
        encoder,
        hidden_dim=head.hidden_dim,
        embedding_dim=head.embedding_dim,
        uses_target=OBJECTIVES[recipe.objective].uses_target,
    )


def test_imagenet_recipe_is_the_papers():
    """Item by item: Li et al. 2021 and its released code; BYOL for what it takes from there."""
    recipe = load_recipe("imagenet-r50")
    assert (recipe.encoder.architecture, recipe.encoder.stem, recipe.encoder.width) == ("resnet50", "imagenet", 1)
    assert recipe.objective == "ssl-hsic"
    assert recipe.zero_init_residual, "haiku 0.0.5, which the released code names, starts blocks' last scales at 0"
    assert (recipe.target_decay, recipe.average_decay) == (0.99, 0.999)
    assert (recipe.head.hidden_dim, recipe.head.embedding_dim) == (4096, 256)
    loss = recipe.loss
    assert (loss.gamma, loss.num_features, loss.kernel, loss.regularizer) == (3.0, 512, "imq", "biased")
    assert (loss.learn_scale, loss.scale_learning_rate) == (True, 3e-4)
    preprocessing = recipe.encoder_preprocessing
    assert (preprocessing.resize, preprocessing.crop, preprocessing.interpolation) == (256, 224, "bicubic")
    assert recipe.monitor.evaluate_every > 0, "the paper, too, watches a linear probe; ours is a ridge classifier"


def test_imagenet_recipe_has_the_papers_steps_and_optimizer():
    recipe = load_recipe("imagenet-r50")
    assert (recipe.epochs, recipe.batch_size, recipe.micro_batch_size) == (1000, 4096, None)
    assert recipe.epochs * 1_281_167 // recipe.batch_size == STEPS_OF_IMAGENET
    optimizer = recipe.optimizer
    assert (optimizer.name, optimizer.momentum, optimizer.trust_coefficient) == ("lars", 0.9, 1e-3)
    assert optimizer.weight_decay == 1e-6
    assert recipe.peak_learning_rate == pytest.approx(0.4 * 4096 / 256)
    assert optimizer.warmup_epochs == 10
    warmup = warmup_steps(optimizer.warmup_epochs, pictures=1_281_167, batch_size=recipe.batch_size)
    assert warmup == 10 * 1_281_167 // 4096 == 3127
    ends = {"peak": recipe.peak_learning_rate, "warmup_steps": warmup, "total_steps": STEPS_OF_IMAGENET}
    assert [learning_rate(step, **ends) for step in (0, warmup, STEPS_OF_IMAGENET)] == pytest.approx([0, 6.4, 0])

    with torch.device("meta"):
        parameters = build_learner(recipe).trained_parameters()
    chosen = optimizer.model_dump(include={"name", "weight_decay", "momentum", "trust_coefficient"})
    lars = build_optimizer(parameters=parameters, **chosen)
    weights, others = lars.param_groups
    names = {id(parameter): name for name, parameter in parameters.items()}
    assert all(
        re.search(r"(bias|bn\d\.weight|downsample\.1\.weight|\.1\.weight)$", names[id(p)]) for p in others["params"]
    )
    assert not any(re.search(r"(bias|bn\d\.weight)$", names[id(parameter)]) for parameter in weights["params"])
    assert (weights["weight_decay"], others["weight_decay"]) == (1e-6, 0.0)
    assert (weights["always_adapt"], others["always_adapt"]) == (True, False)
    for group in lars.param_groups:
        assert (group["momentum"], group["trust_coeff"]) == (0.9, 1e-3)


def test_imagenet_recipe_has_the_papers_views():
    views = load_recipe("imagenet-r50").augmentation
    assert (views.size, views.crop_area, views.crop_ratio) == (224, (0.08, 1.0), (3 / 4, 4 / 3))
    assert (views.flip, views.jitter, views.gray) == (0.5, 0.8, 0.2)
    assert (views.brightness, views.contrast, views.saturation, views.hue) == (0.4, 0.4, 0.2, 0.1)
    assert (views.blur_taps, views.blur_sigma) == (23, (0.1, 2.0))
    assert (views.view1.blur, views.view1.solarize) == (1.0, 0.0)
    assert (views.view2.blur, views.view2.solarize) == (0.1, 0.2)
    assert (views.mean, views.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_imagenet_recipe_builds_the_papers_networks():
    with torch.device("meta"):
        learner = build_learner(load_recipe("imagenet-r50"))
    assert sum(parameter.numel() for parameter in learner.online.encoder.parameters()) == 23_508_032
    for head, inputs in ((learner.online.projector, 2048), (learner.predictor, 256), (learner.target.projector, 2048)):
        first, norm, _, last = head
        assert (first.in_features, first.out_features, first.bias is not None) == (inputs, 4096, True)
        assert isinstance(norm, nn.BatchNorm1d)
        assert (last.in_features, last.out_features, last.bias) == (4096, 256, None)
    norms = [module for module in learner.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 2 * (53 + 1) + 1, "53 of a ResNet-50 and one of a projector, twice, and the predictor's"
    for norm in norms:
        assert (norm.eps, norm.momentum, norm.affine, norm.track_running_stats) == (1e-5, 0.1, True, True)


def test_the_short_imagenet_recipe_differs_where_it_says():
    def flat(values, prefix=""):
        for key, value in values.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{key}.")
            else:
                yield f"{prefix}{key}", value

    long, short = (dict(flat(load_recipe(name).model_dump())) for name in ("imagenet-r50", "imagenet-r50-100ep"))
    assert {key: value for key, value in short.items() if long[key] != value} == {
        "epochs": 100,
        "loss.low_noise": True,
        "optimizer.learning_rate": 0.45,
        "monitor.evaluate_every": 5,
    }
    assert 100 * 1_281_167 // 4096 == 31_278


def test_defaults_are_the_papers():
    """But for what no figure of the paper's depends on, and random features, which default to less noise."""
    unlike = {"estimator", "low_noise", "shared_draw"}
    left_out = {"preprocessing": True, "workers": True, "monitor": True, "loss": unlike}
    defaults, paper = Recipe(), load_recipe("imagenet-r50")
    assert defaults.model_dump(exclude=left_out) == paper.model_dump(exclude=left_out)
    assert paper.loss.model_dump(include=unlike) == {"estimator": "features", "low_noise": False, "shared_draw": False}


def test_overrides_reach_any_depth_and_leave_the_rest():
    recipe = load_recipe("demo", ["epochs=3", "loss.gamma=0.5", "augmentation.view1.blur=0.25", "average_decay=null"])
    assert (recipe.epochs, recipe.loss.gamma, recipe.average_decay) == (3, 0.5, None)
    assert (recipe.augmentation.view1.blur, recipe.augmentation.size) == (0.25, 64)
    assert load_recipe("demo", ["optimizer.learning_rate=1e-3"]).optimizer.learning_rate == 1e-3
    assert load_recipe("demo", ["augmentation.crop_area=[0.2, 0.9]"]).augmentation.crop_area == (0.2, 0.9)


def test_every_problem_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        load_recipe("demo", ["epochs=0", "loss.gama=1", "optimizer.name=adam", "augmentation.blur_taps=4"])
    message = str(caught.value)
    assert "epochs: Input should be greater than or equal to 1, got 0" in message
    assert "loss.gama: no such setting; did you mean gamma? Known here: gamma, kernel" in message
    assert "optimizer.name: Input should be 'lars', 'adamw' or 'sgd', got 'adam'" in message
    assert "blur_taps must be odd, got 4" in message


@pytest.mark.parametrize(
    ("override", "found"),
    [
        ("epochs", "expected key=value"),
        ("=3", "expected key=value"),
        ("epochs=[", "not YAML"),
        ("micro_batch_size=48", r"micro_batch_size \(48\) must divide batch_size \(128\)"),
        ("optimizer.warmup_epochs=99", "must not exceed epochs"),
        ("augmentation.crop_area=[0.5,0.1]", "low ≤ high"),
        ("augmentation.crop_area=[0.5,1.1]", "must not exceed 1"),
        ("augmentation.progressive=[[2,48],[2,64]]", r"rising order, got \[2.0, 2.0\]"),
        ("augmentation.progressive=[[0,48]]", r"epochs above 0 in rising order, got \[0.0\]"),
        ("augmentation.progressive=[[2,31]]", "greater than or equal to 32"),
        ("augmentation.progressive=[[99,48]]", "progressive ends at epoch 99, which must be before the run does"),
        ("encoder.architecture=resnet19", "Did you mean"),
        ("loss=3", "loss"),
    ],
)
def test_overrides_that_cannot_be_used_say_why(override, found):
    with pytest.raises(ConfigError, match=found):
        load_recipe("demo", [override])


@pytest.mark.parametrize(
    ("content", "found"), [("- 1", "holds a list"), ("a: [", "is not YAML"), ("\xff\xfe", "recipe")]
)
def test_files_that_are_no_recipe_are_refused(tmp_path, content, found):
    (tmp_path / "recipe.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match=f"(?i){found}"):
        load_recipe(tmp_path / "recipe.yaml")


def test_unknown_names_list_what_ships():
    with pytest.raises(
        ConfigError, match=r"cifar10-r18, demo, imagenet-r50, imagenet-r50-100ep, imagenette-r18, imagenette-r50"
    ):
        load_recipe("imagenet")


def test_every_setting_is_documented():
    def undocumented(model, prefix=""):
        for name, field in model.model_fields.items():
            if not field.description:
                yield prefix + name
            if hasattr(field.annotation, "model_fields"):
                yield from undocumented(field.annotation, f"{prefix}{name}.")

    assert list(undocumented(Recipe)) == []


def test_dump_is_plain_yaml():
    values = yaml.safe_load(as_yaml(load_recipe("demo")))
    assert values["augmentation"]["view2"] == {"blur": 0.1, "solarize": 0.2}
