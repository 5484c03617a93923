#!/usr/bin/env python3
"""Names, cards and dates are no evidence: tests/data/lake with all of them scrambled has the same lineage.

    scrambled.py TARN

Every directory gets another name, in another order; cards go; all dates are equal; configs lose every name but the one that an unmerged
adapter needs, and that one is scrambled alike.
"""
import csv, hashlib, json, os, shutil, subprocess, sys, tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ("_name_or_path", "base_model_name_or_path", "model_name", "name")


def scramble(model):
    h = hashlib.sha256(("x" + model).encode()).hexdigest()
    return f"{h[:4]}/{h[4:12]}"


def copy_config(source, target, known):
    with open(source, encoding="utf-8") as f:
        config = json.load(f)
    for key in NAMES:
        if isinstance(config, dict) and key in config:
            if config[key] in known and os.path.basename(source) == "adapter_config.json":
                config[key] = scramble(config[key])
            else:
                del config[key]
    with open(target, "w", encoding="utf-8") as f:
        json.dump(config, f)


def copy_model(source, target, known):
    os.makedirs(target)
    for name in os.listdir(source):
        at, to = os.path.join(source, name), os.path.join(target, name)
        if name.lower().endswith(".md"):
            continue
        if name.endswith("config.json"):
            copy_config(at, to, known)
        else:
            shutil.copyfile(at, to)
        os.utime(to, (10**9, 10**9))


def lineage(tarn, lake, scratch):
    said = subprocess.run([tarn, "cat", "--quiet", "--catalog", os.path.join(scratch, "c"), lake, "lake/lineage.tsv"], check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    return list(csv.DictReader(said.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def edges(rows, name):
    """Which of equal models is called the copy, and which the parent of others, is a matter of their ids (TREE.md): they count as one."""
    same = {}
    for r in rows:
        if r["relation"] == "duplicate":
            both = same.get(r["child"], {r["child"]}) | same.get(r["parent"], {r["parent"]})
            same.update((m, both) for m in both)
    one = lambda model: min(map(name, same.get(model, {model})))
    return {(one(r["child"]), one(r["parent"]), r["relation"], r["weight"]) for r in rows}


def main():
    lake = os.path.join(HERE, "lake")
    known = {f"{o}/{m}" for o in os.listdir(lake) for m in os.listdir(os.path.join(lake, o))}
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
        other = os.path.join(b, "lake")
        for model in sorted(known):
            copy_model(os.path.join(lake, model), os.path.join(other, scramble(model)), known)
        before = edges(lineage(sys.argv[1], lake, a), scramble)
        after = edges(lineage(sys.argv[1], other, b), lambda m: m)
    for e in sorted(map(str, before ^ after)):
        print(e)
    if not before:
        print("no edges at all")
    return before != after or not before


if __name__ == "__main__":
    sys.exit(main())
