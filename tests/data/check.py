#!/usr/bin/env python3
"""Hold tests/data/lake to tests/data/truth, from the bytes alone, without tarn: that the sample still is what it says."""
import array, csv, json, os, struct, sys

HERE = os.path.dirname(os.path.abspath(__file__))
LAKE, TRUTH = os.path.join(HERE, "lake"), os.path.join(HERE, "truth")
MISSING_PARENTS = {"northwind/cinder", "basalt-ai/tessera-mini"}
WANTED = {"base", "finetune", "lora_merged", "adapter", "merge_linear", "stitch", "quantized_gguf_q8_0", "pruned",
          "duplicate", "cast", "broken_truncated_copy"}
LIMIT = 8_000_000
problems = []


def expect(ok, text):
    if not ok:
        problems.append(text)


def rows(name):
    with open(os.path.join(TRUTH, name), encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def tensors(model, file="model.safetensors"):
    """name -> (dtype, bytes); raises ValueError where the file does not hold what its header says"""
    with open(os.path.join(LAKE, model, file), "rb") as f:
        data = f.read()
    n = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:8 + n])
    out = {}
    for name, t in header.items():
        if name == "__metadata__":
            continue
        a, b = t["data_offsets"]
        if 8 + n + b > len(data):
            raise ValueError(f"{name} ends at byte {8 + n + b} of {len(data)}")
        out[name] = (t["dtype"], data[8 + n + a:8 + n + b])
    return out


def floats(t):
    dtype, data = t
    if dtype == "F32":
        return array.array("f", data)
    if dtype == "F16":
        return array.array("f", struct.unpack(f"<{len(data) // 2}e", data))
    raise ValueError(dtype)


def details(edge):
    return dict(part.partition("=")[::2] for part in edge["details"].split(";"))


def check_names(models, edges):
    there = {f"{o}/{m}" for o in os.listdir(LAKE) for m in os.listdir(os.path.join(LAKE, o))}
    told = {m["model"] for m in models}
    expect(there == told, f"models.tsv and the lake differ: {sorted(there ^ told)}")
    for e in edges:
        expect(e["child"] in there, f"edges.tsv: child {e['child']} is not in the lake")
        expect(e["parent"] in there or e["parent"] in MISSING_PARENTS,
               f"edges.tsv: parent {e['parent']} is neither in the lake nor among the missing parents of README.md")
    for m in models:
        card = os.path.join(LAKE, m["model"], "README.md")
        declared = [] if m["declared_base_model"] == "-" else m["declared_base_model"].split(",")
        text = open(card, encoding="utf-8").read() if os.path.exists(card) else ""
        expect(all(d in text for d in declared), f"{m['model']}: its card does not declare {declared}")
    relations = {m["relation"] for m in models}
    expect(WANTED <= relations, f"no model of kind {sorted(WANTED - relations)}")
    expect(any(m["declared_right"] == "no" for m in models), "no card lies")
    parents = {e["child"]: e["parent"] for e in edges if e["relation"] == "finetune"}
    expect(any(parents.get(parents.get(c)) in told for c in parents), "no chain of fine-tunes three models long")


def check_size():
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, files in os.walk(LAKE) for f in files)
    expect(size <= LIMIT, f"the lake has {size} bytes, at most {LIMIT} are wanted")


def check_stitch():
    cache, seen = {}, {}
    for r in rows("stitch.tsv"):
        child = cache.setdefault(r["child"], tensors(r["child"]))
        source = cache.setdefault(r["source_model"], tensors(r["source_model"]))
        seen.setdefault(r["child"], set()).add(r["child_tensor"])
        expect(child[r["child_tensor"]] == source[r["source_tensor"]],
               f"{r['child']}: {r['child_tensor']} is not {r['source_tensor']} of {r['source_model']}")
    for child, names in seen.items():
        expect(names == set(cache[child]), f"stitch.tsv does not tell every tensor of {child}")


def check_merge(edges):
    shares = {}
    for e in edges:
        if e["relation"] == "merge_linear":
            shares.setdefault(e["child"], []).append((e["parent"], float(details(e)["weight"])))
    for child, parents in shares.items():
        loaded = [(tensors(p), w) for p, w in parents]
        for name, t in tensors(child).items():
            got, mixed = floats(t), [0.0] * (len(t[1]) // 4)
            for p, w in loaded:
                mixed = [m + w * x for m, x in zip(mixed, floats(p[name]))]
            worst = max(abs(a - b) for a, b in zip(got, mixed))
            expect(worst < 2e-3, f"{child}: {name} is {worst:g} away from the mixture that edges.tsv tells")


def check_edge(e):
    child, parent, relation = e["child"], e["parent"], e["relation"]
    if relation == "duplicate":
        expect(tensors(child) == tensors(parent), f"{child} is not a duplicate of {parent}")
    elif relation == "pruned":
        a, b = tensors(child), tensors(parent)
        expect(all(x in (0.0, y) for n in a for x, y in zip(floats(a[n]), floats(b[n]))), f"{child} is not a pruned {parent}")
        zeros = sum(x == 0 for n in a for x in floats(a[n]))
        expect(zeros > 1000, f"{child}: {zeros} zeros")
    elif relation == "cast":
        a, b = tensors(child), tensors(parent)
        rounded = {n: struct.pack(f"<{len(t[1]) // 4}e", *floats(t)) if t[0] == "F32" else t[1] for n, t in b.items()}
        expect(rounded == {n: t[1] for n, t in a.items()}, f"{child} is not {parent} rounded to float16")
    elif relation.startswith("broken"):
        try:
            tensors(child)
            expect(False, f"{child} is not broken")
        except ValueError:
            pass


def main():
    models, edges = rows("models.tsv"), rows("edges.tsv")
    check_names(models, edges)
    check_size()
    check_stitch()
    check_merge(edges)
    for e in edges:
        check_edge(e)
    for p in problems:
        print(p, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
