from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from export.data.items import Sample
from export.data.people import Library
from export.data.provenance import used_sets
from export.engine.convert import ENGINES
from export.errors import ExportError
from export.models import find_model
from export.models.efficientnet_lite import EfficientNetLite0
from export.models.sinet import SINet
from export.training.board import overlays
from export.training.config import TrainConfig, as_begun
from export.training.loop import train
from export.training.teacher import Teacher
from export.weights.files import read_checkpoint, read_weights, sha256_of, write_average, write_half
from export.weights.record import is_clear, record_of, samples_seen
from tests.export.conftest import make_data
from vcam.bench.machine import describe_machine

pytestmark = pytest.mark.slow


def _config(data: Path, out: Path, samples: int) -> TrainConfig:
    return TrainConfig(
        "sinet", (data,), out, samples, batch=2, warmup_samples=2, checkpoint_s=0.0, workers=0
    )


def _plain(data: Path, folder: Path) -> Path:
    """The pictures of person/ccp as a plain folder."""
    for part in ("images", "masks"):
        shutil.copytree(data / "person/ccp" / part, folder / part)
    return folder


def test_train_and_resume(data: Path, tmp_path: Path) -> None:
    weights = train(_config(data, tmp_path, 4))
    assert weights == tmp_path / "ema.safetensors"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "board",
        "curves.svg",
        "ema.safetensors",
        "last.pt",
        "log.csv",
        "run.json",
    ]
    train(_config(data, tmp_path, 6), resume=True)  # a longer schedule
    header, *lines = (tmp_path / "log.csv").read_text().split()
    assert header == "samples,loss,rate"
    assert [int(line.split(",")[0]) for line in lines] == [2, 4, 6]
    segments = json.loads((tmp_path / "run.json").read_text())["segments"]
    assert [(part["from"], part["samples"]) for part in segments] == [(0, 4), (4, 6)]
    train(_config(data, tmp_path, 6), resume=True)  # nothing left to do
    spec = find_model("sinet")
    averaged, kept = read_checkpoint(weights, spec), read_checkpoint(tmp_path / "last.pt", spec)
    torch.testing.assert_close(averaged["bn_2.weight"], kept["bn_2.weight"])


def test_the_record_says_what_was_done(data: Path, tmp_path: Path) -> None:
    weights = train(_config(data, tmp_path, 2))
    record = record_of(weights)
    beside = record_of(tmp_path / "last.pt")  # run.json
    assert record is not None
    assert beside is not None
    assert beside.portable() == record
    assert str(tmp_path) not in json.dumps(record.to_json())
    sets = {one.name: one for one in record.sets}
    assert set(sets) == {
        "person/ccp",
        "person/cutouts",
        "person/wild",
        "face/avatars",
        "backgrounds",
        "backgrounds_rooms",
    }
    assert sets["person/ccp"].pictures == 2
    assert sets["person/ccp"].rights == {"unclear": 2}
    assert record.draws["kinds"]["empty"] == 0.05
    part = record.segments[0]
    assert part.code
    assert part.torch == torch.__version__
    assert part.machine == describe_machine()["cpu"]
    assert record.seen == 2
    assert [seen for seen, _ in record.curve] == [2]
    after = train(_config(data, tmp_path / "next", 2), init=weights)
    last = record_of(after)
    assert last is not None
    assert last.init == record
    assert samples_seen(last) == 4


def test_a_run_goes_on_as_it_was_begun(data: Path, tmp_path: Path) -> None:
    begun = replace(_config(data, tmp_path, 2), size=(64, 96), finish=True, rate=0.01)
    train(begun)
    asked = replace(_config(data, tmp_path, 4), rate=0.02)
    assert as_begun(asked, {"samples", "data"}) == replace(begun, samples=4)
    assert as_begun(asked, {"samples", "data", "rate"}).rate == 0.02
    with pytest.raises(
        ExportError, match=r"finish False: the run in .* was begun with True; leave it out"
    ):
        train(asked, resume=True)
    _plain(data, tmp_path / "more")
    train(replace(begun, samples=4, data=(tmp_path / "more",)), resume=True)
    record = record_of(tmp_path / "ema.safetensors")
    assert record is not None
    assert {"more", "person/ccp"} <= {
        one.name for one in record.sets
    }  # what the first part saw stays
    with pytest.raises(ExportError, match="leave it out, or begin without --resume"):
        train(begun, resume=True, init=tmp_path / "ema.safetensors")


def test_a_run_is_not_written_over(data: Path, tmp_path: Path) -> None:
    train(_config(data, tmp_path, 2))
    kept = (tmp_path / "run.json").read_bytes()
    with pytest.raises(
        ExportError, match="holds a run; go on with --resume, or give another folder"
    ):
        train(_config(data, tmp_path, 4))
    assert (tmp_path / "run.json").read_bytes() == kept


def test_a_loss_that_is_no_number_is_not_saved(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(_config(data, tmp_path, 2))
    kept = (tmp_path / "last.pt").read_bytes()
    monkeypatch.setattr(
        "export.training.learner.total_loss",
        lambda *_: torch.tensor(float("nan"), requires_grad=True),
    )
    with pytest.raises(
        ExportError, match="the loss is nan after 2 samples; what was saved is whole"
    ):
        train(_config(data, tmp_path, 4), resume=True)
    assert (tmp_path / "last.pt").read_bytes() == kept


def test_a_full_disk(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train(_config(data, tmp_path, 2))
    kept = (tmp_path / "ema.safetensors").read_bytes()

    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("export.training.loop.save", full)
    with pytest.raises(
        ExportError, match=r"No space left on device.*make room and go on with --resume"
    ):
        train(_config(data, tmp_path, 4), resume=True)
    assert (tmp_path / "ema.safetensors").read_bytes() == kept


def test_an_error_of_a_worker_is_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torch brings it from a worker process, the trace in front."""
    text = (
        'Traceback (most recent call last):\n  File "worker.py", line 1\nexport.errors.ExportError:'
        " a.png: cut short\n"
    )

    def broken(*_: object) -> None:
        raise ExportError(f"Caught ExportError in DataLoader worker process 0.\nOriginal {text}")

    monkeypatch.setattr("export.training.loop.draw", broken)
    with pytest.raises(ExportError) as error:
        train(_config(data, tmp_path / "run", 2))
    assert str(error.value) == "a.png: cut short"


def test_clear_rights_are_not_laundered(data: Path, tmp_path: Path) -> None:
    """Weights that may have seen other pictures neither start nor teach a run with the filter."""
    doubtful = train(_config(data, tmp_path / "any", 2))
    clear = replace(_config(data, tmp_path / "clear", 2), licence="clear")
    with pytest.raises(
        ExportError, match="not known to have seen only pictures whose rights are clear"
    ):
        train(clear, init=doubtful)
    with pytest.raises(
        ExportError, match="not known to have seen only pictures whose rights are clear"
    ):
        train(replace(clear, teacher=doubtful, teacher_model="sinet"))
    first = train(clear)
    second = train(replace(clear, out=tmp_path / "second"), init=first)
    record = record_of(second)
    assert record is not None
    assert is_clear(record)
    taught = replace(record.settings, teacher=Path("big.tflite"))
    assert not is_clear(replace(record, settings=taught))
    assert not is_clear(replace(record, segments=()))  # of a time when records held less


def test_board(data: Path, tmp_path: Path) -> None:
    train(_config(data, tmp_path, 4))
    events = b"".join(path.read_bytes() for path in (tmp_path / "board").iterdir())
    assert events.count(b"loss") == 2
    assert events.count(b"answers") == 2
    assert events.count(b"PNG") == 2
    image = torch.full((1, 4, 4, 3), 100, dtype=torch.uint8)
    logits = torch.zeros(1, 9, 2, 2)
    logits[:, 8, :, 1] = 9
    shown = overlays(image, logits)
    assert shown[0, 0, 0].tolist() == [100, 100, 100]
    assert shown[0, 0, 3].tolist() == [177, 177, 177]


def test_start_from_weights(data: Path, tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "last.pt")
    (tmp_path / "run.json").write_text('{"spec": {}}')
    (tmp_path / "log.csv").write_text("64,0.5,0.001\n")
    train(_config(data, tmp_path / "run", 2), init=tmp_path / "last.pt")
    train(_config(data, tmp_path / "run", 4), resume=True)
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["init"]["seen"] == 64  # resuming forgets nothing
    assert record["init_file"] == "last.pt"
    after = read_checkpoint(tmp_path / "run" / "ema.safetensors", find_model("sinet"))
    torch.testing.assert_close(
        after["bn_2.weight"], network.state_dict()["bn_2.weight"], atol=0.02, rtol=0
    )


def test_bfloat16_on_a_cpu(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.device, torch.dtype]] = []

    def forward(network: SINet, pixels: torch.Tensor) -> object:
        coarse = network.encoder.level1.conv(pixels)
        seen.append((coarse.device, coarse.dtype))
        return original(network, pixels)

    original = SINet.forward
    monkeypatch.setattr(SINet, "forward", forward)
    train(_config(data, tmp_path / "single", 2))
    record = record_of(train(replace(_config(data, tmp_path / "half", 2), bfloat16=True)))
    assert seen == [(torch.device("cpu"), torch.float32), (torch.device("cpu"), torch.bfloat16)]
    assert record is not None
    assert record.segments[0].bfloat16


def test_nothing_to_resume(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="nothing to resume"):
        train(_config(data, tmp_path / "run", 2), resume=True)
    assert not (tmp_path / "run").exists()


def test_damaged_state(data: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"noise")
    with pytest.raises(ExportError, match=r"run\.json: not a record, so the run cannot go on"):
        train(_config(data, tmp_path, 2), resume=True)
    (tmp_path / "run.json").write_text('{"spec": {}}')
    with pytest.raises(ExportError, match="not the state of a sinet run; begin another with --out"):
        train(_config(data, tmp_path, 2), resume=True)


def test_no_data(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="none: no such folder; give one with --data"):
        train(_config(tmp_path / "none", tmp_path / "run", 2))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("model", "task", "classes"),
    [
        ("portraitnet_lite", "", 2),
        ("portraitnet_lite_prior", "", 2),
        ("portraitnet_face", "", 9),
        ("portraitnet", "", 2),
        ("extremec3", "", 1),
        ("fastscnn", "", 9),
        ("segformer_b0", "", 9),
        ("segformer_b0", "person", 2),
    ],
)
def test_every_network_and_task(
    data: Path, tmp_path: Path, model: str, task: str, classes: int
) -> None:
    config = replace(
        _config(data, tmp_path, 2), model=model, task=task, consistency=1.0 if task else 0.0
    )
    weights = read_weights(train(config))
    names = ("decode_head.conv_seg.weight", "pred.weight", "classifier.2.weight")
    assert [len(weights[name]) for name in names if name in weights] == [classes]
    assert all(torch.isfinite(x).all() for x in weights.values())


def test_another_head_starts_from_the_same_encoder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = train(
        replace(_config(data, tmp_path / "first", 2), model="segformer_b0", task="person")
    )
    second = train(
        replace(_config(data, tmp_path / "second", 2), model="segformer_b0", rate=0.0), init=first
    )
    assert "has no decode_head of segformer_b0" in capsys.readouterr().out
    before, after = read_weights(first), read_weights(second)
    name = "backbone.layers.2.1.0.ffn.layers.0.weight"
    torch.testing.assert_close(after[name], before[name])


def test_memory_is_learnt_from_nothing(data: Path, tmp_path: Path) -> None:
    """Weights of a network without memory are taken; those for the frame before start at 0."""
    first = train(replace(_config(data, tmp_path / "first", 2), model="portraitnet_lite"))
    config = replace(
        _config(data, tmp_path / "second", 2), model="portraitnet_lite_prior", rate=0.0
    )
    name = "encoder.stem.0.weight"
    stem, before = read_weights(train(config, init=first))[name], read_weights(first)[name]
    torch.testing.assert_close(stem[:, :3], before)
    assert not stem[:, 3].any()
    later = read_weights(
        train(replace(config, out=tmp_path / "third", samples=16, rate=0.01), init=first)
    )[name]
    assert later[:, 3].any()


def test_weights_of_two_phases_are_averaged(data: Path, tmp_path: Path) -> None:
    first = train(_config(data, tmp_path / "first", 2))
    second = train(replace(_config(data, tmp_path / "second", 4), rate=0.01), init=first)
    write_average([first, second], tmp_path / "mean.safetensors")
    one, two, mean = (read_weights(path) for path in (first, second, tmp_path / "mean.safetensors"))
    for key, value in mean.items():
        torch.testing.assert_close(value, (one[key] + two[key]) / 2)
    record = record_of(tmp_path / "mean.safetensors")
    assert record is not None
    assert (record.averaged, samples_seen(record)) == (2, 6)
    assert (record.mean_of, record.share) == (("ema.safetensors",), 0.5)
    write_average([first, second], tmp_path / "most.safetensors", share=0.8)
    for key, value in read_weights(tmp_path / "most.safetensors").items():
        torch.testing.assert_close(value, 0.2 * one[key] + 0.8 * two[key])
    with pytest.raises(ExportError, match="one file has no mean"):
        write_average([second], tmp_path / "none.safetensors")
    half = tmp_path / "half.safetensors"
    write_half(tmp_path / "mean.safetensors", half)
    assert record_of(half) == record
    with pytest.raises(
        ExportError, match=rf"second.*: {first} did not start from it; give weights of one training"
    ):
        write_average([second, first], tmp_path / "none.safetensors")
    other = train(
        replace(_config(data, tmp_path / "other", 2), model="segformer_b0", task="person")
    )
    parsing = train(
        replace(_config(data, tmp_path / "parsing", 2), model="segformer_b0"), init=other
    )
    with pytest.raises(
        ExportError, match=rf"{parsing}: not the network of {other}; weights of one network"
    ):
        write_average([other, parsing], tmp_path / "none.safetensors")
    assert not (tmp_path / "none.safetensors").exists()


def test_published_encoder(data: Path, tmp_path: Path) -> None:
    """The names of the PyTorch port of EfficientNet-Lite0's ImageNet weights."""
    encoder = EfficientNetLite0()
    theirs = {
        ".expand.0.": "._expand_conv.",
        ".expand.1.": "._bn0.",
        ".spatial.0.": "._depthwise_conv.",
    }
    theirs |= {".spatial.1.": "._bn1.", ".project.0.": "._project_conv.", ".project.1.": "._bn2."}
    theirs |= {"stem.0.": "_conv_stem.", "stem.1.": "_bn0.", "blocks.": "_blocks."}
    weights = {}
    for key, value in encoder.state_dict().items():
        name = key
        for ours, published in theirs.items():
            name = name.replace(ours, published)
        weights[name] = value
    torch.save(weights | {"_fc.weight": torch.zeros(1000, 1280)}, tmp_path / "lite0.pth")
    config = replace(_config(data, tmp_path / "run", 2), model="portraitnet_lite", rate=0.0)
    after = read_weights(train(config, init=tmp_path / "lite0.pth"))
    for key, value in encoder.named_parameters():
        torch.testing.assert_close(after[f"encoder.{key}"], value.detach())


def test_a_teacher_is_heard(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file(find_model("portraitnet_lite").build().state_dict(), tmp_path / "teacher.safetensors")
    teacher = Teacher("portraitnet_lite", tmp_path / "teacher.safetensors")
    alpha = teacher.alpha(torch.zeros(2, 64, 96, 3, dtype=torch.uint8))
    assert alpha.shape == (2, 64, 96)
    assert 0 <= alpha.min() <= alpha.max() <= 1
    image, label = (
        torch.zeros(2, 224, 224, 3, dtype=torch.uint8),
        torch.zeros(2, 224, 224, dtype=torch.uint8),
    )
    unlabelled = torch.zeros_like(label)
    drawn = Sample(image[0].numpy(), label[0].numpy(), unlabelled[0].numpy(), image[0].numpy())
    monkeypatch.setattr("export.training.loop.draw", lambda *_: drawn)
    alone = read_weights(train(_config(data, tmp_path / "alone", 2)))
    config = replace(
        _config(data, tmp_path / "taught", 2), teacher=tmp_path / "teacher.safetensors"
    )
    taught = read_weights(train(config))
    assert not torch.equal(alone["bn_2.weight"], taught["bn_2.weight"])
    drawn.valid[:] = 1
    labelled = read_weights(train(replace(config, out=tmp_path / "labelled")))
    without = read_weights(train(_config(data, tmp_path / "without", 2)))
    assert torch.equal(labelled["bn_2.weight"], without["bn_2.weight"])  # real labels override it


def test_a_network_that_remembers_cannot_teach(tmp_path: Path) -> None:
    save_file(find_model("portraitnet_prior").build().state_dict(), tmp_path / "prior.safetensors")
    with pytest.raises(
        ExportError, match="portraitnet_prior cannot teach; give a person network without memory"
    ):
        Teacher("portraitnet_prior", tmp_path / "prior.safetensors")


def test_a_face_network_cannot_teach(data: Path, tmp_path: Path) -> None:
    save_file(find_model("portraitnet_face").build().state_dict(), tmp_path / "teacher.safetensors")
    config = replace(_config(data, tmp_path, 2), teacher=tmp_path / "teacher.safetensors")
    with pytest.raises(ExportError, match="portraitnet_face cannot teach; give a person network"):
        train(replace(config, teacher_model="portraitnet_face"))
    with pytest.raises(ExportError, match="knows people only; leave it out for portraitnet_face"):
        train(replace(config, model="portraitnet_face"))


def test_pictures_without_labels_need_a_teacher(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "person/ccp/images", tmp_path / "found/images")
    save_file(find_model("portraitnet_lite").build().state_dict(), tmp_path / "teacher.safetensors")
    config = replace(_config(data, tmp_path / "run", 2), data=(tmp_path / "found",))
    with pytest.raises(
        ExportError,
        match="found: pictures without labels; give a --teacher, or leave the folder out",
    ):
        train(config)
    record = record_of(train(replace(config, teacher=tmp_path / "teacher.safetensors")))
    assert record is not None
    assert [(one.layout, one.pictures) for one in record.sets] == [("Unlabelled", 4)]
    assert record.teacher_sha256


def test_sets_of_one_name_stay_apart_in_the_record(data: Path, tmp_path: Path) -> None:
    for part in ("one", "two"):
        _plain(data, tmp_path / part / "portraits")
    folders = (data / "person/ccp", tmp_path / "one/portraits", tmp_path / "two/portraits")
    assert [one.name for one in used_sets(folders, "person", "any")] == [
        "person/ccp",
        "portraits",
        "portraits (2)",
    ]


def test_the_record_names_an_engine_that_teaches(data: Path, tmp_path: Path) -> None:
    record = record_of(train(replace(_config(data, tmp_path, 2), teacher=ENGINES / "sinet")))
    assert record is not None
    assert record.teacher_sha256 == sha256_of(ENGINES / "sinet/engine.toml")


def test_an_engine_can_teach() -> None:
    """What people have as a file, MediaPipe's model say, labels pictures that have no labels."""
    alpha = Teacher("", ENGINES / "sinet").alpha(torch.full((2, 48, 64, 3), 90, dtype=torch.uint8))
    assert alpha.shape == (2, 48, 64)
    assert 0 <= alpha.min() <= alpha.max() <= 1


def test_what_is_not_trained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match="nosuch: only sinet, extremec3, portraitnet, portraitnet_prior, "
    ):
        train(replace(_config(data, tmp_path, 2), model="nosuch"))
    with pytest.raises(ExportError, match="--task face: sinet learns person or person"):
        train(replace(_config(data, tmp_path, 2), task="face"))


def test_start_from_another_network(data: Path, tmp_path: Path, network: nn.Module) -> None:
    torch.save(network.state_dict(), tmp_path / "sinet.pth")
    with pytest.raises(ExportError, match="weights of another network"):
        train(
            replace(_config(data, tmp_path / "run", 2), model="portraitnet_lite"),
            init=tmp_path / "sinet.pth",
        )


def test_public_sets_join(data: Path, tmp_path: Path) -> None:
    folder = _plain(data, tmp_path / "plain")
    config = _config(data, tmp_path / "run", 2)
    train(replace(config, data=(folder,)))
    record = record_of(train(replace(config, data=(data, folder), out=tmp_path / "both")))
    assert record is not None
    assert [one.layout for one in record.sets if one.name == "plain"] == ["PlainFolder"]
    with pytest.raises(ExportError, match="a second folder with person/"):
        train(replace(config, data=(data, make_data(tmp_path / "again")), out=tmp_path / "two"))


def test_licence_filter(data: Path, tmp_path: Path) -> None:
    library = Library.read(data, "train", licence="clear")
    assert not library.photos
    assert library.cutouts
    train(replace(_config(data, tmp_path / "run", 2), licence="clear"))
    with pytest.raises(ExportError, match="--licence 'free': give one of"):
        train(replace(_config(data, tmp_path / "other", 2), licence="free"))
