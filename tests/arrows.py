#!/usr/bin/env python3
"""Hold the sources to the rules of docs/architecture.md that a compiler does not know.

    arrows.py SOURCE_DIR            includes go only to the left, one place for FUSE and one for SQL, names, widths, words
    arrows.py --state ARCHIVE       no mutable global state in the core: no symbol in a writable section of libtarncore.a
    arrows.py --self-test           each rule finds its violation in a made-up tree

Prints one line a violation, `file:line: what`, and exits 1 if there is any. Long files and wide lines are only warned about.
"""
import os, re, subprocess, sys, tempfile

ROOMS = ["core/base", "core/format", "core/lake", "core/catalog", "core/analysis", "core/job", "core/tree", "fs"]
LONG_FILE, WIDE_LINE, TAB = 600, 120, 4
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
SQL = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE FROM|CREATE (TABLE|INDEX|VIRTUAL)|PRAGMA|BEGIN IMMEDIATE)\b")
# Names of places and tools that mean nothing to a reader of this repository. Spelt in two parts: this file is read too.
WORDS = [re.compile(r"\b" + "fa" + r"rm\b", re.I), re.compile("work" + "place", re.I), re.compile("/wo" + "rk/"),
         re.compile("issues " + "tool", re.I), re.compile(r"(?<![.\w])/sha" + "red/")]
TEXT = (".c", ".h", ".py", ".sh", ".md", ".build", ".txt", ".1", ".bash", ".service", "")
SKIP = {".git", "__pycache__", "data", "corpus"}


def room_of(path):
    for i, room in enumerate(ROOMS):
        if path.startswith(room + "/"):
            return i
    return None


def sources(top):
    for base, dirs, files in os.walk(top):
        dirs[:] = sorted(d for d in dirs if d not in SKIP and not d.startswith("build"))
        for f in sorted(files):
            if os.path.splitext(f)[1] in TEXT and f not in SKIP:    # .git is a file in a second working tree
                yield os.path.relpath(os.path.join(base, f), top)


def check_include(top, path, quote, name):
    """What is wrong with one #include, or None."""
    mine = room_of(path)
    if quote == "<":
        if name.startswith("fuse") and mine != ROOMS.index("fs") and not path.startswith("tests/bench/"):
            return f"<{name}>: FUSE is known in fs/ only"
        if name == "sqlite3.h" and mine is not None and ROOMS[mine] != "core/catalog":
            return "<sqlite3.h>: SQLite is known in core/catalog only"
        return None
    if mine is None:
        return None
    theirs = room_of(name)
    if theirs is None:
        return f'"{name}": include by path from the top, "core/ROOM/file.h"'
    if theirs > mine:
        return f'"{name}": {ROOMS[mine]} may not know {ROOMS[theirs]}, which lies to its right'
    if not os.path.exists(os.path.join(top, name)):
        return f'"{name}": there is no such file'
    return None


def check_c(top, path, lines):
    mine = room_of(path)
    for n, line in enumerate(lines, 1):
        m = INCLUDE.match(line)
        wrong = check_include(top, path, *m.groups()) if m else None
        if wrong:
            yield n, wrong
        if mine is not None and ROOMS[mine] != "core/catalog" and any(SQL.search(s) for s in STRING.findall(line)):
            yield n, "SQL outside core/catalog"


def check_words(lines):
    for n, line in enumerate(lines, 1):
        for w in WORDS:
            m = w.search(line)
            if m:
                yield n, f"`{m.group()}` means nothing here"


def check_listed(top, paths):
    """Every source of a room stands in its meson.build: a forgotten one would silently not be tested."""
    for p in paths:
        room = room_of(p)
        if room is None or not p.endswith(".c"):
            continue
        try:
            with open(os.path.join(top, os.path.dirname(p), "meson.build"), encoding="utf-8") as f:
                listed = os.path.basename(p) in re.findall(r"'([^']+)'", f.read())
        except FileNotFoundError:
            listed = False
        if not listed:
            yield f"{p}:1: not listed in the meson.build beside it"


def check_names(paths):
    first = {}
    for p in paths:
        if not p.endswith((".c", ".h")):
            continue
        other = first.setdefault(os.path.basename(p), p)
        if other != p:
            yield f"{p}:1: {other} has the same name"


def check_tree(top, warn):
    paths = list(sources(top))
    for p in paths:
        try:
            with open(os.path.join(top, p), encoding="utf-8") as f:
                lines = f.read().splitlines()
        except UnicodeDecodeError:
            continue
        found = list(check_words(lines))
        if p.endswith((".c", ".h")):
            found += check_c(top, p, lines)
            if len(lines) > LONG_FILE and not p.startswith("tests/"):
                warn(f"{p}:{LONG_FILE + 1}: {len(lines)} lines; is there a seam?")
            wide = [n for n, line in enumerate(lines, 1) if len(line.expandtabs(TAB)) > WIDE_LINE]
            if wide:
                warn(f"{p}:{wide[0]}: {len(wide)} lines wider than {WIDE_LINE} columns")
        for n, what in sorted(found):
            yield f"{p}:{n}: {what}"
    yield from check_listed(top, paths)
    yield from check_names(paths)


# What a process reads in all and which call a test makes fail are told by functions without a handle (io.h, mem.h).
COUNTERS = {"core_base_io.c.o": {"total", "counted", "fail_at"}, "core_base_mem.c.o": {"counted", "fail_at"}}


def check_state(archive):
    """Symbols in sections that can be written at run time. Constant tables with pointers are in .data.rel.ro: not these."""
    out = subprocess.run(["objdump", "-t", archive], check=True, capture_output=True, text=True).stdout
    member = "?"
    for line in out.splitlines():
        if ":     file format" in line:
            member = line.split(":")[0]
        m = re.match(r"^[0-9a-f]+ .{7} (\.(?:t?bss|t?data)(?:\.(?!rel\.ro)\S+)?)\s+([0-9a-f]+)\s+(?:\.hidden )?(\S+)$", line)
        if m and int(m.group(2), 16) > 0 and m.group(3) not in COUNTERS.get(os.path.basename(member), ()):
            yield f"{member}: `{m.group(3)}` is mutable global state ({m.group(1)})"


def self_test():
    ok = {"core/base/a.c": '#include "core/base/a.h"\n', "core/base/a.h": "", "core/base/meson.build": "files('a.c')\n",
          "core/tree/t.c": '#include "core/base/a.h"\n', "core/tree/meson.build": "files('t.c')\n",
          "fs/f.c": '#include <fuse_lowlevel.h>\n#include "core/base/a.h"\n', "fs/meson.build": "files('f.c')\n"}
    broken = {
        "to its right": {"core/base/a.c": '#include "core/tree/t.h"\n', "core/tree/t.h": ""},
        "fs/ only": {"core/tree/t.c": "#include <fuse.h>\n"},
        "core/catalog only": {"core/tree/t.c": "#include <sqlite3.h>\n"},
        "SQL outside": {"core/tree/t.c": 'const char *q = "SELECT 1";\n'},
        "by path": {"core/base/a.c": '#include "a.h"\n'},
        "no such file": {"core/base/a.c": '#include "core/base/gone.h"\n'},
        "not listed": {"core/base/b.c": ""},
        "same name": {"core/tree/a.h": ""},
        "means nothing": {"README.md": "see /wo" + "rk/main\n"},
    }
    for what, change in [(None, {})] + list(broken.items()):
        with tempfile.TemporaryDirectory() as top:
            for p, text in {**ok, **change}.items():
                os.makedirs(os.path.dirname(os.path.join(top, p)), exist_ok=True)
                with open(os.path.join(top, p), "w", encoding="utf-8") as f:
                    f.write(text)
            found = list(check_tree(top, lambda _: None))
        if (what is None and found) or (what and not any(what in f for f in found)):
            yield f"self-test: wanted {what!r}, got {found}"


def main():
    if sys.argv[1:] == ["--self-test"]:
        found = list(self_test())
    elif sys.argv[1:2] == ["--state"] and len(sys.argv) == 3:
        found = list(check_state(sys.argv[2]))
    elif len(sys.argv) == 2:
        found = list(check_tree(sys.argv[1], lambda line: print("warning:", line, file=sys.stderr)))
    else:
        print(__doc__, file=sys.stderr)
        return 2
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
