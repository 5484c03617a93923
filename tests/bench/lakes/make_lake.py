#!/usr/bin/env python3
"""Train a small lake of models whose lineage is known, to measure lineage on architectures, sizes and seeds it was not written for.

    make_lake.py OUT --seed N [--data DIR] [--size small|full] [--gentle] [--plain | --other]

OUT/lake holds the models, OUT/truth edges.tsv and stitch.tsv in the form that score_lineage.py reads. DATA holds NAME.train.txt
files (without it, texts are made up). Everything else (sizes, names, vocabularies, learning rates, who is merged with whom) is drawn
from the seed. --gentle: learning rates ten times smaller, drifts near the rounding of bf16, as in fine-tunes of large models.
--plain: fewer models and operations, each once or twice, corpora drawn from all texts, learning rates spread evenly, a fine-tune's corpus
other than its parent's: the proportions of a published lake rather than its hardest cases.
--other: as --plain, of other networks: Qwen2 (biases), GPT-NeoX (fused, parallel), OPT, a vision transformer and a residual network.
Needs PyTorch; about ten minutes on one core.
"""
import argparse
import glob
import json
import os
import random

import torch

import nets
import ops
import store

DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
PLAIN_HEADS = ("gpt2", "neox", "opt")       # as many keys as queries
LONG = {"bf16": "bfloat16", "f16": "float16", "f32": "float32"}


class Lake:
    def __init__(self, out, seed, data, gentle):
        self.out, self.rng, self.g = out, random.Random(seed), torch.Generator().manual_seed(seed)
        self.seed, self.gentle, self.count = seed, 0.1 if gentle else 1.0, 0
        os.makedirs(f"{out}/lake"); os.makedirs(f"{out}/truth")
        self.edges, self.stitches, self.m = [], [], {}
        self.texts = texts(data, self.rng)

    def name(self):
        r, c, v = self.rng, "bcdfglmnprstvz", "aeiou"
        word = lambda n: "".join(r.choice(c) + r.choice(v) for _ in range(n))
        return f"{word(2)}/{word(3)}-{r.randrange(100)}"

    def edge(self, child, parent, rel, details="", weight="yes"):
        self.edges.append((child, parent, rel, details, weight))

    def save(self, p, c, dtype, how="safetensors", name=None, rename=None):
        """Rounds to dtype, writes, returns the name; the published weights are kept."""
        name = name or self.name()
        q = {k: v.to(DTYPES[dtype]) if v.is_floating_point() else v for k, v in p.items()}
        d = store.directory(f"{self.out}/lake", name)
        file = {k if not rename else rename + k: v for k, v in q.items()}
        if how == "shards":
            store.sharded(d, file, self.rng.choice([2, 3]))
        elif how == "bin":
            torch.save(file, f"{d}/pytorch_model.bin")
        else:
            store.safetensors(f"{d}/model.safetensors", file)
        store.config(d, c, LONG[dtype])
        self.m[name] = (q, c, dtype)
        return name

    def dtype(self, parent):
        return self.rng.choice([self.m[parent][2]] * 5 + ["bf16", "f16", "f32"])

    def batches(self, corpus, c):
        data, T = encode(self.texts[corpus], c), c["train_len"]
        def batch(rng):
            i = [rng.randrange(len(data) - T - 1) for _ in range(4)]
            return torch.stack([data[j:j + T] for j in i]), torch.stack([data[j + 1:j + T + 1] for j in i])
        return batch

    def finetune(self, parent, corpus, rel="finetune", start=None, lr=None):
        p, c, _ = self.m[parent]
        lr = lr or self.gentle * self.rng.choice([1e-4, 1e-4, 2e-4, 3e-4, 5e-4, 1e-3])
        steps = self.rng.randrange(90, 180)
        self.count += 1
        w, _, loss = nets.train(c, start or p, self.batches(corpus, c), steps, lr, self.rng.choice([0, 0.01, 0.1]), self.seed * 1000 + self.count)
        n = self.save(w, c, self.dtype(parent), self.rng.choice(["safetensors"] * 4 + ["bin"]))
        self.edge(n, parent, rel, f"corpus={corpus};lr={lr};steps={steps}")
        print(rel, n, corpus, lr, f"{loss:.3f}", flush=True)
        return n

    def write_truth(self):
        with open(f"{self.out}/truth/edges.tsv", "w") as f:
            f.write("child\tparent\trelation\tdetails\tweight_descendant\n")
            f.writelines("\t".join(e) + "\n" for e in self.edges)
        with open(f"{self.out}/truth/stitch.tsv", "w") as f:
            f.write("child\tchild_tensor\tsource_model\tsource_tensor\n")
            f.writelines("\t".join(e) + "\n" for e in self.stitches)


def texts(data, rng):
    out = {}
    for f in sorted(glob.glob(f"{data}/*.train.txt")) if data else []:
        out[os.path.basename(f).split(".")[0]] = open(f, "rb").read()
    if not out:
        for i in range(8):
            words = ["".join(rng.choice("etaoinshrdlucm") for _ in range(rng.randrange(1, 9))) for _ in range(400)]
            out[f"made{i}"] = " ".join(rng.choice(words) for _ in range(12000)).encode()
    return out


def encode(text, c):
    if c["vocab_kind"] == "bytes":
        return torch.tensor(list(text))
    if c["vocab_kind"] == "seen":           # nearly every row is used: characters that occur, the rest one token
        ids = {b: i for i, b in enumerate(c["alphabet"])}
        return torch.tensor([ids.get(b, len(ids)) for b in text])
    pairs, out, i = c["pairs"], [], 0       # bytes, then common pairs, then reserved rows that nothing uses
    while i < len(text):
        two = text[i:i + 2]
        if two in pairs:
            out.append(256 + pairs[two]); i += 2
        else:
            out.append(text[i]); i += 1
    return torch.tensor(out)


def text_config(lake, net):
    r = lake.rng
    heads = r.choice([2, 4, 4, 6])
    hidden = heads * r.choice([16, 24, 32])
    hidden = hidden if hidden % 32 == 0 else (hidden // 32 + 1) * 32
    while hidden // heads % 2 or hidden % heads:
        heads -= 1
    c = {"net": net, "hidden": hidden, "heads": heads, "kv": heads if net in PLAIN_HEADS or heads % 2 or r.random() < .5 else heads // 2,
         "layers": r.choice([2, 3, 4, 5]), "ffn": r.choice([128, 160, 192, 256, 320]), "tied": net in ("gpt2", "opt") or net != "neox" and r.random() < .5,
         "context": 160, "train_len": r.choice([64, 96, 128]), "vocab_kind": r.choice(["bytes", "bytes", "pairs", "seen"])}
    every = b"".join(v[:40000] for v in lake.texts.values())
    if c["vocab_kind"] == "bytes":
        c["vocab"] = 256
    elif c["vocab_kind"] == "seen":
        c["alphabet"] = bytes(sorted(set(every)))
        c["vocab"] = len(c["alphabet"]) + 1
        c["vocab"] += -c["vocab"] % 32 if r.random() < .5 else 0
    else:
        count = {}
        for i in range(0, len(every) - 1, 2):
            count[every[i:i + 2]] = count.get(every[i:i + 2], 0) + 1
        best = sorted(count, key=lambda k: (-count[k], k))[:120]
        c["pairs"], c["vocab"] = {k: i for i, k in enumerate(best)}, 384
    return c


def text_base(lake, net, corpora, trajectory, config=None):
    c, r = config or text_config(lake, net), lake.rng
    init = nets.INIT[net](c, lake.g)
    steps = r.choice([600, 750, 900])
    at = sorted(int(steps * f) for f in r.sample([.1, .2, .3, .5, .6, .75], trajectory))
    lake.count += 1
    lake.texts["+".join(corpora)] = b"".join(lake.texts[k] for k in corpora)
    w, kept, loss = nets.train(c, init, lake.batches("+".join(corpora), c), steps, 3e-3, r.choice([0, .01, .1]), lake.seed * 1000 + lake.count, at)
    dt = r.choice(["bf16", "bf16", "f32"])
    base = lake.save(w, c, dt)
    print("base", base, {k: v for k, v in c.items() if k not in ("pairs", "alphabet")}, dt, f"{loss:.3f}", flush=True)
    chain = [lake.save(kept[s], c, dt) for s in at] + [base]
    for a, b in zip(chain, chain[1:]):
        lake.edge(b, a, "trajectory")
    return base


def loras(lake, parents):
    r, out = lake.rng, []
    for i, parent in enumerate(parents):
        p, c, dt = lake.m[parent]
        corpus, rank = r.choice(small(lake)), r.choice([2, 4, 8, 16])
        targets = r.choice([["q_proj", "k_proj", "v_proj", "o_proj"], [n for _, n in nets.PROJ], ["q_proj", "v_proj"]])
        lake.count += 1
        ab = nets.train_lora(c, p, lake.batches(corpus, c), r.randrange(90, 140), r.choice([1e-3, 2e-3, 3e-3]), rank, 2 * rank, targets, lake.count)
        if i % 3 == 2:
            n = lake.name()
            store.adapter(store.directory(f"{lake.out}/lake", n), ab, rank, 2 * rank, targets, parent if r.random() < .6 else "/data/run/out")
            lake.edge(n, parent, "adapter", f"rank={rank}")
            continue
        w = {k: v.float() + 2 * ab[k][1] @ ab[k][0] if k in ab else v for k, v in p.items()}
        n = lake.save(w, c, dt)
        lake.edge(n, parent, "lora_merged", f"rank={rank};targets={len(targets)}")
        out.append(n)
        print("lora", n, rank, flush=True)
    return out


def small(lake):
    return [k for k, v in lake.texts.items() if "+" not in k and len(v) < 100000]


def weights(r, n):
    w = [r.uniform(.2, 1) for _ in range(n)]
    return [round(x / sum(w), 3) for x in w[:-1]] + [0]


def linear_merge(lake, base, kin, n):
    r, (_, c, dt) = lake.rng, lake.m[base]
    ps, ws = r.sample(kin, n), weights(r, n)
    ws[-1] = round(1 - sum(ws[:-1]), 3)
    name = lake.save(ops.linear([lake.m[p][0] for p in ps], ws), c, r.choice([dt, dt, "f16"]))
    for p, w in zip(ps, ws):
        lake.edge(name, p, "merge_linear", f"op=linear;weight={w}")


def merges(lake, base, kin, linear=(2, 3, 2)):
    r = lake.rng
    b, c, dt = lake.m[base]
    P = lambda ns: [lake.m[n][0] for n in ns]
    for n in linear:
        linear_merge(lake, base, kin, n)
    ps, t = r.sample(kin, 2), round(r.uniform(.2, .8), 2)
    name = lake.save(ops.slerp(*P(ps), t), c, dt)
    for p in ps:
        lake.edge(name, p, "merge_slerp", f"op=slerp;t={t}")
    ps = r.sample(kin, r.choice([2, 3]))
    ws = [round(r.uniform(.25, .7), 2) for _ in ps]
    name = lake.save(ops.task_arithmetic(b, P(ps), ws), c, dt)
    lake.edge(name, base, "merge_task_arithmetic", "weight=base;role=base")
    for p, w in zip(ps, ws):
        lake.edge(name, p, "merge_task_arithmetic", f"weight={w};role=expert")
    for method in ("ties", "dare_ties"):
        ps, density = r.sample(kin, r.choice([2, 3]) if method == "ties" else 2), round(r.uniform(.3, .7), 2)
        ws = [round(r.uniform(.2, .6), 3) for _ in ps]
        name = lake.save(ops.sparse(b, P(ps), ws, density, method, lake.g), c, dt)
        lake.edge(name, base, "merge_" + method, f"density={density};weight=base;role=base")
        for p, w in zip(ps, ws):
            lake.edge(name, p, "merge_" + method, f"density={density};weight={w};role=expert")


def stitches(lake, base, kin, sources=(2, 3, 2), longer=True):
    r, c = lake.rng, lake.m[base][1]
    L = c["layers"]
    same = [k for k in kin if lake.m[k][2] == lake.m[base][2]]
    for n in sources:
        who = r.sample(same if len(same) >= n else kin, n)
        plan = [(min(i * len(who) // L, len(who) - 1), i) for i in range(L)]
        record(lake, who, plan, 0, len(who) - 1, c, "stitch")
    up = [(0, i) for i in range(L)] + [(0, i) for i in range(L // 2, L)]
    if longer:
        record(lake, [base], up, 0, 0, dict(c, layers=len(up)), "upscale")


def record(lake, who, plan, embed, head, c, rel):
    w, src = ops.stitch([lake.m[n][0] for n in who], plan, embed, head)
    name = lake.save(w, c, lake.m[who[0]][2])
    used = {i for i, _ in src.values()}
    for i in sorted(used):
        lake.edge(name, who[i], rel)
    lake.stitches += [(name, k, who[i], s) for k, (i, s) in src.items()]


def copies(lake, base, kin, gguf=True):
    r, turn = lake.rng, []
    def pick():     # each model once before one comes again, so that no two copies are the same by chance
        if not turn:
            turn.extend(r.sample(kin, len(kin)))
        return turn.pop()
    for n in (r.choice(kin[:-1]), base):
        p, c, dt = lake.m[n]
        to = r.choice([d for d in DTYPES if d != dt and not (dt == "bf16" and d == "f32")] or ["f16"])
        lake.edge(lake.save(p, c, to), n, "cast", f"dtype={to}")
    if gguf:
        for kind in ("Q8_0", "Q4_0", "F16", "Q8_0", "Q4_0"):
            n = pick()
            p, c, _ = lake.m[n]
            name = lake.name()
            store.gguf(store.directory(f"{lake.out}/lake", name) + "/model.gguf", p, c, kind)
            lake.edge(name, n, f"quantized_gguf_{kind.lower()}")
        n, name = pick(), lake.name()
        p, c, _ = lake.m[n]
        d = store.directory(f"{lake.out}/lake", name)
        store.safetensors(f"{d}/model.safetensors", store.int8(p)); store.config(d, c, "float16")
        lake.edge(name, n, "quantized_int8")
        for op, rel in ((ops.permute_neurons, "permuted_neurons"), (ops.permute_heads, "permuted_heads")):
            n = pick()
            p, c, dt = lake.m[n]
            if op is ops.permute_heads and c["kv"] == 1:
                continue
            lake.edge(lake.save(op(p, c, lake.g), c, dt), n, rel)
        n = pick()
        p, c, dt = lake.m[n]
        rows = r.choice([3, 8, 32])
        lake.edge(lake.save(ops.extend(p, rows, lake.g), dict(c, vocab=c["vocab"] + rows), dt), n, "vocab_extended")
    for frac in (.3, .5):
        n = pick()
        p, c, dt = lake.m[n]
        lake.edge(lake.save(ops.prune(p, frac), c, dt), n, "pruned")
    for rel, how, rename in (("duplicate", "safetensors", None), ("resharded", "shards", None), ("renamed_tensors", "safetensors", "language_model." if gguf else "transformer.")):
        n = pick()
        p, c, dt = lake.m[n]
        lake.edge(lake.save(p, c, dt, how, rename=rename), n, rel)


def reinit(lake, parent):
    p, c, dt = lake.m[parent]
    k0, start = lake.rng.randrange(c["layers"]), {k: v.clone() for k, v in p.items()}
    for k, v in start.items():
        if ops.layer_of(k)[0] == k0 and v.dim() == 2 or (k == "lm_head.weight" and lake.rng.random() < .5):
            start[k] = (torch.randn(v.shape, generator=lake.g) * 0.02).to(v.dtype)
    lake.finetune(parent, lake.rng.choice(small(lake)), "reinit_finetune", start, lr=1e-3)


def text_family(lake, net, corpora, n1, deep, trajectory, rich):
    base = text_base(lake, net, corpora, trajectory)
    r, pool = lake.rng, small(lake)
    few = r.sample(pool, max(3, len(pool) * 2 // 3))
    kin = [lake.finetune(base, r.choice(few)) for _ in range(n1)]
    level = list(kin)
    for _ in range(deep):
        n = lake.finetune(r.choice(level), r.choice(few))
        kin.append(n); level.append(n)
    if rich:
        kin += loras(lake, [base, r.choice(kin), base, r.choice(kin), r.choice(kin), base])
        reinit(lake, base)
        stitches(lake, base, kin)
        p, c, dt = lake.m[base]
        student, _, _ = nets.train(c, nets.INIT[net](c, lake.g), lake.batches("+".join(corpora), c), 300, 3e-3, .01, lake.seed, teacher={k: v.float() for k, v in p.items()})
        lake.edge(lake.save(student, c, dt), base, "distilled", "", "no")
    if n1 >= 2:
        merges(lake, base, kin)
    copies(lake, base, kin + [base], net == "llama")


def vision_family(lake, kind):
    r = lake.rng
    c = {"net": "vision", "kind": kind, "classes": 10, "bn": kind == "cnn" and r.random() < .5, "c1": r.choice([6, 8, 10]), "c2": r.choice([12, 16]),
         "w1": r.choice([28, 34, 40]), "w2": r.choice([20, 24])}
    if kind in ("vit", "resnet"):
        c.update(width=r.choice([32, 48, 64] if kind == "vit" else [8, 12, 16]), depth=r.choice([2, 3]))
    images = nets.Images(lake.seed)
    def run(p, classes, steps, lr):
        lake.count += 1
        return nets.train(c, p, lambda rng: images.batch(32, classes, rng), steps, lr, 0, lake.seed * 1000 + lake.count)[0]
    def ft(parent, newhead=False):
        p = dict(lake.m[parent][0])
        if newhead:
            head = {"vit": "head.weight", "resnet": "fc.weight"}.get(kind, "classifier.weight")
            p[head] = (torch.rand(p[head].shape, generator=lake.g) - .5) * .3
        n = lake.save(run(p, r.sample(range(10), 5) if r.random() < .7 else list(range(10)), 120, r.choice([2e-4, 3e-4, 5e-4, 1e-3])), c, "f32", r.choice(["safetensors", "bin"]))
        lake.edge(n, parent, "finetune")
        print("vision", n, flush=True)
        return n
    base = lake.save(run(nets.vision_init(c, lake.g), list(range(10)), 250, 2e-3), c, "f32")
    kin = [ft(base), ft(base)]
    kin.append(ft(kin[0]))
    ft(base, True)
    ws = weights(r, 2)
    ws[1] = round(1 - ws[0], 3)
    soup = lake.save(ops.linear([{k: v for k, v in lake.m[n][0].items()} for n in kin[:2]], ws), c, "f32")
    for n, w in zip(kin[:2], ws):
        lake.edge(soup, n, "merge_linear", f"weight={w}")
    lake.edge(lake.save(ops.prune(lake.m[base][0], .5), c, "f32"), base, "pruned")
    lake.edge(lake.save(lake.m[kin[1]][0], c, "f16"), kin[1], "cast")


def spread(lake, parents, rates=(1e-4, 2e-4, 3e-4, 5e-4, 1e-3)):
    """One fine-tune of each of `parents`, no learning rate again before all were used, never on the parent's corpus."""
    r, turn, out = lake.rng, [], []
    for parent in parents:
        turn = turn or r.sample(rates, len(rates))
        used = lake.corpus.get(parent, "").split("+")
        corpus = r.choice([k for k in small(lake) if k not in used])
        out.append(lake.finetune(parent, corpus, lr=lake.gentle * turn.pop()))
        lake.corpus[out[-1]] = corpus
    return out


def plain_lake(lake, rich, plain, kinds):
    """`rich` and `plain`: the text networks that get all operations, and few."""
    r, lake.corpus = lake.rng, {}
    big = [k for k in lake.texts if k not in small(lake)]
    r.shuffle(big)
    one = text_base(lake, rich, big[:1], 4)
    c = lake.m[one][1]
    two, three = (text_base(lake, rich, k, 0, c) for k in (big[:1], big[-1:]))
    fours = [text_base(lake, net, big[:1], 0) for net in plain]
    first = spread(lake, [one] * 6)
    second, third = spread(lake, [two] * 2), spread(lake, [three] * 3)
    other = [n for four in fours for n in spread(lake, [four] * 2)]
    deep = spread(lake, r.sample(first, 3) + [r.choice(second), r.choice(third), r.choice(other)])
    deep += spread(lake, [deep[0], deep[4]])
    lora = loras(lake, [one, r.choice(first), one, two, one, r.choice(first), three, third[0], three])
    reinit(lake, one)
    reinit(lake, two)
    stitches(lake, one, first + lora[:2], (2, 3))
    stitches(lake, third[0], third, (2,), False)
    p = lake.m[one][0]
    student = nets.train(c, nets.INIT[rich](c, lake.g), lake.batches("+".join(big[:1]), c), 450, 3e-3, .01, lake.seed, teacher={k: v.float() for k, v in p.items()})[0]
    lake.edge(lake.save(student, c, lake.m[one][2]), one, "distilled", "", "no")
    merges(lake, one, first + lora[:2], (2, 3))
    for base, kin in ((two, second), (three, third)):
        linear_merge(lake, base, kin, 2)
    copies(lake, one, first + deep[:3] + lora[:2] + [one])
    for kind in kinds:
        vision_family(lake, kind)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("out"); ap.add_argument("--seed", type=int, required=True); ap.add_argument("--data"); ap.add_argument("--size", default="full"); ap.add_argument("--gentle", action="store_true")
    ap.add_argument("--plain", action="store_true"); ap.add_argument("--other", action="store_true")
    a = ap.parse_args()
    torch.set_num_threads(1)
    lake = Lake(a.out, a.seed, a.data, a.gentle)
    big = [k for k in lake.texts if k not in small(lake)] or small(lake)[:2]
    if a.plain or a.other:
        plain_lake(lake, *(("qwen2", ("neox", "opt"), ("vit", "resnet")) if a.other else ("llama", ("gpt2",), ("cnn", "mlp"))))
        lake.write_truth()
        return print(len(lake.m), "models,", len(lake.edges), "edges")
    full = a.size == "full"
    text_family(lake, "llama", big[:1], 7 if full else 4, 5 if full else 3, 4 if full else 2, True)
    if full:
        text_family(lake, "llama", lake.rng.sample(small(lake), 3), 4, 3, 0, False)
        text_family(lake, "gpt2", big[:1], 2, 1, 0, False)
    vision_family(lake, "cnn"); vision_family(lake, "mlp" if full else "cnn")
    lake.write_truth()
    print(len(lake.m), "models,", len(lake.edges), "edges")


if __name__ == "__main__":
    main()
