"""Rows of a phrase, with the host's own tokenizers and small encoders of every family."""

import copy
import types
import unicodedata
from unittest import mock

import comfy.ldm.anima.model
import comfy.model_base
import comfy.ops
import encoders
import pytest
import torch
from learn_to_steer.nodes.host import words as host_words
from learn_to_steer.nodes.host.words import find_rows
from learn_to_steer.steering.tokens import phrase_positions, variants
from safetensors.torch import save_file
from tiny import ENCODERS, encoder

PROMPT = "a big dog left of a red cat"
LONG = "a photo of " + "tall old blue garden, " * 20 + "a dog left of a red cat"
SEES_BOTH_WAYS = (
    "SD3", "SD3 T5 only", "SD3 without CLIP-L", "HiDream", "HiDream O1", "Flux", "PixArt, Chroma", "AuraFlow",
    "HunyuanDiT", "Wan", "Cosmos", "Anima", "LTXV", "Mochi", "CogVideoX",
)  # fmt: skip
everything = pytest.mark.parametrize("name", ENCODERS)


def span_of(prompt: str, phrase: str, nth: int = -1) -> tuple[int, int]:
    """Characters of the nth place of the phrase in the prompt, by default the last."""
    starts = [i for i in range(len(prompt)) if prompt.startswith(phrase, i)]
    return starts[nth], starts[nth] + len(phrase)


@pytest.fixture(scope="session")
def embeddings(tmp_path_factory):
    """Textual inversions: "fits", three vectors as wide as the small CLIPs and T5s; "wide", of another model."""
    folder = tmp_path_factory.mktemp("embeddings")
    for name, width in (("fits", 32), ("wide", 48)):
        vectors = {key: torch.ones(3, width) for key in ("clip_l", "clip_g", "clip_h", "t5xxl")}
        save_file(vectors, folder / f"{name}.safetensors")
    return str(folder)


# --- Rows, by what moves in the encoder's output ---------------------------------------------------------------------


def sequence(name: str, clip, prompt: str, **kwargs) -> tuple[list[torch.Tensor], int]:
    """The text sequence that attention sees, in stretches (rows, channels), and the CONDITIONING's number of rows."""
    made = clip.encode_from_tokens(clip.tokenize(prompt, **kwargs), return_dict=True)
    rows = cond = made["cond"]
    if name in ("Flux.2", "Klein", "Klein 8B"):
        model = comfy.model_base.Flux2.__new__(comfy.model_base.Flux2)
        with mock.patch.object(comfy.model_base.Flux, "extra_conds", lambda self, **kwargs: {}):
            rows = model.extra_conds(cross_attn=cond)["c_crossattn"].cond
    if name == "Anima":
        model = types.SimpleNamespace(llm_adapter=anima_adapter())
        embed = comfy.ldm.anima.model.Anima.preprocess_text_embeds
        rows = embed(model, cond, made["t5xxl_ids"][None], made["t5xxl_weights"][None, :, None])
    stretches = [rows.flatten(0, -3)[-1] if rows.ndim > 3 else rows[0]]
    if name in ("SD3", "SD3 without CLIP-L"):
        clips = len(clip.tokenize(prompt)["g"]) * 77
        stretches = [stretches[0][:clips], stretches[0][clips:]]
    if name == "HunyuanDiT":  # ldm/hydit/models.py
        stretches.append(made["conditioning_mt5xl"][0])
    if name.startswith("HiDream") and name != "HiDream O1":  # ldm/hidream/model.py
        stretches += [made["conditioning_llama3"][0, layer] for layer in (-1, 0)]
    if "conditioning_byt5small" in made:  # ldm/hunyuan_video/model.py
        stretches.insert(0 if name == "HunyuanVideo 1.5" else 1, made["conditioning_byt5small"][0])
    return stretches, cond.shape[-2]


def anima_adapter():
    adapter = comfy.ldm.anima.model.LLMAdapter(16, 16, 16, 1, 1, operations=comfy.ops.disable_weight_init)
    encoders.fill(adapter)
    return adapter


def moved(name: str, clip, prompt: str, changed: str, **kwargs) -> tuple[set[int], int]:
    """The row of each stretch that moves most (of a causal encoder, that also is the first to move)."""
    (before, count), (after, _) = (sequence(name, clip, text, **kwargs) for text in (prompt, changed))
    found, offset = set(), 0
    for a, b in zip(before, after, strict=True):
        assert a.shape == b.shape
        distance = (a - b).norm(dim=-1)
        row = int(distance.argmax())
        if distance[row] > 1e-3:  # an encoder that is absent, or does not see these words, moves nowhere
            found.add(offset + row)
            if name not in SEES_BOTH_WAYS and '"' not in prompt:
                assert not (distance[:row] > 1e-4).any()
        offset += len(a)
    return found, count


def check(name: str, clip, prompt: str, word: str, other: str, **kwargs):
    """The rows of the last `word`, and the number of rows, are what the encoder shows."""
    start, end = span_of(prompt, word)
    rows, count = moved(name, clip, prompt, prompt[:start] + other + prompt[end:], **kwargs)
    found = find_rows(clip, prompt, (start, end), rows=count)
    assert {row for part in found.values() for row in part} == rows
    if not kwargs:  # else any number more than the prompt's is taken for pictures
        with pytest.raises(ValueError, match=f"has {count - 1} text rows"):
            find_rows(clip, prompt, (start, end), rows=count - 1)


@everything
def test_rows_are_those_that_move(name):
    clip = encoder(name)
    check(name, clip, PROMPT, "red", "hot")
    check(name, clip, PROMPT, "cat", "bird")
    check(name, clip, "(big:1.2) dog, a ((red) cat:0.9)", "cat", "bird")
    check(name, clip, LONG, "cat", "bird")
    words = [find_rows(clip, PROMPT, span_of(PROMPT, word)) for word in ("red", "cat", "red cat")]
    assert words[2] == {part: words[0][part] + words[1][part] for part in words[0]}


@pytest.mark.parametrize("name", ["SD1", "SD2", "SDXL", "SDXL refiner", "Stable Cascade", "SD3", "Flux"])
@pytest.mark.parametrize("vectors", ["fits", "wide"])
def test_rows_after_an_embedding(name, vectors, embeddings):
    clip = encoder(name, embeddings)
    check(name, clip, f"embedding:{vectors} a big dog, embedding:{vectors} a red cat", "cat", "bird")
    check(name, clip, f"(embedding:{vectors}:1.1) {LONG}", "cat", "bird")


@pytest.mark.parametrize("name", ["Hunyuan Image", "HunyuanVideo 1.5"])
def test_quoted_words_have_rows_of_their_own(name):
    with mock.patch.dict(ENCODERS):
        tokenizer, model, configs = ENCODERS[name]()
        clip = encoders.build(tokenizer, model, {**configs, "": {**encoders.T5, "d_model": 16}})
    prompt = 'a dog left of a "red" cat'
    assert set(find_rows(clip, prompt, span_of(prompt, "red"))) == {"qwen25_7b", "byt5"}
    assert set(find_rows(clip, prompt, span_of(prompt, "cat"))) == {"qwen25_7b"}
    check(name, clip, prompt, "cat", "bird")
    check(name, clip, 'a dog left of a "x" cat', "x", "z")


@pytest.mark.parametrize("name", ["Qwen-Image", "MageFlow", "JoyImage", "Boogu"])
def test_pictures_before_the_prompt(name):
    clip = encoder(name)
    if name == "MageFlow":
        check(name, clip, PROMPT, "cat", "bird", images=[torch.rand(1, 64, 64, 3)] * 2)
    check(name, clip, PROMPT, "cat", "bird", images=[torch.rand(1, 64, 64, 3)])


# --- Tokens: what they spell -----------------------------------------------------------------------------------------


def spelled(clip, key: str, prompt: str, span: tuple[int, int]) -> str:
    """The phrase's tokens, decoded by the host's tokenizer."""

    def ids(text):
        tokens = [t for chunk in clip.tokenize(text, return_word_ids=True)[key] for t in chunk]
        marked = any(len(t) < 3 or t[2] for t in tokens)
        return [t[0] if len(t) < 3 or t[2] or not marked else None for t in tokens]

    replaced, longer = variants(prompt, span)
    at = phrase_positions(ids(prompt), [ids(text) for text in replaced], ids(longer))
    names = [host_words.MODULES.get(key, key), f"clip_{key}"]
    tokenizer = next(getattr(clip.tokenizer, name) for name in names if hasattr(clip.tokenizer, name))
    return tokenizer.tokenizer.decode([ids(prompt)[i] for i in at])


def plain(text: str) -> str:
    """Without what tokenizers change: case, accents and blanks (BERT), width."""
    letters = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in letters if not unicodedata.combining(c) and not c.isspace())


@everything
@pytest.mark.parametrize(
    "prompt, phrase, nth",
    [
        (PROMPT, "red cat", -1),
        ("a dog left of a dog", "dog", 0),
        ("a dog left of a dog", "dog", 1),
        ("a (dog:1.2) left of ((a red cat))", "dog", 0),
        ("a (dog:1.2) left of ((a red cat))", "red cat", 0),
        ("a [dog], left of a {red cat}.", "dog", 0),
        ("(dog) above (((cat)))", "dog", 0),
        ("(dog) above (((cat)))", "cat", 0),
        ("dog", "dog", 0),
        (LONG, "red cat", 0),
        (LONG, "garden", 17),
        ("describe the color of a background, left of a user", "background", 0),
        ("describe the color of a background, left of a user", "user", 0),
        ("a q above a 7", "q", 0),
        ("a q above a 7", "7", 0),
        ("dogs' house left of the café", "café", 0),
        ("a DOG, \nleft of a\ncat\n", "DOG", 0),
        ("a DOG, \nleft of a\ncat\n", "cat", 0),
        ("一只小狗 在 大猫 左边", "大猫", 0),
    ],
)  # fmt: skip
def test_tokens_spell_the_phrase(name, prompt, phrase, nth):
    clip = encoder(name)
    for key in clip.tokenize(prompt):
        text = plain(spelled(clip, key, prompt, span_of(prompt, phrase, nth)))
        if "byt5" in key or "<unk>" in text or "⁇" in text or "[unk]" in text:
            continue  # not quoted, or no letters of this vocabulary
        if prompt.startswith("("):  # one token with the first letter, where brackets are letters
            text = text.removeprefix("(")
        assert text == plain(phrase)


# --- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, phrase",
    [("HiDream", "HiDreamTEModel keeps"), ("LongCat", "LongCatImageTEModel keeps"), ("PixelDiT", "300 rows"),
     ("Lens", "WithWeights keeps")],
)  # fmt: skip
def test_a_prompt_that_is_cut_off(name, phrase):
    clip = encoder(name)
    prompt = "a red dog left of a cat, " + "tall old blue garden, " * 130 + "a bird"
    tail = "a bird left of a cat, " + "tall old blue garden, " * 130
    for text in (prompt, prompt + tail):
        for key in clip.tokenize(text):
            assert spelled(clip, key, text, span_of(text, "red dog")).strip() == "red dog"
        if name != "PixelDiT":  # keeps the end of its tokens, and as many as a template of its own leaves room for
            find_rows(clip, text, span_of(text, "red dog"))
    with pytest.raises(ValueError, match=f'"bird".*{phrase}.*shorter'):
        find_rows(clip, prompt, span_of(prompt, "bird"))


@everything
def test_a_phrase_without_tokens(name):
    clip = encoder(name)
    for prompt in ("", "  ", "a dog"):
        with pytest.raises(ValueError, match="is not among the tokens"):
            find_rows(clip, prompt, (1, 1))


def test_a_conditioning_of_another_prompt():
    clip = encoder("SD1")
    assert find_rows(clip, PROMPT, span_of(PROMPT, "cat"), rows=77) == {"clip": (8,)}
    with pytest.raises(ValueError, match="154 text rows, but SD1ClipModel makes 77"):
        find_rows(clip, PROMPT, span_of(PROMPT, "cat"), rows=154)


def test_an_encoder_that_is_not_known():
    class NewEncoder(type(encoder("SD1").cond_stage_model)):
        def encode_token_weights(self, tokens):
            return super().encode_token_weights(tokens)

    clip = copy.copy(encoder("SD1"))
    clip.cond_stage_model = copy.copy(clip.cond_stage_model)
    clip.cond_stage_model.__class__ = NewEncoder
    with pytest.raises(ValueError, match="NewEncoder.*Relation Parse.*dog@2"):
        find_rows(clip, PROMPT, (2, 5))


def test_the_demo_world(demo):
    clip = demo[1]
    check("SD1", clip, PROMPT, "cat", "bird")


@pytest.mark.parametrize(
    "module, name, length",
    [("joyimage", "JOYIMAGE_DROP_IDX", 34), ("gpt_oss", "LENS_TXT_OFFSET", 97)],
)
def test_templates_are_as_long_as_the_table_says(module, name, length):
    assert getattr(getattr(encoders.te, module), name) == length
