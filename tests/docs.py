#!/usr/bin/env python3
"""docs/tree.md tells every name and every table of the tree, and every word for a problem, as the sources have them.

    docs.py SOURCE_DIR
"""
import os, re, sys


def text(top, *path):
    with open(os.path.join(top, *path), encoding="utf-8") as f:
        return f.read()


# The calls that name a problem, and what a source's errors are called.
PROBLEM = re.compile(r'(?:weights_warn|weights_hazard|facts_problem|add_problem|\bwarn|\bhazard)\([^;"{]*?"([a-z][a-z -]*)"|'
                     r'Q_PROBLEM_ADD, e, "isss",[^;"]*(?:""[^;"]*)?"([a-z][a-z -]*)"|(?:case E\w+|default): return "([a-z ]+)";')


def problems(top):
    found = set()
    for room in "format", "lake", "analysis", "job":
        for f in sorted(os.listdir(os.path.join(top, "core", room))):
            if not f.endswith(".c"):
                continue
            source = text(top, "core", room, f)
            if f == "facts.c" or "case E" not in source:
                found |= {w for m in PROBLEM.findall(source) for w in m if w}
            else:
                found |= {w for m in PROBLEM.findall(source) for w in m[:2] if w}
    return found


def main():
    top = sys.argv[1]
    said = re.sub(r"\s+", " ", text(top, "docs/tree.md"))
    words = set(re.findall(r"[A-Za-z0-9_.]+", said))
    missing = []
    patterns = re.findall(r'^ROW\(\w+, "([^"]+)"', text(top, "core/tree/rows.h"), re.M)
    for pattern in patterns:
        name = pattern.rsplit("/", 1)[-1]
        if name not in words and not re.fullmatch(r"[A-Z-]+(\.[a-z]+)?", name):
            missing.append(f"core/tree/rows.h has {pattern}")
    tables = set()
    for f in sorted(os.listdir(os.path.join(top, "core/tree"))):
        if f.endswith(".c"):
            tables |= set(re.findall(r'table_begin\([^;"]*"([a-z0-9_ ]+)"', text(top, "core/tree", f)))
    for columns in sorted(tables):
        if columns not in said:
            missing.append(f"a table has the columns {columns}")
    named = problems(top)
    for word in sorted(named):
        if f"`{word}`" not in said:
            missing.append(f"a problem is called '{word}'")
    if len(named) < 30 or len(patterns) < 20 or len(tables) < 5:
        missing.append("the sources could not be read")
    for m in missing:
        print(f"docs/tree.md says nothing of it: {m}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
