"""Encoders of transformers, ResNets and mix transformers: building, loading weights into them, freezing stages."""

import json
import logging
import pickle
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.models.resnet.configuration_resnet import ResNetConfig
from transformers.models.resnet.modeling_resnet import ResNetBackbone
from transformers.models.segformer.configuration_segformer import SegformerConfig
from transformers.models.segformer.modeling_segformer import SegformerModel

from cocomine.base.errors import CocomineError
from cocomine.base.files import atomic_path, read_json, sha256_of_file, write_json
from cocomine.learning.checkpoint import first_line
from cocomine.learning.models.base import Normalisation
from cocomine.learning.settings import ENCODER_STAGES

log = logging.getLogger("cocomine")

# depths, layer type, channels of the four stages (He et al. 2016, arXiv 1512.03385, table 1)
SHAPES: dict[str, tuple[tuple[int, ...], str, tuple[int, ...]]] = {
    "resnet18": ((2, 2, 2, 2), "basic", (64, 128, 256, 512)),
    "resnet34": ((3, 4, 6, 3), "basic", (64, 128, 256, 512)),
    "resnet50": ((3, 4, 6, 3), "bottleneck", (256, 512, 1024, 2048)),
    "resnet101": ((3, 4, 23, 3), "bottleneck", (256, 512, 1024, 2048)),
}
# depths, channels of the four stages, width of the decoder (Xie et al. 2021, arXiv 2105.15203, table 6)
MIX_TRANSFORMER_SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int]] = {
    "mit-b0": ((2, 2, 2, 2), (32, 64, 160, 256), 256),
    "mit-b1": ((2, 2, 2, 2), (64, 128, 320, 512), 256),
    "mit-b2": ((3, 4, 6, 3), (64, 128, 320, 512), 768),
    "mit-b3": ((3, 4, 18, 3), (64, 128, 320, 512), 768),
    "mit-b4": ((3, 8, 27, 3), (64, 128, 320, 512), 768),
    "mit-b5": ((3, 6, 40, 3), (64, 128, 320, 512), 768),
}
HUB_NAMES = {name: f"microsoft/resnet-{name.removeprefix('resnet')}" for name in SHAPES} | {
    name: f"nvidia/{name}" for name in MIX_TRANSFORMER_SHAPES
}


CONFIG, WEIGHTS = "config.json", "model.safetensors"  # of a folder that save_pretrained wrote


@dataclass(frozen=True)
class EncoderWeights:
    """Weights that were loaded: where from in words, their SHA-256, and the normalisation that belongs to them."""

    source: str
    sha256: str | None
    normalisation: Normalisation


def resnet_config(name: str) -> ResNetConfig:
    """Return the configuration of an encoder whose four stages are all outputs. Raises CocomineError if unknown."""
    if name not in SHAPES:
        raise CocomineError(f"model.encoder is {name!r}", f"known encoders: {', '.join(SHAPES)}")
    depths, layer_type, channels = SHAPES[name]
    return ResNetConfig(
        depths=list(depths),
        layer_type=layer_type,
        hidden_sizes=list(channels),
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )


def mix_transformer_config(name: str, labels: int, width: int | None = None) -> SegformerConfig:
    """Return the configuration of a SegFormer of `labels` over encoder `name`; `width` is the decoder's."""
    depths, channels, decoder = MIX_TRANSFORMER_SHAPES[name]
    return SegformerConfig(
        depths=list(depths), hidden_sizes=list(channels), decoder_hidden_size=width or decoder, num_labels=labels
    )


def freeze(backbone: nn.Module, last: str) -> list[nn.Module]:
    """Freeze the encoder's stages from the stem up to `last` ("none": nothing) and return the frozen modules."""
    if last == "none":
        return []
    if isinstance(backbone, SegformerModel):
        stages = [backbone.stages[0].patch_embeddings, *backbone.stages]
    else:
        stages = [backbone.embedder, *backbone.encoder.stages]  # type: ignore[union-attr, misc]
    frozen = stages[: ENCODER_STAGES.index(last) + 1]
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def load_encoder(backbone: nn.Module, name: str, weights: str, folder: Path) -> EncoderWeights:
    """Load the weights that `model.weights` asks for into `backbone`.

    "none" leaves it as it is; "imagenet" reads `folder/{name}`, which fetch_encoder fills (and is filled from the hub
    now if it is empty and there is a network); anything else is a file, or a folder that `save_pretrained` wrote.
    Raises CocomineError when they cannot be loaded or do not fit.
    """
    if weights == "none":
        return EncoderWeights("none", None, Normalisation())
    if weights != "imagenet":
        path = Path(weights)
        where = f"model.weights {weights}"
        if not (path / CONFIG).is_file():
            _fit(backbone, read_weights(path), where)
            return EncoderWeights(path.name, sha256_of_file(path), Normalisation())
        _fit(backbone, _read_folder(type(backbone), str(path), where), where)
        return EncoderWeights(path.name, sha256_of_file(path / WEIGHTS), Normalisation())
    place = folder / name
    if not (place / "encoder.json").exists():
        fetch(name, folder)
    facts = read_json(place / "encoder.json")
    file = place / "model.safetensors"
    if not file.exists() or sha256_of_file(file) != facts["sha256"]:
        raise CocomineError(
            f"{file} is not the file that {place / 'encoder.json'} describes", f"delete {place} and run again"
        )
    _fit(backbone, load_file(file), str(file))
    normalisation = Normalisation(_three(facts["mean"]), _three(facts["std"]))
    return EncoderWeights(f"imagenet: {facts['repository']}@{facts['revision']}", facts["sha256"], normalisation)


def _read_folder(kind: type[Any], folder: str, where: str, **keys: Any) -> dict[str, Tensor]:
    """Return the encoder's tensors of a folder, or of a hub's repository, by the library's own loader.

    It knows the names that its models had in earlier versions. Safetensors only: no pickle is opened.
    """
    loaded, found = kind.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **keys)
    if missing := sorted(found["missing_keys"]):
        raise CocomineError(
            f"{where}: the weights do not fit the encoder: {len(missing)} missing (first: {missing[0]})", _FIT
        )
    state: dict[str, Tensor] = loaded.state_dict()
    return state


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a file of weights without ever unpickling an object: safetensors, or torch's with `weights_only=True`."""
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CocomineError(
            f"model.weights: {path}: no such file", "give 'none', 'imagenet' or the path of a file"
        ) from error
    except OSError as error:
        raise CocomineError(
            f"model.weights: {path} cannot be read: {error.strerror or error}",
            "give the path of a file that you can read",
        ) from error
    except (pickle.UnpicklingError, RuntimeError, SafetensorError, EOFError, ValueError) as error:
        raise CocomineError(
            f"model.weights: {path} holds no plain tensors: {first_line(error)}",
            "save the model's state_dict as .safetensors; files that need unpickling are not read",
        ) from error
    if not isinstance(state, dict):
        raise CocomineError(f"model.weights: {path} holds a {type(state).__name__}", "save the model's state_dict")
    state = state.get("state_dict", state)
    if not isinstance(state, dict):
        raise CocomineError(
            f"model.weights: {path}: its state_dict is a {type(state).__name__}", "save the model's state_dict"
        )
    return {key: value for key, value in state.items() if isinstance(value, Tensor)}


def fetch(name: str, folder: Path, revision: str | None = None) -> Path:
    """Fetch the ImageNet weights of encoder `name` from the hub with transformers' own loader into `folder/name`.

    Writes model.safetensors and encoder.json (repository, resolved revision, sha256, mean, std). Raises CocomineError
    with the way round when there is no network.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if name not in HUB_NAMES:
        raise CocomineError(f"unknown encoder {name!r}", f"known encoders: {', '.join(HUB_NAMES)}")
    repository = HUB_NAMES[name]
    log.info("fetching the ImageNet weights of %s (%s)", name, repository)
    try:
        facts = json.loads(
            Path(hf_hub_download(repository, "preprocessor_config.json", revision=revision)).read_bytes()
        )
        config = Path(hf_hub_download(repository, "config.json", revision=revision))
        found = config.resolve().parent.name if config.parent.parent.name != "snapshots" else config.parent.name
        kind = SegformerModel if name in MIX_TRANSFORMER_SHAPES else ResNetBackbone
        loaded = _read_folder(kind, repository, repository, revision=found)
    except (OSError, HfHubHTTPError, LocalEntryNotFoundError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise CocomineError(
            f"the ImageNet weights of {name} are not in {folder / name} and cannot be fetched from {repository}: "
            f"{reason}",
            f"on a machine with a network run `python scripts/fetch_encoder.py {name} --out-dir encoders`, copy the "
            f"folder encoders/{name} to {folder / name} and run again; or set model.weights to a file or to 'none'",
        ) from error
    place = folder / name
    state = {key: value.contiguous() for key, value in loaded.items()}
    with atomic_path(place / "model.safetensors") as temporary:
        save_file(state, temporary)
    write_json(
        place / "encoder.json",
        {
            "encoder": name,
            "repository": repository,
            "revision": found,
            "sha256": sha256_of_file(place / "model.safetensors"),
            "mean": facts["image_mean"],
            "std": facts["image_std"],
        },
    )
    return place


def _three(values: list[float]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _fit(backbone: nn.Module, state: dict[str, Tensor], where: str) -> None:
    state = {our_name(key): value for key, value in state.items()}
    wanted = backbone.state_dict()
    missing = sorted(key for key in wanted if key not in state and not key.endswith("num_batches_tracked"))
    wrong = [
        f"{key} is {tuple(state[key].shape)}, wanted {tuple(wanted[key].shape)}"
        for key in sorted(wanted)
        if key in state and state[key].shape != wanted[key].shape
    ]
    if missing or wrong:
        raise CocomineError(
            f"{where}: the weights do not fit the encoder: {len(missing)} missing"
            f"{f' (first: {missing[0]})' if missing else ''}, {len(wrong)} of another shape"
            f"{f' (first: {wrong[0]})' if wrong else ''}",
            _FIT,
        )
    surplus = sorted(key for key in state if key not in wanted)
    if surplus:
        log.info("%s: %d tensors are not the encoder's and are left out (first: %s)", where, len(surplus), surplus[0])
    known: dict[str, Any] = {key: value for key, value in state.items() if key in wanted}
    backbone.load_state_dict(known, strict=False)


def our_name(key: str) -> str:
    """Return transformers' name of a ResNet parameter that may have torchvision's name (layer1.0.conv1.weight …)."""
    for prefix in ("module.", "backbone.", "resnet.", "segformer."):
        key = key.removeprefix(prefix)
    if match := re.fullmatch(r"(conv|bn)1\.(.+)", key):
        return f"embedder.embedder.{_KIND[match[1]]}.{match[2]}"
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(.+)", key):
        stage, block, kind, number, rest = match.groups()
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.layer.{int(number) - 1}.{_KIND[kind]}.{rest}"
    if match := re.fullmatch(r"layer(\d)\.(\d+)\.downsample\.(\d)\.(.+)", key):
        stage, block, number, rest = match.groups()
        kind = "convolution" if number == "0" else "normalization"
        return f"encoder.stages.{int(stage) - 1}.layers.{block}.shortcut.{kind}.{rest}"
    return key


_FIT = "give weights of the very encoder that model.encoder names, under transformers', torchvision's or timm's names"
_KIND = {"conv": "convolution", "bn": "normalization"}
