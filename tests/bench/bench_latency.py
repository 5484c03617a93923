#!/usr/bin/env python3
"""Who waits, and who does not.

    200 opens of uncomputed files pending: cat of a computed one      at most 5 ms (median of 51)
    300 readers of one uncomputed file                                exactly one computation
    interrupt to EINTR                                                at most 0.2 s (the worst of 20)

Models of 26 GB that weigh nothing on disk keep the computations busy.
"""
import os
import re
import signal
import statistics
import subprocess
import threading
import time

from harness import model, safetensors, write
from mounts import Mounted, Report, ms, need_fuse, temp, timed

need_fuse()
report = Report(__doc__.strip().splitlines()[0])


def number(m, name):
    with open(m.point + '/lake/status.txt', encoding='utf-8') as f:
        return int(re.search(rf'^{name}\s+(\d+)', f.read(), re.M)[1])


def until(condition):
    while not condition():
        time.sleep(0.01)


def lake_of(root):
    model(root, 'small', 1)
    model(root, 'wide', layers=2, hidden=1024, vocab=32768)
    for i in range(210):
        d = f'{root}/huge-{i:03}'
        write(d + '/config.json', '{"model_type": "blob"}')
        safetensors(d + '/model.safetensors', {f'blob.{k}.weight': ('F32', (1 << 18, 4096)) for k in range(6)})
    return root


def read(path):
    with open(path, 'rb') as f:
        return len(f.read())


with temp() as tmp:
    lake = lake_of(tmp + '/lake')
    with Mounted(tmp + '/mnt', f'catalog={tmp}/c.db', 'queue=1000', lake=lake) as m:
        m.settle()
        before = number(m, 'computed')
        sizes = []
        threads = [threading.Thread(target=lambda: sizes.append(read(m.point + '/exact/wide/statistics.tsv')))
                   for _ in range(300)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        n = number(m, 'computed') - before
        report.line('300 readers of one uncomputed file: computations', str(n), '', '1', n == 1 and
                    len(set(sizes)) == 1)

        known = m.point + '/models/small/tensors.tsv'
        read(known)
        alone = statistics.median(timed(read, known) for _ in range(51))
        ps = [subprocess.Popen(['cat', f'{m.point}/exact/huge-{i:03}/statistics.tsv'], stdout=subprocess.DEVNULL)
              for i in range(200)]
        until(lambda: number(m, 'running') + number(m, 'queued') >= 200)
        times = [timed(read, known) for _ in range(51)]
        cat = statistics.median(timed(subprocess.run, ['cat', known], -1, None, None,
                                      subprocess.DEVNULL) for _ in range(21))
        report.line('200 opens pending: read of a computed file, median', ms(statistics.median(times)),
                    f'alone: {ms(alone)}, cat: {ms(cat)}', '5 ms', statistics.median(times) <= 0.005)

        worst = []
        for p in ps[:20]:
            began = time.perf_counter()
            p.send_signal(signal.SIGINT)
            p.wait()
            worst.append(time.perf_counter() - began)
        report.line('interrupt to EINTR, worst of 20', ms(max(worst)), f'median: {ms(statistics.median(worst))}',
                    '200 ms',
                    max(worst) <= 0.2)
        for p in ps[20:]:
            p.kill()
        for p in ps[20:]:
            p.wait()
        gone = timed(until, lambda: number(m, 'running') + number(m, 'queued') == 0)
        report.line('the end of all computations after the last has left', ms(gone), '', '', True)
report.end()
