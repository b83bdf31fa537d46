"""SAM's ViT image encoder with fused attention and gradient checkpointing."""

from __future__ import annotations

import torch
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .modeling import Attention, ImageEncoderViT, get_rel_pos


class RelativeAttention(Attention):
    """SAM's attention with decomposed relative positions, in torch's fused kernels.

    The position bias of query (y, x) and key (y', x') is q · R_h[y - y'] + q · R_w[x - x']: a dot product of H + W more
    channels, if the key carries its row and its column one-hot. So nothing of size H·W x H·W is ever held, which SAM's
    own form holds several times.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend over all tokens: B x H x W x C -> B x H x W x C."""
        # SAM's own form is the faster one where kernels are not fused (runtimes) and in backward passes on the CPU
        trains_on_cpu = torch.is_grad_enabled() and x.device.type == "cpu"
        if trains_on_cpu or torch.compiler.is_exporting() or torch.jit.is_tracing() or not self.use_rel_pos:
            return super().forward(x)
        return self.fused(x)

    def fused(self, x: torch.Tensor) -> torch.Tensor:
        """The same in `scaled_dot_product_attention`."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).reshape(batch, height * width, 3, self.num_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # B x heads x HW x c
        grid = q.unflatten(2, (height, width))
        rows = get_rel_pos(height, height, self.rel_pos_h).to(q.dtype)
        columns = get_rel_pos(width, width, self.rel_pos_w).to(q.dtype)
        rows = torch.einsum("bnhwc,hkc->bnhwk", grid, rows).flatten(2, 3)
        columns = torch.einsum("bnhwc,wkc->bnhwk", grid, columns).flatten(2, 3)
        places = torch.cat(
            [
                torch.eye(height, dtype=k.dtype, device=k.device).repeat_interleave(width, 0),
                torch.eye(width, dtype=k.dtype, device=k.device).repeat(height, 1),
            ],
            dim=1,
        )
        q = torch.cat([q * self.scale, rows, columns], dim=-1)
        k = torch.cat([k, places.expand(*k.shape[:2], -1, -1)], dim=-1)
        channels = v.shape[-1]
        v = F.pad(v, (0, q.shape[-1] - channels))  # the fused kernels take one width for all three
        x = F.scaled_dot_product_attention(q, k, v, scale=1.0)[..., :channels]
        return self.proj(x.transpose(1, 2).reshape(batch, height, width, -1))


class ImageEncoder(ImageEncoderViT):
    """`ImageEncoderViT` with fused attention, that can trade compute for memory.

    Args:
        gradient_checkpointing: recompute each block's activations in the backward pass instead of keeping them.
        kwargs: arguments of `segment_anything.modeling.ImageEncoderViT`.
    """

    def __init__(self, gradient_checkpointing: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.gradient_checkpointing = gradient_checkpointing
        for block in self.blocks:
            block.attn.__class__ = (
                RelativeAttention  # SAM's blocks build their attention; its parameters stay as they are
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Embed images: B x 3 x H x W -> B x out_chans x H/patch x W/patch."""
        x = self.patch_embed(x)
        if self.pos_embed is not None:
            x = x + self.pos_embed
        for block in self.blocks:
            if self.gradient_checkpointing and self.training and torch.is_grad_enabled():
                x = checkpoint(block, x, use_reentrant=False)
            else:
                x = block(x)
        return self.neck(x.permute(0, 3, 1, 2))
