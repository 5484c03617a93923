#!/usr/bin/env python3
"""Small good files of the formats that other programs write, and what is in them: data/archives/ and data/archives.tsv.

Written by the programs themselves where Debian has them (numpy, torch, onnx, h5py, msgpack), else packed here the way their
own code does it. The expected values are NumPy's: tests read them, nothing here is tarn. Run it again only to change it.

archives.tsv: file, tensor, dtype, shape, xxh128 of the values as little-endian float32. A file of which only the first
tensors are listed does not exist: the number of rows is the number of tensors.
"""
import io
import json
import os
import pickle
import struct
import subprocess
import zipfile
from collections import OrderedDict

import h5py
import msgpack
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data")
OUT = os.path.join(HERE, "archives")
ROWS = []
rng = np.random.default_rng(7)
NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8",
         "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "bool": "BOOL"}
TORCH = {torch.bfloat16: "BF16"}


def path(name):
    return os.path.join(OUT, name)


def xxh(data):
    return subprocess.run(["xxhsum", "-H2"], input=data, capture_output=True, check=True).stdout.split()[0].decode()


def expect(file, tensor, value, dtype=None):
    value = np.asarray(value)
    ROWS.append((file, tensor, dtype or NAMES[value.dtype.name], "x".join(map(str, value.shape)),
                 xxh(np.ascontiguousarray(value).astype("<f4").tobytes())))


def normal(*shape):
    return rng.standard_normal(shape)


# --- torch ---

def of_torch(t):
    return t.detach().to(torch.float32).numpy()


def expect_torch(file, tensors, prefix=""):
    for name, t in tensors.items():
        dtype = TORCH.get(t.dtype) or NAMES[str(t.dtype).replace("torch.", "")]
        expect(file, prefix + name, of_torch(t), dtype)


def every_kind():
    base = torch.randn(6, 8)
    d = OrderedDict(f32=base, f64=torch.randn(3).double(), f16=torch.randn(2, 3).half(), bf16=torch.randn(5).bfloat16(),
                    i64=torch.arange(4), i32=torch.arange(4).int(), i16=torch.arange(4).short(), i8=torch.arange(-2, 2).to(torch.int8),
                    u8=torch.arange(4).to(torch.uint8), b=torch.tensor([True, False]), scalar=torch.tensor(2.5),
                    empty=torch.zeros(0, 3), transposed=base.t(), sliced=base[2:4, 1:7:2], column=base[:, 3],
                    expanded=torch.randn(1, 4).expand(3, 4), permuted=torch.randn(2, 3, 4, 5).permute(3, 1, 0, 2))
    d["tied"] = d["f32"]
    d["parameter"] = torch.nn.Parameter(torch.randn(3, 3))
    return d


def torches():
    torch.manual_seed(3)
    d = every_kind()
    for protocol in (2, 3, 4, 5):
        name = "every-kind-protocol%d.pt" % protocol
        torch.save(d, path(name), pickle_protocol=protocol)
        expect_torch(name, d)
    torch.save(d, path("legacy.pth"), _use_new_zipfile_serialization=False)
    expect_torch("legacy.pth", d)
    torch.save(d, path("legacy-protocol1.pth"), _use_new_zipfile_serialization=False, pickle_protocol=1)
    expect_torch("legacy-protocol1.pth", d)
    small = OrderedDict(("module.%s" % k, torch.randn(3, 2)) for k in ("a.weight", "b.weight"))
    state = {"state": {0: {"exp_avg": torch.randn(3, 2), "step": 1}}, "param_groups": [{"lr": 0.1}]}
    torch.save({"epoch": 3, "state_dict": small, "optimizer": state, "rng_state": torch.get_rng_state()[:8]}, path("checkpoint.ckpt"))
    expect_torch("checkpoint.ckpt", {k[7:]: v for k, v in small.items()})
    torch.save(state, path("optimizer-only.pt"))
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)), path("module.pt"))
    expect_torch("module.pt", torch.load(path("module.pt")).state_dict())
    torch.save({"actor": {"w": small["module.a.weight"]}, "critic": [small["module.b.weight"], torch.ones(1)]}, path("nested.pt"))
    expect_torch("nested.pt", {"actor.w": small["module.a.weight"], "critic.0": small["module.b.weight"], "critic.1": torch.ones(1)})
    script = torch.jit.script(torch.nn.Linear(4, 3))
    script.save(path("script.pt"))
    expect_torch("script.pt", {k: v for k, v in script.state_dict().items()})
    with torch.random.fork_rng(), torch.no_grad():
        linear = torch.nn.Linear(2, 2).eval()
        linear.weight.copy_(torch.arange(4.0).reshape(2, 2))
        linear.bias.copy_(torch.tensor([0.5, -1.0]))
        linear.register_buffer("kept", torch.arange(3.0))
        linear.register_buffer("computed", torch.arange(5.0), persistent=False)
    torch.save(linear, path("buffers.pt"))
    expect_torch("buffers.pt", linear.state_dict())
    torch.jit.freeze(torch.jit.script(linear)).save(path("frozen.pt"))
    expect_torch("frozen.pt", {"CONSTANTS.c0": linear.weight, "CONSTANTS.c1": linear.bias})
    rezip("every-kind-protocol2.pt", "deflated.pt", zipfile.ZIP_DEFLATED)
    expect_torch("deflated.pt", d)
    big_endian(small)
    baselines(small)
    checkpoints({k[7:]: v for k, v in small.items()})


class Conjugate:
    """A lazy view the way torch 2 writes it: the storage's values and a note that signs are still to be turned."""

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, (torch.arange(2.0).storage(), 0, (2,), (1,), False, OrderedDict(), {"neg": True})


def checkpoints(small):
    """A loss or an accuracy kept as a tensor, averages beside the weights, compile() around DDP."""
    files = {"loss-beside.pt": {"model_state_dict": small, "loss": torch.tensor(0.5), "best_acc1": torch.ones(1), "epoch": 2,
                                "hyper_parameters": {"class_weights": torch.ones(3)}},
             "generator-beside.pt": {"state_dict": small, "rng": torch.arange(9).to(torch.uint8)},
             "averages-beside.pth": {"params": small, "params_ema": {k: v + 1 for k, v in small.items()}},
             "compiled-ddp.pt": {"_orig_mod.module." + k: v for k, v in small.items()},
             "ddp-compiled.pt": {"module._orig_mod." + k: v for k, v in small.items()},
             "lazy.pt": {**small, "negative": Conjugate()}}
    for name, value in files.items():
        torch.save(value, path(name))
        expect_torch(name, {**small, "rng": value["rng"]} if "rng" in value else small)


def rezip(source, target, method):
    with zipfile.ZipFile(path(source)) as a, zipfile.ZipFile(path(target), "w", compression=method) as b:
        for n in a.namelist():
            b.writestr(n, a.read(n))


def big_endian(small):
    d = {k[7:]: v for k, v in small.items()}
    torch.save(d, path("tmp"))
    with zipfile.ZipFile(path("tmp")) as a, zipfile.ZipFile(path("big-endian.pt"), "w") as b:
        for n in a.namelist():
            data = a.read(n)
            if "/data/" in n:
                data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
            b.writestr(n, data)
        b.writestr("tmp/byteorder" if "tmp/data.pkl" in a.namelist() else "archive/byteorder", "big")
    os.remove(path("tmp"))
    expect_torch("big-endian.pt", d)


def baselines(small):
    parts = {}
    for name, value in (("policy.pth", small), ("policy.optimizer.pth", {"state": {}, "param_groups": []}),
                        ("pytorch_variables.pth", {"log_alpha": torch.ones(1)})):
        f = io.BytesIO()
        torch.save(value, f)
        parts[name] = f.getvalue()
    for file, method in (("baselines.zip", zipfile.ZIP_STORED), ("baselines-deflated.zip", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(path(file), "w", compression=method) as z:
            z.writestr("data", json.dumps({"policy_class": {":type:": "x", ":serialized:": "gAWV"}}))
            for name, data in parts.items():
                z.writestr(name, data)
        expect_torch(file, {k[7:]: v for k, v in small.items()})
        expect_torch(file, {"log_alpha": torch.ones(1)}, "pytorch_variables.")


def pickles():
    arrays = {"c": normal(3, 4).astype("f4"), "f": np.asfortranarray(normal(3, 4)), "be": normal(5).astype(">f4"), "s": np.float64(2)}
    for protocol in (0, 1, 2, 3, 4, 5):
        name = "numpy-protocol%d.pkl" % protocol
        with open(path(name), "wb") as f:
            pickle.dump(arrays, f, protocol=protocol)
        for k in ("c", "f", "be"):
            expect(name, k, arrays[k], {"c": "F32", "f": "F64", "be": "F32"}[k])


    d = {"w": torch.randn(3, 4), "b": torch.arange(5).half(), "layer": torch.nn.Linear(2, 3)}
    for protocol in (2, 4):
        name = "torch-by-pickle-protocol%d.pkl" % protocol
        with open(path(name), "wb") as f:
            pickle.dump(d, f, protocol=protocol)
        expect_torch(name, {"w": d["w"], "b": d["b"]})
        expect_torch(name, d["layer"].state_dict(), "layer.")


# --- numpy, onnx, msgpack, ggml ---

def numpys():
    d = {"f4": normal(3, 5).astype("f4"), "fortran": np.asfortranarray(normal(4, 3, 2)), "big": normal(3).astype(">f8"),
         "half": normal(2, 2).astype("f2"), "scalar": np.array(3.5), "none": np.zeros((0, 4), "i4"), "u1": np.arange(5, dtype="u1"),
         "b": np.array([True, False]), "deep/er": np.arange(6, dtype="i8").reshape(1, 2, 3)}
    np.savez(path("arrays.npz"), **d)
    np.savez_compressed(path("arrays-deflated.npz"), **d)
    for file in ("arrays.npz", "arrays-deflated.npz"):
        for k, v in d.items():
            expect(file, k, v)
    np.save(path("one.npy"), d["fortran"])
    expect("one.npy", "array", d["fortran"])


def onnxes():
    types = dict(f=TensorProto.FLOAT, u8=TensorProto.UINT8, i8=TensorProto.INT8, u16=TensorProto.UINT16, i16=TensorProto.INT16,
                 i32=TensorProto.INT32, i64=TensorProto.INT64, b=TensorProto.BOOL, f16=TensorProto.FLOAT16, d=TensorProto.DOUBLE,
                 u32=TensorProto.UINT32, u64=TensorProto.UINT64)
    tensors = []
    for n, t in types.items():
        v = rng.integers(0, 2 if n == "b" else 100, (3, 5)).astype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[t])
        tensors.append(helper.make_tensor("typed_" + n, t, [3, 5], v.ravel()))
        tensors.append(numpy_helper.from_array(v, "raw_" + n))
        expect("types.onnx", "typed_" + n, v)
        expect("types.onnx", "raw_" + n, v)
    w, c = normal(4, 4).astype("f4"), normal(20).astype("f4")
    out = helper.make_tensor_value_info("y", 1, [4, 4])
    sub = helper.make_graph([helper.make_node("Constant", [], ["inner"], value=numpy_helper.from_array(c)),
                             helper.make_node("Identity", ["w"], ["y"])], "sub", [], [out], [numpy_helper.from_array(w, "w")])
    node = helper.make_node("If", ["c"], ["y"], then_branch=sub, else_branch=sub)
    onnx.save(helper.make_model(helper.make_graph([node], "g", [], [out], tensors), producer_name="test"), path("types.onnx"))
    for suffix in ("", "~2"):
        expect("types.onnx", "inner" + suffix, c)
        expect("types.onnx", "w" + suffix, w)
    a, b = normal(8, 8).astype("f4"), normal(8).astype("f2")
    m = helper.make_model(helper.make_graph([], "g", [], [], [numpy_helper.from_array(a, "a"), numpy_helper.from_array(b, "b")]))
    onnx.save_model(m, path("external.onnx"), save_as_external_data=True, location="external.onnx.data", size_threshold=0)
    expect("external.onnx", "a", a)
    expect("external.onnx", "b", b)


def msgpacks():
    def nd(a, name=None):
        return msgpack.ExtType(1, msgpack.packb((a.shape, name or a.dtype.name, a.tobytes()), use_bin_type=True))

    def by_index(items):
        return {str(i): x for i, x in enumerate(items)}
    f, big = normal(7, 9).astype("f4"), normal(10, 11).astype("f2")
    bf = normal(4, 6).astype("f4").view("u4") >> 16
    flat = big.ravel()
    chunked = {"__msgpack_chunked_array__": True, "shape": by_index(big.shape),
               "chunks": by_index([nd(flat[i:i + 40]) for i in range(0, 110, 40)])}
    tree = {"params": {"enc": {"kernel": nd(f), "bias": nd(bf.astype("u2"), "bfloat16")}, "big": chunked},
            "batch_stats": {"m": nd(np.arange(5))}, "step": 70000, "opt_state": {"0": {"mu": nd(f)}}}
    with open(path("flax.msgpack"), "wb") as out:
        out.write(msgpack.packb(tree, use_bin_type=True))
    expect("flax.msgpack", "enc.kernel", f)
    expect("flax.msgpack", "enc.bias", (bf << 16).astype("u4").view("f4"), "BF16")
    expect("flax.msgpack", "big", big)
    expect("flax.msgpack", "batch_stats.m", np.arange(5))


def ggmls():
    b = b"lmgg" + struct.pack("<11i", 51864, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1) + struct.pack("<2i", 2, 3) + bytes(24)
    b += struct.pack("<i", 3) + b"".join(struct.pack("<i", len(w)) + w for w in (b"a", b"bc", b""))
    f, h = normal(2, 4).astype("f4"), normal(2, 2, 3).astype("f2")
    q = np.arange(32, dtype=np.uint8) % 16
    block = struct.pack("<e", 0.5) + bytes(int(q[i]) | int(q[i + 16]) << 4 for i in range(16))
    for name, a, kind, data in ((b"decoder.positional_embedding", f, 0, f.tobytes()), (b"encoder.conv1.weight", h, 1, h.tobytes()),
                                (b"decoder.q", np.zeros((1, 32)), 2, block)):
        b += struct.pack("<3i", a.ndim, len(name), kind) + struct.pack("<%di" % a.ndim, *a.shape[::-1]) + name + data
    with open(path("whisper-ggml.bin"), "wb") as out:
        out.write(b)
    expect("whisper-ggml.bin", "decoder.positional_embedding", f)
    expect("whisper-ggml.bin", "encoder.conv1.weight", h)
    expect("whisper-ggml.bin", "decoder.q", (q.astype("f4") - 8).reshape(1, 32) / 2, "Q4_0")


# --- HDF5 ---

def hdf5s():
    lambdas = json.dumps({"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {}}]}})
    data = {"c": normal(5, 7).astype("f4"), "be": normal(5, 7).astype(">f8"), "h": normal(11).astype("f2"), "s": np.float32(3.25),
            "i": rng.integers(-5, 5, (3, 4, 2)).astype("i4"), "b": np.array([True, False, True]), "empty": np.zeros((0, 4), "f4")}
    chunked = {"deflate": dict(chunks=(4, 5), compression="gzip"), "plain": dict(chunks=(4, 5)),
               "all": dict(chunks=(4, 5), compression="gzip", shuffle=True, fletcher32=True),
               "lzf": dict(chunks=(8, 5), compression="lzf", shuffle=True)}
    table = np.round(normal(13, 17), 1).astype("f4")
    files = {"keras.h5": {}, "keras-user-block.h5": dict(userblock_size=512)}
    for file, how in files.items():
        with h5py.File(path(file), "w", **how) as f:
            f.attrs["model_config"] = lambdas
            g = f.create_group("model_weights/dense/dense")
            for k, v in data.items():
                g.create_dataset(k, data=v)
            for k, v in chunked.items():
                g.create_dataset(k, data=table, **v)
            part = g.create_dataset("part", (9, 9), "f4", chunks=(3, 3))
            part[2:5, 0:4] = 1.5
            for i in range(20):
                f.create_dataset("model_weights/l%02d/w:0" % i, data=np.full(3, i, "f4"))
            f["optimizer_weights/x"] = np.ones(3)
            f["soft"] = h5py.SoftLink("/model_weights/dense")
            f["model_weights/words"] = np.array([b"abc", b"d"])
            what = part[()]
        for name in [file] + (["stored.keras", "deflated.keras"] if file == "keras.h5" else []):
            for k, v in data.items():
                expect(name, "dense/dense/" + k, v)
            for k in chunked:
                expect(name, "dense/dense/" + k, table)
            expect(name, "dense/dense/part", what)
            for i in range(20):
                expect(name, "l%02d/w:0" % i, np.full(3, i, "f4"))
    for name, method in (("stored.keras", 0), ("deflated.keras", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(path(name), "w", compression=method) as z:
            z.writestr("metadata.json", "{}")
            z.writestr("config.json", lambdas)
            z.write(path("keras.h5"), "model.weights.h5")
    with h5py.File(path("newer.h5"), "w", libver="latest") as f:
        f["a/b"] = data["c"]
    expect("newer.h5", "a/b", data["c"])


def dense():
    """What HDF5 2.0 writes by default: links and attributes of an object that has many, and large ones, in heaps."""
    layers = {"class_name": "Sequential", "config": {"layers": [{"class_name": "Lambda", "config": {"pad": "x" * 5000}}]}}
    with h5py.File(path("dense.h5"), "w", libver=("v108", "v108")) as f:
        for i in range(12):
            f.attrs["a%d" % i] = "text %d" % i
        f.attrs["model_config"] = np.bytes_(json.dumps(layers))
        for i in range(130):
            f["model_weights/layer_%d_%s/w" % (i, "n" * (i % 17))] = np.full(2, i, "f4")
        for i in range(130):
            expect("dense.h5", "layer_%d_%s/w" % (i, "n" * (i % 17)), np.full(2, i, "f4"))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    for f in os.listdir(OUT):
        os.remove(path(f))
    for make in (torches, pickles, numpys, onnxes, msgpacks, ggmls, hdf5s, dense):
        make()
    with open(os.path.join(HERE, "archives.tsv"), "w") as f:
        f.write("file\ttensor\tdtype\tshape\txxh128\n")
        for row in ROWS:
            f.write("\t".join(x or "-" for x in row) + "\n")
