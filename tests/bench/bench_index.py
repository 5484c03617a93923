#!/usr/bin/env python3
"""Indexing, and what `grep -r` over models/ costs.

    tarn index LAKE, nothing known yet          at most 1 s on 2 cores
    the same again, nothing changed             at most 0.1 s
    grep -r over models/, nothing known yet     reads of the lake no more than indexing does, twice at most (bytes counted)

Yardsticks, in the same run: reading every file of the lake, and find LAKE -type f. Times are the best of several runs; the files
are in the page cache. Limits hold for the trained lake; for another ($TARN_BENCH_LAKE) the numbers are only told.
"""
import os
import re
import subprocess

from mounts import TARN, Mounted, Report, ms, run, temp, timed, trained

lake = trained()
bound = 'trained' in lake
report = Report(__doc__.strip().splitlines()[0] + f'  {lake}')


def mib(n):
    return f'{n / 2 ** 20:.1f} MiB'


def line(what, ours, yardstick, limit, good):
    report.line(what, ours, yardstick, limit if bound else '', good or not bound)


def read_all():
    run('sh', '-c', 'find "$1" -type f -exec cat {} + > /dev/null', 'sh', lake)


def index(catalog):
    run(TARN, 'index', '--quiet', '--catalog', catalog, lake)


def bytes_read(status):
    return int(re.search(r'bytes read +(\d+)', status).group(1))


def grepped(d, *options, known=None):
    """Seconds, and bytes of the lake read by a mount while grep -r goes over models/."""
    with Mounted(d + '/mnt', f'catalog={known or d + "/grep"}', *options, lake=lake) as m:
        seconds = timed(lambda: subprocess.run(['grep', '-r', 'no such words anywhere', m.point + '/models'], check=False))
        with open(m.point + '/lake/status.txt', encoding='utf-8') as f:
            return seconds, bytes_read(f.read())


with temp() as d:
    total = sum(os.path.getsize(os.path.join(base, f)) for base, _, files in os.walk(lake) for f in files)
    everything = min(timed(read_all) for _ in range(3))
    find = min(timed(run, 'find', lake, '-type', 'f') for _ in range(5))
    first, second = [], []
    for i in range(5):
        first.append(timed(index, f'{d}/{i}'))
        second += [timed(index, f'{d}/{i}') for _ in range(3)]
    line('tarn index, nothing known', ms(min(first)), f'reading all {ms(everything)}', 'at most 1 s', min(first) <= 1)
    line('tarn index, nothing changed', ms(min(second)), f'find {ms(find)}', 'at most 0.1 s', min(second) <= 0.1)
    if not os.access('/dev/fuse', os.R_OK | os.W_OK):
        print('  grep -r: skipped, nothing can be mounted here')
        report.end()
    with Mounted(d + '/mnt', f'catalog={d}/settled', lake=lake) as m:
        run('cat', m.point + '/lake/lineage.tsv')  # needs all that indexing does
        with open(m.settle().point + '/lake/status.txt', encoding='utf-8') as f:
            indexed = bytes_read(f.read())
    seconds, cold = grepped(d)
    line(f'grep -r over models/, nothing known ({ms(seconds)})', mib(cold), f'indexing alone {mib(indexed)}', 'at most 2 x', cold <= 2 * indexed)
    seconds, warm = grepped(d, known=f'{d}/0')
    line(f'grep -r over models/, indexed ({ms(seconds)})', mib(warm), f'the lake has {mib(total)}', 'at most indexing', warm <= indexed)
report.end()
