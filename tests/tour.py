#!/usr/bin/env python3
"""The tour in README.md is true: mount tests/data/lake, run every `$ command` of its console blocks, compare what it says.

    tour.py TARN README.md            exits 77 where nothing can be mounted
    tour.py TARN README.md --write    put what the commands really say into the README
"""
import difflib, os, re, shutil, subprocess, sys, tempfile

LAKE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "lake")


# As on a terminal a hundred columns wide.
COLUMNS = 'ls() { command ls -C -T 0 -w 100 "$@"; }\n'


def blocks(lines):
    """(first line of the block's inside, line of its end) of each console block"""
    start = None
    for i, line in enumerate(lines):
        if line == "```console":
            start = i + 1
        elif line == "```" and start is not None:
            yield start, i
            start = None


def run(block, where, env):
    """The block as it ought to be: each command, and what it says now."""
    out = []
    for line in block:
        if not line.startswith("$ "):
            continue
        command = line[2:] if "|" in line else COLUMNS + line[2:]
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=where, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
        if done.returncode not in (0, 141):
            out.append(f"(ended with status {done.returncode})")
        out += [line] + [said.rstrip() for said in done.stdout.splitlines()]
    return out


def can_mount():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as e:
        print(f"/dev/fuse: {e.strerror}: nothing can be mounted here")
        return False
    if os.geteuid() != 0 and not shutil.which("fusermount3"):
        print("fusermount3 is missing: nothing can be mounted here without being root")
        return False
    return True


def toured(tarn, lines, scratch):
    """README's lines with fresh outputs"""
    mnt, lake = os.path.join(scratch, "mnt"), os.path.join(scratch, "lake")
    os.mkdir(mnt)
    # All times alike, whenever the files were checked out: dates may decide a direction.
    shutil.copytree(LAKE, lake, copy_function=shutil.copyfile)
    env = {**os.environ, "LC_ALL": "C.UTF-8", "PATH": os.path.dirname(tarn) + ":/usr/local/bin:/usr/bin:/bin"}
    catalog = os.path.join(scratch, "catalog.sqlite")
    subprocess.run([tarn, "mount", "--wait", "--catalog", catalog, lake, mnt], check=True, timeout=300)
    try:
        new, last = [], 0
        for start, end in blocks(lines):
            new += lines[last:start] + run(lines[start:end], mnt, env)
            last = end
        return new + lines[last:]
    finally:
        subprocess.run([tarn, "umount", mnt], check=True, timeout=60)


MEASURE = re.compile(r"\b\d+\.\d+\b")


def without_measures(lines):
    """Confidences and distances may move a little when the method gets better; the story may not."""
    return [re.sub(r"\b\d+\.\d+( %)?|#+$", "#", re.sub(r" +", " ", line)) for line in lines]


def far_off(lines, new):
    """Lines whose numbers are no longer what they were, by more than a twentieth."""
    for said, really in zip(lines, new):
        pairs = zip(map(float, MEASURE.findall(said)), map(float, MEASURE.findall(really)))
        if any(abs(x - y) > 0.05 * max(x, y) for x, y in pairs):
            yield f"-{said}"
            yield f"+{really}"


def main():
    tarn, readme = os.path.abspath(sys.argv[1]), sys.argv[2]
    if not can_mount():
        return 77
    with open(readme, encoding="utf-8") as f:
        lines = f.read().splitlines()
    with tempfile.TemporaryDirectory(prefix="tarn-tour-") as scratch:
        new = toured(tarn, lines, scratch)
    if "--write" in sys.argv:
        with open(readme, "w", encoding="utf-8") as f:
            f.write("\n".join(new) + "\n")
        return 0
    changes = list(difflib.unified_diff(without_measures(lines), without_measures(new), "README.md says", "really", lineterm=""))
    changes = changes or list(far_off(lines, new))
    print("\n".join(changes))
    return 1 if changes else 0


if __name__ == "__main__":
    sys.exit(main())
