#!/usr/bin/env python3
"""docs/tree.md tells every name and every table of the tree, as the sources have them.

    docs.py SOURCE_DIR
"""
import os, re, sys


def text(top, *path):
    with open(os.path.join(top, *path), encoding="utf-8") as f:
        return f.read()


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
    if len(patterns) < 20 or len(tables) < 5:
        missing.append("the sources could not be read")
    for m in missing:
        print(f"docs/tree.md says nothing of it: {m}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
