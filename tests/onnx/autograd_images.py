"""Cases of tests/onnx/autograd: regions, grids and columns of images, and what moves elements of them."""
import numpy as np
import torch
import torch.nn.functional as F
from torchvision import ops as vision

from autograd_case import case


@case
def deformed_convolution(m, rng):
    x, tx = m.input(rng.standard_normal((2, 4, 6, 5)))
    w, tw = m.input(rng.standard_normal((4, 2, 3, 2)))
    # two groups of offsets, for 5x4 places of 3x2 taps; points beyond the border too
    o, to = m.input(rng.uniform(-1.6, 1.6, (2, 2 * 2 * 6, 3, 6)))
    b, tb = m.input(rng.standard_normal(4))
    k, tk = m.input(rng.uniform(0.2, 1, (2, 2 * 6, 3, 6)))
    m.output(m.node("DeformConv", [x, w, o, b, k], group=2, offset_group=2, strides=[2, 1], pads=[1, 1, 1, 1], kernel_shape=[3, 2]),
             vision.deform_conv2d(tx, to, tw, tb, stride=(2, 1), padding=(1, 1), mask=tk))
    m.output(m.node("DeformConv", [x, w, o], group=2, offset_group=2, strides=[2, 1], pads=[1, 1, 1, 1], kernel_shape=[3, 2]),
             vision.deform_conv2d(tx, to, tw, stride=(2, 1), padding=(1, 1)))


@case
def regions(m, rng):
    x, t = m.input(rng.standard_normal((2, 3, 8, 9)))
    rois = np.array([[0.5, 1.2, 6.3, 7.9], [2.0, 0.3, 5.1, 4.4], [1.7, 2.2, 8.8, 6.1]])
    images = np.array([1, 0, 1])
    boxes = torch.tensor(np.concatenate([images[:, None], rois], 1))
    inputs = [x, m.constant(rois), m.constant(images)]
    size = {"output_height": 2, "output_width": 3}
    for pixels, aligned in (("half_pixel", True), ("output_half_pixel", False)):
        for samples in (2, 0):
            m.output(m.node("RoiAlign", inputs, coordinate_transformation_mode=pixels, sampling_ratio=samples, spatial_scale=0.8, **size),
                     vision.roi_align(t, boxes, (2, 3), 0.8, samples or -1, aligned))
    m.output(m.node("MaxRoiPool", [x, m.constant(np.array(boxes))], pooled_shape=[2, 3], spatial_scale=0.8),
             vision.roi_pool(t, boxes, (2, 3), 0.8))


@case
def affine_grids(m, rng):
    flat, tflat = m.input(rng.standard_normal((2, 2, 3)))
    deep, tdeep = m.input(rng.standard_normal((1, 3, 4)))
    for corners in (0, 1):
        m.output(m.node("AffineGrid", [flat, m.constant(np.array([2, 3, 4, 5]))], align_corners=corners),
                 F.affine_grid(tflat, [2, 3, 4, 5], bool(corners)))
        m.output(m.node("AffineGrid", [deep, m.constant(np.array([1, 2, 3, 4, 5]))], align_corners=corners),
                 F.affine_grid(tdeep, [1, 2, 3, 4, 5], bool(corners)))


@case
def columns(m, rng):
    # taps of 2x3, three elements wide with gaps: 3x2 places in an image of 5x6 with a border of one, strides of two
    x, t = m.input(rng.standard_normal((2, 3 * 6, 6)))
    inputs = [x, m.constant(np.array([5, 6])), m.constant(np.array([2, 3]))]
    m.output(m.node("Col2Im", inputs, dilations=[1, 2], pads=[1, 1, 1, 1], strides=[2, 2]),
             F.fold(t, (5, 6), (2, 3), (1, 2), 1, 2))


@case
def resampling_more(m, rng):
    x, t = m.input(rng.standard_normal((1, 2, 6, 8)))
    smaller = m.constant(np.array([1, 2, 4, 3]))
    for mode, other, more in (("linear", "bilinear", {}), ("cubic", "bicubic", {"cubic_coeff_a": -0.5})):
        m.output(m.node("Resize", [x, "", "", smaller], mode=mode, antialias=1, exclude_outside=1, **more),
                 F.interpolate(t, (4, 3), mode=other, antialias=True))
    y, ty = m.input(rng.standard_normal((1, 2, 3, 4, 3)))
    m.output(m.node("Resize", [y, "", "", m.constant(np.array([1, 2, 5, 3, 4]))], mode="linear"),
             F.interpolate(ty, (5, 3, 4), mode="trilinear"))
    g, tg = m.input(rng.uniform(-1.2, 1.2, (1, 2, 2, 2, 3)))
    for mode, other in (("linear", "bilinear"), ("nearest", "nearest")):
        m.output(m.node("GridSample", [y, g], mode=mode, padding_mode="zeros"), F.grid_sample(ty, tg, other, "zeros", False))


def linear_weights(n, scale):
    """[n scale, n]: ONNX's Upsample looks at output / scale, up to the last element."""
    weights = torch.zeros(int(n * scale), n, dtype=torch.double)
    for i in range(len(weights)):
        at = min(i / scale, n - 1)
        low = int(at)
        weights[i, low] += 1 - (at - low)
        weights[i, min(low + 1, n - 1)] += at - low
    return weights


@case
def upsampling(m, rng):
    m.opset = 9
    x, t = m.input(rng.standard_normal((1, 2, 3, 4)))
    scales = m.constant([1, 1, 2, 3], np.float32)
    m.output(m.node("Upsample", [x, scales], mode="nearest"), F.interpolate(t, scale_factor=(2, 3), mode="nearest"))
    m.output(m.node("Upsample", [x, scales], mode="linear"), linear_weights(3, 2) @ t @ linear_weights(4, 3).T)


@case
def depth_and_space(m, rng):
    x, t = m.input(rng.standard_normal((2, 3, 4, 6)))
    # ONNX: the channel is the last digit of the new one, PyTorch's pixel_unshuffle has it first
    m.output(m.node("SpaceToDepth", [x], blocksize=2), t.reshape(2, 3, 2, 2, 3, 2).permute(0, 3, 5, 1, 2, 4).reshape(2, 12, 2, 3))
    y, ty = m.input(rng.standard_normal((1, 8, 2, 3)))
    m.output(m.node("DepthToSpace", [y], blocksize=2, mode="DCR"),
             ty.reshape(1, 2, 2, 2, 2, 3).permute(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6))


@case
def cropping(m, rng):
    x, t = m.input(rng.standard_normal((2, 5, 4)))
    # five to three: one off each side; four to seven: one before, two behind
    m.output(m.node("CenterCropPad", [x, m.constant(np.array([3, 7]))], axes=[1, 2]), F.pad(t[:, 1:4], (1, 2)))
    m.output(m.node("CenterCropPad", [x, m.constant(np.array([1, 8, 4]))]), F.pad(t[:1], (0, 0, 1, 2)))


@case
def norms_of_images(m, rng):
    x, t = m.input(rng.uniform(0.5, 2, (2, 3, 4, 5)))
    for p in (1, 2, 3):
        m.output(m.node("GlobalLpPool", [x], p=p), t.norm(p, dim=(2, 3), keepdim=True))
    centred = t - t.mean((0, 2, 3), keepdim=True)
    m.output(m.node("MeanVarianceNormalization", [x]), centred / ((centred * centred).mean((0, 2, 3), keepdim=True).sqrt() + 1e-9))


@case
def group_norm(m, rng):
    m.opset = 21
    x, t = m.input(rng.standard_normal((2, 6, 4)))
    s, ts = m.input(rng.uniform(0.5, 1.5, 6))
    b, tb = m.input(rng.standard_normal(6))
    m.output(m.node("GroupNormalization", [x, s, b], num_groups=3, epsilon=1e-3), F.group_norm(t, 3, ts, tb, 1e-3))


@case
def group_norm_by_groups(m, rng):
    m.opset = 18  # then scale and bias were those of groups
    x, t = m.input(rng.standard_normal((2, 6, 4)))
    s, ts = m.input(rng.uniform(0.5, 1.5, 3))
    b, tb = m.input(rng.standard_normal(3))
    each = ts.repeat_interleave(2), tb.repeat_interleave(2)
    m.output(m.node("GroupNormalization", [x, s, b], num_groups=3, epsilon=1e-3), F.group_norm(t, 3, *each, 1e-3))


@case
def root_mean_square_norm(m, rng):
    m.opset = 23
    x, t = m.input(rng.standard_normal((2, 3, 4)))
    s, ts = m.input(rng.uniform(0.5, 1.5, (3, 4)))
    m.output(m.node("RMSNormalization", [x, s], axis=1, epsilon=1e-3), F.rms_norm(t, (3, 4), ts, 1e-3))


@case
def batch_norm_training(m, rng):
    x, tx = m.input(rng.standard_normal((3, 2, 4)))
    s, ts = m.input(rng.uniform(0.5, 1.5, 2))
    b, tb = m.input(rng.standard_normal(2))
    mean, var = m.constant(rng.standard_normal(2)), m.constant(rng.uniform(0.5, 2, 2))
    y, _, _ = m.node("BatchNormalization", [x, s, b, mean, var], 3, training_mode=1, epsilon=1e-3)
    m.output(y, F.batch_norm(tx, None, None, ts, tb, True, eps=1e-3))
