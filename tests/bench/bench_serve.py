#!/usr/bin/env python3
"""Reading weights through files/, all in the page cache of the lake's disk.

    files=link      native speed (at least 0.9 x)
    files=serve     at least 1 GB/s where the native read does at least 3

Best of 5, a fresh mount each time, so that nothing is in the mount's own page cache.
"""
import os

from harness import model
from mounts import Mounted, Report, need_fuse, temp, timed

need_fuse()
report = Report(__doc__.strip().splitlines()[0])
CHUNK = 1 << 20


def read(path, buffer=bytearray(CHUNK)):
    fd = os.open(path, os.O_RDONLY)
    while os.readv(fd, [buffer]):
        pass
    os.close(fd)


def rate(seconds, size):
    return f'{size / seconds / 1e9:.2f} GB/s'


with temp() as tmp:
    lake = tmp + '/lake'
    model(lake, 'big', layers=4, hidden=2048, vocab=32768)
    path = lake + '/big/model.safetensors'
    size = os.path.getsize(path)
    with open(path, 'r+b') as f:        # no holes
        while f.tell() < size - CHUNK:
            f.seek(CHUNK - 1, 1)
            f.write(b'\1')
        for at in range(0, size - CHUNK, CHUNK):
            f.seek(at + 100000)
            f.write(bytes(range(256)) * 3000)
    read(path)
    native, link, serve, again = [], [], [], []
    for _ in range(5):
        native.append(timed(read, path))
        for times, files in ((link, 'link'), (serve, 'serve')):
            with Mounted(tmp + '/mnt', f'catalog={tmp}/c.db', f'files={files}', lake=lake) as m:
                m.settle()
                times.append(timed(read, m.point + '/models/big/files/model.safetensors'))
                if files == 'serve':
                    again.append(timed(read, m.point + '/models/big/files/model.safetensors'))
    n, l, s = min(native), min(link), min(serve)
    report.line(f'{size >> 20} MiB through files=link', rate(l, size), f'native: {rate(n, size)}', '0.9 x native',
                l <= n / 0.9)
    fast = size / n >= 3e9
    report.line(f'{size >> 20} MiB through files=serve', rate(s, size), f'native: {rate(n, size)}',
                '1 GB/s' if fast else 'native < 3 GB/s', size / s >= 1e9 or not fast)
    report.line('the same again, from the page cache', rate(min(again), size), f'native: {rate(n, size)}', '', True)
report.end()
