"""When a number of an audit is large or small: the thresholds with their reasons."""

from __future__ import annotations

import math

PROJECTOR_PSNR = 20 * math.log10(255 * math.sqrt(12))
"""58.9 dB: what rounding to 8 bits leaves. A projector in float32 is above 100 dB, one in half precision about 66."""
FAR_OUTSIDE = 0.1
"""Of the width of the range: pixels that lie beyond its ends by more are counted. Overshoot of edges is less."""
MOSTLY_OUTSIDE, SOME_OUTSIDE = 0.5, 0.1
"""Shares of such pixels: an error, and a doubt."""
CONSISTENT_PSNR = 45.0
"""What the NTIRE 2021 challenge on the space of super-resolutions asked of a consistent restoration."""
AS_GOOD_AS_DATA = 1.0
"""dB below the PSNR of D(x) and y, the data's own: a quarter more error. A posterior sampler has what x has."""
NOISE_TOO_MUCH, NOISE_LEFT, NOISE_KEPT = 1.25, 0.8, 0.05
"""Of the mean square of y - D(x_hat) in units of the noise, which is 1 for sources: a sigma wrong by an eighth, or a
tenth, gives the first two; where 0.05 is left, 95 % of the noise's energy is in the outputs."""
LARGE_AMPLIFICATION = 2.0
"""6 dB. What is consistent passes delta on, by 1 or a little more; the demo's robust GANs have 1.7 and 2.8, its erratic
ones 15 and 16."""
STEEP = 3.0
"""Times the amplification of a linear restorer of the same pairs."""
STEEP_SHARE = 0.015
"""One of the 64 inputs that are attacked by default."""
ONE_INPUT = 0.5
"""By this share spread over error of one input may be low by chance, and by as much over the root of n of n inputs."""
ENOUGH_PAIRS = 200
"""From fewer the linear restorer is too far below the right one for a word against a steep restorer."""
UNEVEN_GAP, UNEVEN_P = 0.1, 1e-3
"""Ranks are uneven if the gap of coverage is above the one and its probability below the other."""
WRONG_GAP = 0.3
"""Variety that covers x no better is not that of the posterior. The demo's robust stochastic GAN has 0.25."""
LARGE_SHORTFALL = 0.2
"""A fifth of the outputs look less real than real images do."""
FRECHET_EXCESS = 1.5
"""Times the conditional Fréchet distance of outputs among each other, beyond its 3 standard deviations."""
LARGE_CHANGE = 0.5
"""Half. Two draws of the posterior differ by as much as one draw errs: an output that an unseen change moves by half of
its error hangs on that change. The demo's robust GANs have 0.26 and 0.35, its erratic ones 2.0."""
SMALL_SPREAD = 1 / 3
"""Samples of the posterior have 1, however ill-posed the problem; at 1/3 nine tenths of their variance are missing. The
demo's robust stochastic GAN has 0.96, its erratic one 0.04."""
UNDERDISPERSED, OVERDISPERSED = 0.8, 1.25
"""At 0.8 a third of the posterior's variance is missing; at 1.25 there is half too much."""
LOW_RECALL = 0.5
"""Half. Real images of another draw have 0.9 and more; the demo's robust deterministic GAN has 0.02 and its other three
0.7 to 0.9; the exact mean of a posterior that leaves three tenths of the variance open has 0.4 (a test)."""
VISIBLE_PSNR = 20.0
"""Noise of a tenth of the range, which anybody sees. The paper's attacks have 33 to 35 dB."""
WEAK_BY = 1.0
"""dB by which something else must beat the strong attack: more than new seeds change (under 0.3 on 64 inputs)."""
