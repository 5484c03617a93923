"""Writers: safetensors (whole, sharded), PyTorch .bin, bitsandbytes int8 layout, GGUF with llama.cpp's names and q/k order, PEFT adapters."""
import json
import os
import struct

import numpy as np
import torch

ST = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.int8: "I8"}


def raw(t):
    t = t.contiguous()
    return (t.view(torch.int16) if t.dtype in (torch.bfloat16, torch.float16) else t).numpy().tobytes()


def safetensors(path, p):
    head, blobs, off = {"__metadata__": {"format": "pt"}}, [], 0
    for k in sorted(p):
        b = raw(p[k])
        head[k] = {"dtype": ST[p[k].dtype], "shape": list(p[k].shape), "data_offsets": [off, off + len(b)]}
        off += len(b)
        blobs.append(b)
    h = json.dumps(head).encode()
    h += b" " * (-len(h) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h)
        for b in blobs:
            f.write(b)


def sharded(d, p, n):
    names, index = sorted(p), {}
    for i in range(n):
        part = {k: p[k] for k in names[i::n]}
        file = f"model-{i + 1:05d}-of-{n:05d}.safetensors"
        safetensors(f"{d}/{file}", part)
        index.update({k: file for k in part})
    json.dump({"metadata": {}, "weight_map": index}, open(f"{d}/model.safetensors.index.json", "w"))


def int8(p):
    out = {}
    for k, v in p.items():
        if v.dim() == 2 and "proj" in k:
            scb = v.float().abs().amax(1)
            out[k] = torch.clamp(torch.round(v.float() * 127 / scb[:, None]), -127, 127).to(torch.int8)
            out[k.replace(".weight", ".SCB")] = scb
        else:
            out[k] = v.to(torch.float16)
    return out


def q8_0(w):
    b = w.reshape(-1, 32)
    d = (np.abs(b).max(1) / 127).astype(np.float32)
    inv = np.where(d > 0, 1 / np.where(d > 0, d, 1), 0).astype(np.float32)
    q = np.round(b * inv[:, None]).astype(np.int8)
    return b"".join(np.float16(x).tobytes() + y.tobytes() for x, y in zip(d, q))


def q4_0(w):
    b = w.reshape(-1, 32)
    i = np.abs(b).argmax(1)
    m = b[np.arange(len(b)), i]
    d = (m / -8).astype(np.float32)
    inv = np.where(d != 0, 1 / np.where(d != 0, d, 1), 0).astype(np.float32)
    q = np.clip((b * inv[:, None] + 8.5).astype(np.int32), 0, 15).astype(np.uint8)
    packed = q[:, :16] | (q[:, 16:] << 4)
    return b"".join(np.float16(x).tobytes() + y.tobytes() for x, y in zip(d, packed))


GG = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
      "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
      "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}


def gguf(path, p, c, kind):
    def s(x):
        x = x.encode()
        return struct.pack("<Q", len(x)) + x
    u32 = lambda k, v: s(k) + struct.pack("<II", 4, v)
    a = c["net"]
    kv = [s("general.architecture") + struct.pack("<I", 8) + s(a), s("general.name") + struct.pack("<I", 8) + s("x"),
          u32(a + ".vocab_size", p["model.embed_tokens.weight"].shape[0]), u32(a + ".context_length", c["context"]), u32(a + ".embedding_length", c["hidden"]),
          u32(a + ".block_count", c["layers"]), u32(a + ".feed_forward_length", c["ffn"]),
          u32(a + ".attention.head_count", c["heads"]), u32(a + ".attention.head_count_kv", c["kv"])]
    infos, data, off = [], [], 0
    for k in sorted(p):
        w = p[k].float().numpy()
        n, last = k.rsplit(".", 1)
        if n.startswith("model.layers."):
            i, rest = n[13:].split(".", 1)
            if a == "llama" and rest in ("self_attn.q_proj", "self_attn.k_proj"):     # qwen2 keeps Hugging Face's order
                h = c["heads"] if "q_proj" in rest else c["kv"]
                w = w.reshape(h, 2, w.shape[0] // h // 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)
            n = f"blk.{i}.{GG[rest]}"
        else:
            n = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}[n]
        t = "F32" if w.ndim == 1 else "Q8_0" if kind == "Q4_0" and n == "output" else kind
        b = {"F32": lambda: w.astype(np.float32).tobytes(), "F16": lambda: w.astype(np.float16).tobytes(),
             "Q8_0": lambda: q8_0(w), "Q4_0": lambda: q4_0(w)}[t]()
        infos.append(s(f"{n}.{last}") + struct.pack("<I", w.ndim) + b"".join(struct.pack("<Q", x) for x in w.shape[::-1]) +
                     struct.pack("<IQ", {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8}[t], off))
        b += b"\0" * (-len(b) % 32)
        off += len(b)
        data.append(b)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(kv)) + b"".join(kv) + b"".join(infos)
    with open(path, "wb") as f:
        f.write(head + b"\0" * (-len(head) % 32) + b"".join(data))


def adapter(d, ab, rank, alpha, targets, base):
    out = {}
    for k, (a, b) in ab.items():
        n = "base_model.model." + k[: -len(".weight")]
        out[n + ".lora_A.weight"], out[n + ".lora_B.weight"] = a, b
    safetensors(f"{d}/adapter_model.safetensors", out)
    json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base, "r": rank, "lora_alpha": alpha,
               "bias": "none", "fan_in_fan_out": False, "target_modules": targets}, open(f"{d}/adapter_config.json", "w"), indent=1)


def config(d, c, dtype):
    if c["net"] in ("llama", "qwen2", "opt", "neox"):
        name = {"llama": "Llama", "qwen2": "Qwen2", "opt": "OPT", "neox": "GPTNeoX"}[c["net"]]
        j = {"architectures": [name + "ForCausalLM"], "model_type": {"neox": "gpt_neox"}.get(c["net"], c["net"]), "hidden_size": c["hidden"], "intermediate_size": c["ffn"],
             "num_hidden_layers": c["layers"], "num_attention_heads": c["heads"], "num_key_value_heads": c["kv"], "vocab_size": c["vocab"],
             "max_position_embeddings": c["context"], "tie_word_embeddings": c["tied"], "torch_dtype": dtype}
    elif c["net"] == "gpt2":
        j = {"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": c["hidden"], "n_layer": c["layers"], "n_head": c["heads"],
             "n_positions": c["context"], "vocab_size": c["vocab"], "torch_dtype": dtype}
    else:
        j = {"architectures": ["TinyNet"], "model_type": "tiny_" + c["kind"], "num_labels": c["classes"], "torch_dtype": dtype}
    json.dump(j, open(f"{d}/config.json", "w"), indent=1)


def directory(root, name):
    d = f"{root}/{name}"
    os.makedirs(d)
    return d
