"""Base models against segment-anything's own components."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.errors import BundleError, CheckpointMismatch, root_cause
from scripts.sam import ARCHITECTURES, Architecture, build_sam, dividing_window, load_base_weights, save_weights
from scripts.sam.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, TwoWayTransformer
from scripts.sam.weights import read_weights, resize_relative

NARROW = Architecture(32, 2, 2, (1,), prompt_dim=32, decoder_heads=4, decoder_mlp_dim=64, decoder_head_hidden=32)


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random parameters everywhere: SAM leaves relative positions at zero, which would hide mistakes."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return network.eval()


def official(image_size: int, architecture: Architecture = NARROW) -> nn.ModuleDict:
    """The components as segment_anything/build_sam.py puts them together."""
    grid = image_size // 16
    return nn.ModuleDict(
        {
            "image_encoder": ImageEncoderViT(
                depth=architecture.depth,
                embed_dim=architecture.embed_dim,
                img_size=image_size,
                mlp_ratio=4,
                norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
                num_heads=architecture.num_heads,
                patch_size=16,
                qkv_bias=True,
                use_rel_pos=True,
                global_attn_indexes=architecture.global_attn_indexes,
                window_size=14,
                out_chans=architecture.prompt_dim,
            ),
            "prompt_encoder": PromptEncoder(
                embed_dim=architecture.prompt_dim,
                image_embedding_size=(grid, grid),
                input_image_size=(image_size, image_size),
                mask_in_chans=16,
            ),
            "mask_decoder": MaskDecoder(
                num_multimask_outputs=3,
                transformer=TwoWayTransformer(
                    depth=2,
                    embedding_dim=architecture.prompt_dim,
                    mlp_dim=architecture.decoder_mlp_dim,
                    num_heads=architecture.decoder_heads,
                ),
                transformer_dim=architecture.prompt_dim,
                iou_head_depth=3,
                iou_head_hidden_dim=architecture.decoder_head_hidden,
            ),
        }
    ).eval()


def official_masks(parts: nn.ModuleDict, embedding: torch.Tensor, boxes: torch.Tensor, multimask: bool) -> torch.Tensor:
    """SAM's loop (segment_anything/modeling/sam.py): one image after the other."""
    masks = []
    for one, box in zip(embedding, boxes):
        sparse, dense = parts["prompt_encoder"](points=None, boxes=box[None], masks=None)
        low, _ = parts["mask_decoder"](
            image_embeddings=one[None],
            image_pe=parts["prompt_encoder"].get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        masks.append(low)
    size = parts["image_encoder"].img_size
    return nn.functional.interpolate(torch.cat(masks), (size, size), mode="bilinear", align_corners=False)


@pytest.fixture(scope="module")
def pair():
    """Ours and the official parts with the same weights, at a size where SAM's windows are padded."""
    network = randomize(build_sam(NARROW, 320, window_size=14))
    parts = official(320)
    parts.load_state_dict(network.state_dict())
    return network, parts


BOXES = torch.tensor([[10.0, 20.0, 200.0, 300.0], [0.0, 0.0, 320.0, 320.0], [100.0, 50.0, 150.0, 90.0]])


def test_encoder_equals_sams_own_with_its_window(pair):
    network, parts = pair
    image = torch.rand(2, 3, 320, 320)
    # Sam.preprocess works on 0..255 pixels with these statistics.
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    expected = parts["image_encoder"]((image * 255 - mean) / std)
    torch.testing.assert_close(network.encode(image), expected, atol=1e-4, rtol=1e-4)


def test_batched_decoding_equals_sam_loop(pair):
    network, parts = pair
    embedding = network.encode(torch.rand(3, 1, 320, 320))
    expected = official_masks(parts, embedding, BOXES, multimask=False)
    torch.testing.assert_close(network.decode(embedding, BOXES), expected, atol=1e-4, rtol=1e-4)


def test_class_channels_are_sams_multimask_tokens(pair):
    network, parts = pair
    classes = build_sam(NARROW, 320, out_channels=3, window_size=14).eval()
    classes.load_state_dict(network.state_dict())
    embedding = network.encode(torch.rand(3, 1, 320, 320))
    expected = official_masks(parts, embedding, BOXES, multimask=True)
    torch.testing.assert_close(classes.decode(embedding, BOXES), expected, atol=1e-4, rtol=1e-4)


def test_one_embedding_serves_many_boxes(pair):
    network, _ = pair
    embedding = network.encode(torch.rand(1, 1, 320, 320))
    one_by_one = torch.cat([network.decode(embedding, box[None]) for box in BOXES])
    torch.testing.assert_close(network.decode(embedding, BOXES), one_by_one, atol=1e-5, rtol=1e-5)


def test_no_box_is_the_whole_image_and_a_box_changes_the_mask(pair):
    network, _ = pair
    image = torch.rand(3, 1, 320, 320)
    whole = torch.tensor([[0.0, 0.0, 320.0, 320.0]]).expand(3, 4)
    torch.testing.assert_close(network(image), network(image, whole))
    assert not torch.allclose(network(image)[0], network(image, BOXES)[0])


def test_gray_image_equals_the_same_image_as_rgb(pair):
    network, _ = pair
    gray = torch.rand(1, 1, 320, 320)
    torch.testing.assert_close(network(gray), network(gray.expand(-1, 3, -1, -1)))


def test_traced_network_agrees(pair):
    network, _ = pair
    with torch.no_grad():
        traced = torch.jit.trace(network, torch.rand(1, 1, 320, 320))
        image = torch.rand(2, 1, 320, 320)
        torch.testing.assert_close(traced(image), network(image), atol=1e-4, rtol=1e-4)


def test_gradient_checkpointing_gives_equal_gradients():
    image, gradients = torch.rand(1, 1, 64, 64), []
    for flag in (False, True):
        network = randomize(build_sam(NARROW, 64, gradient_checkpointing=flag)).train()
        network(image).square().mean().backward()
        gradients.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_every_trainable_parameter_gets_a_gradient():
    """Nothing idle is counted as trainable, and DistributedDataParallel finds no unused parameter."""
    for channels in (1, 2):
        network = randomize(build_sam(NARROW, 64, out_channels=channels)).train()
        network(torch.rand(1, 1, 64, 64)).square().mean().backward()
        idle = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
        assert idle == []


@pytest.mark.parametrize(("size", "window"), [(256, 16), (448, 14), (512, 16), (768, 12), (1024, 16), (224, 14)])
def test_default_window_divides_the_token_grid(size, window):
    assert dividing_window(size // 16) == window and (size // 16) % window == 0


def attention_flops(window: int, grid: int, dim: int) -> int:
    """FLOPs of one windowed attention block, by hand; tokens are padded to whole windows."""
    windows = (-(-grid // window)) ** 2
    tokens = windows * window**2
    projections = tokens * (dim * 3 * dim + dim * dim)
    products = 2 * windows * window**4 * dim
    relative_positions = 2 * tokens * window * dim
    return 2 * (projections + products + relative_positions)


@pytest.mark.parametrize(("size", "saved"), [(256, 2.5), (512, 1.5)])
def test_dividing_window_saves_the_padded_tokens(size, saved):
    """At 256 px SAM's window pads 16 x 16 tokens to 28 x 28, at 512 px 32 x 32 to 42 x 42."""
    grid, dim, counted = size // 16, 192, []
    for window in (14, None):
        architecture = Architecture(dim, 1, 3, (), prompt_dim=32, decoder_heads=4)
        block = build_sam(architecture, size, window_size=window).image_encoder.blocks[0]
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            block(torch.rand(1, grid, grid, dim))
        mlp = 2 * 2 * grid**2 * dim * 4 * dim
        counted.append(counter.get_total_flops() - mlp)
        assert counted[-1] == attention_flops(window or dividing_window(grid), grid, dim)
    assert counted[0] / counted[1] > saved


@pytest.mark.parametrize("size", [0, 100, -16])
def test_image_size_must_be_a_multiple_of_16(size):
    with pytest.raises(BundleError, match=str(size)):
        build_sam("vit_ti", size)


def test_unknown_architecture_is_named():
    with pytest.raises(BundleError, match="vit_x.*vit_ti"):
        build_sam("vit_x")


@pytest.mark.parametrize("shape", [(1, 2, 64, 64), (1, 1, 64, 48), (1, 64, 64)])
def test_images_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="1|3 x 64 x 64"):
        build_sam(NARROW, 64)(torch.rand(shape))


def test_official_parameter_counts():
    """SAM ViT-B has 93.7 million parameters (Kirillov et al., 2023)."""
    with torch.device("meta"):
        assert round(sum(p.numel() for p in build_sam("vit_b", 1024, window_size=14).parameters()) / 1e6, 1) == 93.7
    assert set(ARCHITECTURES) == {"vit_ti", "vit_b", "vit_l", "vit_h"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of the official layout: bare state dict, larger input, windows of 14."""
    path = tmp_path_factory.mktemp("weights") / "sam_narrow.pth"
    parts = randomize(official(448), seed=3)
    torch.save(parts.state_dict(), path)
    return path


def test_official_checkpoint_of_the_same_size_loads_bit_by_bit(checkpoint):
    network = build_sam(NARROW, 448, window_size=14, weights=checkpoint)
    for key, value in read_weights(checkpoint).items():
        assert torch.equal(network.state_dict()[key], value)


def test_positions_are_resized_to_another_input(checkpoint):
    network = build_sam(NARROW, 256, weights=checkpoint).eval()
    state, original = network.state_dict(), read_weights(checkpoint)
    resized = {key for key in original if original[key].shape != state[key].shape}
    assert resized == {
        "image_encoder.pos_embed",
        *(f"image_encoder.blocks.{i}.attn.rel_pos_{axis}" for i in range(2) for axis in "hw"),
    }
    assert all(torch.equal(original[key], state[key]) for key in original if key not in resized)
    assert state["image_encoder.blocks.0.attn.rel_pos_h"].shape[0] == 2 * 16 - 1
    assert network(torch.rand(1, 1, 256, 256)).isfinite().all()


def test_relative_positions_are_resized_as_sam_does_at_run_time():
    from segment_anything.modeling.image_encoder import get_rel_pos

    table = torch.randn(27, 16)
    coordinates = torch.arange(8)[:, None] - torch.arange(8)[None] + 7
    torch.testing.assert_close(resize_relative(table, 15)[coordinates], get_rel_pos(8, 8, table))


def test_more_classes_than_multimask_outputs_start_from_the_last_token(checkpoint):
    network = build_sam(NARROW, 448, out_channels=5, weights=checkpoint)
    tokens = network.mask_decoder.mask_tokens.weight
    assert tokens.shape[0] == 6 and torch.equal(tokens[4], tokens[3]) and torch.equal(tokens[5], tokens[3])
    assert network(torch.rand(1, 1, 448, 448)).shape == (1, 5, 448, 448)


def test_checkpoint_that_does_not_fit_is_refused_by_key(checkpoint, tmp_path):
    weights = read_weights(checkpoint)
    weights["image_encoder.neck.9.bias"] = weights.pop("image_encoder.neck.1.bias")
    weights["mask_decoder.iou_token.weight"] = torch.zeros(1, 7)
    path = tmp_path / "other.pth"
    torch.save(weights, path)
    with pytest.raises(CheckpointMismatch) as caught:
        load_base_weights(build_sam(NARROW, 448), path)
    for part in (str(path), "image_encoder.neck.1.bias", "image_encoder.neck.9.bias", "mask_decoder.iou_token.weight"):
        assert part in str(caught.value)


def test_network_refuses_other_weights_even_if_the_host_is_not_strict():
    network = build_sam(NARROW, 64)
    with pytest.raises(CheckpointMismatch):
        network.load_state_dict({"image_encoder.pos_embed": torch.zeros(1, 4, 4, 32)}, strict=False)


class Payload:
    """Something that only pickle can store."""


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None, "list", "pickle"])
def test_damaged_or_unsafe_checkpoints_are_refused_by_name(tmp_path, content):
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "list":
        torch.save([1, 2], path)
    elif content == "pickle":
        torch.save({"model": Payload()}, path)
    with pytest.raises(BundleError, match="weights.pt"):
        read_weights(path)


def test_failed_save_leaves_the_old_file_whole(tmp_path):
    path = tmp_path / "weights.pt"
    save_weights({"a": torch.ones(2)}, path)
    with pytest.raises(Exception) as caught:  # pickle has its own, which differs between versions
        save_weights({"a": lambda: None}, path)
    assert root_cause(caught.value) is None
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.ones(2))
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]
