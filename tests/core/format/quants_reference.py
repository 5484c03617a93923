#!/usr/bin/env python3
"""Golden values for the block types of GGUF: data/quants.bin, read by test_dtype.c.

Written apart from core/format/dtype_*.c, after the layouts documented in gguf-py/gguf/quants.py, with whole-array
operations instead of loops over bits. The codebooks are data and are read from dtype_iq_tables.h; of those whose author
chose them so, every point has an even sum, which is checked here, as is that they ascend.

Each record: name (16 bytes, NUL-padded), elements and bytes of a block, number of blocks (u32), the blocks, float32 values.
"""
import os
import re
import struct

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join(HERE, "../../../core/format/dtype_iq_tables.h")
BLOCKS = 3


def codebook(name):
    text = open(HEADER).read()
    body = re.search(r"%s\[\d+\] = \{(.*?)\};" % name, text, re.S).group(1)
    packed = np.array([int(x, 16) for x in re.findall(r"0x[0-9a-f]{4}", body)], dtype=np.uint32)
    assert (np.diff(packed.astype(int)) > 0).all()
    bits, count = (4, 4) if "iq3" in name else (2, 8)
    points = packed[:, None] >> (bits * np.arange(count)) & (2 ** bits - 1)
    if name in ("grid_iq2_xxs", "grid_iq2_xs", "grid_iq2_s", "grid_iq3_xxs"):
        assert (points.sum(1) % 2 == 0).all()
    return points


def f16(block, at):
    return np.ascontiguousarray(block[:, at:at + 2]).view(np.float16).astype(np.float32)


def u16(block, at, n):
    return np.ascontiguousarray(block[:, at:at + 2 * n]).view(np.uint16).astype(np.uint32)


def u32(block, at, n):
    return np.ascontiguousarray(block[:, at:at + 4 * n]).view(np.uint32)


def nibbles(q):
    """Low halves of all bytes, then the high halves."""
    return np.concatenate([q & 15, q >> 4], axis=-1).astype(np.int32)


def unpack(q, width, run):
    """Runs of bytes; from each the lowest `width` bits of all its bytes, then the next, …"""
    q = q.reshape(len(q), -1, 1, run) >> (width * np.arange(8 // width)).reshape(1, 1, -1, 1)
    return (q & (2 ** width - 1)).reshape(len(q), -1).astype(np.int32)


def scaled(d, q, groups):
    """q in `groups` equal groups, each times its d."""
    return (d.reshape(len(q), groups, 1) * q.reshape(len(q), groups, -1).astype(np.float32)).reshape(len(q), -1)


def shifted(d, m, q, groups):
    y = d.reshape(len(q), groups, 1) * q.reshape(len(q), groups, -1).astype(np.float32)
    return (y + m.reshape(len(q), groups, 1)).reshape(len(q), -1)


def q4_0(b): return scaled(f16(b, 0), nibbles(b[:, 2:]) - 8, 1)
def q4_1(b): return shifted(f16(b, 0), f16(b, 2), nibbles(b[:, 4:]), 1)


def fifth(b, at):
    return (u32(b, at, 1) >> np.arange(32, dtype=np.uint32) & 1).astype(np.int32)


def q5_0(b): return scaled(f16(b, 0), (nibbles(b[:, 6:]) | fifth(b, 2) << 4) - 16, 1)
def q5_1(b): return shifted(f16(b, 0), f16(b, 2), nibbles(b[:, 8:]) | fifth(b, 4) << 4, 1)
def q8_0(b): return scaled(f16(b, 0), b[:, 2:].view(np.int8), 1)
def q8_1(b): return scaled(f16(b, 0), b[:, 4:].view(np.int8), 1)
def q1_0(b): return scaled(f16(b, 0), np.unpackbits(b[:, 2:], axis=1, bitorder="little").astype(int) * 2 - 1, 1)
def q2_0(b): return scaled(f16(b, 0), (b[:, 2:, None] >> np.array([0, 2, 4, 6]) & 3).reshape(len(b), -1).astype(int) - 1, 1)


def tq1_0(b):
    def digits(q, k):
        # the byte is the fraction x/243 rounded up to 256ths: digit i of x in base 3 from the top
        p = (q.astype(int)[:, None, :] * (3 ** np.arange(k)).reshape(1, k, 1)) % 256
        return (p * 3 // 256).reshape(len(q), -1)
    q = np.concatenate([digits(b[:, :32], 5), digits(b[:, 32:48], 5), digits(b[:, 48:52], 4)], axis=1)
    return scaled(f16(b, 52), q - 1, 1)


def tq2_0(b): return scaled(f16(b, 64), unpack(b[:, :64], 2, 32) - 1, 1)


E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], dtype=np.float32)


def mxfp4(b):
    return (E2M1[nibbles(b[:, 1:])].astype(np.float64) * 2.0 ** (b[:, :1].astype(int) - 127)).astype(np.float32) + np.float32(0)


def nvfp4(b):
    e, m = (b[:, :4].astype(int) >> 3) & 15, b[:, :4] & 7
    d = np.where(e == 0, m * 2.0 ** -9, (1 + m / 8) * 2.0 ** (e - 7)).astype(np.float32)
    d[b[:, :4] == 0x7f] = 0
    q = b[:, 4:].reshape(len(b), 4, 8)
    return (E2M1[nibbles(q)] * d[:, :, None]).reshape(len(b), -1) + np.float32(0)


def q2_k(b):
    s, q = b[:, :16], unpack(b[:, 16:80], 2, 32)
    return shifted(f16(b, 80) * (s & 15), -(f16(b, 82) * (s >> 4)), q, 16)


def q3_k(b):
    low = nibbles(b[:, 96:104])
    high = unpack(b[:, 104:108], 2, 4)
    q = unpack(b[:, 32:96], 2, 32) - 4 * (1 - unpack(b[:, :32], 1, 32))
    return scaled(f16(b, 108) * ((low | high << 4) - 32).astype(np.float32), q, 16)


def six_bits(s):
    a, c, e = s[:, 0:4].astype(int), s[:, 4:8].astype(int), s[:, 8:12].astype(int)
    scale = np.concatenate([a & 63, (e & 15) | (a >> 6) << 4], axis=1)
    minimum = np.concatenate([c & 63, (e >> 4) | (c >> 6) << 4], axis=1)
    return scale.astype(np.float32), minimum.astype(np.float32)


def q4_k(b):
    s, m = six_bits(b[:, 4:16])
    return shifted(f16(b, 0) * s, -(f16(b, 2) * m), unpack(b[:, 16:], 4, 32), 8)


def q5_k(b):
    s, m = six_bits(b[:, 4:16])
    q = unpack(b[:, 48:], 4, 32) | unpack(b[:, 16:48], 1, 32) << 4
    return shifted(f16(b, 0) * s, -(f16(b, 2) * m), q, 8)


def q6_k(b):
    q = (unpack(b[:, :128], 4, 64) | unpack(b[:, 128:192], 2, 32) << 4) - 32
    return scaled(f16(b, 208) * b[:, 192:208].view(np.int8).astype(np.float32), q, 16)


def q8_k(b): return scaled(np.ascontiguousarray(b[:, :4]).view(np.float32), b[:, 4:260].view(np.int8), 1)


def signs_of(bits, n):
    return 1 - 2 * (bits[..., None] >> np.arange(n, dtype=np.uint32) & 1).astype(np.int32)


def even(seven):
    parity = sum(seven >> k & 1 for k in range(7)) & 1
    return seven | parity << 7


IQ2 = np.array([8, 25, 43])


def iq2(name, index, signs, d):
    """d: one for each run of equal scales."""
    q = IQ2[codebook(name)[index]] * signs_of(signs, 8)
    return scaled(d, q.reshape(len(index), -1), d.shape[1])


def iq2_xxs(b):
    rest = u32(b, 2, 16).reshape(len(b), 8, 2)[:, :, 1]
    index = b[:, 2:].reshape(len(b), 8, 8)[:, :, :4].reshape(len(b), -1)
    seven = (rest[:, :, None] >> np.array([0, 7, 14, 21], dtype=np.uint32) & 127).reshape(len(b), -1)
    d = f16(b, 0) * (np.float32(0.5) + (rest >> 28).astype(np.float32)) * np.float32(0.25)
    return iq2("grid_iq2_xxs", index, even(seven), d)


def pairs(s):
    return np.stack([s & 15, s >> 4], axis=-1).reshape(len(s), -1)


def iq2_xs(b):
    q = u16(b, 2, 32)
    d = f16(b, 0) * (np.float32(0.5) + pairs(b[:, 66:]).astype(np.float32)) * np.float32(0.25)
    return iq2("grid_iq2_xs", q & 511, even(q >> 9), d)


def iq2_s(b):
    top = (b[:, 66:74, None] >> np.array([0, 2, 4, 6], dtype=np.uint8) & 3).reshape(len(b), -1).astype(int)
    d = f16(b, 0) * (np.float32(0.5) + pairs(b[:, 74:]).astype(np.float32)) * np.float32(0.25)
    return iq2("grid_iq2_s", b[:, 2:34].astype(int) | top << 8, b[:, 34:66].astype(np.uint32), d)


def iq3(name, levels, index, signs, d):
    q = np.array(levels)[codebook(name)[index]].reshape(len(index), -1, 8) * signs_of(signs, 8)
    return scaled(d, q.reshape(len(index), -1), 8)


def iq3_xxs(b):
    rest = u32(b, 66, 8)
    seven = (rest[:, :, None] >> np.array([0, 7, 14, 21], dtype=np.uint32) & 127).reshape(len(b), -1)
    d = f16(b, 0) * (np.float32(0.5) + (rest >> 28).astype(np.float32)) * np.float32(0.5)
    return iq3("grid_iq3_xxs", [4, 12, 20, 28, 36, 44, 52, 62], b[:, 2:66].astype(int), even(seven), d)


def iq3_s(b):
    top = np.unpackbits(b[:, 66:74], axis=1, bitorder="little").astype(int)
    d = f16(b, 0) * (1 + 2 * pairs(b[:, 106:]).astype(np.float32))
    return iq3("grid_iq3_s", [1, 3, 5, 7, 9, 11, 13, 15], b[:, 2:66].astype(int) | top << 8, b[:, 74:106].astype(np.uint32), d)


def iq1(index, delta, d):
    q = (codebook("grid_iq1")[index].astype(np.float32) - 1) + delta[..., None].astype(np.float32)
    return (d[..., None] * q).reshape(len(index), -1)


def iq1_s(b):
    high = u16(b, 34, 8)
    index = b[:, 2:34].astype(int) | (high[:, :, None] >> np.array([0, 3, 6, 9], dtype=np.uint32) & 7).reshape(len(b), -1).astype(int) << 8
    d = f16(b, 0) * (2 * (high >> 12 & 7) + 1).astype(np.float32)
    delta = np.where(high >> 15, -0.125, 0.125)
    return iq1(index, np.repeat(delta, 4, axis=1), np.repeat(d, 4, axis=1))


def iq1_m(b):
    s = u16(b, 48, 4)
    bits = (s[:, 0] >> 12 | (s[:, 1] >> 12) << 4 | (s[:, 2] >> 12) << 8 | (s[:, 3] >> 12) << 12).astype(np.uint16)
    three = (s[:, :, None] >> np.array([0, 3, 6, 9], dtype=np.uint32) & 7).reshape(len(b), -1)
    high = pairs(b[:, 32:48]).astype(int)
    d = bits.view(np.float16).astype(np.float32)[:, None] * (2 * three + 1).astype(np.float32)
    delta = np.where(high & 8, -0.125, 0.125)
    return iq1(b[:, :32].astype(int) | (high & 7) << 8, delta, np.repeat(d, 2, axis=1))


IQ4 = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])


def iq4_nl(b): return scaled(f16(b, 0), IQ4[nibbles(b[:, 2:])], 1)


def iq4_xs(b):
    high = u16(b, 2, 1) >> (2 * np.arange(8, dtype=np.uint32)) & 3
    s = (pairs(b[:, 4:8]).astype(int) | high.astype(int) << 4) - 32
    q = IQ4[nibbles(b[:, 8:].reshape(len(b), 8, 16))].reshape(len(b), -1)
    return scaled(f16(b, 0) * s.astype(np.float32), q, 8)


# elements, bytes, where the half-precision scales are
TYPES = {
    "Q4_0": (q4_0, 32, 18, [0]), "Q4_1": (q4_1, 32, 20, [0, 2]), "Q5_0": (q5_0, 32, 22, [0]),
    "Q5_1": (q5_1, 32, 24, [0, 2]), "Q8_0": (q8_0, 32, 34, [0]), "Q8_1": (q8_1, 32, 36, [0, 2]),
    "Q2_K": (q2_k, 256, 84, [80, 82]), "Q3_K": (q3_k, 256, 110, [108]), "Q4_K": (q4_k, 256, 144, [0, 2]),
    "Q5_K": (q5_k, 256, 176, [0, 2]), "Q6_K": (q6_k, 256, 210, [208]), "Q8_K": (q8_k, 256, 292, []),
    "IQ2_XXS": (iq2_xxs, 256, 66, [0]), "IQ2_XS": (iq2_xs, 256, 74, [0]), "IQ2_S": (iq2_s, 256, 82, [0]),
    "IQ3_XXS": (iq3_xxs, 256, 98, [0]), "IQ3_S": (iq3_s, 256, 110, [0]), "IQ1_S": (iq1_s, 256, 50, [0]),
    "IQ1_M": (iq1_m, 256, 56, []), "IQ4_NL": (iq4_nl, 32, 18, [0]), "IQ4_XS": (iq4_xs, 256, 136, [0]),
    "TQ1_0": (tq1_0, 256, 54, [52]), "TQ2_0": (tq2_0, 256, 66, [64]), "MXFP4": (mxfp4, 32, 17, []),
    "NVFP4": (nvfp4, 64, 36, []), "Q1_0": (q1_0, 128, 18, [0]), "Q2_0": (q2_0, 64, 18, [0]),
}


def blocks(rng, name, size, halves):
    b = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in halves:
        b[:, at:at + 2] = rng.normal(0, 0.05, BLOCKS).astype(np.float16).view(np.uint8).reshape(BLOCKS, 2)
    if name == "Q8_K":
        b[:, :4] = rng.normal(0, 0.05, BLOCKS).astype(np.float32).view(np.uint8).reshape(BLOCKS, 4)
    if name == "IQ1_M":     # an exponent that is not that of infinities
        b[:, 55] &= 0xbf
    if name == "MXFP4":     # subnormal, ordinary, large
        b[:, 0] = [1, 120, 250]
    if name == "NVFP4":     # a NaN, a subnormal, zero
        b[0, :3] = [0x7f, 3, 0]
    return b


def main():
    rng = np.random.default_rng(20260823)
    with open(os.path.join(HERE, "data/quants.bin"), "wb") as out:
        for name, (decode, elements, size, halves) in TYPES.items():
            b = blocks(rng, name, size, halves)
            y = np.asarray(decode(b), dtype=np.float32)
            assert y.shape == (BLOCKS, elements) and np.isfinite(y).all(), name
            out.write(name.encode().ljust(16, b"\0") + struct.pack("<III", elements, size, BLOCKS) + b.tobytes() + y.tobytes())


main()
