"""Tiny networks as plain dictionaries of tensors under the names their ecosystems use, and how to train them."""
import math
import random

import torch
import torch.nn.functional as F

PROJ = [("self_attn", n) for n in ("q_proj", "k_proj", "v_proj", "o_proj")] + [("mlp", n) for n in ("gate_proj", "up_proj", "down_proj")]


def llama_init(c, g):
    d, f, hd = c["hidden"], c["ffn"], c["hidden"] // c["heads"]
    w = lambda *s: torch.randn(*s, generator=g) * 0.02
    p = {"model.embed_tokens.weight": w(c["vocab"], d), "model.norm.weight": torch.ones(d)}
    for i in range(c["layers"]):
        b = f"model.layers.{i}."
        p[b + "input_layernorm.weight"] = torch.ones(d)
        p[b + "post_attention_layernorm.weight"] = torch.ones(d)
        p[b + "self_attn.q_proj.weight"] = w(d, d)
        p[b + "self_attn.k_proj.weight"] = w(hd * c["kv"], d)
        p[b + "self_attn.v_proj.weight"] = w(hd * c["kv"], d)
        p[b + "self_attn.o_proj.weight"] = w(d, d)
        if c["net"] == "qwen2":
            for n in "qkv":
                p[b + f"self_attn.{n}_proj.bias"] = torch.zeros(p[b + f"self_attn.{n}_proj.weight"].shape[0])
        p[b + "mlp.gate_proj.weight"] = w(f, d)
        p[b + "mlp.up_proj.weight"] = w(f, d)
        p[b + "mlp.down_proj.weight"] = w(d, f)
    if not c["tied"]:
        p["lm_head.weight"] = w(c["vocab"], d)
    return p


def rms(x, w):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * w


def rope(x):
    n, d = x.shape[-2], x.shape[-1]
    inv = 10000 ** (-torch.arange(0, d, 2).float() / d)
    a = torch.arange(n).float()[:, None] * inv
    cos, sin = torch.cat([a.cos()] * 2, -1), torch.cat([a.sin()] * 2, -1)
    h = torch.cat([-x[..., d // 2:], x[..., : d // 2]], -1)
    return x * cos + h * sin


def attend(q, k, v):
    n = q.shape[-2]
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + torch.full((n, n), -1e9).triu(1)
    return s.softmax(-1) @ v


def llama(c, p, x):
    h = F.embedding(x, p["model.embed_tokens.weight"])
    B, T, d = h.shape
    H, K, hd = c["heads"], c["kv"], d // c["heads"]
    for i in range(c["layers"]):
        b = f"model.layers.{i}."
        z = rms(h, p[b + "input_layernorm.weight"])
        q, k, v = (F.linear(z, p[b + f"self_attn.{m}_proj.weight"], p.get(b + f"self_attn.{m}_proj.bias")).view(B, T, n, hd).transpose(1, 2)
                   for m, n in (("q", H), ("k", K), ("v", K)))
        q, k, v = rope(q), rope(k).repeat_interleave(H // K, 1), v.repeat_interleave(H // K, 1)
        h = h + attend(q, k, v).transpose(1, 2).reshape(B, T, d) @ p[b + "self_attn.o_proj.weight"].T
        z = rms(h, p[b + "post_attention_layernorm.weight"])
        h = h + (F.silu(z @ p[b + "mlp.gate_proj.weight"].T) * (z @ p[b + "mlp.up_proj.weight"].T)) @ p[b + "mlp.down_proj.weight"].T
    head = p["model.embed_tokens.weight"] if c["tied"] else p["lm_head.weight"]
    return rms(h, p["model.norm.weight"]) @ head.T


def gpt2_init(c, g):
    d = c["hidden"]
    w = lambda *s: torch.randn(*s, generator=g) * 0.02
    p = {"wte.weight": w(c["vocab"], d), "wpe.weight": w(c["context"], d), "ln_f.weight": torch.ones(d), "ln_f.bias": torch.zeros(d)}
    for i in range(c["layers"]):
        b = f"h.{i}."
        for n in ("ln_1", "ln_2"):
            p[b + n + ".weight"], p[b + n + ".bias"] = torch.ones(d), torch.zeros(d)
        for n, i_, o in (("attn.c_attn", d, 3 * d), ("attn.c_proj", d, d), ("mlp.c_fc", d, 4 * d), ("mlp.c_proj", 4 * d, d)):
            p[b + n + ".weight"], p[b + n + ".bias"] = w(i_, o), torch.zeros(o)
    return p


def gpt2(c, p, x):
    B, T = x.shape
    d, H = c["hidden"], c["heads"]
    ln = lambda h, n: F.layer_norm(h, (d,), p[n + ".weight"], p[n + ".bias"])
    lin = lambda h, n: h @ p[n + ".weight"] + p[n + ".bias"]
    h = F.embedding(x, p["wte.weight"]) + p["wpe.weight"][:T]
    for i in range(c["layers"]):
        b = f"h.{i}."
        q, k, v = [t.view(B, T, H, d // H).transpose(1, 2) for t in lin(ln(h, b + "ln_1"), b + "attn.c_attn").split(d, -1)]
        h = h + lin(attend(q, k, v).transpose(1, 2).reshape(B, T, d), b + "attn.c_proj")
        h = h + lin(F.gelu(lin(ln(h, b + "ln_2"), b + "mlp.c_fc")), b + "mlp.c_proj")
    return ln(h, "ln_f") @ p["wte.weight"].T


def norm(p, h, n):
    return F.layer_norm(h, h.shape[-1:], p[n + ".weight"], p[n + ".bias"])


def linear(p, h, n):
    return F.linear(h, p[n + ".weight"], p[n + ".bias"])


def put(p, n, weight, bias):
    p[n + ".weight"], p[n + ".bias"] = weight, bias


def neox_init(c, g):
    d = c["hidden"]
    w = lambda *s: torch.randn(*s, generator=g) * 0.02
    p = {"gpt_neox.embed_in.weight": w(c["vocab"], d), "embed_out.weight": w(c["vocab"], d)}
    for i in range(c["layers"]):
        b = f"gpt_neox.layers.{i}."
        for n in ("input_layernorm", "post_attention_layernorm"):
            put(p, b + n, torch.ones(d), torch.zeros(d))
        for n, o, i_ in (("attention.query_key_value", 3 * d, d), ("attention.dense", d, d), ("mlp.dense_h_to_4h", 4 * d, d), ("mlp.dense_4h_to_h", d, 4 * d)):
            put(p, b + n, w(o, i_), torch.zeros(o))
    put(p, "gpt_neox.final_layer_norm", torch.ones(d), torch.zeros(d))
    return p


def neox(c, p, x):
    """Query, key and value interleaved by head; attention and MLP in parallel (Black et al. 2022)."""
    (B, T), d, H = x.shape, c["hidden"], c["heads"]
    h = F.embedding(x, p["gpt_neox.embed_in.weight"])
    for i in range(c["layers"]):
        b = f"gpt_neox.layers.{i}."
        q, k, v = linear(p, norm(p, h, b + "input_layernorm"), b + "attention.query_key_value").view(B, T, H, 3, d // H).permute(3, 0, 2, 1, 4)
        a = linear(p, attend(rope(q), rope(k), v).transpose(1, 2).reshape(B, T, d), b + "attention.dense")
        z = F.gelu(linear(p, norm(p, h, b + "post_attention_layernorm"), b + "mlp.dense_h_to_4h"))
        h = h + a + linear(p, z, b + "mlp.dense_4h_to_h")
    return norm(p, h, "gpt_neox.final_layer_norm") @ p["embed_out.weight"].T


def opt_init(c, g):
    d = c["hidden"]
    w = lambda *s: torch.randn(*s, generator=g) * 0.02
    p = {"model.decoder.embed_tokens.weight": w(c["vocab"], d), "model.decoder.embed_positions.weight": w(c["context"] + 2, d)}
    for i in range(c["layers"]):
        b = f"model.decoder.layers.{i}."
        for n in ("self_attn_layer_norm", "final_layer_norm"):
            put(p, b + n, torch.ones(d), torch.zeros(d))
        for n in ("q", "k", "v", "out"):
            put(p, b + f"self_attn.{n}_proj", w(d, d), torch.zeros(d))
        put(p, b + "fc1", w(4 * d, d), torch.zeros(4 * d))
        put(p, b + "fc2", w(d, 4 * d), torch.zeros(d))
    put(p, "model.decoder.final_layer_norm", torch.ones(d), torch.zeros(d))
    return p


def opt(c, p, x):
    (B, T), d, H = x.shape, c["hidden"], c["heads"]
    h = F.embedding(x, p["model.decoder.embed_tokens.weight"]) + p["model.decoder.embed_positions.weight"][2:T + 2]
    for i in range(c["layers"]):
        b = f"model.decoder.layers.{i}."
        z = norm(p, h, b + "self_attn_layer_norm")
        q, k, v = (linear(p, z, b + f"self_attn.{n}_proj").view(B, T, H, d // H).transpose(1, 2) for n in "qkv")
        h = h + linear(p, attend(q, k, v).transpose(1, 2).reshape(B, T, d), b + "self_attn.out_proj")
        h = h + linear(p, F.relu(linear(p, norm(p, h, b + "final_layer_norm"), b + "fc1")), b + "fc2")
    return norm(p, h, "model.decoder.final_layer_norm") @ p["model.decoder.embed_tokens.weight"].T


def vit_init(c, g):
    d = c["width"]
    w = lambda *s: torch.randn(*s, generator=g) * 0.02
    p = {"cls_token": w(1, 1, d), "pos_embed": w(1, 17, d)}
    put(p, "patch_embed.proj", w(d, 1, 4, 4), torch.zeros(d))
    for i in range(c["depth"]):
        b = f"blocks.{i}."
        for n, o, i_ in (("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("mlp.fc1", 4 * d, d), ("mlp.fc2", d, 4 * d)):
            put(p, b + n, w(o, i_), torch.zeros(o))
        for n in ("norm1", "norm2"):
            put(p, b + n, torch.ones(d), torch.zeros(d))
    put(p, "norm", torch.ones(d), torch.zeros(d))
    put(p, "head", w(c["classes"], d), torch.zeros(c["classes"]))
    return p


def vit(c, p, x):
    d, H = c["width"], 4
    h = F.conv2d(x, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=4).flatten(2).transpose(1, 2)
    h = torch.cat([p["cls_token"].expand(len(h), 1, d), h], 1) + p["pos_embed"]
    for i in range(c["depth"]):
        b = f"blocks.{i}."
        q, k, v = linear(p, norm(p, h, b + "norm1"), b + "attn.qkv").view(len(h), 17, 3, H, d // H).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-1, -2) / math.sqrt(d // H)).softmax(-1) @ v
        h = h + linear(p, a.transpose(1, 2).reshape(len(h), 17, d), b + "attn.proj")
        h = h + linear(p, F.gelu(linear(p, norm(p, h, b + "norm2"), b + "mlp.fc1")), b + "mlp.fc2")
    return linear(p, norm(p, h, "norm")[:, 0], "head")


def resnet_init(c, g):
    d, p = c["width"], {}
    def conv(n, bn, o, i, k):
        p[n + ".weight"] = torch.randn(o, i, k, k, generator=g) * math.sqrt(2 / (o * k * k))
        put(p, bn, torch.ones(o), torch.zeros(o))
        p[bn + ".running_mean"], p[bn + ".running_var"] = torch.zeros(o), torch.ones(o)
        p[bn + ".num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
    conv("conv1", "bn1", d, 1, 3)
    for i in range(c["depth"]):
        wide, last = d << i, d << max(i - 1, 0)
        b = f"layer{i + 1}.0."
        conv(b + "conv1", b + "bn1", wide, last, 3)
        conv(b + "conv2", b + "bn2", wide, wide, 3)
        if i:
            conv(b + "downsample.0", b + "downsample.1", wide, last, 1)
    wide = d << (c["depth"] - 1)
    put(p, "fc", (torch.rand(c["classes"], wide, generator=g) * 2 - 1) / math.sqrt(wide), torch.zeros(c["classes"]))
    return p


def resnet(c, p, x):
    def conv(h, n, bn, stride=1):
        p[bn + ".num_batches_tracked"] += 1
        h = F.conv2d(h, p[n + ".weight"], stride=stride, padding=p[n + ".weight"].shape[-1] // 2)
        return F.batch_norm(h, p[bn + ".running_mean"], p[bn + ".running_var"], p[bn + ".weight"], p[bn + ".bias"], training=True)
    h = F.relu(conv(x, "conv1", "bn1"))
    for i in range(c["depth"]):
        b, stride = f"layer{i + 1}.0.", 2 if i else 1
        z = conv(F.relu(conv(h, b + "conv1", b + "bn1", stride)), b + "conv2", b + "bn2")
        h = F.relu(z + (conv(h, b + "downsample.0", b + "downsample.1", stride) if i else h))
    return linear(p, h.mean((2, 3)), "fc")


def vision_init(c, g):
    if c["kind"] in ("vit", "resnet"):
        return {"vit": vit_init, "resnet": resnet_init}[c["kind"]](c, g)
    def lin(o, *i):
        n = math.prod(i)
        a = 1 / math.sqrt(n)
        return (torch.rand(o, *i, generator=g) * 2 - 1) * a, (torch.rand(o, generator=g) * 2 - 1) * a
    p = {}
    if c["kind"] == "mlp":
        put(p, "fc1", *lin(c["w1"], 256)); put(p, "fc2", *lin(c["w2"], c["w1"])); put(p, "classifier", *lin(c["classes"], c["w2"]))
        return p
    put(p, "conv1", *lin(c["c1"], 1, 3, 3)); put(p, "conv2", *lin(c["c2"], c["c1"], 3, 3))
    if c["bn"]:
        for n, k in (("bn1", c["c1"]), ("bn2", c["c2"])):
            p[n + ".weight"], p[n + ".bias"] = torch.ones(k), torch.zeros(k)
            p[n + ".running_mean"], p[n + ".running_var"] = torch.zeros(k), torch.ones(k)
            p[n + ".num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
    put(p, "fc1", *lin(c["w1"], c["c2"] * 16)); put(p, "classifier", *lin(c["classes"], c["w1"]))
    return p


def vision(c, p, x):
    if c["kind"] in ("vit", "resnet"):
        return {"vit": vit, "resnet": resnet}[c["kind"]](c, p, x)
    if c["kind"] == "mlp":
        h = x.flatten(1)
        for n in ("fc1", "fc2"):
            h = F.relu(h @ p[n + ".weight"].T + p[n + ".bias"])
        return h @ p["classifier.weight"].T + p["classifier.bias"]
    h = x
    for i in (1, 2):
        h = F.conv2d(h, p[f"conv{i}.weight"], p[f"conv{i}.bias"], padding=1)
        if c["bn"]:
            h = F.batch_norm(h, p[f"bn{i}.running_mean"], p[f"bn{i}.running_var"], p[f"bn{i}.weight"], p[f"bn{i}.bias"], training=True)
            p[f"bn{i}.num_batches_tracked"] += 1
        h = F.max_pool2d(F.relu(h), 2)
    h = F.relu(h.flatten(1) @ p["fc1.weight"].T + p["fc1.bias"])
    return h @ p["classifier.weight"].T + p["classifier.bias"]


class Images:
    """Ten classes of smooth random pictures, shifted and noisy."""
    def __init__(self, seed):
        g = torch.Generator().manual_seed(seed)
        t = F.interpolate(torch.randn(10, 1, 5, 5, generator=g), 22, mode="bicubic", align_corners=False)
        self.t = t

    def batch(self, n, classes, rng):
        ys = [rng.choice(classes) for _ in range(n)]
        xs = []
        for y in ys:
            i, j = rng.randrange(7), rng.randrange(7)
            xs.append(self.t[y, :, i:i + 16, j:j + 16])
        x = torch.stack(xs)
        return x + 0.7 * torch.randn_like(x), torch.tensor(ys)


INIT = {"llama": llama_init, "qwen2": llama_init, "gpt2": gpt2_init, "neox": neox_init, "opt": opt_init}
FORWARD = {"llama": llama, "qwen2": llama, "gpt2": gpt2, "neox": neox, "opt": opt, "vision": vision}


def trainable(p):
    return [k for k, v in p.items() if v.is_floating_point() and "running_" not in k]


def train(c, p, batch, steps, lr, wd=0.0, seed=0, at=(), warm=True, teacher=None):
    """AdamW; returns the trained weights and copies at the steps named by `at`."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    names = trainable(p)
    p = {k: v.clone().float() if v.is_floating_point() else v.clone() for k, v in p.items()}
    leaves = [p[k].requires_grad_(True) for k in names]
    opt = torch.optim.AdamW(leaves, lr=lr, weight_decay=wd, betas=(0.9, 0.99))
    kept, snap = {}, lambda: {k: v.detach().clone() for k, v in p.items()}
    for s in range(steps):
        scale = min(1.0, (s + 1) / 20) if warm else 1.0
        for grp in opt.param_groups:
            grp["lr"] = lr * scale * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * s / steps)))
        x, y = batch(rng)
        out = FORWARD[c["net"]](c, p, x)
        loss = F.cross_entropy(out.flatten(0, -2), y.flatten()) if teacher is None else F.kl_div(
            out.log_softmax(-1), FORWARD[c["net"]](c, teacher, x).softmax(-1), reduction="batchmean") / x.shape[1]
        opt.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(leaves, 1.0)
        opt.step()
        if s + 1 in at:
            kept[s + 1] = snap()
    return snap(), kept, float(loss)


def train_lora(c, p, batch, steps, lr, rank, alpha, targets, seed=0):
    """Returns {module: (A, B)} trained over frozen weights."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    p = {k: v.clone().float() for k, v in p.items()}
    ab = {}
    for k, v in p.items():
        if v.dim() == 2 and any(k.endswith(t + ".weight") for t in targets):
            a = (torch.rand(rank, v.shape[1]) * 2 - 1) / math.sqrt(v.shape[1])
            ab[k] = (a.requires_grad_(True), torch.zeros(v.shape[0], rank).requires_grad_(True))
    leaves = [t for v in ab.values() for t in v]
    opt = torch.optim.AdamW(leaves, lr=lr, weight_decay=0.0)
    for s in range(steps):
        q = dict(p)
        for k, (a, b) in ab.items():
            q[k] = p[k] + (alpha / rank) * b @ a
        x, y = batch(rng)
        loss = F.cross_entropy(FORWARD[c["net"]](c, q, x).flatten(0, -2), y.flatten())
        opt.zero_grad()
        loss.backward()
        opt.step()
    return {k: (a.detach(), b.detach()) for k, (a, b) in ab.items()}
