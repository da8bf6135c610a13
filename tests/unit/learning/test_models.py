"""Models: published sizes, frozen means frozen, weights that fit or a message, and no pickle is ever loaded."""

import pickle
from pathlib import Path

import pytest
import torch
from cocomine.base.errors import CocomineError
from cocomine.learning.losses import Loss
from cocomine.learning.models import encoders, registry
from cocomine.learning.settings import ModelSettings, RunSettings
from safetensors.torch import save_file
from transformers.models.segformer.modeling_segformer import SegformerForSemanticSegmentation


def build(**keys):
    return registry.build_model(ModelSettings(**keys), 9, 0)


@pytest.mark.parametrize(
    ("keys", "millions"),
    [
        ({"encoder": "resnet18"}, 11.53),
        ({"encoder": "resnet50"}, 28.76),
        ({"encoder": "resnet50", "options": {"up": "transposed-4x4"}}, 31.18),
    ],
)
def test_linknet_has_its_published_size(keys, millions):
    assert build(**keys).parameters / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"options": {"up": "transposed-4x4"}},
        {"family": "maskformer", "options": {"queries": 5, "decoder_layers": 1, "width": 64}},
        {"family": "segformer", "encoder": "mit-b0"},
        {"family": "upernet", "options": {"width": 32}},
    ],
)
def test_every_family_scores_each_pixel_and_learns(keys):
    network = build(**keys).network
    images, masks = torch.randn(2, 3, 64, 96), torch.randint(0, 9, (2, 64, 96))
    masks[:, :8] = 255
    network.eval()
    assert network(images).shape == (2, 9, 64, 96)
    network.train()
    loss = network.loss(images, masks, Loss(None, 0.0, "cpu"))
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize(("encoder", "millions"), [("mit-b0", 3.8), ("mit-b1", 13.7), ("mit-b2", 27.5)])
def test_segformer_has_its_published_size_for_the_150_classes_of_ade20k(encoder, millions):
    """Table 1 of arXiv 2105.15203."""
    model = registry.build_model(ModelSettings(family="segformer", encoder=encoder), 150, 0)
    assert round(model.parameters / 1e6, 1) == pytest.approx(millions, abs=0.11)


@pytest.mark.parametrize(("family", "encoder"), [("segformer", "resnet18"), ("linknet", "mit-b0")])
def test_an_encoder_of_another_family_is_refused_with_those_that_fit(family, encoder):
    with pytest.raises(CocomineError, match=f"'{encoder}' under {family}") as caught:
        RunSettings.from_mapping({"model": {"family": family, "encoder": encoder}})
    assert "use one of" in caught.value.hint


SMALL_MASKFORMER = {"family": "maskformer", "options": {"queries": 6, "decoder_layers": 1, "width": 32}}


def outputs_and_masks(size=32):
    """Random outputs of a MaskFormer at the masks' own size, as leaves, and masks of 9 labels."""
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randn(3, 6, size, size, generator=generator, requires_grad=True)
    classes = torch.randn(3, 6, 10, generator=generator, requires_grad=True)
    coarse = torch.randint(0, 4, (3, 4, 4), generator=generator)
    return drawn, classes, coarse.repeat_interleave(size // 4, 1).repeat_interleave(size // 4, 2)


def test_maskformers_loss_without_void_is_the_librarys_own():
    network = build(**SMALL_MASKFORMER).network.eval()
    images, (_, _, masks) = torch.randn(3, 3, 64, 64), outputs_and_masks(64)
    present = [torch.unique(mask) for mask in masks]
    targets = [(mask[None] == labels[:, None, None]).float() for mask, labels in zip(masks, present, strict=True)]
    theirs = network.network(pixel_values=images, mask_labels=targets, class_labels=present).loss
    assert float(network.loss(images, masks, None).detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)


def test_maskformers_loss_leaves_void_out():
    network = build(**SMALL_MASKFORMER).network
    drawn, classes, masks = outputs_and_masks()
    masks[:, 5:11, 3:20] = 255
    loss = network.loss_of(drawn, classes, masks)
    loss.backward()
    void = (masks == 255)[:, None].expand_as(drawn)
    assert not drawn.grad[void].any()
    assert drawn.grad[~void].any()
    other = drawn.detach().clone()
    other[void] = 50.0
    assert torch.equal(network.loss_of(other, classes, masks), loss)


def test_image_of_void_alone_takes_no_part_in_maskformers_loss():
    network = build(**SMALL_MASKFORMER).network
    drawn, classes, masks = outputs_and_masks()
    masks[1] = 255
    loss = network.loss_of(drawn, classes, masks)
    assert torch.equal(loss, network.loss_of(drawn[[0, 2]], classes[[0, 2]], masks[[0, 2]]))
    nothing = network.loss_of(drawn, classes, torch.full_like(masks, 255))
    nothing.backward()
    assert float(nothing.detach()) == 0.0
    assert not drawn.grad.any()


def test_maskformer_learns_in_bf16_with_an_image_of_void_in_the_batch():
    network = build(**SMALL_MASKFORMER).network.train()
    images, (_, _, masks) = torch.randn(3, 3, 64, 64), outputs_and_masks(64)
    masks[0] = 255
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = network.loss(images, masks, None)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in network.parameters())


@pytest.mark.parametrize("kind", ["folder", "list", "bytes"])
def test_weights_that_are_no_file_or_no_tensors_are_named(tmp_path, kind):
    path = tmp_path / "w.pth"
    if kind == "folder":
        path.mkdir()
    elif kind == "list":
        torch.save({"state_dict": [1, 2]}, path)
    else:
        path.write_bytes(b"")
    with pytest.raises(CocomineError, match=r"w\.pth"):
        encoders.read_weights(path)


def test_seed_decides_the_random_weights():
    first, again, other = (registry.build_model(ModelSettings(), 3, seed).network.state_dict() for seed in (0, 0, 1))
    key = "backbone.encoder.stages.3.layers.0.layer.0.convolution.weight"
    assert torch.equal(first[key], again[key])
    assert not torch.equal(first[key], other[key])


def write_encoder(path: Path, name="resnet18", seed=5):
    torch.manual_seed(seed)
    backbone = encoders.ResNetBackbone(encoders.resnet_config(name))
    save_file({key: value.contiguous() for key, value in backbone.state_dict().items()}, path)
    return path


def test_frozen_stages_keep_weights_and_batch_statistics_while_the_rest_learns(tmp_path):
    path = write_encoder(tmp_path / "e.safetensors")
    model = build(weights=str(path), freeze="stage3")
    network = model.network.train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    network.loss(torch.randn(2, 3, 64, 64), torch.randint(0, 9, (2, 64, 64)), Loss(None, 0.0, "cpu")).backward()
    optimiser.step()
    frozen = ("backbone.embedder", *(f"backbone.encoder.stages.{i}." for i in range(3)))
    for key, value in network.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(value, before[key]) == key.startswith(frozen), key
    assert model.trainable < model.parameters


def test_file_of_weights_is_loaded_and_its_hash_recorded(tmp_path):
    path = write_encoder(tmp_path / "e.safetensors")
    model = build(weights=str(path))
    expected = encoders.read_weights(path)
    assert all(torch.equal(model.network.backbone.state_dict()[key], value) for key, value in expected.items())
    assert len(model.encoder.sha256) == 64
    assert model.encoder.source == "e.safetensors"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_torchvisions_parameter_names_are_understood(tmp_path, name):
    ours = encoders.read_weights(write_encoder(tmp_path / "e.safetensors", name))
    theirs = {torchvision_name(key): value for key, value in ours.items()}
    assert not set(theirs) & set(ours)
    torch.save(theirs | {"fc.weight": torch.zeros(1000, 512)}, tmp_path / "tv.pth")
    model = build(encoder=name, weights=str(tmp_path / "tv.pth"))
    assert all(torch.equal(model.network.backbone.state_dict()[key], value) for key, value in ours.items())


def test_a_folder_that_save_pretrained_wrote_is_loaded_and_its_head_left_out(tmp_path, caplog):
    config = encoders.mix_transformer_config("mit-b0", 5)
    torch.manual_seed(4)
    whole = SegformerForSemanticSegmentation(config)
    whole.save_pretrained(tmp_path / "saved")
    model = build(family="segformer", encoder="mit-b0", weights=str(tmp_path / "saved"), freeze="stage1")
    loaded = model.network.backbone.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in whole.segformer.state_dict().items())
    assert len(model.encoder.sha256) == 64
    frozen = {key for key, p in model.network.backbone.named_parameters() if not p.requires_grad}
    assert frozen == {key for key in loaded if key.startswith("stages.0.")}


def test_a_folder_of_another_encoder_is_refused(tmp_path):
    SegformerForSemanticSegmentation(encoders.mix_transformer_config("mit-b0", 5)).save_pretrained(tmp_path)
    with pytest.raises(CocomineError, match="do not fit"):
        build(family="segformer", encoder="mit-b1", weights=str(tmp_path))


def test_tensors_that_are_not_the_encoders_are_named(tmp_path, caplog):
    state = encoders.read_weights(write_encoder(tmp_path / "e.safetensors"))
    save_file(state | {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "w.safetensors")
    with caplog.at_level("INFO", "cocomine"):
        build(weights=str(tmp_path / "w.safetensors"))
    assert "2 tensors are not the encoder's and are left out (first: fc.bias)" in caplog.text


def torchvision_name(key):
    kind = {"convolution": "conv", "normalization": "bn"}
    parts = key.split(".")
    if parts[0] == "embedder":
        return f"{kind[parts[2]]}1.{parts[3]}"
    stage, block = int(parts[2]) + 1, parts[4]
    if parts[5] == "shortcut":
        return f"layer{stage}.{block}.downsample.{0 if parts[6] == 'convolution' else 1}.{parts[7]}"
    return f"layer{stage}.{block}.{kind[parts[7]]}{int(parts[6]) + 1}.{parts[8]}"


def test_weights_that_do_not_fit_are_an_error_that_names_the_first(tmp_path):
    path = write_encoder(tmp_path / "e.safetensors", "resnet18")
    with pytest.raises(CocomineError, match="do not fit") as caught:
        build(encoder="resnet50", weights=str(path))
    assert "model.encoder" in caught.value.hint
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(CocomineError, match="missing"):
        build(weights=str(tmp_path / "x.safetensors"))


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("SPRUNG"),))


def test_pickles_are_refused_and_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Trap()}, "trap.pth")
    Path("plain.pth").write_bytes(pickle.dumps(Trap()))
    Path("cut.safetensors").write_bytes(b"abc")
    for name in ("trap.pth", "plain.pth", "cut.safetensors"):
        with pytest.raises(CocomineError, match=r"no plain tensors"):
            build(weights=name)
    assert not Path("SPRUNG").exists()


def test_missing_file_and_unknown_names_are_errors_with_the_known_ones(tmp_path):
    with pytest.raises(CocomineError, match="no such file"):
        build(weights=str(tmp_path / "no.safetensors"))
    with pytest.raises(CocomineError, match="vgg16"):
        encoders.resnet_config("vgg16")
    with pytest.raises(CocomineError, match="'unet' is not one of linknet, maskformer, segformer, upernet"):
        RunSettings.from_mapping({"model": {"family": "unet"}})
    with pytest.raises(CocomineError, match=r"experiment\.model\.options: unknown key 'upp'") as caught:
        RunSettings.from_mapping({"model": {"options": {"upp": 1}}})
    assert caught.value.hint.splitlines() == [
        "instead of 'upp', did you mean 'up'?", "      config/README.md lists every key",
    ]  # fmt: skip


def test_imagenet_without_a_network_says_how_to_fetch_beforehand(tmp_path, monkeypatch):
    def unreachable(*_args, **_keys):
        raise OSError("no route to the hub")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    with pytest.raises(CocomineError) as caught:
        build(weights="imagenet", weights_folder=str(tmp_path))
    assert "no route" in caught.value.message
    assert "fetch_encoder.py resnet18" in caught.value.hint
    assert str(tmp_path / "resnet18") in caught.value.hint


def test_fetched_weights_that_were_changed_are_refused(tmp_path):
    place = tmp_path / "resnet18"
    place.mkdir()
    write_encoder(place / "model.safetensors")
    (place / "encoder.json").write_text('{"sha256": "0", "mean": [0,0,0], "std": [1,1,1]}')
    with pytest.raises(CocomineError, match=r"is not the file"):
        build(weights="imagenet", weights_folder=str(tmp_path))
