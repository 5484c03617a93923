#!/usr/bin/env python3
"""Indexing, and what `grep -r` over models/ costs.

    tarn index LAKE, nothing known yet          at most 1 s on 2 cores
    the same again, nothing changed             at most 0.1 s
    grep -r over models/, uncomputed            reads no more of the lake than indexing it does (bytes counted)

Yardsticks, in the same run: reading every file of the lake whole, and find LAKE -type f. Times are the best of several runs;
files are in the page cache. The lake is $TARN_BENCH_LAKE, else the trained lake beside the repository, else tests/data/lake.
"""
import os, re, shutil, subprocess, sys, tempfile, time

TARN = os.environ.get("TARN", "tarn")
SOURCE = os.environ.get("TARN_SOURCE", os.path.join(os.path.dirname(__file__), "../.."))


def choose_lake():
    for lake in (os.environ.get("TARN_BENCH_LAKE"), os.path.join(SOURCE, "../shared/lakes/trained/lake"),
                 os.path.join(SOURCE, "tests/data/lake")):
        if lake and os.path.isdir(lake):
            return os.path.realpath(lake)
    sys.exit("no lake to index")


def timed(*command):
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def read_all(lake):
    started, total = time.perf_counter(), 0
    for base, _, files in os.walk(lake):
        for f in files:
            with open(os.path.join(base, f), "rb") as h:
                while piece := h.read(1 << 20):
                    total += len(piece)
    return time.perf_counter() - started, total


def rchar(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as f:
        return int(re.search(r"rchar: (\d+)", f.read()).group(1))


def index_reads(lake, catalog):
    """Bytes read(2) by a whole `tarn index`, from nothing."""
    p = subprocess.Popen(["sh", "-c", 'read -r go; exec "$@"', "sh", TARN, "index", "--quiet", "--catalog", catalog, lake],
                         stdin=subprocess.PIPE)
    p.stdin.write(b"\n")
    p.stdin.close()
    last = 0
    while p.poll() is None:
        try:
            last = max(last, rchar(p.pid))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            break
        time.sleep(0.002)
    p.wait()
    return last


def grep_reads(lake, scratch):
    """What a foreground mount read(2) while grep -r went over models/; and how many files grep saw."""
    mnt = os.path.join(scratch, "mnt")
    os.mkdir(mnt)
    daemon = subprocess.Popen([TARN, "mount", "-f", "--catalog", os.path.join(scratch, "grep.sqlite"), lake, mnt],
                              stderr=subprocess.DEVNULL)
    try:
        while not os.path.ismount(mnt):
            if daemon.poll() is not None:
                return None
            time.sleep(0.01)
        started = time.perf_counter()
        subprocess.run(["grep", "-r", "no such words anywhere", os.path.join(mnt, "models")], stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        with open(os.path.join(mnt, "lake/status.txt"), encoding="utf-8") as f:
            status = f.read()
        return seconds, rchar(daemon.pid), status
    finally:
        subprocess.run([TARN, "umount", mnt], stderr=subprocess.DEVNULL)
        daemon.wait(20)


def main():
    lake = choose_lake()
    scratch = tempfile.mkdtemp(prefix="tarn-bench-")
    short = []

    def report(what, value, limit, text):
        print(f"{what:58} {text}{'' if limit is None else '   (at most %s)' % limit[1]}")
        if limit is not None and value > limit[0]:
            short.append(what)

    try:
        whole, total = read_all(lake)
        find = min(timed("find", lake, "-type", "f") for _ in range(5))
        catalog = os.path.join(scratch, "c.sqlite")
        first, second = [], []
        for _ in range(5):
            for f in os.listdir(scratch):
                os.unlink(os.path.join(scratch, f))
            first.append(timed(TARN, "index", "--quiet", "--catalog", catalog, lake))
            second += [timed(TARN, "index", "--quiet", "--catalog", catalog, lake) for _ in range(3)]
        models = len(os.popen(f"'{TARN}' cat --quiet --catalog '{catalog}' '{lake}' lake/models.tsv").readlines()) - 1
        print(f"{lake}: {models} models, {total / 1e6:.1f} MB")
        trained = "trained" in lake
        report("yardstick: read every byte", whole, None, f"{whole:.3f} s")
        report("yardstick: find -type f", find, None, f"{find:.3f} s")
        report("tarn index, nothing known", min(first), (1.0, "1 s") if trained else None, f"{min(first):.3f} s")
        report("tarn index, nothing changed", min(second), (0.1, "0.1 s") if trained else None, f"{min(second):.3f} s")
        os.unlink(catalog)
        indexed = index_reads(lake, os.path.join(scratch, "reads.sqlite"))
        report("bytes read while indexing", indexed, None, f"{indexed / 1e6:.1f} MB")
        grep = grep_reads(lake, scratch) if os.path.exists("/dev/fuse") else None
        if grep is None:
            print("grep -r over models/: skipped, nothing can be mounted here")
        else:
            seconds, read, status = grep
            report("grep -r over models/, nothing known", seconds, None, f"{seconds:.3f} s")
            limit = max(1.5 * indexed, 1e6)
            report("bytes read by the mount meanwhile, all of them", read, (limit, f"{limit / 1e6:.1f} MB"), f"{read / 1e6:.1f} MB")
            print("\n".join("    " + line for line in status.splitlines()))
    finally:
        shutil.rmtree(scratch)
    for what in short:
        print("falls short:", what)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
