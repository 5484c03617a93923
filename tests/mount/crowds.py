"""Many at once (docs/semantics.md, "Computing"): one computation for all who ask, delay for nobody else."""
import errno
import os
import signal
import statistics
import threading
import time

from harness import check, eventually, fails_with, main, same, SLOW


def time_of(call, *args):
    began = time.monotonic()
    call(*args)
    return time.monotonic() - began


def test_one_computation_for_300_readers(t):
    m = t.fake(fake_ms=1000)
    sizes = []
    threads = [threading.Thread(target=lambda: sizes.append(len(m.read('slow/00001')))) for _ in range(300)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    same(sizes, [6000] * 300, 'sizes')
    same(m.status()['computed'], 1, 'computations')


def test_200_pending_opens_delay_nobody(t):
    m = t.fake(fake_ms=60000)
    ps = [t.start('cat', m.path(f'slow/{i:05}')) for i in range(200)]
    eventually(lambda: m.status()['running'] == 200, 20, '200 computations')
    times = [time_of(m.read, 'fast') for _ in range(21)]
    times += [time_of(os.stat, m.path(f'slow/{i:05}')) for i in range(500, 520)]
    check(statistics.median(times) < (1 if SLOW else 0.005), f'median {statistics.median(times) * 1000:.2f} ms')
    check(max(times) < (5 if SLOW else 0.2), f'longest {max(times) * 1000:.2f} ms')
    for p in ps:
        p.send_signal(signal.SIGKILL)
    for p in ps:
        p.wait(10)
    eventually(lambda: m.status()['running'] == 0, 5, 'the end')
    same(m.status()['cancelled'], 200, 'cancelled')


def test_a_slow_name_does_not_delay_its_neighbours(t):
    """Other directories, and in the same one listings and names that are there."""
    m = t.fake(fake_ms=60000)
    p = t.start('stat', m.path('computed/00001'))
    eventually(lambda: m.status()['running'] == 1, 5, 'the computation')
    check(time_of(os.listdir, m.point) < 1, 'the root')
    check(time_of(m.read, 'fast') < 1, 'a file beside')
    q = t.start('stat', m.path('computed/00002'))      # waits too, and can still be killed
    eventually(lambda: m.status()['joined'] == 1, 5, 'the second name (PARALLEL_DIROPS)')
    began = time.monotonic()
    q.kill()
    q.wait(5)
    check(time.monotonic() - began < 1, 'the second could be killed')
    check(p.poll() is None, 'the first still waits')


def test_a_full_queue_is_ebusy(t):
    m = t.fake('queue=8', fake_ms=60000)
    ps = [t.start('cat', m.path(f'slow/{i:05}')) for i in range(8)]
    eventually(lambda: m.status()['running'] == 8, 5, '8 computations')
    fails_with(errno.EBUSY, m.read, 'slow/00100')
    fails_with(errno.EBUSY, os.listdir, m.path('computed'))
    same(m.read('fast'), b'fast\n', 'another file')
    for p in ps:
        p.kill()


def test_a_failed_computation_is_an_errno(t):
    m = t.fake(fake_ms=10)
    fails_with(errno.EIO, m.read, 'bad/00001')
    fails_with(errno.EIO, m.read, 'bad/00001')
    same(m.read('fast'), b'fast\n', 'another file')


main()
