"""`detector:transformers:NAME`: families of models, names that are looked for, boxes in pixels, one-line errors."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from core.errors import BackendError, InquisightError, UsageError
from core.images.picture import Picture, open_picture
from core.registry import get_registry, load_registry
from plugins.detector.coco import NAMES
from plugins.detector.transformers_witness import TransformersWitness, normalised, noun
from tests.plugins.detector import tiny_detectors

FIXED = {"detr": tiny_detectors.detr, "rt_detr": tiny_detectors.rt_detr, "yolos": tiny_detectors.yolos}
ZERO_SHOT = {
    "owlvit": tiny_detectors.owl,
    "owlv2": lambda directory: tiny_detectors.owl(directory, second=True),
    "grounding_dino": tiny_detectors.grounding_dino,
}


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The directory of a tiny model, made at first use."""
    root = tmp_path_factory.mktemp("detectors")

    def made(name: str) -> Path:
        if not (root / name).exists():
            (FIXED | ZERO_SHOT)[name](root / name)
        return root / name

    return made


def picture(width: int = 90, height: int = 40) -> Picture:
    return open_picture(Image.linear_gradient("L").resize((width, height)).convert("RGB"))


class Fabricated:
    """A model whose output a test chooses: one box (centre, width and height as shares) and the logits of each."""

    def __init__(self, model: Any, box: Sequence[float], logits: Sequence[float]) -> None:
        self.device, self.dtype, self.config = model.device, model.dtype, model.config
        self.output = SimpleNamespace(pred_boxes=torch.tensor([[box]]), logits=torch.tensor([[logits]]))
        self.inputs: dict[str, Any] = {}

    def __call__(self, **inputs: Any) -> SimpleNamespace:
        self.inputs = inputs
        return self.output


@pytest.mark.parametrize("name", [*FIXED, *ZERO_SHOT])
def test_a_model_of_this_family_is_opened_and_examines(directories: Callable[[str], Path], name: str) -> None:
    witness = TransformersWitness(f"{directories(name)}?score=0.001")
    found = witness.examine([picture(), picture(30, 70)])
    assert [(one.width, one.height) for one in found] == [(90, 40), (30, 70)]
    assert found[0].things and witness.takes_names is (name in ZERO_SHOT)
    known = {"dog", "traffic light", "person"} if name in FIXED else set(NAMES)
    for findings in found:
        for thing in findings.things:
            assert thing.name in known and 0 <= thing.box.left <= thing.box.right <= findings.width
            assert 0 <= thing.box.top <= thing.box.bottom <= findings.height
    assert (
        witness.describe()["device"] == "cpu"
        and witness.name == f"detector:transformers:{directories(name)}?score=0.001"
    )


@pytest.mark.parametrize("name", FIXED)
def test_boxes_of_fixed_names_lie_in_pixels_of_the_picture(directories: Callable[[str], Path], name: str) -> None:
    witness = TransformersWitness(str(directories(name)))
    logits = [0.0, 0.0, 9.0, 0.0] + [0.0] * (name != "rt_detr")  # the last one means "nothing" to the others
    logits = [value - 5 for value in logits] if name == "rt_detr" else logits
    witness._finder.model = Fabricated(witness.model, (0.5, 0.25, 0.2, 0.5), logits)
    [found] = witness.examine([picture()])
    [thing] = found.things
    assert thing.name == "traffic light" and not found.maybe
    assert [round(edge) for edge in thing.box.model_dump().values()] == [36, 0, 54, 20]


@pytest.mark.parametrize("name", ZERO_SHOT)
def test_boxes_of_given_names_lie_in_pixels_of_the_picture(directories: Callable[[str], Path], name: str) -> None:
    witness = TransformersWitness(str(directories(name)))
    # tokens of Grounding DINO: [CLS] dog . red car . [SEP]
    logits = [-9.0, -9.0, -9.0, 2.0, -9.0, -9.0, -9.0] if name == "grounding_dino" else [-9.0, 2.0]
    box = (0.5, 0.25 * 40 / 90, 0.2, 0.5 * 40 / 90) if name == "owlv2" else (0.5, 0.25, 0.2, 0.5)  # OWLv2 pads
    witness._finder.model = Fabricated(witness.model, box, logits)
    [found] = witness.look_for([picture()], ["Dogs", "red_car"])
    [thing] = found.things
    assert thing.name == "red car" and thing.score == pytest.approx(0.88, abs=0.01)
    assert [round(edge) for edge in thing.box.model_dump().values()] == [36, 0, 54, 20]


def test_unsure_things_are_kept_apart(directories: Callable[[str], Path]) -> None:
    witness = TransformersWitness(f"{directories('owlvit')}?score=0.4&queries=dog,red car")
    witness._finder.model = Fabricated(witness.model, (0.5, 0.5, 0.2, 0.2), (-9.0, -1.0))
    [found] = witness.examine([picture()])
    assert found.things == () and [thing.name for thing in found.maybe] == ["red car"]


def test_a_box_outside_the_picture_is_left_out(directories: Callable[[str], Path]) -> None:
    witness = TransformersWitness(str(directories("owlv2")))
    witness._finder.model = Fabricated(witness.model, (0.5, 0.9, 0.2, 0.1), (2.0, 2.0))  # in the border below
    [found] = witness.examine([picture()])
    assert found.things == found.maybe == ()


def test_names_are_taken_from_the_call_then_the_spec_then_coco(directories: Callable[[str], Path]) -> None:
    spec = TransformersWitness(f"{directories('owlvit')}?queries=Persons, red  Cars,")
    fake = spec._finder.model = Fabricated(spec.model, (0.5, 0.5, 0.2, 0.2), (-9.0, -9.0))
    rows = []
    for call in (lambda: spec.examine([picture()]), lambda: spec.look_for([picture()], ["dog", "dogs", " "])):
        call()
        rows.append(len(fake.inputs["input_ids"]))
    assert spec.queries == ["person", "red car"] and rows == [2, 1]
    plain = TransformersWitness(str(directories("owlvit")))
    assert plain.queries == list(NAMES) and plain.revision != spec.revision


def test_a_model_with_fixed_names_finds_the_same_whatever_is_looked_for(directories: Callable[[str], Path]) -> None:
    witness = TransformersWitness(f"{directories('yolos')}?score=0.001")
    assert witness.look_for([picture()], ["unicorn"]) == witness.examine([picture()])


def test_more_names_than_a_grounding_dino_reads_at_once_are_asked_in_groups(
    directories: Callable[[str], Path],
) -> None:
    witness = TransformersWitness(f"{directories('grounding_dino')}?score=0.001")
    names = [f"dog {'red ' * number}car" for number in range(30)]
    groups = witness._finder._groups(names)  # type: ignore[attr-defined]
    assert len(groups) > 1 and [name for group in groups for name in group] == names
    assert witness.look_for([picture()], names)[0].things


def test_names_are_nouns_in_the_singular() -> None:
    given = ["Dogs", "dog", "traffic_lights", "N/A", "", "Skis", "people", "Red   cars", "scissors"]
    assert normalised(given) == ["dog", "traffic light", "skis", "person", "red car", "scissors"]
    assert noun("hair-drier") == "hair-drier"


def test_the_registry_creates_it_and_its_wrapper_takes_names(directories: Callable[[str], Path]) -> None:
    registry, spec = load_registry(), f"detector:transformers:{directories('owlvit')}?score=0.001"
    registry.check("witness", spec)
    witness = registry.create_witness(spec)
    assert witness.takes_names and not registry.create_witness("detector").takes_names
    [found] = witness.look_for([picture()], ["zeppelins"])
    assert {thing.name for thing in found.things} == {"zeppelin"}
    plain = picture()
    assert registry.create_witness("detector").look_for([plain], ["zeppelin"])[0].things == ()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("score=2", "score=2 is not between 0 and 1"),
        ("queries=dog", "'yolos', which only finds the names it was trained on; leave out queries"),
        ("treshold=0.5", "detector:transformers has no option 'treshold'"),
        ("score=half", "is no number"),
    ],
)
def test_options_that_do_not_fit_are_one_line(directories: Callable[[str], Path], query: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        TransformersWitness(f"{directories('yolos')}?{query}")
    assert "\n" not in str(caught.value)


def config_of(directory: Path, source: Path, **changes: Any) -> Path:
    """A copy of a model's directory with other entries in its config.json."""
    directory.mkdir()
    for file in source.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    config = json.loads((directory / "config.json").read_text("utf-8"))
    (directory / "config.json").write_text(json.dumps(config | changes), "utf-8")
    return directory


def test_models_that_cannot_be_used_are_one_line(directories: Callable[[str], Path], tmp_path: Path) -> None:
    yolos = directories("yolos")
    other = config_of(tmp_path / "other", yolos, model_type="bert")
    timm = config_of(tmp_path / "timm", yolos, use_timm_backbone=True)
    larger = config_of(tmp_path / "larger", yolos, hidden_size=64)
    empty = config_of(tmp_path / "empty", yolos)
    (empty / "model.safetensors").unlink()
    for directory, message in (
        (other, "holds a model of type 'bert', no object detection model"),
        (timm, "has a backbone of timm, which is not installed; pip install timm"),
        (larger, "do not fit the model that its config.json describes"),
        (empty, "detector:transformers:"),
        (tmp_path / "nowhere", "is no directory here"),
    ):
        with pytest.raises(InquisightError, match=message) as caught:
            TransformersWitness(str(directory))
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="detector:transformers needs a model"):
        get_registry().create_witness("detector:transformers:")


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_a_model_that_needs_torchvision_is_refused_in_one_line(
    directories: Callable[[str], Path], tmp_path: Path
) -> None:
    directory = config_of(tmp_path / "layout", directories("yolos"))
    processor = {"image_processor_type": "PPDocLayoutV2ImageProcessor"}
    (directory / "preprocessor_config.json").write_text(json.dumps(processor), "utf-8")
    with pytest.raises(BackendError, match=r"needs torchvision to prepare pictures.*pip install torchvision") as caught:
        TransformersWitness(str(directory))
    assert "\n" not in str(caught.value)


def test_a_failing_model_is_one_line(directories: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    witness = TransformersWitness(str(directories("detr")))

    def fail(*arguments: Any, **named: Any) -> None:
        raise RuntimeError("out of order\nsecond line")

    monkeypatch.setattr(witness._finder, "find", fail)
    with pytest.raises(BackendError, match=r"the witness 'detector:transformers:.*' failed: .*out of order") as caught:
        witness.examine([picture()])
    assert "\n" not in str(caught.value)
