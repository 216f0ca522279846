"""The Triton programs of deform_kernel.py: a deformable convolution, and its gradients.

Names in them: m are positions of the output, counted through all images of the batch; c channels of the map, n of the
output. `size` is batch, height and width of the map, height and width of the output. `steps` are the strides of offsets
and of masks: from image to image, from channel to channel, from place to place. Maps are channels-last, and lie `pitch`
apart; `outputs` are the channels of the output. Arguments have no annotations, which would mean something to Triton.
"""
# ruff: noqa: ANN001, ANN201
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls, allow-untyped-decorators

import triton
import triton.language as tl

# Triton compiles a program anew for numbers that 16 divides, or that are 1. What changes with the batch and the level
# is no reason for that.
CHANGING = ["batch", "height", "width", "rows", "columns", "o_image", "o_tap", "o_place", "m_image", "m_tap", "m_place"]
CHANGING += ["stride", "share_size"]


@triton.jit
def read_tap(offset, mask, tap, m, size, steps, stride):
    """Where a tap samples: image (-1: no such position), pixel above and left of the point, how far down and right of
    that the point lies, mask, and whether the point moves with its offset, down and right."""
    batch, height, width, rows, columns = size
    inside = m < batch * rows * columns
    image, place = m // (rows * columns), m % (rows * columns)
    at = offset + image.to(tl.int64) * steps[0] + 2 * tap * steps[1] + place * steps[2]
    y = tl.load(at, inside, 0.0).to(tl.float32) + (place // columns * stride - 1 + tap // 3)
    x = tl.load(at + steps[1], inside, 0.0).to(tl.float32) + (place % columns * stride - 1 + tap % 3)
    at = mask + image.to(tl.int64) * steps[3] + tap * steps[4] + place * steps[5]
    share = tl.load(at, inside, 0.0).to(tl.float32)
    moves_y, moves_x = (y >= -2) & (y <= height), (x >= -2) & (x <= width)
    y, x = on_border(y, height), on_border(x, width)
    top, left = tl.floor(y), tl.floor(x)
    return tl.where(inside, image, -1), whole(top), whole(left), y - top, x - left, share, moves_y, moves_x


@triton.jit
def on_border(place, size):
    """Places further out than the border of zeros are drawn onto it; NaN stays NaN."""
    return tl.where(place < -2, -2.0, tl.where(place > size, size + 0.0, place))


@triton.jit
def whole(place):
    return tl.where(place == place, place, 0.0).to(tl.int32)


@triton.jit
def nearness(far, second: tl.constexpr):
    """Bilinear weight, along one side, of the second of two neighbours at a distance `far` from the first, or of the
    first."""
    return far if second else 1.0 - far


@triton.jit
def pixel_at(image, y, x, size, channels, pitch):
    """Where the channels of a pixel begin in maps that lie `pitch` apart, and whether there is such a pixel."""
    inside = (image >= 0) & (y >= 0) & (y < size[1]) & (x >= 0) & (x < size[2])
    return image.to(tl.int64) * pitch + (y * size[2] + x) * channels, inside


@triton.jit
def read_pixels(x, start, inside, c, channels):
    """(m, c) in fp32, zero outside of the map."""
    at = x + start[:, None] + c[None, :]
    return tl.load(at, inside[:, None] & (c < channels)[None, :], 0.0).to(tl.float32)


@triton.jit
def read_samples(x, image, top, left, down, right, share, c, channels, size, pitch):
    """(m, c) in fp32: the bilinear samples, times the mask."""
    total = tl.zeros((image.shape[0], c.shape[0]), tl.float32)
    for corner in tl.static_range(4):
        start, inside = pixel_at(image, top + corner // 2, left + corner % 2, size, channels, pitch)
        weight = share * nearness(down, corner // 2 == 1) * nearness(right, corner % 2 == 1)
        total += read_pixels(x, start, inside, c, channels) * weight[:, None]
    return total


@triton.jit
def read_tile(matrix, row, column, rows, columns, pitch):
    """(row, column) of a matrix whose rows lie `pitch` apart, zero outside."""
    at = matrix + row.to(tl.int64)[:, None] * pitch + column[None, :]
    return tl.load(at, (row < rows)[:, None] & (column < columns)[None, :], 0.0)


@triton.jit(do_not_specialize=CHANGING[:-1])
def forward_program(
    x, offset, mask, kernel, bias, out, batch, height, width, rows, columns, o_image, o_tap, o_place, m_image, m_tap,
    m_place, stride, pitch, channels, outputs, M: tl.constexpr, C: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """out (positions, outputs)."""
    size, steps = (batch, height, width, rows, columns), (o_image, o_tap, o_place, m_image, m_tap, m_place)
    m = tl.program_id(0) * M + tl.arange(0, M)
    n = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((M, N), tl.float32)
    for tap in range(9):
        image, top, left, down, right, share, _, _ = read_tap(offset, mask, tap, m, size, steps, stride)
        for first in range(0, channels, C):
            c = first + tl.arange(0, C)
            samples = read_samples(x, image, top, left, down, right, share, c, channels, size, pitch)
            weights = read_tile(kernel + tap * channels, n, c, outputs, channels, 9 * channels)  # (N, C)
            total = tl.dot(samples.to(weights.dtype), tl.trans(weights), total, input_precision="ieee")
    total += tl.load(bias + n, n < outputs, 0.0).to(tl.float32)[None, :]
    at = out + m.to(tl.int64)[:, None] * outputs + n[None, :]
    inside = (m < batch * rows * columns)[:, None] & (n < outputs)[None, :]
    tl.store(at, total.to(out.dtype.element_ty), inside)


@triton.jit(do_not_specialize=CHANGING[:-1])
def data_gradient_program(
    x, offset, mask, kernel, grad, grad_x, grad_offset, grad_mask, batch, height, width, rows, columns, o_image, o_tap,
    o_place, m_image, m_tap, m_place, stride, pitch, channels, outputs,
    M: tl.constexpr, C: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """grad_x (B, H, W, C), added up by atomics; grad_offset (positions, 18), grad_mask (positions, 9). One tap each."""
    size, steps = (batch, height, width, rows, columns), (o_image, o_tap, o_place, m_image, m_tap, m_place)
    positions = batch * rows * columns
    m = tl.program_id(0) * M + tl.arange(0, M)
    tap = tl.program_id(1)
    image, top, left, down, right, share, moves_y, moves_x = read_tap(offset, mask, tap, m, size, steps, stride)
    of_y, of_x, of_share = tl.zeros((M,), tl.float32), tl.zeros((M,), tl.float32), tl.zeros((M,), tl.float32)
    for first in range(0, channels, C):
        c = first + tl.arange(0, C)
        of_samples = tl.zeros((M, C), tl.float32)
        for start in range(0, outputs, N):
            n = start + tl.arange(0, N)
            given = read_tile(grad, m, n, positions, outputs, outputs)  # (M, N)
            weights = read_tile(kernel + tap * channels, n, c, outputs, channels, 9 * channels)  # (N, C)
            of_samples = tl.dot(given, weights, of_samples, input_precision="ieee")
        for corner in tl.static_range(4):
            y, z = top + corner // 2, left + corner % 2
            near_y, near_x = nearness(down, corner // 2 == 1), nearness(right, corner % 2 == 1)
            begin, inside = pixel_at(image, y, z, size, channels, pitch)
            of_weight = tl.sum(of_samples * read_pixels(x, begin, inside, c, channels), 1)
            of_share += of_weight * near_y * near_x
            of_y += of_weight * share * near_x * (2 * (corner // 2) - 1)
            of_x += of_weight * share * near_y * (2 * (corner % 2) - 1)
            begin, inside = pixel_at(image, y, z, size, channels, height.to(tl.int64) * width * channels)
            at, known = grad_x + begin[:, None] + c[None, :], inside[:, None] & (c < channels)[None, :]
            tl.atomic_add(at, of_samples * (share * near_y * near_x)[:, None], known, sem="relaxed")
    tl.store(grad_offset + m * 18 + 2 * tap, tl.where(moves_y, of_y, 0.0), m < positions)
    tl.store(grad_offset + m * 18 + 2 * tap + 1, tl.where(moves_x, of_x, 0.0), m < positions)
    tl.store(grad_mask + m * 9 + tap, of_share, m < positions)


@triton.jit(do_not_specialize=CHANGING)
def weight_gradient_program(
    x, offset, mask, grad, parts, batch, height, width, rows, columns, o_image, o_tap, o_place, m_image, m_tap, m_place,
    stride, pitch, channels, outputs, share_size, M: tl.constexpr, C: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """parts (splits, outputs, 9 * channels): the gradient of the weights over each share of the positions."""
    size, steps = (batch, height, width, rows, columns), (o_image, o_tap, o_place, m_image, m_tap, m_place)
    blocks = tl.cdiv(channels, C)
    tap, split = tl.program_id(0) // blocks, tl.program_id(2)
    c = tl.program_id(0) % blocks * C + tl.arange(0, C)
    n = tl.program_id(1) * N + tl.arange(0, N)
    total = tl.zeros((N, C), tl.float32)
    for start in range(split * share_size, (split + 1) * share_size, M):
        m = start + tl.arange(0, M)
        image, top, left, down, right, share, _, _ = read_tap(offset, mask, tap, m, size, steps, stride)
        samples = read_samples(x, image, top, left, down, right, share, c, channels, size, pitch)
        given = read_tile(grad, m, n, batch * rows * columns, outputs, outputs)  # (M, N)
        total = tl.dot(tl.trans(given), samples.to(given.dtype), total, input_precision="ieee")
    at = parts + (split * outputs + n).to(tl.int64)[:, None] * 9 * channels + (tap * channels + c)[None, :]
    tl.store(at, total, (n < outputs)[:, None] & (c < channels)[None, :])
