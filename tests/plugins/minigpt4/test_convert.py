"""Every layout that people possess becomes one directory, whose model is the one assembled by hand."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoProcessor, AutoTokenizer, Blip2ForConditionalGeneration

from core.errors import BackendError
from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights
from plugins.minigpt4.runtime.conversation import FORMATS, ImageTokens, Part, PromptTurns
from plugins.minigpt4.runtime.modeling import MiniGPT4WithoutQFormer, open_model
from tests.plugins.minigpt4 import convert_sources as sources

ROOT = Path(__file__).resolve().parents[3]
PIXELS = torch.randn(2, 3, sources.IMAGE, sources.IMAGE, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def eye() -> Blip2ForConditionalGeneration:
    return sources.blip2()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sources")


@pytest.fixture(scope="module")
def request_for(folder: Path, eye: Blip2ForConditionalGeneration) -> Any:
    """Makes each source once, and a ConversionRequest of them."""

    def make(
        to: Path, llm: str = "safetensors", vision: str = "safetensors", tied: bool = False, **options: Any
    ) -> ConversionRequest:
        model = folder / f"llm-{llm}-{tied}"
        if not model.exists():
            sources.save_llm(sources.llm(tied=tied), model, llm)
        made = folder / f"vision-{vision}"
        if not made.exists():
            sources.save_eye(eye, made, vision)
        files = sorted(str(file) for file in made.glob("*.pth")) or [str(made)]
        projection = folder / "projection.pth"
        if not projection.exists():
            sources.random_projection(projection, sources.HIDDEN, sources.QFORMER)
        if vision.startswith("lavis"):
            options |= {"qformer_heads": 2, "vit_heads": 2}
        return ConversionRequest(projection, str(model), tuple(files), to, **options)

    return make


@pytest.fixture(scope="module")
def converted(request_for: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return join_weights(request_for(tmp_path_factory.mktemp("out") / "model", "shards", "shards", max_shard=600_000))


def by_hand(eye: Blip2ForConditionalGeneration, folder: Path, *, tied: bool = False) -> tuple[Any, Any]:
    """(vision half with the projection, language model) as nobody's converter made them."""
    reference = sources.blip2()
    reference.load_state_dict(eye.state_dict())
    stored = torch.load(folder / "projection.pth", weights_only=True)["model"]
    reference.language_projection.weight.data = stored["llama_proj.weight"]
    reference.language_projection.bias.data = stored["llama_proj.bias"]
    return reference.eval(), sources.llm(tied=tied)


def check_equal(model: Any, features: torch.Tensor, llm: Any, tokens: int) -> None:
    """`model` gives the same features and logits as `llm` does when these features stand in its input."""
    image = model.config.image_token_id
    vocabulary = llm.config.vocab_size
    assert image >= vocabulary, "the placeholder has an id that no other token has"
    text = torch.randint(3, vocabulary, (2, 9), generator=torch.Generator().manual_seed(5))
    ids = torch.cat([text[:, :4], torch.full((2, tokens), image), text[:, 4:]], dim=1)
    with torch.no_grad():
        embedded = llm.get_input_embeddings()(text)
        expected = llm(inputs_embeds=torch.cat([embedded[:, :4], features, embedded[:, 4:]], dim=1)).logits
        assert torch.equal(model.get_image_features(PIXELS).pooler_output, features)
        logits = model(pixel_values=PIXELS, input_ids=ids).logits
    assert torch.equal(logits[..., :vocabulary], expected)
    greedy = logits.argmax(-1)
    assert (greedy < vocabulary).all(), "the placeholder is never the best next token"
    written = model.generate(pixel_values=PIXELS, input_ids=ids, do_sample=False, max_new_tokens=6)
    by_llm = llm.generate(
        inputs_embeds=torch.cat([embedded[:, :4], features, embedded[:, 4:]], dim=1),
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=6,
        pad_token_id=0,
    )
    assert torch.equal(written[:, -by_llm.shape[1] :], by_llm)


@pytest.mark.parametrize(
    ("llm", "vision", "tied"),
    [
        ("safetensors", "safetensors", False),
        ("shards", "lavis", False),
        ("bin-shards", "lavis-two", False),
        ("bin", "bin", False),
        ("safetensors", "shards", True),
    ],
)
def test_the_same_model_as_by_hand(
    llm: str, vision: str, tied: bool, request_for: Any, eye: Any, folder: Path, tmp_path: Path
) -> None:
    directory = join_weights(request_for(tmp_path / "model", llm, vision, tied))
    model, report = Blip2ForConditionalGeneration.from_pretrained(directory, output_loading_info=True)
    assert not any(report.values()), "nothing is missing, left over or of another shape"
    assert model.config.text_config.tie_word_embeddings is tied
    reference, language = by_hand(eye, folder, tied=tied)
    with torch.no_grad():
        features = reference.get_image_features(PIXELS).pooler_output
    check_equal(model.eval(), features, language, sources.QUERIES)


@pytest.mark.parametrize("trained_norm", [False, True])
def test_without_a_q_former(trained_norm: bool, eye: Any, folder: Path, tmp_path: Path) -> None:
    """Four neighbouring patches make a token; BLIP-2's own LayerNorm is not loaded, as in the original."""
    sources.save_llm(sources.llm(), tmp_path / "llm")
    vision = sources.save_eye(eye, tmp_path / "vision", "lavis-two")[1:]  # the ViT's file alone
    generator = torch.Generator().manual_seed(6)
    weight, bias = torch.randn(sources.HIDDEN, 4 * sources.VIT, generator=generator), torch.zeros(sources.HIDDEN)
    norm = (torch.rand(sources.VIT) + 0.5, torch.rand(sources.VIT)) if trained_norm else None
    more = {"ln_vision.weight": norm[0], "ln_vision.bias": norm[1]} if norm else {}
    projection = sources.save_projection(tmp_path / "p.pth", weight, bias, **more)
    directory = join_weights(
        ConversionRequest(projection, str(tmp_path / "llm"), tuple(vision), tmp_path / "model", vit_heads=2)
    )

    model = open_model(directory).eval()
    assert isinstance(model, MiniGPT4WithoutQFormer)
    with torch.no_grad():
        hidden = eye.vision_model.embeddings(PIXELS)
        for layer in eye.vision_model.encoder.layers:
            hidden = layer(hidden)
        scale, shift = norm or (None, None)
        seen = torch.nn.functional.layer_norm(hidden, (sources.VIT,), scale, shift, eps=1e-5)
        joined = seen[:, 1:].reshape(2, 4, 4 * sources.VIT)  # 56 pixels are 16 patches
        features = torch.nn.functional.linear(joined, weight, bias)
    check_equal(model, features, sources.llm(), 4)
    manifest = json.loads((directory / "manifest.json").read_text())
    assert (manifest["variant"], manifest["format"], manifest["tokens_per_picture"]) == ("no-qformer", "llama2", 4)
    with pytest.raises(RuntimeError, match="mismatch"):
        Blip2ForConditionalGeneration.from_pretrained(directory)  # refuses; does not go on with random numbers


@pytest.mark.slow
def test_plain_transformers_opens_it(converted: Path, tmp_path: Path) -> None:
    """In a process that cannot import our packages, with nothing but what the documentation says."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"plugins", "core", "agents", "tests"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
import torch
from PIL import Image
from transformers import AutoProcessor, Blip2ForConditionalGeneration
directory = sys.argv[1]
model = Blip2ForConditionalGeneration.from_pretrained(directory)
processor = AutoProcessor.from_pretrained(directory)
said = [{"type": "image", "image": Image.new("RGB", (90, 60), "red")}, {"type": "text", "text": "What is this?"}]
inputs = processor.apply_chat_template(
    [{"role": "user", "content": said}],
    chat_template=processor.tokenizer.chat_template,
    add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
)
torch.manual_seed(0)
ids = model.generate(**inputs, generation_config=model.generation_config, max_new_tokens=8)
print("ANSWER", repr(processor.decode(ids[0], skip_special_tokens=True)))
assert not {"plugins", "core"} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(converted)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ANSWER '" in done.stdout


def test_the_tokens_of_a_conversation_are_the_originals(converted: Path) -> None:
    """The chat template gives what the original gives: the prompt cut at the pictures, each piece read by itself."""
    processor = AutoProcessor.from_pretrained(converted)
    tokenizer = processor.tokenizer
    image = Image.new("RGB", (90, 60), "red")
    picture = {"type": "image", "image": image}
    messages = [
        {"role": "user", "content": [picture, {"type": "text", "text": "What is this?"}]},
        {"role": "assistant", "content": "A duck."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, picture, {"type": "text", "text": "here?"}]},
    ]
    inputs = processor.apply_chat_template(
        messages,
        chat_template=tokenizer.chat_template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    seen = ImageTokens("one", torch.zeros(sources.QUERIES, 1))
    parts: list[Part] = FORMATS["vicuna"].render(
        PromptTurns().ask(seen, "What is this?").answered("A duck.").ask("And", seen, "here?")
    )
    expected = [tokenizer.bos_token_id]
    for part in parts:
        if isinstance(part, str):
            expected += tokenizer(part, add_special_tokens=False).input_ids
        else:
            expected += [tokenizer.convert_tokens_to_ids("<image>")] * sources.QUERIES
    assert inputs["input_ids"][0].tolist() == expected
    assert inputs["pixel_values"].shape == (2, 3, sources.IMAGE, sources.IMAGE)


@pytest.mark.parametrize("name", ["vicuna", "llama2"])
def test_both_formats_as_templates(name: str, request_for: Any, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(join_weights(request_for(tmp_path / name, template=name)))
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who?"}]},
        {"role": "assistant", "content": "A duck."},
        {"role": "user", "content": "Why?"},
    ]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    seen = ImageTokens("one", torch.zeros(1, 1))
    conversation = PromptTurns().ask(seen, "Who?").answered("A duck.").ask("Why?")
    parts = FORMATS[name].render(conversation, bos="<s>")
    written = "".join(part if isinstance(part, str) else "<image>" * sources.QUERIES for part in parts)
    assert text.replace("> </Img>", "></Img>").replace("<s> ", "<s>") == "<s>" + written


def test_the_tokenizer_is_the_language_models(converted: Path, request_for: Any, tmp_path: Path) -> None:
    ours = AutoTokenizer.from_pretrained(converted)
    theirs = AutoTokenizer.from_pretrained(request_for(tmp_path, "shards").llm)
    assert {token: ours.get_vocab()[token] for token in theirs.get_vocab()} == theirs.get_vocab()
    assert len(ours) == len(theirs) + 1
    for text in ("Is it ###Human: a  duck?", "<Img></Img>", "\u4e16 \u00e9\n\t7", "<s>[INST] x [/INST]"):
        assert ours(text, add_special_tokens=False).input_ids == theirs(text, add_special_tokens=False).input_ids
    assert ours("a").input_ids[0] == ours.bos_token_id
    assert ours.pad_token_id is not None and ours.pad_token_id != ours.eos_token_id


def test_the_originals_settings(converted: Path) -> None:
    model = Blip2ForConditionalGeneration.from_pretrained(converted)
    chosen = model.generation_config
    assert (chosen.do_sample, chosen.num_beams, chosen.top_p, chosen.temperature) == (True, 1, 0.9, 1.0)
    assert chosen.max_new_tokens == 300
    tokenizer = AutoTokenizer.from_pretrained(converted)
    assert chosen.eos_token_id == [tokenizer.eos_token_id, *tokenizer("###", add_special_tokens=False).input_ids]
    images = json.loads((converted / "preprocessor_config.json").read_text())
    assert (images["resample"], images["size"]) == (3, {"height": sources.IMAGE, "width": sources.IMAGE})
    assert images["image_mean"] == [0.48145466, 0.4578275, 0.40821073]


def test_the_manifest_names_every_source(converted: Path, request_for: Any, tmp_path: Path) -> None:
    manifest = json.loads((converted / "manifest.json").read_text())
    request = request_for(tmp_path, "shards", "shards")
    listed = {entry["file"]: entry for entry in manifest["sources"]}
    wanted = {
        request.projection,
        *Path(request.llm).glob("*.safetensors"),
        *Path(request.vision[0]).glob("*.safetensors"),
    }
    assert {str(file) for file in wanted} <= set(listed)
    for name, entry in listed.items():
        assert entry["sha256"] == hashlib.sha256(Path(name).read_bytes()).hexdigest()
    for entry in manifest["files"]:
        assert entry["sha256"] == hashlib.sha256((converted / entry["file"]).read_bytes()).hexdigest()
    assert len(manifest["files"]) > 2 and manifest["format"] == "vicuna" and manifest["versions"]["transformers"]
    assert (converted / "manifest.json").stat().st_mtime_ns == max(
        file.stat().st_mtime_ns for file in converted.iterdir()
    ), "written last"


@pytest.mark.parametrize(("wanted", "stored"), [("auto", "F16"), ("bfloat16", "BF16"), ("float32", "F32")])
def test_dtypes(wanted: str, stored: str, request_for: Any, tmp_path: Path) -> None:
    sources.save_llm(sources.llm().half(), tmp_path / "half")
    request = request_for(tmp_path / "model", dtype=wanted)
    directory = join_weights(
        ConversionRequest(request.projection, str(tmp_path / "half"), request.vision, request.to, dtype=wanted)
    )
    with safe_open(directory / "model.safetensors", framework="pt") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    exact = ("qformer.", "query_tokens", "language_projection.")
    assert {kind for name, kind in kinds.items() if not name.startswith(exact)} == {stored}
    assert {kind for name, kind in kinds.items() if name.startswith(exact)} == {"F32"}
    model = Blip2ForConditionalGeneration.from_pretrained(directory)
    expected = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}[stored]
    assert model.language_model.dtype == expected and model.vision_model.dtype == expected


def test_numbers_too_large_for_float16_are_named(request_for: Any, tmp_path: Path) -> None:
    model = sources.llm()
    model.lm_head.weight.data[0, 0] = 1e6
    sources.save_llm(model, tmp_path / "llm")
    request = request_for(tmp_path / "model", dtype="float16")
    with pytest.raises(BackendError, match=r"lm_head.weight' has numbers too large for float16.*bfloat16"):
        join_weights(
            ConversionRequest(request.projection, str(tmp_path / "llm"), request.vision, request.to, dtype="float16")
        )
    assert not request.to.exists()


@pytest.mark.slow
def test_a_name_on_the_hub_is_found_in_its_cache(request_for: Any, tmp_path: Path) -> None:
    """Without a network; only the shards with the eye are there, as they would be fetched."""
    request = request_for(tmp_path / "model", "shards", "shards")
    cache = tmp_path / "cache"
    for name, directory in (("lmsys/vicuna-tiny", request.llm), ("Salesforce/blip2-tiny", request.vision[0])):
        place = cache / f"models--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text("0123abcd")
        (place / "snapshots").mkdir()
        (place / "snapshots" / "0123abcd").symlink_to(directory)
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from core.errors import BackendError
from plugins.minigpt4.convert.conversion import ConversionRequest, join_weights
files = Path({str(request.projection)!r}), "lmsys/vicuna-tiny", ("Salesforce/blip2-tiny",), Path({str(request.to)!r})
join_weights(ConversionRequest(*files))
try:
    join_weights(ConversionRequest(files[0], "lmsys/absent", files[2], files[3].with_name("other")))
except BackendError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "PATH": "", "HF_TOKEN": "hf_secret"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    listed = json.loads((request.to / "manifest.json").read_text())["sources"]
    assert not [entry for entry in listed if entry["role"] != "projection" and entry.get("revision") != "0123abcd"]
    assert "--llm lmsys/absent is no directory here, and the hub cannot be reached" in done.stdout
    assert "hf_secret" not in done.stdout + done.stderr
