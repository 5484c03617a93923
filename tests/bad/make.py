#!/usr/bin/env python3
"""The hostile files beside this script, and EXPECTED.tsv, which says what must become of each.

    make.py            write safetensors/ gguf/ json/ yaml/ and EXPECTED.tsv (found/ holds files that were found, see README.md)

EXPECTED.tsv: file, outcome, words. outcome is `ok`, `warning` (every tensor can be read; `words` is one of the problems) or
an errno (`words` is in the message). Tests run them all; the fuzzers begin with them.
"""
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = []


def put(path, data, outcome, words=""):
    full = os.path.join(HERE, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, "wb") as f:
        f.write(data)
    ROWS.append((path, outcome, words))


# --- safetensors ---

def st(header, data=b"", length=None):
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def t(dtype, shape, begin, end, **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


F = t("F32", [2], 0, 8)
EIGHT = b"\0" * 8


def safetensors():
    def one(name, header, data, outcome, words=""):
        put("safetensors/%s.safetensors" % name, st(header, data), outcome, words)

    one("empty-header", {}, b"", "ok")
    one("scalar", {"s": t("F32", [], 0, 4)}, b"\0" * 4, "ok")
    one("zero-size", {"z": t("F32", [0, 4096], 0, 0)}, b"", "ok")
    one("zero-size-between", {"a": F, "z": t("I8", [0], 8, 8), "b": t("F32", [2], 8, 16)}, EIGHT * 2, "ok")
    one("metadata-null", {"__metadata__": None, "a": F}, EIGHT, "ok")
    one("escaped-name", b'{"a\\u0062\\"c":' + json.dumps(F).encode() + b"}", EIGHT, "ok")
    one("padded-with-spaces", json.dumps({"a": F}).encode() + b" " * 7, EIGHT, "ok")
    one("out-of-order", {"b": t("F32", [2], 8, 16), "a": F}, EIGHT * 2, "ok")
    one("sub-byte", {"four": t("F4", [2, 3], 0, 3), "six": t("F6_E2M3", [4], 3, 6)}, b"\0" * 6, "ok")
    one("every-type", {d: t(d, [8], i * 128, i * 128 + 8 * b // 8) for i, (d, b) in enumerate([
        ("F64", 64), ("F32", 32), ("F16", 16), ("BF16", 16), ("F8_E4M3", 8), ("F8_E5M2", 8), ("F8_E8M0", 8),
        ("F6_E2M3", 6), ("F6_E3M2", 6), ("F4", 4), ("I64", 64), ("I32", 32), ("I16", 16), ("I8", 8), ("U64", 64),
        ("U32", 32), ("U16", 16), ("U8", 8), ("BOOL", 8), ("C64", 64)])}, b"\x41" * 128 * 20, "warning", "hole")

    one("trailing-bytes", {"a": F}, EIGHT + b"more", "warning", "trailing bytes")
    one("hole", {"a": F, "b": t("F32", [2], 12, 20)}, EIGHT * 3, "warning", "hole")
    one("hole-at-start", {"a": t("F32", [1], 4, 8)}, EIGHT, "warning", "hole")
    one("overlap", {"a": F, "b": t("F32", [1], 4, 8)}, EIGHT, "warning", "overlap")
    one("same-bytes", {"a": F, "b": F}, EIGHT, "warning", "overlap")
    one("unknown-field", {"a": dict(F, strides=[1, {"deep": [None]}])}, EIGHT, "warning", "unknown field")
    one("metadata-number", {"__metadata__": {"n": 1, "s": "kept"}, "a": F}, EIGHT, "warning", "odd metadata")
    one("metadata-nested", {"__metadata__": {"o": {"a": ["b"]}, "s": "kept"}, "a": F}, EIGHT, "warning", "odd metadata")
    one("metadata-duplicate", b'{"__metadata__":{"k":"1","k":"2"}}', b"", "warning", "duplicate key")

    put("safetensors/too-short.safetensors", b"\2\0\0\0\0\0\0\0{", "EINVAL", "at least 10 bytes")
    put("safetensors/empty.safetensors", b"", "EINVAL", "empty")
    put("safetensors/header-too-large.safetensors", st({"a": F}, EIGHT, 2 ** 62), "EINVAL", "the file has")
    put("safetensors/header-past-end.safetensors", st({"a": F}, EIGHT, 100), "EINVAL", "the file has")
    put("safetensors/header-length-all-ones.safetensors", st({"a": F}, EIGHT, 2 ** 64 - 1), "EINVAL", "the file has")
    put("safetensors/header-length-cuts-json.safetensors", st({"a": F}, EIGHT, 20), "EINVAL", "JSON")
    one("starts-with-space", b' {"a":1}', b"", "EINVAL", "not a known format")
    one("array-at-top", b'["a"]     ', b"", "EINVAL", "not a known format")
    one("not-json", b'{"a":{"dtype":nope}}', b"", "EINVAL", "not JSON")
    one("not-utf8", b'{"a\xff":' + json.dumps(F).encode() + b"}", EIGHT, "EINVAL", "not JSON")
    one("name-overlong-utf8", b'{"\xc0\x80":' + json.dumps(F).encode() + b"}", EIGHT, "EINVAL", "UTF-8")
    one("two-documents", b'{}{}      ', b"", "EINVAL", "not JSON")
    one("nul-padding", b'{}' + b"\0" * 6, b"", "EINVAL", "not JSON")
    one("nul-in-name", b'{"a\\u0000b":' + json.dumps(F).encode() + b"}", EIGHT, "EINVAL", "NUL")
    one("duplicate-name", b'{"a":%s,"a":%s}' % ((json.dumps(F).encode(),) * 2), EIGHT, "EINVAL", "two tensors")
    one("duplicate-by-escape", b'{"a":%s,"\\u0061":%s}' % ((json.dumps(F).encode(),) * 2), EIGHT, "EINVAL", "two tensors")
    one("duplicate-field", b'{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}', EIGHT, "EINVAL", "once")
    one("two-metadata", b'{"__metadata__":{},"__metadata__":{}}', b"", "EINVAL", "two")
    one("missing-shape", {"a": {"dtype": "F32", "data_offsets": [0, 8]}}, EIGHT, "EINVAL", "not all")
    one("missing-all", {"a": {}}, EIGHT, "EINVAL", "not all")
    one("three-offsets", {"a": dict(F, data_offsets=[0, 8, 8])}, EIGHT, "EINVAL", "two data_offsets")
    one("one-offset", {"a": dict(F, data_offsets=[8])}, EIGHT, "EINVAL", "two data_offsets")
    one("shape-string", {"a": dict(F, shape="2")}, EIGHT, "EINVAL", "an array of integers")
    one("shape-object", {"a": dict(F, shape={})}, EIGHT, "EINVAL", "an array of integers")
    one("shape-nested", {"a": dict(F, shape=[[2]])}, EIGHT, "EINVAL", "integers")
    one("shape-negative", {"a": dict(F, shape=[-2])}, EIGHT, "EINVAL", "non-negative")
    one("shape-float", {"a": dict(F, shape=[2.0])}, EIGHT, "EINVAL", "non-negative")
    one("shape-65-bits", {"a": dict(F, shape=[2 ** 64 + 2])}, EIGHT, "EINVAL", "non-negative")
    one("shape-overflow", {"a": dict(F, shape=[2 ** 32, 2 ** 32])}, EIGHT, "EINVAL", "overflows")
    one("shape-overflow-zero", {"a": t("F32", [2 ** 32, 2 ** 32, 0], 0, 0)}, b"", "EINVAL", "overflows")
    one("bytes-overflow", {"a": dict(F, shape=[2 ** 62])}, EIGHT, "EINVAL", "more than 64 bits")
    one("nine-dimensions", {"a": t("U8", [1] * 9, 0, 1)}, b"\0", "EINVAL", "8 dimensions")
    one("odd-bits", {"a": t("F4", [3], 0, 2)}, EIGHT, "EINVAL", "not whole blocks")
    one("dtype-number", {"a": dict(F, dtype=32)}, EIGHT, "EINVAL", "a type's name")
    one("dtype-array", {"a": dict(F, dtype=["F32"])}, EIGHT, "EINVAL", "a type's name")
    one("dtype-null", {"a": dict(F, dtype=None)}, EIGHT, "EINVAL", "a type's name")
    one("dtype-unknown", {"a": dict(F, dtype="F99")}, EIGHT, "ENOTSUP", "F99")
    one("dtype-very-long", {"a": dict(F, dtype="F" * 300)}, EIGHT, "ENOTSUP", "not known")
    one("dtype-of-another-format", {"a": t("Q4_0", [32], 0, 18)}, b"\0" * 18, "ENOTSUP", "Q4_0")
    one("offsets-backwards", {"a": dict(F, data_offsets=[8, 0])}, EIGHT, "EINVAL", "data_offsets")
    one("offsets-too-long", {"a": dict(F, data_offsets=[0, 9])}, EIGHT * 2, "EINVAL", "data_offsets")
    one("offsets-past-end", {"a": t("F32", [2], 8, 16)}, EIGHT, "EINVAL", "the file has")
    one("offsets-overflow", {"a": t("U8", [1], 2 ** 64 - 2, 2 ** 64 - 1)}, b"\0", "EINVAL", "overflows")
    one("cut-short", {"a": t("F32", [1000], 0, 4000)}, b"\0" * 3999, "EINVAL", "the file has")
    one("tensor-is-number", {"a": 1}, EIGHT, "EINVAL", "an object")
    one("tensor-is-array", {"a": [F]}, EIGHT, "EINVAL", "an object")
    one("metadata-is-array", {"__metadata__": ["a"]}, b"", "EINVAL", "an object")
    one("deep-arrays", b'{"a":{"x":' + b"[" * 5000 + b"]" * 5000 + b"}}", b"", "EINVAL", "64 deep")
    one("deep-objects", b'{"__metadata__":{"x":' + b'{"y":' * 5000, b"", "EINVAL", "64 deep")


# --- GGUF ---

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q", I64: "<q", F64: "<d"}


class Gguf:
    def __init__(self, version=3):
        self.version, self.keys, self.tensors, self.n_keys, self.n_tensors = version, b"", b"", 0, 0

    def n(self, v):
        return struct.pack("<I" if self.version == 1 else "<Q", v)

    def s(self, v):
        v = v if isinstance(v, bytes) else v.encode()
        return self.n(len(v)) + v

    def value(self, kind, v):
        return self.s(v) if kind == STRING else struct.pack(PACK[kind], v)

    def key(self, name, kind, v):
        self.n_keys += 1
        self.keys += self.s(name) + struct.pack("<I", kind) + (v if kind == ARRAY or kind > F64 else self.value(kind, v))
        return self

    def array(self, name, kind, items, n=None):
        return self.key(name, ARRAY, struct.pack("<I", kind) + self.n(len(items) if n is None else n)
                        + b"".join(self.value(kind, i) for i in items))

    def tensor(self, name, shape, kind=0, offset=0, dims=None):
        self.n_tensors += 1
        self.tensors += (self.s(name) + struct.pack("<I", len(shape) if dims is None else dims)
                         + b"".join(self.n(d) for d in shape) + struct.pack("<IQ", kind, offset))
        return self

    def bytes(self, data=b"", align=32, magic=b"GGUF", n_tensors=None, n_keys=None):
        head = (magic + struct.pack("<I", self.version) + self.n(self.n_tensors if n_tensors is None else n_tensors)
                + self.n(self.n_keys if n_keys is None else n_keys) + self.keys + self.tensors)
        return head + b"\0" * (-len(head) % align) + data if data else head


def gguf():
    def one(name, g, outcome, words="", **more):
        put("gguf/%s.gguf" % name, g if isinstance(g, bytes) else g.bytes(**more), outcome, words)

    def plain(**more):
        return Gguf(**more).key("general.architecture", STRING, "llama")

    data = b"\0" * 32
    for v in (1, 2, 3):
        one("version-%d" % v, plain(version=v).array("words", STRING, ["a", "bc", ""]).tensor("a", [4, 2]), "ok", data=data)
    g = plain()
    for i, (k, v) in enumerate([(U8, 255), (I8, -1), (U16, 65535), (I16, -2), (U32, 2 ** 32 - 1), (I32, -3), (F32, 1.5), (BOOL, 1),
                                (STRING, "text"), (U64, 2 ** 64 - 1), (I64, -2 ** 63), (F64, 0.1)]):
        g.key("kind.%d" % i, k, v).array("list.%d" % i, k, [v, v])
    one("every-kind", g.array("long", I16, range(2000)).array("long.strings", STRING, ["x%d" % i for i in range(1500)]), "ok")
    one("alignment-64", plain().key("general.alignment", U32, 64).tensor("a", [8]).tensor("b", [8], offset=64), "ok",
        data=b"\0" * 96, align=64)
    one("quantised", plain().key("general.file_type", U32, 15).tensor("a", [256, 2], 12).tensor("b", [32], 2, 288),
        "ok", data=b"\x11" * (288 + 32))
    one("scalar", plain().tensor("a", []), "ok", data=data)
    one("no-tensors", plain(), "ok")

    one("zero-dimension", plain().tensor("a", [0, 4]).tensor("b", [8]), "warning", "empty tensor", data=data)
    one("duplicate-key", plain().key("k", U8, 1).key("k", U8, 2), "warning", "duplicate key")
    one("empty-key", plain().key("", U8, 1), "warning", "empty key")
    one("long-name", plain().tensor("n" * 64, [8]), "warning", "long name", data=data)
    one("overlap", plain().tensor("a", [8]).tensor("b", [8]), "warning", "overlap", data=data)
    one("hole", plain().tensor("a", [8]).tensor("b", [8], offset=96), "warning", "hole", data=data * 4)
    one("misaligned", plain().tensor("a", [4]).tensor("b", [4], offset=16), "warning", "misaligned", data=data)
    one("trailing-bytes", plain().tensor("a", [8]), "warning", "trailing bytes", data=data * 3)
    one("odd-magic", plain(version=1), "warning", "odd magic", magic=b"FUGG")

    one("magic-only", b"GGUF", "EINVAL", "a version")
    one("header-cut", plain().bytes()[:20], "EINVAL", "expected 8 bytes")
    one("bad-magic", plain(), "EINVAL", "not a known format", magic=b"GGUX")
    one("version-0", plain(version=0), "ENOTSUP", "version 1 to 3, found 0")
    one("version-4", plain(version=4), "ENOTSUP", "version 1 to 3, found 4")
    one("big-endian", b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "ENOTSUP", "big-endian")
    one("tensors-minus-one", plain(), "EINVAL", "tensors, the file has", n_tensors=2 ** 64 - 1)
    one("keys-minus-one", plain(), "EINVAL", "key-values, the file has", n_keys=2 ** 64 - 1)
    one("one-key-too-many", plain(), "EINVAL", "of a key", n_keys=2)
    one("one-tensor-too-many", plain().tensor("a", [8]), "EINVAL", "tensors, the file has", n_tensors=2)
    one("key-longer-than-file", Gguf().key("k", U8, 1).bytes().replace(struct.pack("<Q", 1) + b"k", struct.pack("<Q", 2 ** 40) + b"k"),
        "EINVAL", "of a key")
    one("key-length-all-ones", Gguf().key("k", U8, 1).bytes().replace(struct.pack("<Q", 1) + b"k", struct.pack("<Q", 2 ** 64 - 1) + b"k"),
        "EINVAL", "of a key")
    one("key-of-70000", Gguf().key("k" * 70000, U8, 1), "EFBIG", "a key of 70000")
    one("nul-in-key", plain().key("a\0b", U8, 1), "EINVAL", "NUL")
    one("bad-kind", plain().key("k", 13, b"\0" * 16), "EINVAL", "found 13")
    one("array-in-array", plain().key("k", ARRAY, struct.pack("<IQIQ", ARRAY, 1, U8, 1) + b"\0"), "ENOTSUP", "arrays")
    one("array-bad-kind", plain().key("k", ARRAY, struct.pack("<IQ", 99, 1) + b"\0" * 8), "EINVAL", "unknown type")
    one("array-too-long", plain().array("k", U8, [0] * 4, n=2 ** 63), "EINVAL", "elements, the file has")
    one("array-wraps", plain().array("k", F64, [0] * 4, n=2 ** 61 + 1), "EINVAL", "elements, the file has")
    one("strings-too-many", plain().array("k", STRING, [""] * 4, n=2 ** 60), "EINVAL", "elements, the file has")
    one("strings-cut", plain().array("k", STRING, ["abc"] * 1500, n=1600) .key("pad", STRING, "x" * 300), "EINVAL", "a string")
    one("token-of-2-to-31", plain().array("tokenizer.ggml.tokens", STRING, ["ab"]).bytes().replace(
        struct.pack("<Q", 2) + b"ab", struct.pack("<Q", 2 ** 31 + 1) + b"ab"), "EINVAL", "a string")
    one("string-of-a-gibibyte", plain().key("k", STRING, "abc").bytes().replace(struct.pack("<Q", 3) + b"abc", struct.pack("<Q", 1 << 30) + b"abc"),
        "EINVAL", "of a string")
    for name, kind, v in (("zero", U32, 0), ("three", U32, 3), ("string", STRING, "32"), ("negative", I32, -32), ("huge", U64, 2 ** 40)):
        one("alignment-" + name, plain().key("general.alignment", kind, v).tensor("a", [8]), "EINVAL", "general.alignment", data=data)
    one("alignment-2-to-31", plain().key("general.alignment", U32, 2 ** 31).tensor("a", [8]), "EINVAL", "the file has", data=data)
    one("five-dimensions", plain().tensor("a", [1] * 5), "EINVAL", "at most 4 dimensions", data=data)
    one("dimensions-2-to-31", plain().tensor("a", [], dims=2 ** 31), "EINVAL", "at most 4 dimensions", data=data)
    one("shape-overflow", plain().tensor("a", [2 ** 33, 2 ** 33]), "EINVAL", "overflows", data=data)
    one("shape-negative", plain().tensor("a", [2 ** 64 - 1]), "EINVAL", "more than 64 bits", data=data)
    one("bytes-overflow", plain().tensor("a", [2 ** 62]), "EINVAL", "more than 64 bits", data=data)
    one("size-wraps", plain().tensor("a", [0x7FFFFFFFFFFFFFC0 // 4]).tensor("b", [0x7FFFFFFFFFFFFFC0 // 4], offset=0x7FFFFFFFFFFFFFC0),
        "EINVAL", "the file has", data=data)
    one("tensor-bad-type", plain().tensor("a", [8], 99), "ENOTSUP", "type 99", data=data)
    one("tensor-withdrawn-type", plain().tensor("a", [32], 4), "ENOTSUP", "type 4", data=data)
    one("tensor-part-of-block", plain().tensor("a", [16, 2], 2), "EINVAL", "whole blocks", data=data)
    one("tensor-past-end", plain().tensor("a", [9]), "EINVAL", "the file has", data=data)
    one("tensor-offset-past-end", plain().tensor("a", [8], offset=1 << 40), "EINVAL", "the file has", data=data)
    one("tensor-offset-wraps", plain().tensor("a", [8], offset=2 ** 64 - 32), "EINVAL", "its offset overflows", data=data)
    one("tensor-no-data", plain().tensor("a", [8]), "EINVAL", "the file has")
    one("tensor-cut", plain().tensor("a", [8]).bytes()[:-6], "EINVAL", "expected")
    one("tensor-name-longer-than-file", plain().tensor("a", [8]).bytes(data).replace(struct.pack("<Q", 1) + b"a", struct.pack("<Q", 999) + b"a"),
        "EINVAL", "a tensor's name")
    one("nul-in-name", plain().tensor("a\0b", [8]), "EINVAL", "NUL", data=data)
    one("duplicate-tensor", plain().tensor("a", [8]).tensor("a", [8], offset=32), "EINVAL", "two tensors", data=data * 2)


def texts():
    put("json/deep.json", b"[" * 100000, "E2BIG", "nested")
    put("json/duplicate.json", b'{"a":1,"a":2}', "EINVAL", "twice")
    put("json/bad-utf8.json", b'"\xff"', "EINVAL", "not JSON")
    put("json/overlong-utf8.json", b'"\xc0\x80"', "ok")
    put("json/half.json", b'{"a":[1,2', "EINVAL", "JSON")
    put("json/empty.json", b"", "EINVAL", "JSON")
    put("json/comment.json", b"{} // no", "EINVAL", "not JSON")
    put("json/long-number.json", b"[" + b"9" * 3000 + b"]", "ok")
    put("json/lone-surrogate.json", b'["\\ud800"]', "ok")
    put("yaml/laughs.yaml", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "EINVAL", "aliases")
    put("yaml/deep.yaml", b"[" * 1000, "E2BIG", "nested")
    put("yaml/tab.yaml", b"a:\n\t- b\n", "EINVAL", "not YAML")
    put("yaml/list-as-key.yaml", b"? [a, b]\n: c\n", "EINVAL", "as a key")
    put("yaml/bad-utf8.yaml", b"a: \xff\xfe\n", "EINVAL", "not YAML")
    put("yaml/tags.yaml", b"a: !!python/object/apply:os.system [\"id\"]\n", "ok")


def found():
    for name, outcome, words in (
            ("gridcore-bad-version.gguf", "ok", ""), ("gridcore-huge-counts.gguf", "EINVAL", "key-values"),
            ("gridcore-kv-arr-huge-n.gguf", "EINVAL", "elements"), ("gridcore-kv-huge-strlen.gguf", "EINVAL", "bytes left"),
            ("gridcore-magic-only.gguf", "EINVAL", "a version"), ("gridcore-tensor-huge-dims.gguf", "EINVAL", "overflows"),
            ("gridcore-trunc-magic.gguf", "EINVAL", "not a known format"), ("gridcore-v3-empty.gguf", "ok", ""),
            ("tensorhawk-model.gguf", "ok", ""),
            ("hf-overall.safetensors", "ok", ""), ("llama-jni-bridge-phi-3-head.gguf", "EINVAL", "of a key")):
        ROWS.append(("found/" + name, outcome, words))


safetensors()
gguf()
texts()
found()
with open(os.path.join(HERE, "EXPECTED.tsv"), "w") as f:
    f.write("file\toutcome\twords\n")
    for row in ROWS:
        f.write("\t".join(row) + "\n")
