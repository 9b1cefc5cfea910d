import torch
from torch.nn import functional as F

from vilaco.method.native_decoder import NativeDecoder, NativeDecoderConfig
from vilaco.method.residuals import ResidualConfig


def test_joining_on_the_coarse_grids_is_joining_what_was_stretched() -> None:
    torch.manual_seed(0)
    decoder = NativeDecoder(2, 16, 8, ResidualConfig(), NativeDecoderConfig())
    shallow = torch.randn(1, 96, 11, 7)
    coarse, matches = [torch.randn(1, 50, 3, 3), torch.randn(1, 128, 6, 4)], torch.randn(1, 8, 11, 7)
    stretched = [F.interpolate(part, size=(11, 7), mode="bilinear", align_corners=False) for part in coarse]
    expected = decoder.join(torch.cat([shallow, *stretched, matches], dim=1))
    torch.testing.assert_close(decoder._joined(shallow, coarse, matches), expected, atol=1e-5, rtol=1e-5)
