import json
import multiprocessing
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.distributed

from augment.bundle import READER_FOLDER, Registry, load_bundle, load_tensors
from augment.config import with_overrides
from augment.data.datasets import LabelledImages
from augment.data.layouts import load_layout
from augment.data.lines import draw_contents
from augment.data.pairs import folds_of
from augment.errors import ConfigError, DataError
from augment.generators import GENERATORS
from augment.generators.line_saae import CONFIGS, LineSAAEGenerator, open_lines
from augment.images import encode_png
from augment.training import PlainContext
from jobs import train
from jobs.ray_context import RayContext
from recognizers.arms import Plan
from recognizers.fit import predict
from recognizers.reader import load_reader
from recognizers.scene_text import SIZES
from recognizers.text_arms import TextPlan
from recognizers.text_plans import TEXT_PLAN
from recognizers.text_reader import load_text_reader

TINY_LINES = (
    "model.width=4",
    "model.discriminator_width=4",
    'model.steps={"reconstruct": 1, "discriminate": 1, "alternate": 1}',
    "training.batch_size=4",
)
TINY_READERS = (
    "reader_steps=1",
    "rendered_lines=4",
    "recognizer.width=4",
    "recognizer.hidden=4",
    "budget.batch_size=4",
)


def options(settings: tuple[str, ...]) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


@pytest.fixture
def line_options(tmp_path: Path) -> list[str]:
    """Data and layout of one word."""
    image = np.full((32, 64, 3), 40, np.uint8)
    image[8:24, 8:56] = draw_contents(["Open"], size=(16, 48), looks=[0])[0]
    (tmp_path / "0.png").write_bytes(encode_png(image))
    (tmp_path / "labels.csv").write_text("file,text,split\n0.png,Open,train\n")
    return ["--data", f"csv:{tmp_path / 'labels.csv'}", "--layout", "words"]


def test_dry_run_prints_every_setting_and_starts_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train.main(["saae", "--out", str(tmp_path / "reg/digits"), "--config", "paper", "--dry-run"])
    plan = json.loads(capsys.readouterr().out)
    assert plan["settings"]["model"]["style_injection"] == "map"
    assert not (tmp_path / "reg").exists()


def test_the_seed_reaches_the_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train.main(["saae", "--out", str(tmp_path / "reg/digits"), "--seed", "7", "--dry-run"])
    assert json.loads(capsys.readouterr().out)["settings"]["training"]["seed"] == 7


def test_a_seed_among_the_settings_is_refused_unless_it_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"training": {"seed": 7}}')
    out = ["saae", "--out", str(tmp_path / "reg/digits"), "--dry-run"]
    for words in (["--set", "training.seed=7"], ["--config", str(file)]):
        with pytest.raises(ConfigError, match=r"expected 0 or nothing .*got 7"):
            train.main([*out, *words])
        train.main([*out, *words, "--seed", "7"])
    with pytest.raises(ConfigError, match=r"expected 7 or nothing .*got 0"):
        train.main([*out, "--set", "training.seed=0", "--seed", "7"])


def test_the_licence_of_the_data_reaches_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str | None] = []

    def publish(*_: Any, licence: str | None, **how: Any) -> str:
        given.append(licence)
        return "digits/1"

    monkeypatch.setattr(train, "train_and_publish", publish)
    monkeypatch.setattr(train, "ray_cluster", nullcontext)
    out = ["saae", "--out", str(tmp_path / "reg/digits")]
    train.main([*out, "--licence", "cc-by-4.0"])
    train.main(out)
    assert given == ["cc-by-4.0", None]


def test_lines_want_a_layout_and_nothing_else_does(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "reg/plates")]
    with pytest.raises(ConfigError, match=r"expected --layout, one of plates-cn.* and --data"):
        train.main(["line_saae", "--data", "csv:labels.csv", *out])
    with pytest.raises(ConfigError, match="goes with line_saae"):
        train.main(["saae", "--layout", "words", *out])


def test_lines_train_on_the_texts_of_a_table(line_options: list[str], tmp_path: Path) -> None:
    words = ["line_saae", *line_options, "--out", str(tmp_path / "reg/words")]
    data = train.open_training_data(train.parser().parse_args([*words, "--channels", "1"]))
    assert data.channels == 1
    assert data.texts.texts == ("Open",)


def test_runs_are_named_after_the_version_they_make(demo_registry: Path, tmp_path: Path) -> None:
    assert train.find_run(str(tmp_path), "digits", resume=False) == "digits-1"
    assert train.find_run(str(demo_registry), "digits", resume=False) == "digits-2"


def test_nothing_to_resume_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to resume"):
        train.find_run(str(tmp_path), "digits", resume=True)


def test_a_stopped_run_is_not_overwritten_unasked(tmp_path: Path) -> None:
    (tmp_path / ".runs/digits-1").mkdir(parents=True)
    (tmp_path / ".runs/digits-1/checkpoint_manager_snapshot.json").write_text("{}")
    with pytest.raises(ConfigError, match="go on with --resume"):
        train.find_run(str(tmp_path), "digits", resume=False)
    assert train.find_run(str(tmp_path), "digits", resume=True) == "digits-1"


def average_in_worker(
    rank: int, port: int, queue: "multiprocessing.Queue[list[list[float]]]"
) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    context = RayContext.__new__(RayContext)
    context.rank, context.world_size = rank, 2
    tensors = [
        torch.full((2, 3), float(rank)),
        torch.arange(4.0).view(1, 1, 2, 2).to(memory_format=torch.channels_last) * rank,
    ]
    context.average(tensors)
    queue.put([tensor.flatten().tolist() for tensor in tensors])


@pytest.mark.slow
def test_average_is_the_mean_over_workers_whatever_the_layout() -> None:
    spawn = multiprocessing.get_context("spawn")
    queue = spawn.Queue()
    workers = [spawn.Process(target=average_in_worker, args=(r, 29517, queue)) for r in range(2)]
    for worker in workers:
        worker.start()
    results = [queue.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
    assert results == [[[0.5] * 6, [0.0, 0.5, 1.0, 1.5]]] * 2


@pytest.mark.ray
def test_two_workers_train_publish_and_resume(
    tmp_path: Path, tiny_settings: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["saae", "--data", "digits:", "--out", str(tmp_path / "reg/digits"), "--no-reader"]
    train.main([*out, *options(tiny_settings), "--workers", "2"])
    registry = Registry(tmp_path / "reg")
    assert registry.versions("digits") == [1]
    assert "published" in capsys.readouterr().out

    (tmp_path / "reg/.runs/digits-1").rename(tmp_path / "reg/.runs/digits-2")
    with pytest.raises(ConfigError, match="configuration it started with"):
        train.main([*out, *options(tiny_settings), "--resume", "--seed", "5"])
    assert registry.versions("digits") == [1]

    train.main([*out, *options(tiny_settings), "--workers", "2", "--resume"])
    first, again = (load_bundle(registry.fetch(f"digits/{number}")) for number in (1, 2))
    assert again.metrics == first.metrics
    assert first.metrics["step"] == first.metrics["steps"]


@pytest.mark.parametrize(
    ("architecture", "preset"), [(name, p) for name, ps in GENERATORS.items() for p in ps]
)
def test_every_architecture_can_be_asked_for_in_all_its_configurations(
    architecture: str,
    preset: str,
    line_options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings_of = type(GENERATORS[architecture][preset])
    monkeypatch.setattr(settings_of, "build_model", lambda settings, data: None)  # of digits
    out = ["--out", str(tmp_path / "reg/any"), "--config", preset, "--dry-run"]
    train.main([architecture, *out, *(line_options if architecture == "line_saae" else [])])
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert {"model", "training", "sampling"} <= set(settings)


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["deepsim", "--config", "inversion"], r"expected model\.network, the network to invert"),
        (["vae_gan", "--config", "conditional"], "expected images with attributes"),
        (["masked_vae", "--config", "paper"], "image sides must be at least 128 pixels"),
        (["masked_vae", "--set", "face_masks=celebamaskhq:/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_built_is_refused_before_a_cluster_is_started(
    words: list[str],
    told: str,
    dry_run: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(train, "ray_cluster", lambda: pytest.fail("a cluster was started"))
    with pytest.raises((ConfigError, DataError), match=told):
        train.main([*words, "--out", str(tmp_path / "reg/any"), *dry_run])


def test_plates_too_narrow_for_their_reader_are_refused_before_a_cluster_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "ray_cluster", lambda: pytest.fail("a cluster was started"))
    ink = draw_contents(["京A12345"], load_layout("plates-cn"), size=(32, 96), looks=[0])[0]
    (tmp_path / "0.png").write_bytes(encode_png(np.maximum(ink, np.uint8([20, 60, 170]))))
    table = tmp_path / "labels.csv"
    table.write_text("file,text,split\n0.png,京A12345,train\n", encoding="utf-8")
    words = ["line_saae", "--data", f"csv:{table}", "--layout", "plates-cn"]
    words += ["--image-size", "32", "24", "--out", str(tmp_path / "reg/plates")]
    with pytest.raises(ConfigError, match="at least 48 pixels wide, got 24; give a larger"):
        train.main(words)
    train.main([*words, "--no-reader", "--dry-run"])


def test_images_are_read_back_by_a_recognizer_of_their_kind_where_labels_are_classes() -> None:
    kinds = {}
    for architecture, configs in GENERATORS.items():
        plan = train.plan_reader(next(iter(configs.values())))
        kinds[architecture] = plan and plan.recognizer
    read = {name: kind for name, kind in kinds.items() if kind is not None}
    assert read == {"saae": "character", "cvae_gan": "face", "line_saae": SIZES["small"]}


def test_a_reader_is_tried_on_real_images_that_its_members_were_not_trained_on(
    some_digits: LabelledImages, tmp_path: Path
) -> None:
    plan = with_overrides(
        Plan(), ["reader_steps=30", "rendered=false", "recipes.reader.rendered=0"]
    )
    right = train.fit_reader(some_digits, plan, 0, tmp_path / "reader")
    reader, folds = load_reader(tmp_path / "reader"), folds_of(some_digits.labels)
    per_member = []
    for fold, member in enumerate(reader.members):
        own = some_digits.subset(np.flatnonzero(folds == fold))
        per_member += (predict(member, own.images())[0] == own.labels).tolist()
    assert right == pytest.approx(np.mean(per_member))
    assert 0.2 < np.mean(per_member) < 1
    banded = with_overrides(plan, ["reader_band=[0.0, 0.3]"])
    assert train.fit_reader(some_digits, banded, 0, tmp_path / "banded") == right


def test_one_image_a_class_leaves_nothing_to_try_its_reader_on(
    some_digits: LabelledImages, tmp_path: Path
) -> None:
    _, first = np.unique(some_digits.labels, return_index=True)
    plan = with_overrides(Plan(), ["reader_steps=2", "rendered=false", "recipes.reader.rendered=0"])
    assert train.fit_reader(some_digits.subset(first), plan, 0, tmp_path / "reader") is None
    assert len(load_reader(tmp_path / "reader").members) == 1


def test_one_line_leaves_nothing_to_try_its_reader_on(
    line_options: list[str], tmp_path: Path
) -> None:
    _, uri, *_ = line_options
    plan = with_overrides(TEXT_PLAN, TINY_READERS)
    lines = open_lines(uri, "words", size=None, channels=3)
    assert train.fit_reader(lines, plan, 0, tmp_path / "reader") is None
    assert (tmp_path / "reader" / "model.safetensors").exists()


def test_a_band_that_does_not_rise_is_refused_before_anything_is_read(
    line_options: list[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "reg/words"), "--dry-run"]
    with pytest.raises(ConfigError, match="reader_band"):
        train.main(["line_saae", *line_options, *out, "--reader-band", "0.9", "0.1"])
    train.main(["line_saae", *line_options, *out, "--reader-band", "0.1", "0.9"])


def test_readers_of_text_may_be_of_full_size(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "reg/words"), "--reader-size", "full", "--reader-steps", "7"]

    def chosen(architecture: str) -> Any:
        arguments = train.parser().parse_args([architecture, *words])
        return train.choose_readers(arguments, GENERATORS[architecture]["labelmint"])

    plan = chosen("line_saae")
    assert (plan.recognizer, plan.reader_steps) == (SIZES["full"], 7)
    for other in ("saae", "vae_gan"):
        with pytest.raises(ConfigError, match="--reader-size goes with line_saae"):
            chosen(other)


def test_lines_have_no_attribute_to_make_classes_of(
    line_options: list[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "reg/words"), "--attribute", "Smiling", "--dry-run"]
    with pytest.raises(ConfigError, match="--attribute goes with images"):
        train.main(["line_saae", *line_options, *out])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["vae_gan", "--reader-steps", "7"], "--reader-steps is of recognizers, vae_gan has none"),
        (["saae", "--no-reader", "--reader-steps", "7"], "recognizers, --no-reader has none"),
        (["saae", "--no-reader", "--reader-band", "0", ".9"], "--reader-band is of recognizers"),
    ],
)
def test_options_of_readers_that_nobody_trains_are_refused(words: list[str], told: str) -> None:
    arguments = train.parser().parse_args([*words, "--out", "reg/digits", "--data", "digits:"])
    with pytest.raises(ConfigError, match=told):
        train.choose_readers(arguments, GENERATORS[words[0]]["labelmint"])


def test_a_generator_listens_to_a_recognizer_that_is_trained_beforehand(
    line_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here(PlainContext):
        newest: ClassVar[dict[str, float]] = {}

    def at_once(work: Callable[[dict[str, Any]], Any], settings: dict[str, Any], **how: Any) -> Any:
        return work(settings | {"progress": None})

    monkeypatch.setattr(train, "RayContext", lambda progress: Here())
    monkeypatch.setattr(train, "ray_train", at_once)
    data = open_lines(line_options[1], "words")
    settings = [*TINY_LINES, "model.recognizer_weight=0.5", "model.unpaired_share=1"]
    config = with_overrides(CONFIGS["labelmint"], settings)
    deaf = with_overrides(config, ["model.recognizer_weight=0"])
    plan = with_overrides(TEXT_PLAN, TINY_READERS)

    def weights(name: str, config: LineSAAEGenerator, listener: TextPlan | None) -> torch.Tensor:
        root = tmp_path / name
        how = {"listener": listener, "licence": "CC0"}
        train.train_and_publish(data, config, root=str(root), run="words-1", **how)
        folder = Registry(root).fetch("words")
        assert load_bundle(folder).licence == "CC0"
        return load_tensors(folder)["decoder.convolutions.0.weight"]

    assert not torch.equal(weights("heard", config, plan), weights("deaf", deaf, None))
    with pytest.raises(ConfigError, match="there is no recognizer"):
        weights("none", config, None)


@pytest.mark.ray
def test_lines_train_with_their_reader_and_are_read_back(
    line_options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = with_overrides(TEXT_PLAN, TINY_READERS)
    monkeypatch.setattr(train, "TEXT_PLAN", plan)
    settings = (*TINY_LINES, "model.recognizer_weight=0.5")
    out = ["--out", str(tmp_path / "reg/words")]
    band = ["--reader-band", "0.1", "0.9"]
    train.main(["line_saae", *line_options, *out, *band, *options(settings)])
    folder = Registry(tmp_path / "reg").fetch("words")
    info = load_bundle(folder)
    reader = load_text_reader(folder / READER_FOLDER, info=info)
    assert reader.members[0].config == plan.recognizer
    assert reader.band == (0.1, 0.9)
    assert f"{READER_FOLDER}/model.safetensors" in info.files
    assert load_tensors(folder)["bank.folds"].tolist() == [0]


@pytest.mark.ray
def test_two_workers_train_cvae_gan_with_centres_of_every_class(
    pictures: Path, tmp_path: Path
) -> None:
    out = ["--data", f"celeba:{pictures}", "--out", str(tmp_path / "reg/faces"), "--no-reader"]
    how = ["--image-size", "48", "48", "--workers", "2"]
    settings = (
        "model.width=4",
        "model.latent_dim=6",
        "model.classifier_steps=4",
        "model.steps=8",
        "training.batch_size=12",
    )
    train.main(["cvae_gan", *out, *how, *options(settings)])
    tensors = load_tensors(Registry(tmp_path / "reg").fetch("faces"))
    assert tensors["centres.met"].tolist() == [1.0] * 5
    lengths = tensors["centres.centres"].norm(dim=1)
    assert ((lengths > 0.2) & (lengths < 1.0001)).all()  # means of unit vectors
