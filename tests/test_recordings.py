"""Recordings on disk: written whole, read as one, and a sentence for what cannot be read."""

import os

import pytest
import torch
from learn_to_steer.steering import recordings
from learn_to_steer.steering.maps import MapLayout
from learn_to_steer.steering.recordings import Recording, opened, save, shard

LAYOUT = MapLayout("Tiny", 1, 2, "averaged", 2, 4)
SETTINGS = {"seed": 1, "looks": 3}


def recording(looks: tuple[int, ...], seed: int = 0) -> Recording:
    """looks: how many words each has."""
    made = torch.Generator().manual_seed(seed)
    words, count = sum(looks), len(looks)
    return Recording(
        LAYOUT,
        torch.rand(words, 2, 4, 4, generator=made).half(),
        torch.rand(words, 2, generator=made),
        torch.rand(words, 4, generator=made),
        tuple(f"thing {seed} {i}" for i in range(words)),
        torch.arange(count).repeat_interleave(torch.tensor(looks, dtype=torch.long)),
        torch.rand(count, generator=made),
        torch.rand(count, generator=made) < 0.5,
        torch.arange(count) + 10 * seed,
        ("From nowhere.",),
    )


def two_shards(folder):
    parts = recording((2, 3), 1), recording((4,), 2)
    for number, part in enumerate(parts):
        save(part, SETTINGS, {"no two things": 1 + number}, shard(folder, number))
    return parts


def test_shards_are_read_as_one(tmp_path):
    first, second = two_shards(tmp_path / "new folder")
    found = opened(tmp_path / "new folder")
    assert found.layout == LAYOUT and found.settings == SETTINGS and found.made == ("From nowhere.",)
    assert found.counts == {"looks": 3, "words": 9, "true": int(first.true.sum() + second.true.sum())}
    assert found.left_out == {"no two things": 3}
    loaded = found.load()
    assert loaded.look.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert loaded.names == first.names + second.names
    for name in ("maps", "strength", "boxes", "level", "true", "scene"):
        assert torch.equal(getattr(loaded, name), torch.cat([getattr(first, name), getattr(second, name)]))
    assert loaded.maps.dtype == torch.float16


def test_a_shard_without_looks_counts_what_was_left_out(tmp_path):
    two_shards(tmp_path)
    save(recording(()), SETTINGS, {"no two things": 5}, shard(tmp_path, 2))
    found = opened(tmp_path)
    assert found.left_out == {"no two things": 8} and len(found.load().level) == 3


def test_what_was_being_written_is_no_shard(tmp_path, monkeypatch):
    two_shards(tmp_path)

    def cut(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(recordings, "save_file", cut)
    with pytest.raises(OSError, match="No space left"):
        save(recording((2,)), SETTINGS, {}, shard(tmp_path, 2))
    assert len(list(tmp_path.iterdir())) == 3
    assert opened(tmp_path).counts["looks"] == 3


def test_the_same_shard_has_the_same_bytes(tmp_path):
    for name in (0, 1):
        save(recording((2, 3)), SETTINGS, {"a": 1, "b": 2}, shard(tmp_path, name))
    assert shard(tmp_path, 0).read_bytes() == shard(tmp_path, 1).read_bytes()


def test_a_folder_that_holds_no_recordings_or_others_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"no recordings in .*nowhere.*Record Maps"):
        opened(tmp_path / "nowhere")
    two_shards(tmp_path)
    save(recording((2,)), {**SETTINGS, "seed": 2}, {}, shard(tmp_path, 2))
    with pytest.raises(ValueError, match=r"00000.*and .*00002.*other settings"):
        opened(tmp_path)
    shard(tmp_path, 2).unlink()
    os.truncate(shard(tmp_path, 1), 300)
    with pytest.raises(ValueError, match=r"00001.*is damaged.*Delete it"):
        opened(tmp_path)
