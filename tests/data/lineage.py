#!/usr/bin/env python3
"""The lineage of tests/data/lake, end to end: `tarn cat LAKE lake/lineage.tsv` against truth/edges.tsv.

    lineage.py TARN

No edge may be wrong: not its parent, not its relation, not a merge's weight by more than 0.01. At most one may be missing.
"""
import csv, os, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
RELATION = {"finetune": "finetune", "lora_merged": "lora", "adapter": "adapter", "merge_linear": "merge", "stitch": "stitch",
            "quantized_gguf_q8_0": "quantized", "pruned": "pruned", "cast": "cast", "duplicate": "duplicate"}


def table(lines):
    return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def summary_differs(cat, row):
    """diff/CHILD/PARENT/summary.txt begins with what lineage.tsv says."""
    path = f"diff/{row['child'].replace('/', '--')}/{row['parent'].replace('/', '--')}/summary.txt"
    first = subprocess.run(cat + [path], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")[0]
    verdict = {"duplicate": "has the same weights as", "related": None}.get(row["relation"], "is a descendant of")
    if verdict and first != f"{row['child']} {verdict} {row['parent']}":
        return f"{path}: {first}"
    return None


def main():
    lake = os.path.join(HERE, "lake")
    there = {f"{o}/{m}" for o in os.listdir(lake) for m in os.listdir(os.path.join(lake, o))}
    with open(os.path.join(HERE, "truth", "edges.tsv"), encoding="utf-8") as f:
        edges = [e for e in table(f) if e["parent"] in there and e["relation"] in RELATION]
    copies = {e["child"]: e["parent"] for e in edges if e["relation"] == "duplicate"}
    same = lambda model: copies.get(model, model)
    want = {(same(e["child"]), same(e["parent"])): e for e in edges if e["relation"] != "duplicate"}
    with tempfile.TemporaryDirectory() as scratch:
        cat = [sys.argv[1], "cat", "--quiet", "--catalog", os.path.join(scratch, "c"), lake]
        said = subprocess.run(cat + ["lake/lineage.tsv"], check=True, stdout=subprocess.PIPE, text=True).stdout
        rows = table(said.splitlines())
        wrong = [w for row in rows if (w := summary_differs(cat, row))]
    found, twins = set(), set()
    for row in rows:
        pair = (same(row["child"]), same(row["parent"]))
        if row["relation"] == "duplicate":
            twins.add(frozenset((row["child"], row["parent"])))
            continue
        if row["relation"] == "related":
            continue
        e = want.get(pair)
        if e is None or RELATION[e["relation"]] != row["relation"]:
            wrong.append(f"{row['child']} is no {row['relation']} of {row['parent']}")
            continue
        found.add(pair)
        if e["relation"] == "merge_linear" and abs(float(e["details"].partition("=")[2]) - float(row["weight"])) > 0.01:
            wrong.append(f"{row['child']}: weight {row['weight']}, it is {e['details']}")
    missing = [f"{c} of {p}" for c, p in want if (c, p) not in found]
    if twins != {frozenset(pair) for pair in copies.items()}:
        wrong.append(f"duplicates: {sorted(map(sorted, twins))}")
    for line in wrong:
        print("wrong:", line)
    for line in missing:
        print("missing:", line)
    return 1 if wrong or len(missing) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
