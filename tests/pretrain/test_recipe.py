import pytest
import yaml

from sslhsic_transfer.errors import ConfigError
from sslhsic_transfer.pretrain import load_recipe
from sslhsic_transfer.pretrain.recipe import Recipe
from sslhsic_transfer.pretrain.recipe_file import SHIPPED, dump_recipe


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_load_by_name_and_survive_dumping(path, tmp_path):
    recipe = load_recipe(path.stem)
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_imagenet_recipe_is_the_papers():
    """Item by item: Li et al. 2021 and its released code; BYOL for what it takes from there."""
    recipe = load_recipe("imagenet-r50")
    assert (recipe.encoder.architecture, recipe.encoder.stem, recipe.encoder.width) == ("resnet50", "imagenet", 1)
    assert (recipe.epochs, recipe.batch_size) == (1000, 4096)
    assert recipe.epochs * 1_281_167 // recipe.batch_size == 312_784
    optimizer = recipe.optimizer
    assert (optimizer.name, optimizer.momentum, optimizer.trust_coefficient) == ("lars", 0.9, 1e-3)
    assert (optimizer.weight_decay, optimizer.warmup_epochs) == (1e-6, 10)
    assert recipe.peak_learning_rate == pytest.approx(0.4 * 4096 / 256)
    assert (recipe.target_decay, recipe.average_decay) == (0.99, 0.999)
    assert (recipe.head.hidden_dim, recipe.head.embedding_dim) == (4096, 256)
    loss = recipe.loss
    assert (loss.gamma, loss.num_features, loss.kernel, loss.regularizer) == (3.0, 512, "imq", "biased")
    assert (loss.learn_scale, loss.scale_learning_rate) == (True, 3e-4)
    views = recipe.augmentation
    assert (views.size, views.crop_area, views.crop_ratio) == (224, (0.08, 1.0), (3 / 4, 4 / 3))
    assert (views.flip, views.jitter, views.gray) == (0.5, 0.8, 0.2)
    assert (views.brightness, views.contrast, views.saturation, views.hue) == (0.4, 0.4, 0.2, 0.1)
    assert (views.blur_taps, views.blur_sigma) == (23, (0.1, 2.0))
    assert (views.view1.blur, views.view1.solarize) == (1.0, 0.0)
    assert (views.view2.blur, views.view2.solarize) == (0.1, 0.2)
    assert (views.mean, views.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    preprocessing = recipe.encoder_preprocessing
    assert (preprocessing.resize, preprocessing.crop, preprocessing.interpolation) == (256, 224, "bicubic")


def test_defaults_are_the_papers():
    assert Recipe().model_dump(exclude={"preprocessing", "workers", "monitor"}) == load_recipe(
        "imagenet-r50"
    ).model_dump(exclude={"preprocessing", "workers", "monitor"})


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
    assert "loss.gama: no such setting; known here: gamma, kernel" in message
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
    with pytest.raises(ConfigError, match=r"demo, imagenet-r50, imagenette-r18"):
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
    values = yaml.safe_load(dump_recipe(load_recipe("demo")))
    assert values["augmentation"]["view2"] == {"blur": 0.1, "solarize": 0.2}
