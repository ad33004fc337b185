"""Recording: what is recorded is what steering would see, however the looks are put together into passes."""

from dataclasses import replace
from types import SimpleNamespace

import comfy.sample
import numpy as np
import pytest
import torch
from learn_to_steer.nodes.host import recorder
from learn_to_steer.nodes.host.capture import model_layers
from learn_to_steer.nodes.host.finished import finished_maps
from learn_to_steer.nodes.host.inversion import DDIM
from learn_to_steer.nodes.host.noise import sigma_at
from learn_to_steer.nodes.host.recorder import Wanted, record, record_into
from learn_to_steer.nodes.host.words import find_words
from learn_to_steer.steering.dataset import Scene, Scenes, looks
from learn_to_steer.steering.judge import Found
from learn_to_steer.steering.maps import MapSettings, pooling
from PIL import Image

WANTED = Wanted(looks=3, wrong=0.5, seed=4, batch=4)


def scene(number: int) -> Scene:
    """Every fourth has one thing only."""
    picture = Image.new("RGB", (128, 128), (200, 40 * number, 150))
    dog = Found("dog", (0, 40, 40, 80))
    return Scene(picture, (dog, Found("teddy bear", (80, 40, 120, 80)), Found("cat", (80, 90, 120, 128)))[: number % 4])


SCENES = Scenes(6, scene, "test", "Made for a test.")


@pytest.fixture(scope="module")
def recorded(demo):
    with torch.inference_mode():
        layout = MapSettings().layout(model_layers(demo[0]))
        return record(*demo, SCENES, range(6), layout, WANTED)


def test_maps_are_those_that_a_look_by_itself_sees(demo, recorded):
    model, clip, vae = demo
    recording, left_out = recorded
    assert left_out == {"scenes without two things in a clear relation": 4}  # of no, of one, and of one thing again
    word = 0
    for number in (2, 3):
        latent = vae.encode(torch.from_numpy(np.array(scene(number).picture))[None] / 255)
        for look in looks(scene(number), number, 3, 0.5, (0.05, 0.95), 4):
            words = find_words(clip, look.prompt, look.wishes)
            text = clip.encode_from_tokens_scheduled(clip.tokenize(look.prompt))
            noise = comfy.sample.prepare_noise(latent, look.seed)
            sigma = torch.tensor([sigma_at(model, look.level)])
            (maps,) = finished_maps(model, text, latent, noise, sigma, pooling(words.rows), recording.layout)
            for thing in look.things:
                own = maps[words.names.index(thing.name)].cpu()
                seen = recording.maps[word].float() * recording.strength[word, :, None, None]
                torch.testing.assert_close(seen, own, rtol=2e-3, atol=1e-5)
                assert recording.names[word] == thing.name
                torch.testing.assert_close(recording.boxes[word], torch.tensor(thing.box) / 128)
                word += 1
    assert word == len(recording.maps) == len(recording.look)


def test_what_is_known_of_a_look_lies_beside_its_maps(recorded):
    recording, _ = recorded
    seen = [look for number in range(6) for look in looks(scene(number), number, 3, 0.5, (0.05, 0.95), 4)]
    assert recording.true.tolist() == [look.true for look in seen] and {True, False} == set(recording.true.tolist())
    assert recording.scene.tolist() == [look.scene for look in seen]
    torch.testing.assert_close(recording.level, torch.tensor([look.level for look in seen]), rtol=1e-4, atol=1e-4)
    assert torch.bincount(recording.look).tolist() == [len(look.things) for look in seen]
    assert recording.maps.dtype == torch.half and recording.made == ("Made for a test.",)


def test_how_many_go_in_one_pass_changes_only_rounding(demo, recorded):
    recording, _ = recorded
    alone, _ = record(*demo, SCENES, range(6), recording.layout, replace(WANTED, batch=1))
    torch.testing.assert_close(alone.maps.float(), recording.maps.float(), rtol=5e-3, atol=5e-3)
    assert alone.names == recording.names


def test_where_nothing_can_be_seen_there_is_no_recording(demo, recorded):
    recording, left_out = record(*demo, SCENES, [0, 1], recorded[0].layout, WANTED)
    assert len(recording.maps) == len(recording.level) == 0 and sum(left_out.values()) == 2


@pytest.fixture
def small(monkeypatch):
    """Shards of two scenes."""
    monkeypatch.setattr(recorder, "SHARD", 6)


def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_run_that_was_stopped_goes_on_and_makes_the_same_shards(demo, recorded, tmp_path, small):
    layout = recorded[0].layout
    done: list[float] = []

    def stop_at(scenes: int):
        def tell(now: float) -> None:
            done.append(now)
            if now == scenes:
                raise KeyboardInterrupt

        return tell

    whole = record_into(tmp_path / "whole", *demo, SCENES, layout, WANTED, tell=done.append)
    assert done == sorted(done) and {2, 4} < set(done) and done[-1] == 6
    assert any(2 < now < 4 for now in done)  # Cancel is heard between passes, not between shards only
    assert whole.left_out == dict(recorded[1])
    loaded = whole.load()
    torch.testing.assert_close(loaded.maps.float(), recorded[0].maps.float(), rtol=5e-3, atol=5e-3)
    assert loaded.names == recorded[0].names and torch.equal(loaded.look, recorded[0].look)
    with pytest.raises(KeyboardInterrupt):
        record_into(tmp_path / "stopped", *demo, SCENES, layout, WANTED, tell=stop_at(4))
    assert len(files(tmp_path / "stopped")) == 2
    kept = (tmp_path / "stopped" / "00000.safetensors").stat().st_mtime_ns
    record_into(tmp_path / "stopped", *demo, SCENES, layout, WANTED)
    assert (tmp_path / "stopped" / "00000.safetensors").stat().st_mtime_ns == kept
    assert files(tmp_path / "stopped") == files(tmp_path / "whole")


def test_other_settings_in_the_same_folder_are_refused_and_nothing_is_lost(demo, recorded, tmp_path, small):
    layout = recorded[0].layout
    record_into(tmp_path, *demo, replace(SCENES, count=3), layout, WANTED)
    before = files(tmp_path)
    for change, sentence in (
        ({"seed": 5}, "seed 4, not 5"),
        ({"wrong": 0.2}, "wrong 0.5, not 0.2"),
        ({"noising": DDIM}, "noising plain, not DDIM inversion"),
    ):
        with pytest.raises(ValueError, match=f"{sentence}. Choose another folder"):
            record_into(tmp_path, *demo, SCENES, layout, replace(WANTED, **change))
    with pytest.raises(ValueError, match="recordings of other scenes, not these"):
        record_into(tmp_path, *demo, replace(SCENES, key="others"), layout, WANTED)
    assert files(tmp_path) == before


def test_it_stops_at_its_limit_of_size(demo, recorded, tmp_path, small):
    made = record_into(tmp_path, *demo, SCENES, recorded[0].layout, WANTED, most=1)
    assert len(files(tmp_path)) == 1 and made.counts["looks"] == 0  # the first two scenes give none


def another(model, strength: float):
    """The model with a LoRA's like: every text layer's weights moved by this share of them."""
    changed, made = model.clone(), torch.Generator().manual_seed(1)
    patches = {
        f"diffusion_model.{name}": ("diff", (strength * p.std() * torch.randn(p.shape, generator=made).to(p),))
        for name, p in model.model.diffusion_model.named_parameters()
        if "attn2.to_" in name
    }
    changed.add_patches(patches, 1.0)
    return changed


def test_another_model_in_the_same_folder_is_noticed(demo, recorded, tmp_path, small):
    model, clip, vae = demo
    few, layout = replace(SCENES, count=4), recorded[0].layout
    record_into(tmp_path, *demo, few, layout, WANTED)
    before = files(tmp_path)
    other_clip = SimpleNamespace(
        tokenize=clip.tokenize, tokenizer=clip.tokenizer, cond_stage_model=clip.cond_stage_model,
        encode_from_tokens_scheduled=lambda tokens: [
            [1.5 * tensor, more] for tensor, more in clip.encode_from_tokens_scheduled(tokens)
        ],
    )  # fmt: skip
    for other in ((another(model, 0.5), clip, vae), (model, other_clip, vae)):
        with pytest.raises(ValueError, match="of another checkpoint, LoRA, text encoder or VAE.*Choose another folder"):
            record_into(tmp_path, *other, few, layout, WANTED)
    assert files(tmp_path) == before
    # Other hardware and precisions round otherwise.
    record_into(tmp_path, another(model, 0.05), clip, vae, few, layout, replace(WANTED, batch=1))
    assert files(tmp_path) == before


def test_where_memory_runs_out_fewer_looks_share_a_pass(demo, recorded, monkeypatch):
    sizes, read = [], recorder.capture

    def short(inner, cond, x, *more):
        sizes.append(len(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return read(inner, cond, x, *more)

    monkeypatch.setattr(recorder, "capture", short)
    recording, _ = record(*demo, SCENES, range(6), recorded[0].layout, WANTED)
    assert sizes == [4, 2, *[1] * 6]
    torch.testing.assert_close(recording.maps.float(), recorded[0].maps.float(), rtol=5e-3, atol=5e-3)
    monkeypatch.setattr(recorder, "capture", lambda *args: (_ for _ in ()).throw(torch.OutOfMemoryError("all full")))
    with pytest.raises(torch.OutOfMemoryError, match="all full"):
        record(*demo, SCENES, range(6), recorded[0].layout, WANTED)


def test_what_is_read_before_its_passes_begin_is_limited(demo, recorded, monkeypatch):
    """Encoded prompts of a large text encoder would fill the memory."""
    passes, see = [], recorder.see
    monkeypatch.setattr(recorder, "HELD", 1)
    monkeypatch.setattr(
        recorder, "see", lambda model, ready, *more: passes.append(len(ready)) or see(model, ready, *more)
    )
    recording, left_out = record(*demo, SCENES, range(6), recorded[0].layout, WANTED)
    assert passes == [3, 3] and left_out == recorded[1] and recording.names == recorded[0].names
    torch.testing.assert_close(recording.maps.float(), recorded[0].maps.float(), rtol=5e-3, atol=5e-3)
