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
        q = rope((z @ p[b + "self_attn.q_proj.weight"].T).view(B, T, H, hd).transpose(1, 2))
        k = rope((z @ p[b + "self_attn.k_proj.weight"].T).view(B, T, K, hd).transpose(1, 2)).repeat_interleave(H // K, 1)
        v = (z @ p[b + "self_attn.v_proj.weight"].T).view(B, T, K, hd).transpose(1, 2).repeat_interleave(H // K, 1)
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


def vision_init(c, g):
    def lin(o, *i):
        n = math.prod(i)
        a = 1 / math.sqrt(n)
        return (torch.rand(o, *i, generator=g) * 2 - 1) * a, (torch.rand(o, generator=g) * 2 - 1) * a
    p = {}
    def put(name, wb):
        p[name + ".weight"], p[name + ".bias"] = wb
    if c["kind"] == "mlp":
        put("fc1", lin(c["w1"], 256)); put("fc2", lin(c["w2"], c["w1"])); put("classifier", lin(c["classes"], c["w2"]))
        return p
    put("conv1", lin(c["c1"], 1, 3, 3)); put("conv2", lin(c["c2"], c["c1"], 3, 3))
    if c["bn"]:
        for n, k in (("bn1", c["c1"]), ("bn2", c["c2"])):
            p[n + ".weight"], p[n + ".bias"] = torch.ones(k), torch.zeros(k)
            p[n + ".running_mean"], p[n + ".running_var"] = torch.zeros(k), torch.ones(k)
            p[n + ".num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
    put("fc1", lin(c["w1"], c["c2"] * 16)); put("classifier", lin(c["classes"], c["w1"]))
    return p


def vision(c, p, x):
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


FORWARD = {"llama": llama, "gpt2": gpt2, "vision": vision}


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
