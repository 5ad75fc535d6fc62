"""Vision transformers."""

from torch import Tensor, nn


class EncoderBlock(nn.Module):
    """A transformer layer, normalised before attention and before the two linear layers (Dosovitskiy et al. 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.before(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.after(x))


class VisionTransformer(nn.Module):
    """A small ViT (Dosovitskiy et al. 2021): patches of `side` pixels, six layers, the mean of the tokens classified.

    Positions come from a depthwise convolution (Chu et al. 2021), so that images may have any size.
    """

    def __init__(self, channels: int, n_classes: int, side: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, 192, side, side)
        self.position = nn.Conv2d(192, 192, 3, 1, 1, groups=192)
        self.layers = nn.Sequential(*(EncoderBlock(192, 3) for _ in range(6)))
        self.norm, self.head = nn.LayerNorm(192), nn.Linear(192, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        x = (x + self.position(x)).flatten(2).mT  # (N, patches, 192)
        return self.head(self.norm(self.layers(x)).mean(1))
