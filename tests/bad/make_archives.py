#!/usr/bin/env python3
"""Hostile zips, pickles, checkpoints, arrays, ONNX, MessagePack, ggml and HDF5: archives/ and archives.tsv beside this script.

archives.tsv: file, outcome, words. outcome is `ok` (nothing to tell), `warning` or `hazard` (opens; `words` is a problem, or
a hazard's kind or part of its detail), or an errno (`words` is in the message). tests/core/format/test_archives.c holds the
readers to it. None of the pickles is ever loaded by Python; what they would run is harmless or does not exist.
"""
import os
import struct
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = []


def put(path, data, outcome, words=""):
    full = os.path.join(HERE, "archives", path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as f:
        f.write(data)
    ROWS.append((path, outcome, words))


# --- zip ---

class Entry:
    def __init__(self, name, data, deflate=False, **lies):
        self.name, self.data = name.encode() if isinstance(name, str) else name, data
        raw = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.stored = raw.compress(data) + raw.flush() if deflate else data
        self.method = 8 if deflate else 0
        self.lies = lies

    def fields(self, where, name):
        get = lambda key, fallback: self.lies.get(where + key, self.lies.get(key, fallback))
        return struct.pack("<HHHHHIIIHH", 20, get("flags", 0), get("method", self.method), 0, 33, get("crc", zlib.crc32(self.data)),
                           get("csize", len(self.stored)), get("size", len(self.data)), len(name), 0)


def zipped(entries, prefix=b"", comment=b"", between=b"", end=None, same=None):
    """same: {index: index whose bytes it claims}"""
    out, at = prefix, []
    for e in entries:
        at.append(len(out) - len(prefix))
        local = e.lies.get("local_name", e.name)
        out += b"PK\3\4" + e.fields("local_", local) + local + e.stored + e.lies.get("after", b"")
    out += between
    start, directory = len(out) - len(prefix), b""
    for i, e in enumerate(entries):
        offset = e.lies.get("offset", at[(same or {}).get(i, i)])
        directory += b"PK\1\2\x14\0" + e.fields("", e.name) + struct.pack("<HHHII", 0, 0, 0, 0, offset) + e.name
    e = dict(count=len(entries), size=len(directory), start=start)
    e.update(end or {})
    return out + directory + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, e["count"], e["count"], e["size"], e["start"], len(comment)) + comment


def zipped64(entries, locator=0, lack=False):
    """Every size and offset in its 64-bit place, as for archives above 4 GiB. lack: an extra field without them."""
    out, directory = b"", b""
    for e in entries:
        sizes = struct.pack("<QQ", len(e.data), len(e.stored))
        head = lambda extra: struct.pack("<HHHHHIIIHH", 45, 0, e.method, 0, 33, zlib.crc32(e.data), 0xffffffff, 0xffffffff, len(e.name), len(extra))
        local = struct.pack("<HH", 1, 16) + sizes
        extra = b"\x99\x99\2\0ab" + (b"" if lack else struct.pack("<HH", 1, 24) + sizes + struct.pack("<Q", len(out)))
        directory += b"PK\1\2\x2d\0" + head(extra) + struct.pack("<HHHII", 0, 0, 0, 0, 0xffffffff) + e.name + extra
        out += b"PK\3\4" + head(local) + e.name + local + e.stored
    end = len(out) + len(directory)
    return (out + directory + b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, len(entries), len(entries), len(directory), len(out)) +
            b"PK\6\7" + struct.pack("<IQI", 0, locator or end, 1) + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xffff, 0xffff, 0xffffffff, 0xffffffff, 0))


def tensor(key=b"0", kind=b"FloatStorage", numel=4, offset=0, shape=(4,), stride=(1,), raw_shape=None):
    def number(i):
        return b"\x8a\x08" + struct.pack("<q", i)
    def numbers(t):
        return b"(" + b"".join(number(i) for i in t) + b"t"
    return (b"ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\n" + kind + b"\nX" + struct.pack("<I", len(key)) + key +
            b"X\3\0\0\0cpu" + number(numel) + b"tQ" + number(offset) + (raw_shape or numbers(shape)) + numbers(stride) +
            b"\x89ccollections\nOrderedDict\n)RtR")


def state(*tensors, more=b""):
    return b"\x80\2}(" + b"".join(b"U" + bytes([len(n)]) + n.encode() + t for n, t in tensors) + b"u" + more + b"."


PICKLE = state(("w", tensor()))
FOUR = struct.pack("<4f", 1, 2, 3, 4)
SYSTEM = b"\x80\2cposix\nsystem\nU\4trueR."


def archive(pickle=PICKLE, storage=FOUR, extra=(), deflate=False, **how):
    return zipped([Entry("a/data.pkl", pickle, deflate), Entry("a/data/0", storage, deflate), Entry("a/version", b"3\n")] + list(extra), **how)


def zips():
    P, S, V = Entry("a/data.pkl", PICKLE), Entry("a/data/0", FOUR), Entry("a/version", b"3\n")
    z = lambda name, data, *outcome: put("zip/%s.pt" % name, data, *outcome)
    z("good", archive(), "ok")
    z("good-deflated", archive(deflate=True), "ok")
    z("comment", archive(comment=b"hello"), "ok")
    z("prefix", archive(prefix=b"#!/bin/sh\necho hi\n"), "EINVAL", "not a known format")
    z("prefix-of-a-zip", archive(prefix=zipped([V])), "hazard", "zip-prefix")
    z("comment-with-directory", archive(comment=b"PK\5\6" + bytes(17)), "hazard", "zip-ambiguous")
    z("trailing-bytes", archive() + b"more", "warning", "trailing bytes")
    z("overlap", zipped([P, S, Entry("a/data/1", FOUR)], same={2: 1}), "hazard", "zip-overlap")
    z("overlap-needed", zipped([P, Entry("a/x", FOUR), Entry("a/data/0", FOUR)], same={2: 1}), "ENOTSUP", "overlaps another entry")
    z("quine-offsets", zipped([P, S, Entry("a/x", FOUR, offset=0)]), "hazard", "zip-overlap")
    z("traversal", archive(extra=[Entry("../../etc/cron.d/x", b"x")]), "hazard", "zip-traversal")
    z("absolute", archive(extra=[Entry("/etc/x", b"x")]), "hazard", "zip-traversal")
    z("backslash", archive(extra=[Entry("..\\x", b"x")]), "hazard", "zip-traversal")
    z("drive", archive(extra=[Entry("C:x", b"x")]), "hazard", "zip-traversal")
    z("nul-in-name", archive(extra=[Entry(b"a/data.pkl\0.txt", b"x")]), "hazard", "zip-traversal")
    z("dots-in-name", archive(extra=[Entry("a/x..y", b"x")]), "ok")
    z("duplicate", archive(extra=[Entry("a/data.pkl", SYSTEM)]), "hazard", "zip-duplicate")
    z("duplicate-runs", archive(extra=[Entry("a/data.pkl", SYSTEM)]), "hazard", "posix.system")
    policy = [Entry("policy.pth", archive()), Entry("_stable_baselines3_version", b"2.3.2")]
    z("text-like-a-pickle", zipped(policy), "ok")
    z("local-name", zipped([P, S, Entry("a/y", b"x", local_name=b"a/z")]), "hazard", "zip-mismatch")
    z("local-size", zipped([P, Entry("a/data/0", FOUR, local_size=3), V]), "hazard", "zip-mismatch")
    z("local-method", zipped([P, Entry("a/data/0", FOUR, local_method=8), V]), "hazard", "zip-mismatch")
    z("data-descriptor", zipped([P, Entry("a/data/0", FOUR, flags=8, local_crc=0, local_csize=0, local_size=0,
                                          after=b"PK\7\x08" + struct.pack("<III", zlib.crc32(FOUR), 16, 16)), V]), "ok")
    z("no-local-header", zipped([P, S, Entry("a/y", b"x", offset=5)]), "hazard", "zip-mismatch")
    z("local-header-outside", zipped([P, S, Entry("a/y", b"x", offset=1 << 30)]), "hazard", "zip-mismatch")
    z("stored-size-lies", zipped([P, Entry("a/data/0", FOUR, size=1 << 20), V]), "ENOTSUP", "its two sizes differ")
    z("bomb", zipped([P, Entry("a/data/0", bytes(9), True, size=0xfffffffe, csize=11), V]), "ENOTSUP", "declares more bytes")
    z("deflate-more-than-said", zipped([Entry("a/data.pkl", PICKLE, True), Entry("a/data/0", bytes(400), True, size=16), V]), "ok")
    z("deflate-less-than-said", zipped([Entry("a/data.pkl", PICKLE, True, size=len(PICKLE) + 9), S, V]), "EINVAL", "inflated bytes")
    z("deflate-broken", zipped([Entry("a/data.pkl", b"\xff" * 50, method=8, size=60), S, V]), "EINVAL", "bad deflate data")
    z("method", zipped([Entry("a/data.pkl", PICKLE, method=14), S, V]), "ENOTSUP", "other than deflate")
    z("encrypted", zipped([Entry("a/data.pkl", bytes(12) + PICKLE, flags=1, size=len(PICKLE)), S, V]), "ENOTSUP", "encrypted")
    z("encrypted-says-the-flag", zipped([Entry("a/data.pkl", SYSTEM, flags=1), S, V]), "hazard", "posix.system")
    z("checksum", zipped([Entry("a/data.pkl", PICKLE, crc=1), S, V]), "warning", "checksum")
    z("past-the-directory", zipped([P, V, Entry("a/data/0", FOUR, csize=1 << 20, size=1 << 20)]), "ENOTSUP", "past the directory")
    z("directory-beyond-end", archive(end={"start": 1 << 30}), "EINVAL", "expected a directory")
    z("more-entries-than-bytes", archive(end={"count": 60000}), "EINVAL", "60000 entries")
    z("more-entries-than-said", archive(end={"count": 2}), "warning", "trailing bytes")
    long = b"\x80\2N." + bytes(15 << 20)
    z("long-pickles", archive(extra=[Entry("a/%d.pkl" % i, long, True) for i in range(5)]), "warning", "too large")
    z("zip64-good", zipped64([P, S, V]), "ok")
    z("zip64-good-deflated", zipped64([Entry("a/data.pkl", PICKLE, True), Entry("a/data/0", FOUR, True), V]), "ok")
    z("zip64-locator-lies", zipped64([P, S, V], locator=7), "ok")
    z("zip64-sizes-missing", zipped64([P, S, V], lack=True), "EINVAL", "lacks zip64 sizes")
    z("zip64-without", archive(end={"start": 0xffffffff}), "EINVAL", "zip64 end record")
    z("cut-short", archive()[:-30], "EINVAL", "end record")
    z("empty", zipped([]), "ENOTSUP", "without models")
    z("no-model", zipped([Entry("readme.txt", b"x")]), "ENOTSUP", "without models")
    z("pickle-in-disguise", zipped([Entry("readme.txt", SYSTEM)]), "hazard", "posix.system")
    z("pickle-beside", archive(extra=[Entry("a/extra.pkl", SYSTEM)]), "hazard", "posix.system")
    inner = zipped([Entry("policy.pth", SYSTEM)])
    z("nested", zipped([Entry("policy.pth", inner)]), "hazard", "posix.system")
    for _ in range(20):
        inner = zipped([Entry("policy.pth", inner, True)])
    z("nested-twenty-deep", inner, "ENOTSUP", "without models")
    z("torchscript", archive(extra=[Entry("a/code/__torch__.py", b"x"), Entry("a/constants.pkl", b"\x80\2).")]), "hazard", "torchscript")


# --- pickles ---

def pickles():
    p = lambda name, data, *outcome: put("pickle/%s.pkl" % name, data, *outcome)
    p("plain", b"\x80\2}q\0U\1aK\1s.", "ENOTSUP", "without tensors")
    p("global-reduce", SYSTEM, "hazard", "posix.system")
    p("stack-global", b"\x80\4\x8c\5posix\x8c\6system\x93\x8c\4true\x85R.", "hazard", "posix.system")
    p("inst", b"(S'true'\niposix\nsystem\n.", "hazard", "posix.system")
    p("obj", b"\x80\2(cposix\nsystem\nU\4trueo.", "hazard", "posix.system")
    p("newobj", b"\x80\2c__main__\nEvil\n)\x81.", "hazard", "__main__.Evil")
    p("newobj-ex", b"\x80\4\x8c\10__main__\x8c\4Evil\x93)}\x92.", "hazard", "__main__.Evil")
    p("never-called", b"\x80\2cposix\nsystem\n.", "hazard", "posix.system")
    p("getattr", b"\x80\2c__builtin__\ngetattr\nc__builtin__\n__import__\nU\2osRU\6system\x86R.", "hazard", "__builtin__.getattr")
    p("computed-call", b"\x80\2c__builtin__\ndict\n)RU\4true\x85R.", "hazard", "pickle-call")
    p("extension", b"\x80\2\x82\1U\4true\x85R.", "hazard", "pickle-extension")
    p("global-name-from-memo", b"\x80\4\x8c\6system\x94\x8c\5posix\x94h\1h\0\x93\x8c\4true\x85R.", "hazard", "posix.system")
    p("global-name-no-string", b"\x80\4K\1K\2\x93.", "hazard", "not a string")
    p("breaks-after-running", b"\x80\2cposix\nsystem\nU\4true\x85R\xff", "hazard", "posix.system")
    p("second-pickle", b"\x80\2}.\x80\2cposix\nsystem\n.", "hazard", "posix.system")
    p("like-torch", b"\x80\2ctorch.storage\n_load_from_bytes\nC\3abc\x85R.", "hazard", "_load_from_bytes")
    p("like-a-layer", b"\x80\2ctorch.nn.modules.utils\n_pair\n)R.", "hazard", "_pair")
    p("like-a-layer-dotted", b"\x80\4\x8c\x1dtorch.nn.modules.linear.Linear\x8c\x0bF.os.system\x93."[:2] +
      b"\x8c\x17torch.nn.modules.linear\x8c\x0bF.os.system\x93.", "hazard", "F.os.system")
    p("like-script", b"\x80\2c__torch__.x\nY\n)\x81.", "hazard", "__torch__.x.Y")
    p("newline-in-name", b"\x80\4\x8c\7posix\nx\x8c\6system\x93.", "hazard", "posix")
    p("long-string-lies", b"\x80\2X\xff\xff\xff\x7fabc.", "EINVAL", "longer than what remains")
    p("long-bytes-lie", b"\x80\4\x8e" + b"\xff" * 8 + b".", "EINVAL", "longer than what remains")
    p("long4-negative", b"\x80\2\x8b\xff\xff\xff\xff.", "EINVAL", "negative length")
    p("memo-missing", b"\x80\2h\5.", "EINVAL", "never put")
    p("memo-index-huge", b"\x80\2}r\xff\xff\xff\xff0j\xff\xff\xff\xff.", "ENOTSUP", "without tensors")
    p("underflow", b"\x80\2}R.", "EINVAL", "nothing on the stack")
    p("no-mark", b"\x80\2t.", "EINVAL", "no mark")
    p("odd-items", b"\x80\2}(K\1u.", "EINVAL", "without a value")
    p("protocol-9", b"\x80\x09.", "EINVAL", "not a known format")
    p("protocol-9-inside", b"\x80\2\x80\x09.", "EINVAL", "newer than 5")
    p("unknown-operation", b"\x80\2\xee.", "EINVAL", "unknown operation")
    p("never-stops", b"\x80\2" + b"K\1" * 300, "EINVAL", "ends in the middle")
    p("self", b"\x80\2]q\0h\0a.", "ENOTSUP", "without tensors")
    p("lattice", b"\x80\2]q\0" + b"".join(b"]q\1(h\0h\0eq\0" for _ in range(200)) + b".", "ENOTSUP", "without tensors")
    p("deep", b"\x80\2" + b"]" * 5000 + b"a" * 4999 + b".", "ENOTSUP", "without tensors")
    p("copies", b"\x80\2}q\0(" + b"K\1K\1" * 2000 + b"u0" + b"ccollections\nOrderedDict\nh\0\x85R0" * 3000 + b"N.", "EFBIG", "memory")
    p("ten-thousand-globals", b"\x80\2" + b"".join(b"cm%d\nx\n0" % i for i in range(3000)) + b"N.", "hazard", "m7.x")


def checkpoints():
    c = lambda name, pickle, *outcome, **how: put("pytorch/%s.pt" % name, archive(pickle, **how), *outcome)
    c("storage-missing", state(("w", tensor(key=b"9"))), "EINVAL", "not in the archive")
    c("storage-climbs", state(("w", tensor(key=b"../version"))), "EINVAL", "not in the archive")
    c("storage-short", state(("w", tensor(shape=(5,)))), "EINVAL", "its storage has 16")
    c("offset", state(("w", tensor(offset=1))), "EINVAL", "its storage has 16")
    c("offset-overflow", state(("w", tensor(offset=1 << 62))), "EINVAL", "overflow")
    c("stride-overflow", state(("w", tensor(shape=(2, 2), stride=(1 << 62, 1)))), "EINVAL", "overflow")
    c("shape-overflow", state(("w", tensor(shape=(1 << 40, 1 << 40), stride=(0, 0)))), "ENOTSUP", "larger than")
    c("expanded-without-end", state(("w", tensor(shape=(1 << 50,), stride=(0,)))), "ENOTSUP", "larger than")
    c("expanded", state(("w", tensor(shape=(3, 4), stride=(0, 1)))), "ok")
    c("nine-dimensions", state(("w", tensor(shape=(1,) * 9, stride=(1,) * 9))), "ENOTSUP", "more than 8")
    c("negative-shape", state(("w", tensor(shape=(-4,)))), "ENOTSUP", "not numbers")
    c("shape-of-strings", state(("w", tensor(raw_shape=b"U\1a\x85"))), "ENOTSUP", "not numbers")
    c("strides-missing", state(("w", tensor(stride=()))), "ENOTSUP", "not numbers")
    c("same-name-twice", state(("w", tensor()), ("w", tensor())), "warning", "duplicate names")
    c("type-unknown", state(("w", tensor(kind=b"NoSuchStorage"))), "hazard", "NoSuchStorage")
    c("tensor-and-system", state(("w", tensor()), more=b"cposix\nsystem\nU\4true\x85R0"), "hazard", "posix.system")
    c("zero-elements", state(("w", tensor(shape=(0,), numel=0))), "ok", storage=b"")
    magic = b"\x80\2\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}.\x80\2}U\1w" + tensor() + b"s.\x80\2](U\x010e."
    legacy = lambda name, data, *outcome: put("pytorch/legacy-%s.pth" % name, data, *outcome)
    legacy("good", magic + struct.pack("<q", 4) + FOUR, "ok")
    legacy("cut-short", magic + struct.pack("<q", 4) + FOUR[:9], "EINVAL", "cut short")
    legacy("count-lies", magic + struct.pack("<q", 1 << 61) + FOUR, "EINVAL", "cut short")
    legacy("count-negative", magic + struct.pack("<q", -1) + FOUR, "EINVAL", "cut short")
    legacy("without-storages", magic[:-9] + b"\x80\2].", "EINVAL", "not in the file")
    legacy("magic-then-system", magic[:15] + SYSTEM, "hazard", "posix.system")
    legacy("unknown-key", magic.replace(b"](U\x010e.", b"](U\x017e."), "EINVAL", "a storage key that no tensor has")


# --- arrays ---

def npy(header, data=b"", version=1, length=None):
    h = header.encode("latin1")
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(h) if length is None else length) + h + data


def arrays():
    a = lambda name, data, *outcome: put("npy/%s.npy" % name, data, *outcome)
    d = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n"
    a("good", npy(d % ("<f4", False, "(2, 2)"), FOUR), "ok")
    a("good-version-2", npy(d % ("<f4", True, "(2, 2)"), FOUR, 2), "ok")
    a("python-2-longs", npy(d % ("<f4", False, "(2L, 2L)"), FOUR), "ok")
    a("no-order", npy("{'descr': '<f4', 'shape': (4,)}", FOUR), "EINVAL", "expected {")
    a("key-twice", npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", FOUR), "EINVAL", "expected {")
    a("code", npy("__import__('os').system('true')", FOUR), "EINVAL", "expected {")
    a("nine-dimensions", npy(d % ("<f4", False, "(1,1,1,1,1,1,1,1,1)"), FOUR), "EINVAL", "at most 8")
    a("negative", npy(d % ("<f4", False, "(-4,)"), FOUR), "EINVAL", "expected {")
    a("overflow", npy(d % ("<f4", False, "(4294967296, 4294967296, 4)"), FOUR), "EINVAL", "overflow")
    a("larger-than-file", npy(d % ("<f4", False, "(5,)"), FOUR), "EINVAL", "its storage has")
    a("header-length-lies", npy(d % ("<f4", False, "(4,)"), FOUR, 2, 1 << 31), "EINVAL", "remain")
    a("version-9", npy("", b"", 9), "EINVAL", "from 1 to 3")
    a("objects", npy(d % ("|O", False, "(1,)"), b"\x80\2](cposix\nsystem\nU\4true\x85Re."), "hazard", "posix.system")
    a("fields", npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (4,)}", FOUR), "ENOTSUP", "several fields")
    a("text", npy(d % ("<U4", False, "(1,)"), FOUR), "ENOTSUP", "<U4")
    a("cut-in-header", npy(d % ("<f4", False, "(4,)"))[:30], "EINVAL", "remain")
    z = lambda name, data, *outcome: put("npy/%s.npz" % name, data, *outcome)
    good = npy(d % ("<f4", False, "(4,)"), FOUR)
    z("objects-beside", zipped([Entry("a.npy", good), Entry("b.npy", npy(d % ("|O", False, "(1,)"), SYSTEM))]), "hazard", "object-array")
    z("not-an-array", zipped([Entry("a.npy", good), Entry("b.npy", b"hello, world")]), "warning", "entry")
    z("encrypted-beside", zipped([Entry("a.npy", good), Entry("b.npy", bytes(12) + good, flags=1, size=len(good))]), "warning", "entry")
    z("bomb", zipped([Entry("a.npy", npy(d % ("<f4", False, "(4,)"), bytes(10)), True, size=0xfffffffe)]), "ENOTSUP", "declares more bytes")
    z("same-name", zipped([Entry("a.npy", good), Entry("a.npy", good)]), "EINVAL", "two tensors are named")


# --- ONNX ---

def varint(i):
    out = b""
    while i > 127:
        out += bytes([i & 127 | 128])
        i >>= 7
    return out + bytes([i])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx(graph, head=True):
    return (field(1, 8) if head else b"") + field(7, graph)


def onnx_tensor(dims=(4,), kind=1, name=b"w", raw=FOUR, more=b""):
    return field(5, b"".join(field(1, d) for d in dims) + field(2, kind) + (field(9, raw) if raw is not None else b"") + field(8, name) + more)


def external(**pairs):
    return field(14, 1) + b"".join(field(13, field(1, k.encode()) + field(2, v.encode())) for k, v in pairs.items())


def onnxes():
    o = lambda name, data, *outcome: put("onnx/%s.onnx" % name, data, *outcome)
    o("good", onnx(onnx_tensor()), "ok")
    o("raw-size", onnx(onnx_tensor((5,))), "EINVAL", "expected 20 bytes, found 16")
    o("negative-size", onnx(onnx_tensor(((1 << 64) - 4,))), "EINVAL", "negative size")
    o("overflow", onnx(onnx_tensor((1 << 40, 1 << 40))), "EINVAL", "overflow")
    o("nine-dimensions", onnx(onnx_tensor((1,) * 9)), "EINVAL", "more than 8")
    o("typed-too-few", onnx(onnx_tensor((4,), 7, raw=None, more=field(7, b"\1\2"))), "EINVAL", "4 numbers expected")
    o("typed-too-many", onnx(onnx_tensor((1,), 7, raw=None, more=field(7, b"\1\2"))), "EINVAL", "1 numbers expected")
    o("typed-count-lies", onnx(onnx_tensor((1 << 40,), 7, raw=None, more=field(7, b"\1\2"))), "EINVAL", "numbers expected")
    o("strings", onnx(onnx_tensor((1,), 8, raw=None, more=field(6, b"x"))), "warning", "type")
    o("sparse", onnx(onnx_tensor() + field(15, b"")), "warning", "type")
    o("same-name", onnx(onnx_tensor() + onnx_tensor()), "ok")
    o("external-missing", onnx(onnx_tensor(raw=None, more=external(location="no-such-file"))), "EINVAL", "which is missing")
    o("external-climbs", onnx(onnx_tensor(raw=None, more=external(location="../zip/good.pt"))), "EINVAL", "outside of the model")
    o("external-absolute", onnx(onnx_tensor(raw=None, more=external(location="/etc/passwd"))), "EINVAL", "outside of the model")
    o("external-itself", onnx(onnx_tensor(raw=None, more=external(location="external-itself.onnx"))), "ok")
    o("external-offset", onnx(onnx_tensor(raw=None, more=external(location="good.onnx", offset="18446744073709551615"))), "EINVAL", "expected 16 bytes")
    o("external-length", onnx(onnx_tensor(raw=None, more=external(location="good.onnx", length="3"))), "EINVAL", "length given: 3")
    o("external-nowhere", onnx(onnx_tensor(raw=None, more=field(14, 1))), "EINVAL", "without a location")
    deep = b""
    for _ in range(60):
        deep = field(1, field(5, field(6, deep)))
    o("deep", onnx(deep), "EINVAL", "nested more than")
    o("field-too-long", field(1, 8) + b"\x3a\x05\x2a\x7fabc", "EINVAL", "longer than what remains")
    o("number-too-long", field(1, 8) + field(7, b"\x08" + b"\xff" * 11), "EINVAL", "longer than 64 bits")
    o("group-field", field(1, 8) + field(7, b"\x0b"), "EINVAL", "kind of field")
    o("cut-short", onnx(onnx_tensor(name=b"n" * 200))[:-30], "EINVAL", "not a known format")


# --- MessagePack, ggml ---

def others():
    m = lambda name, data, *outcome: put("msgpack/%s.msgpack" % name, data, *outcome)
    array = b"\x93\x91\4\xa7float32\xc4\x10" + FOUR
    ext = b"\xc7" + bytes([len(array)]) + b"\1" + array
    m("good", b"\x81\xa1w" + ext, "ok")
    m("trailing-bytes", b"\x81\xa1w" + ext + b"more", "warning", "trailing bytes")
    m("no-arrays", b"\x81\xa1w\x81\xa5xxxxx\1", "ENOTSUP", "without arrays")
    m("deep", b"\x81\xa1w" + b"\x81\xa1w" * 200 + ext, "EINVAL", "nested too deeply")
    m("map-count-lies", b"\xdf\xff\xff\xff\xff\xa1w" + ext, "EINVAL", "cut short")
    m("array-too-long", b"\x81\xa1w\xc7\xff\1" + array, "EINVAL", "longer than what remains")
    m("bytes-run-out", b"\x81\xa1w\xc7" + bytes([len(array)]) + b"\1" + array.replace(b"\xc4\x10", b"\xc4\x18") + b"\xc0" * 20, "EINVAL", "run out of their array")
    m("shape-larger", b"\x81\xa1w" + ext.replace(b"\x91\4", b"\x91\5"), "EINVAL", "its storage has 16")
    m("shape-of-nothing", b"\x81\xa1w" + ext.replace(b"\x91\4", b"\x91\xc0"), "EINVAL", "expected a size")
    m("type-unknown", b"\x82\xa1v" + ext + b"\xa1w" + ext.replace(b"float32", b"flaat32"), "warning", "type")
    m("same-name", b"\x82\xa1w" + ext + b"\xa1w" + ext, "EINVAL", "two tensors are named")
    m("key-no-string", b"\x82\xa1v\1\1" + ext, "EINVAL", "not a string")
    chunk = b"\x81\xa1w\x83\xb9__msgpack_chunked_array__\xc3\xa5shape\x81\xa10\4\xa6chunks\x81\xa10"
    m("chunks-good", chunk + ext, "ok")
    m("chunks-out-of-order", chunk[:-1] + b"1" + ext, "EINVAL", "out of order")
    m("chunks-missing", b"\x81\xa1w\x81\xb9__msgpack_chunked_array__\xc3", "EINVAL", "without chunks")
    g = lambda name, data, *outcome: put("ggml/%s.bin" % name, data, *outcome)
    head = b"lmgg" + struct.pack("<11i", 51864, 1500, 384, 6, 4, 448, 384, 6, 4, 80, 1)
    body = struct.pack("<2i", 1, 1) + bytes(4) + struct.pack("<ii", 1, 1) + b"a"
    one = struct.pack("<4i", 1, 1, 0, 4) + b"w" + FOUR
    g("good", head + body + one, "ok")
    g("not-whisper", b"lmgg" + struct.pack("<11i", 32000, 4096, 256, 32, 32, 128, 2, 1, 0, 0, 0), "ENOTSUP", "not a Whisper")
    g("filters-lie", head + struct.pack("<2i", -1, -1), "EINVAL", "cut short")
    g("vocabulary-lies", head + struct.pack("<2i", 1, 1) + bytes(4) + struct.pack("<i", 1 << 30), "EINVAL", "a vocabulary of")
    g("word-too-long", head + struct.pack("<2i", 1, 1) + bytes(4) + struct.pack("<ii", 1, 1 << 30), "EINVAL", "a word of")
    g("five-dimensions", head + body + struct.pack("<3i", 5, 1, 0) + bytes(30), "EINVAL", "5 dimensions")
    g("name-too-long", head + body + struct.pack("<3i", 1, 1 << 20, 0) + bytes(30), "EINVAL", "a name of")
    g("type-unknown", head + body + struct.pack("<4i", 1, 1, 99, 4) + b"w" + FOUR, "ENOTSUP", "ggml type 99")
    g("data-cut-short", head + body + one[:-3], "EINVAL", "cut short")
    g("shape-overflow", head + body + struct.pack("<7i", 4, 1, 0, -1, -1, -1, -1) + b"w", "EINVAL", "overflow")


# --- HDF5: a small good file with single fields changed ---

def hdf5s():
    import h5py
    import numpy as np
    path = os.path.join(HERE, "archives", "tmp.h5")
    with h5py.File(path, "w") as f:
        f.attrs["model_config"] = '{"class_name": "Lambda"}'
        f["g/w"] = np.arange(4, dtype="f4")
        f.create_dataset("g/z", data=np.arange(64, dtype="f4").reshape(8, 8), chunks=(8, 8), compression="gzip", compression_opts=9)
    with open(path, "rb") as f:
        good = f.read()
    os.remove(path)

    def change(name, at, data, *outcome):
        put("hdf5/%s.h5" % name, good[:at] + data + good[at + len(data):], *outcome)
    u64 = lambda i: struct.pack("<Q", i)
    put("hdf5/lambda.h5", good, "hazard", "keras-lambda")
    for name, config, hazard in (
            ("function-eval", '{"class_name":"function","module":"builtins","config":"eval"}', "keras-module"),
            ("function-get-file", '{"class_name":"function","module":"keras.utils","config":"get_file"}', "keras-module"),
            ("torch-wrapper", '{"class_name":"TorchModuleWrapper","module":"keras.layers"}', "keras-pickle"),
            ("function-own", '{"class_name":"function","module":"builtins","config":"my_loss"}', "ok")):
        with h5py.File(path, "w") as f:
            f.attrs["model_config"] = config
            f["w"] = np.arange(4, dtype="f4")
        with open(path, "rb") as f:
            put("hdf5/%s.h5" % name, f.read(), *((hazard,) if hazard == "ok" else ("hazard", hazard)))
        os.remove(path)
    put("hdf5/cut-short.h5", good[:-100], "EINVAL", "cut short")
    put("hdf5/cut-in-superblock.h5", good[:50], "EINVAL", "superblock")
    change("superblock-9", 8, b"\x09", "ENOTSUP", "superblock 9")
    change("addresses-of-four", 13, b"\4", "ENOTSUP", "addresses of 4")
    change("base-beyond-end", 24, u64(1 << 40), "EINVAL", "it begins at byte")
    change("root-beyond-end", 64, u64(1 << 62), "EINVAL", "an address beyond the end")
    change("root-is-no-header", 64, u64(0), "EINVAL", "expected an object header")
    symbols = good.index(b"SNOD")
    root = struct.unpack("<Q", good[64:72])[0]
    change("group-in-itself", symbols + 16, u64(root), "EINVAL", "in a circle")
    tree = good.index(b"TREE")
    change("tree-in-itself", tree + 24 + 8, u64(tree), "EINVAL", "expected a symbol table node")
    change("tree-of-levels", tree + 5, b"\xff", "EINVAL", "expected a group's tree")
    change("tree-of-many", tree + 6, b"\xff\xff", "EINVAL", "HDF5")
    heap = good.index(b"HEAP")
    change("heap-is-none", heap, b"HAEP", "EINVAL", "expected a heap")
    change("heap-beyond-end", heap + 24, u64(1 << 63), "EINVAL", "beyond the end")
    chunks = [i for i in range(len(good) - 8) if good[i:i + 5] == b"TREE\1"][0]
    change("chunk-too-small", chunks + 24, struct.pack("<I", 0), "hazard", "keras-lambda")
    change("chunk-beyond-end", chunks + 24 + 8 + 24, u64(len(good) - 8), "EINVAL", "a chunk beyond the end")
    change("chunk-outside", chunks + 24 + 8, u64(8), "EINVAL", "outside of its dataset")
    change("chunk-misaligned", chunks + 24 + 8, u64(1), "EINVAL", "outside of its dataset")
    change("chunk-tree-in-itself", chunks + 5, b"\1", "EINVAL", "HDF5")
    at = struct.unpack("<Q", good[chunks + 24 + 8 + 24:chunks + 24 + 8 + 32])[0]
    change("chunk-broken", at, b"\0" * 8, "hazard", "keras-lambda")


def dense_hdf5s():
    """Links and attributes in fractal heaps."""
    import h5py
    import numpy as np
    path = os.path.join(HERE, "archives", "tmp.h5")
    with h5py.File(path, "w", libver=("v108", "v108")) as f:
        for i in range(9):
            f.attrs["a%d" % i] = "b"
        f.attrs["model_config"] = np.bytes_('{"class_name": "Lambda", "pad": "%s"}' % ("x" * 5000))
        for i in range(60):
            f["g/%s%d" % ("n" * 20, i)] = np.float32(i)
    with open(path, "rb") as f:
        good = f.read()
    os.remove(path)

    def change(name, at, data, *outcome):
        put("hdf5/dense-%s.h5" % name, good[:at] + data + good[at + len(data):], *outcome)

    def each(what):
        return [i for i in range(len(good)) if good.startswith(what, i)]
    u64 = lambda i: struct.pack("<Q", i)
    put("hdf5/dense.h5", good, "hazard", "keras-lambda")
    links = [i for i in each(b"BTHD") if good[i + 5] == 5][0]
    heap = [i for i in each(b"FRHP") if good[i + 5:i + 7] == b"\7\0"][0]
    root = struct.unpack("<Q", good[heap + 132:heap + 140])[0]
    node = struct.unpack("<Q", good[links + 16:links + 24])[0]
    huge = [i for i in each(b"BTHD") if good[i + 5] == 1][0]
    change("tree-is-none", links, b"BTHX", "EINVAL", "expected a tree of names")
    change("tree-of-another-type", links + 5, b"\x08", "EINVAL", "expected a tree of names")
    change("tree-without-records", links + 10, b"\0\0", "EINVAL", "expected a tree of names")
    change("tree-of-small-nodes", links + 6, struct.pack("<I", 30), "EINVAL", "expected a tree of names")
    change("tree-of-large-nodes", links + 6, struct.pack("<I", 1 << 30), "EINVAL", "expected a tree of names")
    change("tree-of-many", links + 24, b"\xff\xff", "EINVAL", "more records than")
    change("tree-too-deep", links + 12, b"\xff\xff", "EINVAL", "expected a tree of names")
    change("tree-in-itself", node + 6 + 11 * struct.unpack("<H", good[links + 24:links + 26])[0], u64(node), "EINVAL", "HDF5")
    change("heap-is-none", heap, b"FRHX", "EINVAL", "expected a heap of links")
    change("heap-of-odd-blocks", heap + 112, u64(500), "EINVAL", "expected a heap of links")
    change("heap-of-no-blocks", heap + 112, u64(0), "EINVAL", "expected a heap of links")
    change("heap-of-wide-rows", heap + 110, b"\xff\xff", "EINVAL", "expected a heap of links")
    change("heap-of-long-ids", heap + 5, b"\xff\xff", "EINVAL", "expected a heap of links")
    change("heap-of-no-ids", heap + 5, b"\0\0", "EINVAL", "ids do not fit")
    change("heap-of-few-rows", heap + 140, b"\1\0", "EINVAL", "beyond its heap")
    change("heap-of-one-block", heap + 140, b"\0\0", "EINVAL", "HDF5")
    change("heap-filtered", heap + 7, b"\5\0", "ENOTSUP", "filtered")
    change("heap-beyond-end", heap + 132, u64(1 << 62), "EINVAL", "beyond the end")
    change("block-beyond-end", root + 13 + 4, u64(1 << 62), "EINVAL", "beyond the end")
    change("huge-beyond-end", struct.unpack("<Q", good[huge + 16:huge + 24])[0] + 6, u64(1 << 62), "EINVAL", "beyond the end")
    change("huge-of-all", struct.unpack("<Q", good[huge + 16:huge + 24])[0] + 14, u64(1 << 62), "warning", "attributes")


if __name__ == "__main__":
    import shutil
    shutil.rmtree(os.path.join(HERE, "archives"), ignore_errors=True)
    for make in (zips, pickles, checkpoints, arrays, onnxes, others, hdf5s, dense_hdf5s):
        make()
    with open(os.path.join(HERE, "archives.tsv"), "w") as f:
        f.write("file\toutcome\twords\n")
        for row in ROWS:
            f.write("\t".join(row) + "\n")
