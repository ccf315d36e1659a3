"""Consistency with an image blurred by any kernel and subsampled (CEM), exactly, for periodic images."""

from __future__ import annotations

import torch
from torch import Tensor

from stochrobust._arguments import check_count, check_finite, check_image, check_real, check_tensor, describe
from stochrobust.consistency.block_average import downscaled_shape
from stochrobust.consistency.projector import ProjectorModule


class CEMProjector(ProjectorModule):
    """The consistency-enforcing module: ``x_hat = x - H^T (H H^T)^+ (H x - y)``, with H = subsample after filtering.

    ``(H x)[i, j] = sum_uv kernel[u, v] x[s i + u - p, s j + v - q]``, indices modulo the image's size: **images are
    taken as periodic**, so H H^T is diagonal in the Fourier basis and its inverse exact. (Exact with other borders, for
    separable kernels: :class:`SeparableProjector`.) The kernel is centred on the s x s block it is sampled for, half a
    pixel before where that needs half a pixel: ``p = ceil((kh - s) / 2)``, ``q`` alike. The s x s averaging kernel so
    gives :class:`BlockAverageProjector`. Computed in float64.

    Args:
        kernel: (kh, kw) weights of the filter, correlated and not flipped; any size, also above the image's.
        scale: the subsampling factor s, at least 1; it divides the height and the width of x.
        rtol: frequencies of the degraded image that H scales by less than this share of its largest singular value
            count as lost: y cannot be imposed there, and x is left as it is. Smaller imposes more and magnifies the
            errors of y more. The default is just above what a float32 kernel resolves.

    Raises:
        TypeError, ValueError: kernel is no finite, non-zero matrix, scale no positive integer, or rtol not in [0, 1).

    Example:
        >>> import torch
        >>> taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64) / 8
        >>> projector = CEMProjector(torch.outer(taps, taps), 2)
        >>> x, y = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 4, 4)
        >>> torch.allclose(projector.D(projector.project(x, y)), y, atol=1e-6)
        True

    Source: Bahat and Michaeli, "Explorable Super Resolution", CVPR 2020, section 3.
    """

    kernel: Tensor

    def __init__(self, kernel: Tensor, scale: int, *, rtol: float = 1e-6) -> None:
        super().__init__()
        self.scale = check_count("scale", scale)
        self.rtol = check_tolerance(rtol)
        check_finite("kernel", check_tensor("kernel", kernel, ndim=2))
        if not bool(kernel.any()):
            raise ValueError(f"kernel must have a weight other than zero, got {describe(kernel)}")
        self.register_buffer("kernel", kernel.detach().double().clone(), persistent=False)

    def _degrade(self, x: Tensor) -> Tensor:
        size = (x.shape[-2], x.shape[-1])
        transfer = transfer_function(self.kernel, self.scale, size)
        sampled: Tensor = correlate(x, transfer)[..., :: self.scale, :: self.scale]
        return sampled

    def _lift(self, y: Tensor) -> Tensor:
        size = (y.shape[-2] * self.scale, y.shape[-1] * self.scale)
        transfer = transfer_function(self.kernel, self.scale, size)
        spectrum = transfer * inverse_gram(transfer, self.scale, self.rtol).tile(self.scale, self.scale)
        lifted = torch.fft.fft2(y).tile(1, 1, self.scale, self.scale) * spectrum
        image: Tensor = torch.fft.irfft2(half(lifted), s=size)
        return image

    def _degraded_shape(self, x: Tensor) -> torch.Size:
        return downscaled_shape(x, self.scale)

    def _check_degraded(self, y: Tensor) -> None:
        check_image("y", y)

    def extra_repr(self) -> str:
        """The kernel's size, the scale and the tolerance."""
        return f"kernel={tuple(self.kernel.shape)}, scale={self.scale}, rtol={self.rtol}"


def check_tolerance(rtol: float) -> float:
    """A share of the largest singular value."""
    if check_real("rtol", rtol, minimum=0.0) >= 1.0:
        raise ValueError(f"rtol must be less than 1, got {rtol!r}")
    return float(rtol)


def transfer_function(kernel: Tensor, scale: int, size: tuple[int, int]) -> Tensor:
    """(H, W) complex: the Fourier transform of the kernel laid, centred on the first block, on a periodic grid."""
    rows, columns = (
        (torch.arange(taps, device=kernel.device) - (taps - scale + 1) // 2) % period
        for taps, period in zip(kernel.shape, size, strict=True)
    )
    grid = kernel.new_zeros(size).index_put((rows[:, None], columns), kernel, accumulate=True)
    transfer: Tensor = torch.fft.fft2(grid)
    return transfer


def inverse_gram(transfer: Tensor, scale: int, rtol: float) -> Tensor:
    """(H / s, W / s): the eigenvalues of ``(H H^T)^+``; those of H H^T are the means of |transfer|^2 over aliases."""
    height, width = transfer.shape
    gram = transfer.abs().square().reshape(scale, height // scale, scale, width // scale).mean((0, 2))
    return torch.where(gram > rtol**2 * gram.max(), gram.reciprocal(), 0)


def correlate(x: Tensor, transfer: Tensor) -> Tensor:
    """The periodic cross-correlation of (..., H, W) images with a kernel."""
    image: Tensor = torch.fft.irfft2(torch.fft.rfft2(x) * half(transfer).conj(), s=transfer.shape)
    return image


def half(spectrum: Tensor) -> Tensor:
    """The half of a (..., H, W) spectrum that determines a real image."""
    return spectrum.narrow(-1, 0, spectrum.shape[-1] // 2 + 1)
