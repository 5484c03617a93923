#!/usr/bin/env python3
"""Small quantised safetensors, packed the way each project packs them, and their dequantised values: data/quantised/ and
data/quantised.tsv. Written from the projects' documentation in whole-array NumPy, apart from the C that reads them.

quantised.tsv: file, dtype, shape, xxh128 of the float32 values of a.weight, quantization, the model's config.
"""
import json
import os
import struct
import subprocess

import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
OUT = os.path.join(HERE, "quantised")
ROWS = []
rng = np.random.default_rng(1)
NAMES = {"float32": "F32", "float16": "F16", "int8": "I8", "uint8": "U8", "int32": "I32", "uint32": "U32", "int64": "I64"}
f32 = np.float32


def put(name, dtype, method, tensors, want, config=None, metadata=None):
    """want None: none of its tensors belong together"""
    tensors = dict(tensors, **{"a.bias": np.ones(3, f32)})
    header, offset, data = {"__metadata__": metadata} if metadata else {}, 0, b""
    for k, v in tensors.items():
        kind, a = v if isinstance(v, tuple) else (NAMES[v.dtype.name], v)
        raw = a.tobytes()
        header[k] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data += raw
    h = json.dumps(header).encode()
    h += b" " * (-len(h) % 8)
    with open(os.path.join(OUT, name + ".safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + data)
    if want is None:
        ROWS.append((name + ".safetensors", "-", "-", "-", "-", json.dumps(config) if config else "-"))
        return
    hash_ = subprocess.run(["xxhsum", "-H2"], input=want.astype("<f4").tobytes(), capture_output=True, check=True).stdout.split()[0].decode()
    ROWS.append((name + ".safetensors", dtype, "x".join(map(str, want.shape)), hash_, method, json.dumps(config) if config else "-"))


def bits_of(q, bits):
    """The last axis as a little-endian stream of bits, in words of 32."""
    b = ((q[..., None].astype(np.uint32) >> np.arange(bits, dtype=np.uint32)) & 1).reshape(q.shape[:-1] + (-1, 32))
    return (b.astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(-1).astype(np.uint32)


def bitsandbytes():
    nf4 = np.sort(rng.uniform(-1, 1, 16)).astype(f32)
    for name, shape in (("even", (32, 64)), ("odd", (7, 33))):
        n = shape[0] * shape[1]
        blocks = -(-n // 64)
        q = rng.integers(0, 16, n + n % 2).astype(np.uint8)
        packed = (q[0::2] << 4 | q[1::2]).reshape(-1, 1)
        inner, table = rng.integers(0, 256, blocks).astype(np.uint8), rng.standard_normal(256).astype(f32)
        outer = rng.random(-(-blocks // 16)).astype(f32)
        absmax = table[inner] * np.repeat(outer, 16)[:blocks] + f32(0.0421)
        state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": list(shape)}
        nested = dict(state, nested_blocksize=16, nested_dtype="float32", nested_offset=0.0421)

        def text(v):
            return np.frombuffer(json.dumps(v).encode(), np.uint8)
        put("nf4-nested-" + name, "BNB_NF4", "bnb-nf4", {
            "a.weight": packed, "a.weight.absmax": inner, "a.weight.nested_absmax": outer, "a.weight.nested_quant_map": table,
            "a.weight.quant_map": nf4, "a.weight.quant_state.bitsandbytes__nf4": text(nested)},
            (nf4[q[:n]] * np.repeat(absmax, 64)[:n]).reshape(shape))
        plain = rng.random(blocks).astype(f32)
        put("fp4-" + name, "BNB_FP4", "bnb-fp4", {
            "a.weight": packed, "a.weight.absmax": plain, "a.weight.quant_map": nf4,
            "a.weight.quant_state.bitsandbytes__fp4": text(dict(state, quant_type="fp4"))},
            (nf4[q[:n]] * np.repeat(plain, 64)[:n]).reshape(shape))
    q, scb = rng.integers(-127, 128, (24, 40)).astype(np.int8), rng.random(24).astype(f32)
    put("int8", "BNB_INT8", "bnb-int8", {"a.weight": q, "a.SCB": scb, "a.weight_format": np.zeros((), np.uint8)},
        q.astype(f32) * scb[:, None] * f32(7.874015718698502e-3))


def gptq():
    i, o, group = 64, 32, 32
    for bits in (2, 3, 4, 8):
        for act in (False, True):
            for version in (1, 2):
                q, z = rng.integers(0, 2 ** bits, (i, o)), rng.integers(1, 2 ** bits, (i // group, o))
                s, g = rng.random((i // group, o)).astype(np.float16), np.arange(i) // group
                if act:
                    g = rng.permutation(g)
                tensors = {"a.qweight": bits_of(q.T, bits).T.copy().view(np.int32),
                           "a.qzeros": bits_of(z if version == 2 else z - 1, bits).view(np.int32), "a.scales": s}
                if act:
                    tensors["a.g_idx"] = g.astype(np.int32)
                config = {"quantization_config": {"quant_method": "gptq", "bits": bits, "group_size": group, "checkpoint_format":
                                                  "gptq_v2" if version == 2 else "gptq"}}
                put("gptq-%d%s-v%d" % (bits, "-act" if act else "", version), "GPTQ", "gptq-%dbit" % bits, tensors,
                    ((q - z[g]).astype(f32) * s.astype(f32)[g]).T, config)


def awq():
    i, o, group = 64, 32, 32
    q, z = rng.integers(0, 16, (i, o)).astype(np.uint32), rng.integers(0, 16, (i // group, o)).astype(np.uint32)
    s, g = rng.random((i // group, o)).astype(np.float16), np.arange(i) // group

    def pack(a):
        words = a.reshape(a.shape[0], -1, 8)[:, :, [0, 2, 4, 6, 1, 3, 5, 7]]
        return (words << (np.arange(8, dtype=np.uint32) * 4)).sum(-1).astype(np.uint32).view(np.int32)
    put("awq", "AWQ", "awq-4bit", {"a.qweight": pack(q), "a.qzeros": pack(z), "a.scales": s},
        ((q.astype(int) - z.astype(int)[g]).astype(f32) * s.astype(f32)[g]).T, {"quantization_config": {"group_size": group}})


def compressed():
    o, i, group = 20, 96, 32
    for bits in (4, 8):
        low, per, g = 2 ** (bits - 1), 32 // bits, np.arange(i) // group
        q, s, z = rng.integers(-low, low, (o, i)), rng.random((o, i // group)).astype(f32), rng.integers(-low, low, (o, i // group))
        padded = np.concatenate([z + low, np.zeros((-o % per, i // group), int)])
        zeros = bits_of(np.concatenate([padded.T, np.zeros((i // group, -padded.shape[0] % 32), int)], 1), bits)[:, :-(-o // per)]
        base = {"a.weight_packed": bits_of(q + low, bits).view(np.int32), "a.weight_scale": s, "a.weight_shape": np.array([o, i])}
        method, dtype, p = "compressed-int%d" % bits, "CT_INT%d" % bits, rng.permutation(g)
        put("packed%d" % bits, dtype, method, base, q.astype(f32) * s[:, g])
        base["a.weight_zero_point"] = zeros.T.copy().view(np.int32)
        put("packed%d-zeros" % bits, dtype, method, base, (q - z[:, g]).astype(f32) * s[:, g])
        base["a.weight_g_idx"] = p.astype(np.int32)
        put("packed%d-zeros-index" % bits, dtype, method, base, (q - z[:, p]).astype(f32) * s[:, p])
    q, s = rng.integers(-127, 128, (20, 32)).astype(np.int8), rng.random((20, 1)).astype(f32)
    put("int8-rows", "CT_INT8", "compressed-int8", {"a.weight": q, "a.weight_scale": s}, q.astype(f32) * s)
    put("int8-whole", "CT_INT8", "compressed-int8", {"a.weight": q, "a.weight_scale": s[:1, 0].copy()}, q.astype(f32) * s[0, 0])


def fp8():
    b = rng.integers(0, 256, (150, 140)).astype(np.uint8)
    b[(b & 127) == 127] = 0
    sign, e, m = np.where(b & 128, -1, 1), (b.astype(int) >> 3) & 15, b & 7
    v = (sign * np.where(e == 0, m / 8 * 2.0 ** -6, (1 + m / 8) * 2.0 ** (e - 7.0))).astype(f32)
    s = rng.random((2, 2)).astype(f32)
    blocks = v * s[np.arange(150) // 128][:, np.arange(140) // 128]
    t = {"a.weight": ("F8_E4M3", b), "a.weight_scale_inv": s}
    put("fp8-blocks", "CT_FP8", "fp8", t, blocks, {"quantization_config": {"weight_block_size": [128, 128]}})
    put("fp8-blocks-unsaid", "CT_FP8", "fp8", t, blocks)
    rows = rng.random((150, 1)).astype(f32)
    put("fp8-rows", "CT_FP8", "fp8", {"a.weight": ("F8_E4M3", b), "a.weight_scale": rows, "a.input_scale": np.ones(1, f32)}, v * rows)
    put("fp8-whole", "CT_FP8", "fp8", {"a.weight": ("F8_E4M3", b), "a.weight_scale": np.array(0.5, f32)}, v * f32(0.5))


def mlx():
    group = 64
    g = np.arange(128) // group
    for bits in (2, 3, 4, 5, 6, 8):
        for lead in ((), (2,)):
            q = rng.integers(0, 2 ** bits, lead + (6, 128))
            s, b = rng.random(lead + (6, 2)).astype(np.float16), rng.standard_normal(lead + (6, 2)).astype(np.float16)
            put("mlx-%d%s" % (bits, "-experts" if lead else ""), "MLX", "mlx-%dbit" % bits,
                {"a.weight": bits_of(q, bits), "a.scales": s, "a.biases": b}, q.astype(f32) * s.astype(f32)[..., g] + b.astype(f32)[..., g],
                {"quantization": {"group_size": group, "bits": bits}})


def floats4():
    """MXFP4, NVFP4 and MXFP8 of every writer. e2m1 by its definition: sign, two bits of exponent with bias 1, one of mantissa."""
    code = np.arange(16)
    e, m = code >> 1 & 3, code & 1
    e2m1 = np.where(code & 8, -1, 1) * np.where(e == 0, m / 2, (1 + m / 2) * 2.0 ** (e - 1))
    e2m1[8] = -0.0
    byte = np.arange(256)
    e, m = byte >> 3 & 15, byte & 7
    e4m3 = np.where(byte & 128, -1, 1) * np.where(e == 0, m / 8 * 2.0 ** -6, (1 + m / 8) * 2.0 ** (e - 7.0))
    e2m1, e4m3 = e2m1.astype(f32), e4m3.astype(f32)

    def power(s):
        return np.ldexp(f32(1), s.astype(int) - 127).astype(f32)

    def nibbles(q):
        return (q[..., 0::2] | q[..., 1::2] << 4).astype(np.uint8)

    def words(b):
        return np.ascontiguousarray(b).view("<u4")
    experts, r, c = 3, 10, 96
    q, s = rng.integers(0, 16, (experts, r, c)), rng.integers(110, 135, (experts, r, c // 32)).astype(np.uint8)
    w = e2m1[q] * np.repeat(power(s), 32, -1)
    blocks = nibbles(q).reshape(experts, r, c // 32, 16)
    config = {"quantization_config": {"quant_method": "mxfp4"}}
    put("mxfp4-blocks", "CT_MXFP4", "mxfp4", {"a.weight_blocks": blocks, "a.weight_scales": s}, w, config)
    put("mxfp4-original", "CT_MXFP4", "mxfp4", {"a.weight.blocks": blocks, "a.weight.scales": s}, w)
    put("mxfp4-packed", "CT_MXFP4", "mxfp4", {"a.weight_packed": nibbles(q[0]), "a.weight_scale": s[0]}, w[0])
    put("mxfp4-mlx", "CT_MXFP4", "mxfp4", {"a.weight": words(nibbles(q)), "a.scales": s}, w, {"quantization": {"group_size": 32, "mode": "mxfp4"}})

    q, s = rng.integers(0, 16, (r, c)), rng.integers(0, 127, (r, c // 16)).astype(np.uint8)
    outer = f32(37.25)
    put("nvfp4-packed", "CT_NVFP4", "nvfp4", {
        "a.weight_packed": nibbles(q), "a.weight_scale": ("F8_E4M3", s), "a.weight_global_scale": np.array([outer]),
        "a.input_global_scale": np.ones(1, f32)}, e2m1[q] * np.repeat(e4m3[s] / outer, 16, -1))
    put("nvfp4-modelopt", "CT_NVFP4", "nvfp4", {
        "a.weight": nibbles(q), "a.weight_scale": ("F8_E4M3", s), "a.weight_scale_2": np.array(outer), "a.input_scale": np.ones((), f32)},
        e2m1[q] * np.repeat(e4m3[s] * outer, 16, -1))
    put("nvfp4-mlx", "CT_NVFP4", "nvfp4", {"a.weight": words(nibbles(q)), "a.scales": s}, e2m1[q] * np.repeat(e4m3[s], 16, -1))

    b = rng.integers(0, 256, (r, c)).astype(np.uint8)
    b[(b & 127) == 127] = 0
    s = rng.integers(110, 135, (r, c // 32)).astype(np.uint8)
    want = e4m3[b] * np.repeat(power(s), 32, -1)
    put("mxfp8", "CT_MXFP8", "mxfp8", {"a.weight": ("F8_E4M3", b), "a.weight_scale": s}, want)
    put("mxfp8-e8m0", "CT_MXFP8", "mxfp8", {"a.weight": ("F8_E4M3", b), "a.weight_scale": ("F8_E8M0", s)}, want)
    put("mxfp8-mlx", "CT_MXFP8", "mxfp8", {"a.weight": words(b), "a.scales": s}, want)
    put("fp8-comfy", "CT_FP8", "fp8", {"a.weight": ("F8_E4M3", b), "a.scale_weight": np.array(0.25, f32), "a.scale_input": np.ones((), f32),
                                        "scaled_fp8": ("F8_E4M3", np.zeros(2, np.uint8))}, e4m3[b] * f32(0.25))
    put("fp8-comfy-quant", "CT_FP8", "fp8", {"a.weight": ("F8_E4M3", b), "a.weight_scale": np.array(0.25, f32), "a.comfy_quant":
                                              np.frombuffer(b'{"format": "float8_e4m3fn"}', np.uint8)}, e4m3[b] * f32(0.25))


def alike():
    """What looks like one of these and is none, or is one with something beside it."""
    u8, r, c = np.uint8, 128, 128
    b, s4, q4 = rng.integers(0, 126, (r, c)).astype(u8), rng.integers(0, 126, (r, c // 16)).astype(u8), rng.integers(0, 256, (r, c // 2)).astype(u8)
    nv = {"a.weight": q4, "a.weight_scale": ("F8_E4M3", s4), "a.weight_scale_2": np.array(2, f32)}

    def says(**words):
        return np.frombuffer(json.dumps(words).encode(), u8)
    layers = {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": {"a": {"format": "nvfp4"}}})}
    put("not-comfy-nvfp4", "-", "-", dict(nv, **{"a.comfy_quant": says(format="nvfp4")}), None)
    put("not-comfy-nvfp4-metadata", "-", "-", nv, None, metadata=layers)
    put("not-comfy-mxfp8", "-", "-", {"a.weight": ("F8_E4M3", b), "a.weight_scale": b[:, :4].copy(), "a.comfy_quant": says(format="mxfp8")}, None)
    i8 = rng.integers(-127, 128, (r, c)).astype(np.int8)
    rows = rng.random((r, 1)).astype(f32)
    put("not-comfy-rotated", "-", "-", {"a.weight": i8, "a.weight_scale": rows, "a.comfy_quant": says(format="int8_tensorwise", convrot=True)}, None)
    put("comfy-int8", "CT_INT8", "compressed-int8", {"a.weight": i8, "a.weight_scale": rows, "a.comfy_quant": says(format="int8_tensorwise")},
        i8.astype(f32) * rows)
    blocks, scales = rng.integers(0, 256, (3, 4, 16)).astype(u8), rng.integers(100, 130, (3, 4)).astype(u8)
    put("not-taken", "-", "-", {"a.weight": np.ones((3, 128), f32), "a.weight_blocks": blocks, "a.weight_scales": scales}, None)
    put("not-twice", "-", "-", {"a.weight_blocks": blocks, "a.weight_scales": scales, "a.weight.blocks": blocks, "a.weight.scales": scales}, None)
    put("not-u8", "-", "-", {"a.weight_blocks": blocks, "a.weight_scales": scales.astype(f32)}, None)
    put("not-leading", "-", "-", {"a.weight": rng.integers(0, 2 ** 32, (2, 6, 12), np.uint32), "a.scales": rng.integers(0, 256, (3, 4, 3)).astype(u8)}, None)
    put("not-powers", "-", "-", {"a.weight": ("F8_E4M3", b[:4, :40].copy()), "a.weight_scale": s4[:4, :2].copy()}, None)
    x, e = rng.integers(0, 16, (10, 96)), rng.integers(0, 126, (10, 6)).astype(u8)
    code = np.arange(16)
    e2m1 = (np.where(code & 8, -1, 1) * np.where(code >> 1 & 3 == 0, (code & 1) / 2, (1 + (code & 1) / 2) * 2.0 ** ((code >> 1 & 3) - 1))).astype(f32)
    e2m1[[0, 1, 8, 9]] = 0, 0.5, -0.0, -0.5
    e4m3 = np.where(e >> 3 == 0, (e & 7) / 8 * 2.0 ** -6, (1 + (e & 7) / 8) * 2.0 ** ((e >> 3) - 7.0)).astype(f32)
    put("nvfp4-zeros", "CT_NVFP4", "nvfp4", {
        "a.weight_packed": (x[:, 0::2] | x[:, 1::2] << 4).astype(u8), "a.weight_scale": ("F8_E4M3", e), "a.weight_global_scale": np.ones(1, f32),
        "a.weight_zero_point": ("F8_E4M3", np.zeros_like(e))}, e2m1[x] * np.repeat(e4m3, 16, -1))
    # blocks of 128 that begin anew with each expert
    w = rng.integers(-127, 128, (2, 192, 32)).astype(np.int8)
    s = rng.random((2, 2, 1)).astype(f32)
    put("experts-blocks", "CT_INT8", "compressed-int8", {"a.weight": w, "a.weight_scale": s}, w.astype(f32) * s[:, np.arange(192) // 128])
    each = rng.random(2).astype(f32)
    put("experts-each", "CT_INT8", "compressed-int8", {"a.weight": w[:, :120].copy(), "a.weight_scale": each},
        w[:, :120].astype(f32) * each[:, None, None])


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    for make in (bitsandbytes, gptq, awq, compressed, fp8, mlx, floats4, alike):
        make()
    with open(os.path.join(HERE, "quantised.tsv"), "w") as f:
        f.write("file\tdtype\tshape\txxh128\tquantization\tconfig\n")
        for row in ROWS:
            f.write("\t".join(row) + "\n")
