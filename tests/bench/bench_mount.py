#!/usr/bin/env python3
"""From `tarn mount` to the first `ls`, and what a mount weighs.

    trained lake, indexed                       at most 0.2 s
    100,000 models, indexed                     at most 0.2 s
    100,000 models, never seen                  at most 2 x find LAKE -type f (the same run, files in the cache)
    resident memory after walking all of it     at most 64 MiB

TARN_BENCH_MODELS sets another number of models.
"""
import os

from mounts import Mounted, Report, ms, need_fuse, run, synthetic, temp, timed, trained, TARN

need_fuse()
N = int(os.environ.get('TARN_BENCH_MODELS', '100000'))
report = Report(__doc__.strip().splitlines()[0])


def first_ls(lake, point, catalog):
    """Seconds from the command to the answer of ls."""
    def both():
        run(TARN, 'mount', lake, point, '-o', f'catalog={catalog}')
        run('ls', point + '/models')
    took = timed(both)
    run(TARN, 'umount', point)
    return took


with temp() as tmp:
    point = tmp + '/mnt'
    os.makedirs(point)
    lake, catalog = trained(), tmp + '/trained.db'
    find = min(timed(run, 'find', lake, '-type', 'f') for _ in range(5))
    run(TARN, 'index', lake, '--catalog', catalog)
    took = min(first_ls(lake, point, catalog) for _ in range(5))
    report.line(f'{os.path.basename(os.path.dirname(lake))} lake, indexed: mount and first ls', ms(took),
                f'find: {ms(find)}',
                '200 ms', took <= 0.2)

    lake, catalog = synthetic(tmp + '/lake', N), tmp + '/many.db'
    find = min(timed(run, 'find', lake, '-type', 'f') for _ in range(5))
    news = []
    for i in range(3):
        news.append(first_ls(lake, point, f'{tmp}/new{i}.db'))
        find = min(find, timed(run, 'find', lake, '-type', 'f'))
    took = min(news)
    report.line(f'{N} models, never seen: mount and first ls', ms(took), f'find: {ms(find)}', f'2 x = {ms(2 * find)}',
                took <= 2 * find)
    index = timed(run, TARN, 'index', lake, '--catalog', catalog)
    report.line(f'{N} models: tarn index (headers, signatures, lineage)', ms(index), '', '', True)
    again = timed(run, TARN, 'index', lake, '--catalog', catalog)
    report.line(f'{N} models: the same again, nothing changed', ms(again), f'find: {ms(find)}', '', True)
    took = min(first_ls(lake, point, catalog) for _ in range(5))
    report.line(f'{N} models, indexed: mount and first ls', ms(took), f'find: {ms(find)}', '200 ms', took <= 0.2)

    with Mounted(point, f'catalog={catalog}', lake=lake) as m:
        os.listdir(point)
        start, _ = m.rss()
        walk = timed(run, 'find', point + '/models', '-maxdepth', '3')
        listing = timed(run, 'ls', '-U', point + '/all')
        m.settle()
        now, most = m.rss()
        report.line(f'{N} models: resident after find -maxdepth 3 ({ms(walk)}), ls all/ ({ms(listing)})',
                    f'{now:.1f} MiB',
                    f'{start:.1f} at start, {most:.1f} at most', '64 MiB', most <= 64)
report.end()
