#!/usr/bin/env python3
"""Who is kin among real files, where ../shared has them: what their INDEX says of their making, and no false kin.

    real_kin.py TARN
"""
import csv, os, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LAKE = os.path.join(HERE, "../../../shared/lakes/real/models")
SILERO = "snakers4__silero-vad/src/silero_vad/data/silero_vad"
MLSYS = "mikamika06__mlsys-lab/projects/_fixtures/"
RETSIM = "LLukas22__retsim-pytorch/weights/model@2024-03-"
MUST = {
    # releases of one project, but trained apart: only the exports of one release are kin
    (SILERO + "@2025-11-06-bfdc019.onnx", SILERO + "@2025-11-06-bfdc019.jit"): "duplicate",
    (SILERO + "_half", SILERO + "@2024-07-09-f0d880d"): "pruned",
    (RETSIM + "25-8584e4e", RETSIM + "24-5f07238"): "duplicate",
    ("wyek1n__MLX-CLI/adapters/0000200_adapters", "wyek1n__MLX-CLI/adapters/0000100_adapters"): "finetune",
    (MLSYS + "gguf/dequantized_truth", MLSYS + "gguf/slice"): "cast",
}
MAY = {     # kin indeed: pieces of the slice; one training run
    frozenset((MLSYS + "safetensors/weights", MLSYS + "gguf/slice")),
    frozenset((MLSYS + "safetensors/weights", MLSYS + "gguf/dequantized_truth")),
    frozenset("JunSuzukiJapan__tl/model_2digit@2026-01-15-" + n for n in ("82d27e9", "05da263")),
}


def main():
    if not os.path.isdir(LAKE):
        print("no real files here")
        return 77
    with tempfile.TemporaryDirectory() as scratch:
        said = subprocess.run([sys.argv[1], "cat", "--quiet", "--catalog", os.path.join(scratch, "c"), LAKE, "lake/lineage.tsv"],
                              check=True, stdout=subprocess.PIPE, text=True).stdout
    wrong, found = [], {}
    for row in csv.DictReader(said.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        pair = (row["child"], row["parent"])
        found[pair] = row["relation"]
        if pair not in MUST and frozenset(pair) not in MAY:
            wrong.append("{child} is no {relation} of {parent}".format(**row))
    for pair, relation in MUST.items():
        if found.get(pair) != relation:
            wrong.append(f"{pair[0]}: {found.get(pair)} of {pair[1]}, expected {relation}")
    print("\n".join(wrong) or f"{len(found)} edges, none wrong")
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())
