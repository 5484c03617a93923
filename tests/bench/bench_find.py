#!/usr/bin/env python3
"""find MNT/models -maxdepth 3 over 10,000 models.

    first pass      at most 1.2 x a bare FUSE file system that serves the same entries from memory with the same loop
    second pass     at most 3 x the same entries as real files on the local disk (also a second pass)

The minimum of 9 interleaved runs, each on a fresh mount. TARN_BENCH_MODELS sets another number of models.
"""
import os
import subprocess

from mounts import Mounted, Report, ms, need_fuse, run, synthetic, temp, timed, TARN

need_fuse()
N = int(os.environ.get('TARN_BENCH_MODELS', '10000'))
RUNS = int(os.environ.get('TARN_BENCH_RUNS', '9'))
report = Report(__doc__.strip().splitlines()[0])


def find(root):
    run('find', root + '/models', '-maxdepth', '3')


def passes(mounted):
    with mounted as m:
        os.listdir(m.point)
        if m.tarn:
            m.settle()
        return timed(find, m.point), timed(find, m.point)


def copy(listing, root):
    """The entries as real files: sparse, of the same names, sizes and targets."""
    with open(listing, 'rb') as f:
        for line in f.read().split(b'\0')[:-1]:
            kind, size, _, target, path = line.split(b'\t')
            path = os.path.join(root.encode(), path)
            if kind == b'd':
                os.mkdir(path)
            elif kind == b'l':
                os.symlink(target, path)
            else:
                make(path, int(size))


def make(path, size):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o444)
    os.ftruncate(fd, size)
    os.close(fd)


with temp() as tmp:
    lake, point, catalog, listing = synthetic(tmp + '/lake', N), tmp + '/mnt', tmp + '/c.db', tmp + '/list'
    run(TARN, 'index', lake, '--catalog', catalog)
    option = f'catalog={catalog}'
    with Mounted(point, option, lake=lake) as m, open(listing, 'wb') as f:
        m.settle()
        f.write(b'd\t4096\t555\t\tmodels\0')
        f.flush()
        subprocess.run(['find', point + '/models', '-mindepth', '1', '-maxdepth', '3', '-printf',
                        '%y\\t%s\\t%m\\t%l\\tmodels/%P\\0'], stdout=f, check=True)
    with open(listing, 'rb') as f:
        entries = f.read().count(b'\0')
    real = tmp + '/real'
    os.mkdir(real)
    copy(listing, real)
    find(real)
    ours, bare, disk = [], [], []
    for _ in range(RUNS):
        ours.append(passes(Mounted(point, option, lake=lake)))
        bare.append(passes(Mounted(point, listing=listing)))
        disk.append(timed(find, real))
    first, again = (min(x[i] for x in ours) for i in (0, 1))
    bare_first, bare_again = (min(x[i] for x in bare) for i in (0, 1))
    report.line(f'{N} models, {entries} entries: first pass', ms(first), f'bare: {ms(bare_first)}',
                f'1.2 x = {ms(1.2 * bare_first)}', first <= 1.2 * bare_first)
    report.line('second pass', ms(again), f'disk: {ms(min(disk))}, bare: {ms(bare_again)}',
                f'3 x = {ms(3 * min(disk))}',
                again <= 3 * min(disk))
report.end()
