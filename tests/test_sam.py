"""Base models against segment-anything's own components."""

from __future__ import annotations

import pytest
import torch
from conftest import NARROW, official, randomize, sam_state
from monai.data import MetaTensor
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from scripts.errors import BundleError
from scripts.sam import ARCHITECTURES, Architecture, build_sam, dividing_window
from scripts.sam.modeling import Attention, MaskDecoder, TwoWayTransformer


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
    parts.load_state_dict(sam_state(network))
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


def test_fused_attention_has_the_outputs_and_gradients_of_sams_own():
    torch.manual_seed(0)
    fused = randomize(build_sam(NARROW, 128)).image_encoder.blocks[0].attn
    plain = Attention(fused.qkv.in_features, fused.num_heads, use_rel_pos=True, input_size=(8, 8))
    plain.load_state_dict(fused.state_dict())
    tokens = torch.randn(3, 8, 8, fused.qkv.in_features)
    results = []
    for module, attention in ((fused, fused.fused), (plain, plain)):
        x = tokens.clone().requires_grad_()
        y = attention(x)
        y.square().sum().backward()
        results.append([y.detach(), x.grad, *(parameter.grad.clone() for parameter in module.parameters())])
    with torch.no_grad():
        results[0].append(fused(tokens))
        results[1].append(plain(tokens))
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))


def test_batched_decoding_equals_sam_loop(pair):
    network, parts = pair
    embedding = network.encode(torch.rand(3, 1, 320, 320))
    expected = official_masks(parts, embedding, BOXES, multimask=False)
    torch.testing.assert_close(network.decode(embedding, BOXES), expected, atol=1e-4, rtol=1e-4)


def test_class_channels_are_sams_multimask_tokens(pair):
    network, parts = pair
    classes = build_sam(NARROW, 320, out_channels=3, window_size=14).eval()
    classes.load_state_dict({**network.state_dict(), "mask_decoder.classes": torch.tensor(3)})
    embedding = network.encode(torch.rand(3, 1, 320, 320))
    expected = official_masks(parts, embedding, BOXES, multimask=True)
    torch.testing.assert_close(classes.decode(embedding, BOXES), expected, atol=1e-4, rtol=1e-4)


def test_more_than_three_class_channels_are_multimask_tokens_of_a_larger_sam_decoder():
    network = randomize(build_sam(NARROW, 64, out_channels=5, window_size=14))
    parts = official(64)
    parts["mask_decoder"] = MaskDecoder(
        num_multimask_outputs=5,
        transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=4),
        transformer_dim=32,
        iou_head_depth=3,
        iou_head_hidden_dim=32,
    ).eval()
    parts.load_state_dict(sam_state(network))
    embedding, boxes = network.encode(torch.rand(3, 1, 64, 64)), BOXES / 5
    logits = network.decode(embedding, boxes)
    assert logits.shape == (3, 5, 64, 64)
    torch.testing.assert_close(logits, official_masks(parts, embedding, boxes, True), atol=1e-4, rtol=1e-4)


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


def test_meta_tensor_gives_the_logits_of_its_plain_tensor(pair):
    network, _ = pair
    image = torch.rand(1, 1, 320, 320)
    logits = network(MetaTensor(image))
    assert type(logits) is torch.Tensor and torch.equal(logits, network(image))


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
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


def test_gradient_checkpointing_computes_each_block_again_in_the_backward_pass():
    network = randomize(build_sam(NARROW, 64, gradient_checkpointing=True)).train()
    calls = []
    for block in network.image_encoder.blocks:
        block.register_forward_pre_hook(lambda module, _: calls.append(module))
    loss = network(torch.rand(1, 1, 64, 64)).square().mean()
    assert calls == list(network.image_encoder.blocks)
    loss.backward()
    assert len(calls) == 2 * len(network.image_encoder.blocks)
    network.eval()(torch.rand(1, 1, 64, 64))
    assert len(calls) == 3 * len(network.image_encoder.blocks)


@pytest.mark.parametrize(("size", "window"), [(256, 16), (448, 14), (512, 16), (768, 12), (1024, 16), (224, 14)])
def test_default_window_divides_the_token_grid(size, window):
    assert dividing_window(size // 16) == window and (size // 16) % window == 0


def test_default_window_is_the_divisor_nearest_to_sams_and_never_pads():
    for grid in range(1, 129):
        window = dividing_window(grid)
        assert grid % window == 0
        assert not any(grid % other == 0 and abs(other - 14) < abs(window - 14) for other in range(7, grid + 1))
    assert [dividing_window(grid) for grid in (4, 21, 23, 46, 61)] == [4, 7, 23, 23, 61]


@pytest.mark.parametrize("window", [5, 12, 17, 0, -8])
def test_window_that_would_pad_is_refused_with_those_that_do_not(window):
    with pytest.raises(
        BundleError, match=rf"window_size {window} .*16 x 16 .* 256 px.* 1, 2, 4, 8, 16, or null for 16"
    ):
        build_sam(NARROW, 256, window_size=window)
    assert build_sam(NARROW, 256, window_size=14).image_encoder.blocks[0].window_size == 14


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
        block.attn.__class__ = Attention  # torch does not count the fused kernels
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


@pytest.mark.parametrize("shape", [(3, 4), (1, 4), (2, 2), (4,)])
def test_boxes_that_do_not_pair_with_the_embeddings_are_refused(shape):
    network = build_sam(NARROW, 64)
    with pytest.raises(ValueError, match="2 embeddings"):
        network.decode(torch.rand(2, 32, 4, 4), torch.zeros(shape))


def test_no_class_channels_are_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        build_sam(NARROW, 64, out_channels=0)


def test_official_parameter_counts():
    """SAM ViT-B has 93.7 million parameters (Kirillov et al., 2023)."""
    with torch.device("meta"):
        assert round(sum(p.numel() for p in build_sam("vit_b", 1024, window_size=14).parameters()) / 1e6, 1) == 93.7
    assert set(ARCHITECTURES) == {"vit_ti", "vit_b", "vit_l", "vit_h"}
