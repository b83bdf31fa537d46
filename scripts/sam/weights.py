"""Reading, checking and resizing SAM checkpoints."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import BundleError, CheckpointMismatch
from ..files import replacing, sha256
from ..release import check_shipped, note_made

DETAIL = "mask_decoder.detail."


def read_checkpoint(path: str | Path) -> dict[str, object]:
    """Content of the checkpoint at `path`, on the CPU; tensors and plain values only, no pickled code.

    Raises:
        BundleError: the file is missing, damaged, not the one that shipped under this path, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleError(f"{path}: no such checkpoint file")
    check_shipped(path)
    check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail anywhere in the unpickler
        # torch's own message goes on to say how to run the code after all
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is not None:
            raise BundleError(
                f"{path}: refused, since it holds {code[1]}; only tensors and plain values load"
            ) from error
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0]
        reason = "torch.save wrote no such file" if reason.startswith("Weights only") else reason
        raise BundleError(f"{path}: not a readable checkpoint of tensors ({reason})") from error
    if not isinstance(content, Mapping):
        raise BundleError(f"{path}: holds no state dict of tensors")
    return dict(content)


def check_archive(path: Path) -> None:
    """Raise `BundleError` if a part of the archive at `path` is not what its checksum says: torch does not look."""
    try:
        if not zipfile.is_zipfile(path):  # torch before 1.6 wrote other files; what is none at all torch refuses
            return
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # its directory is damaged
        raise BundleError(f"{path}: not a readable checkpoint of tensors ({error})") from error
    if damaged is not None:
        raise BundleError(f"{path}: damaged, the checksum of {damaged} is another one; fetch or write it again")


def read_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """State dict in the file at `path`: a bare one (official SAM, MedSAM) or one under the key "model".

    Raises:
        BundleError: the file is missing, damaged or holds no state dict.
    """
    content = read_checkpoint(path)
    if isinstance(content.get("model"), Mapping):
        content = dict(content["model"])
    if not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise BundleError(f"{path}: holds no state dict of tensors")
    return content


def save_weights(state_dict: Mapping[str, object], path: str | Path) -> None:
    """Write `state_dict` to `path` so that the file is either the old or the new one, whole, even after a crash."""
    with replacing(path) as partial:
        with partial.open("wb") as file:  # torch keeps the reason of a failure only of a file
            torch.save(state_dict, file)
        note_made(path, sha256(partial))


def constant_keys(network: nn.Module) -> list[str]:
    """Keys of buffers that are part of the build, which a module names in its attribute `constants`."""
    return [
        f"{name}.{constant}" if name else constant
        for name, module in network.named_modules()
        for constant in getattr(module, "constants", ())
    ]


def check_fit(network: nn.Module, state_dict: Mapping[str, torch.Tensor], source: str = "checkpoint") -> None:
    """Raise `CheckpointMismatch` unless keys, shapes and constants of `state_dict` are those of `network`.

    Constants are the parts of a build that leave no trace in keys and shapes: number of classes, scaling, bits.
    """
    own = network.state_dict()
    missing = [key for key in own if key not in state_dict]
    unexpected = [key for key in state_dict if key not in own]
    misshapen = [
        f"{key} {tuple(state_dict[key].shape)} for {tuple(own[key].shape)}"
        for key in own
        if key in state_dict and state_dict[key].shape != own[key].shape
    ]
    other = [
        f"{key} {state_dict[key].tolist():g} for {own[key].tolist():g}"
        for key in constant_keys(network)
        if key in state_dict and state_dict[key].ndim == 0 and not torch.equal(state_dict[key].cpu(), own[key].cpu())
    ]
    faults = [
        f"{len(keys)} {kind} (first: {keys[0]})"
        for kind, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("misshapen", misshapen),
            ("different", other),
        )
        if keys
    ]
    if faults:
        raise CheckpointMismatch(f"{source} does not fit the network: {', '.join(faults)}; build the network it is of")


def resize_absolute(pos_embed: torch.Tensor, side: int) -> torch.Tensor:
    """Resize an absolute position table 1 x h x w x D to 1 x side x side x D, bicubic (as in DeiT, ViTDet)."""
    resized = F.interpolate(pos_embed.permute(0, 3, 1, 2), (side, side), mode="bicubic", antialias=False)
    return resized.permute(0, 2, 3, 1)


def resize_relative(rel_pos: torch.Tensor, length: int) -> torch.Tensor:
    """Resize a relative position table L x D to length x D, linear, as SAM's `get_rel_pos` does at run time."""
    return F.interpolate(rel_pos.T[None], length, mode="linear")[0].T


def fit_positions(state_dict: Mapping[str, torch.Tensor], network: nn.Module) -> dict[str, torch.Tensor]:
    """Resize position tables of another input or window size, and repeat mask tokens for further classes."""
    own = network.state_dict()
    fitted = dict(state_dict)
    for key, value in state_dict.items():
        if key not in own or own[key].shape == value.shape:
            continue
        if key == "image_encoder.pos_embed" and value.ndim == 4 and value.shape[-1] == own[key].shape[-1]:
            fitted[key] = resize_absolute(value, own[key].shape[1])
        elif key.endswith((".rel_pos_h", ".rel_pos_w")) and value.shape[1] == own[key].shape[1]:
            fitted[key] = resize_relative(value, own[key].shape[0])
    return _extend_mask_tokens(fitted, own)


def _extend_mask_tokens(state_dict: dict[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> dict:
    """More classes than SAM has multi-mask outputs: further tokens start as copies of the last one."""
    key, heads = "mask_decoder.mask_tokens.weight", "mask_decoder.output_hypernetworks_mlps."
    if key not in state_dict or state_dict[key].shape[0] >= own[key].shape[0]:
        return state_dict
    have, want = state_dict[key].shape[0], own[key].shape[0]
    extended = dict(state_dict)
    extended[key] = torch.cat([state_dict[key], state_dict[key][-1:].expand(want - have, -1)])
    for name, value in state_dict.items():
        if name.startswith(f"{heads}{have - 1}."):
            for token in range(have, want):
                extended[name.replace(f"{heads}{have - 1}.", f"{heads}{token}.")] = value.clone()
    for name, value in state_dict.items():
        # The quality head has one output per mask token; it is unused here but stays loadable.
        if name.startswith("mask_decoder.iou_prediction_head.") and name in own and own[name].shape != value.shape:
            extended[name] = torch.cat([value, value[-1:].expand(want - have, *value.shape[1:])])
    return extended


def load_base_weights(network: nn.Module, path: str | Path) -> nn.Module:
    """Load a base model into `network`: official SAM, MedSAM or a checkpoint of this bundle's pretraining.

    Position tables are resized where the input or window size differs from the checkpoint's. A checkpoint without a
    detail path leaves the network's own as it is, which at the start adds nothing.

    Args:
        network: a `SAM` of the checkpoint's width and depth.
        path: file of tensors with keys `image_encoder.*`, `prompt_encoder.*`, `mask_decoder.*`.

    Raises:
        BundleError: the file cannot be read.
        CheckpointMismatch: keys or shapes differ otherwise; names the first ones.
    """
    fitted = fit_positions(read_weights(path), network)
    # A base has no classes yet, and official checkpoints have none of this bundle's constants.
    own = network.state_dict()
    fitted |= {key: own[key] for key in constant_keys(network)}
    if not any(key.startswith(DETAIL) for key in fitted):
        fitted |= {key: value for key, value in own.items() if key.startswith(DETAIL)}
    check_fit(network, fitted, source=str(path))
    network.load_state_dict(fitted)
    return network
