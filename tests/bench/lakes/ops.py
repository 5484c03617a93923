"""What is done to weights without training: merges (mergekit's formulas), stitches, prunings, permutations, extensions."""
import torch


def linear(ps, ws):
    return {k: sum(w * p[k].float() for w, p in zip(ws, ps)) for k in ps[0]}


def slerp(a, b, t):
    out = {}
    for k in a:
        x, y = a[k].float(), b[k].float()
        dot = (x.flatten() @ y.flatten()) / (x.norm() * y.norm())
        if dot.abs() > 0.9995:
            out[k] = (1 - t) * x + t * y
            continue
        o = torch.acos(dot)
        out[k] = (torch.sin((1 - t) * o) * x + torch.sin(t * o) * y) / torch.sin(o)
    return out


def task_arithmetic(base, ps, ws):
    return {k: base[k].float() + sum(w * (p[k].float() - base[k].float()) for w, p in zip(ws, ps)) for k in base}


def sparse(base, ps, ws, density, method, g):
    """method: ties (trim by magnitude, elect sign, weighted mean) or dare_ties (random, rescaled, elect sign, sum)."""
    out = {}
    for k in base:
        b = base[k].float()
        ds = []
        for p in ps:
            d = p[k].float() - b
            if method == "ties":
                n = max(1, int(density * d.numel()))
                mask = torch.zeros(d.numel())
                mask[d.abs().flatten().topk(n).indices] = 1
                d = d * mask.view_as(d)
            else:
                d = d * (torch.rand(d.shape, generator=g) < density) / density
            ds.append(d)
        sign = sum(w * d for w, d in zip(ws, ds)).sign()
        agree = [(d.sign() == sign).float() for d in ds]
        total = sum(w * d * a for w, d, a in zip(ws, ds, agree))
        if method == "ties":
            total = total / sum(w * a * (d != 0) for w, d, a in zip(ws, ds, agree)).clamp(min=1e-8)
        out[k] = b + total
    return out


def layer_of(k):
    for pre in ("model.layers.", "h.", "gpt_neox.layers.", "model.decoder.layers."):
        if k.startswith(pre):
            n, rest = k[len(pre):].split(".", 1)
            return int(n), pre, rest
    return None, None, None


def stitch(ps, plan, embed, head):
    """plan: for each new layer (index into ps, source layer); embed, head: index into ps. Returns weights and sources."""
    out, src = {}, {}
    for k in ps[0]:
        i, pre, rest = layer_of(k)
        if i is None:
            who = embed if "embed" in k or k.startswith("wte") or k.startswith("wpe") else head
            out[k], src[k] = ps[who][k], (who, k)
    for n, (who, layer) in enumerate(plan):
        for k in ps[who]:
            i, pre, rest = layer_of(k)
            if i == layer:
                out[f"{pre}{n}.{rest}"], src[f"{pre}{n}.{rest}"] = ps[who][k], (who, k)
    return out, src


def prune(p, frac):
    out = {}
    for k, v in p.items():
        if v.dim() >= 2 and not any(s in k for s in ("embed", "lm_head", "wte", "wpe")):
            cut = v.float().abs().flatten().kthvalue(max(1, int(frac * v.numel()))).values
            v = v * (v.float().abs() > cut)
        out[k] = v
    return out


def permute_neurons(p, c, g):
    out = dict(p)
    for i in range(c["layers"]):
        b = f"model.layers.{i}.mlp."
        o = torch.randperm(c["ffn"], generator=g)
        for n in ("gate_proj", "up_proj"):
            out[b + n + ".weight"] = p[b + n + ".weight"][o]
        out[b + "down_proj.weight"] = p[b + "down_proj.weight"][:, o]
    return out


def permute_heads(p, c, g):
    out = dict(p)
    hd, per = c["hidden"] // c["heads"], c["heads"] // c["kv"]
    for i in range(c["layers"]):
        b = f"model.layers.{i}.self_attn."
        o = torch.randperm(c["kv"], generator=g)
        if c["kv"] > 1 and bool((o == torch.arange(c["kv"])).all()):
            o = o.roll(1)
        kv = torch.cat([torch.arange(h * hd, (h + 1) * hd) for h in o.tolist()])
        q = torch.cat([torch.arange(h * per * hd, (h + 1) * per * hd) for h in o.tolist()])
        out[b + "q_proj.weight"] = p[b + "q_proj.weight"][q]
        for n in ("k_proj", "v_proj"):
            out[b + n + ".weight"] = p[b + n + ".weight"][kv]
        for n, o in (("q_proj", q), ("k_proj", kv), ("v_proj", kv)):
            if b + n + ".bias" in p:
                out[b + n + ".bias"] = p[b + n + ".bias"][o]
        out[b + "o_proj.weight"] = p[b + "o_proj.weight"][:, q]
    return out


def extend(p, rows, g):
    out = dict(p)
    for k in ("model.embed_tokens.weight", "lm_head.weight"):
        if k in p:
            v = p[k].float()
            out[k] = torch.cat([v, v.mean(0) + 0.02 * torch.randn(rows, v.shape[1], generator=g)]).to(p[k].dtype)
    return out
