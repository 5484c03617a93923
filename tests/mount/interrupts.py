"""Whoever waits for a computation can leave at once, and leaves nothing behind (docs/semantics.md, "Interrupts")."""
import os
import random
import signal
import subprocess
import time

from harness import check, eventually, main, read, same, SLOW

AT_ONCE = 5 if SLOW else 0.2


def waits_in(t, m, *command):
    before = m.status()
    p = t.start(*command)
    eventually(lambda: m.status()['running'] > before['running'] or p.poll() is not None, 5, 'the computation')
    check(p.poll() is None, command, 'did not wait')
    return p


def leaves(t, m, number, *command):
    p = waits_in(t, m, *command)
    began = time.monotonic()
    p.send_signal(number)
    p.wait(10)
    took = time.monotonic() - began
    check(took < AT_ONCE, f'{command[0]} left {took:.3f} s after signal {number}')
    eventually(lambda: m.status()['running'] == 0, 5, 'the end of the computation')
    same(m.status()['computed'], 0, 'finished computations')


def test_open(t):
    m = t.fake(fake_ms=60000)
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGKILL:
        leaves(t, m, number, 'cat', m.path('slow/00001'))


def test_listing_of_a_computed_directory(t):
    m = t.fake(fake_ms=60000)
    for number in signal.SIGINT, signal.SIGKILL:
        leaves(t, m, number, 'ls', m.path('computed'))


def test_name_in_a_computed_directory(t):
    m = t.fake(fake_ms=60000)
    for number in signal.SIGINT, signal.SIGKILL:
        leaves(t, m, number, 'stat', m.path('computed/00007'))


def test_the_call_returns_eintr(t):
    """A handler that does not restart: open(2) itself says EINTR."""
    m = t.fake(fake_ms=60000)
    program = ('import ctypes, os, signal, sys\n'
               'libc = ctypes.CDLL(None, use_errno=True)\n'
               'signal.signal(signal.SIGUSR1, lambda *a: None)\n'
               'libc.siginterrupt(signal.SIGUSR1, 1)\n'
               'r = libc.open(sys.argv[1].encode(), 0)\n'
               'os._exit(ctypes.get_errno() if r < 0 else 0)\n')
    p = waits_in(t, m, '/usr/bin/python3', '-c', program, m.path('slow/00002'))
    p.send_signal(signal.SIGUSR1)
    same(p.wait(5), 4, 'errno (EINTR)')


def test_others_stay(t):
    """One of two who wait leaves: the other gets the content, from one computation."""
    m = t.fake(fake_ms=1500)
    out = os.path.join(t.tmp, 'out')
    with open(out, 'wb') as f:
        stays = t.start('cat', m.path('slow/00003'), stdout=f)
    leaves_ = t.start('cat', m.path('slow/00003'))
    eventually(lambda: m.status()['joined'] == 1, 5, 'the second waiter')
    leaves_.kill()
    leaves_.wait()
    same(stays.wait(10), 0, 'exit status of the one who stays')
    same(len(read(out)), 6000, 'bytes')
    same(m.status()['computed'], 1, 'computations')
    same(m.status()['cancelled'], 0, 'cancelled')


def test_leaving_at_any_moment(t):
    """400 readers killed after 0 to 12 ms of a computation of 6 ms: nothing hangs, nothing is lost."""
    m = t.fake(fake_ms=6)
    r = random.Random(7)
    for i in range(100):
        ps = [subprocess.Popen(['cat', m.path(f'slow/{(i * 4 + k) % 1000:05}')],
                               stdout=subprocess.DEVNULL) for k in range(4)]
        for p in ps:
            time.sleep(r.random() * 0.003)
            p.send_signal(r.choice([signal.SIGINT, signal.SIGTERM, signal.SIGKILL]))
        for p in ps:
            p.wait(10)
    eventually(lambda: m.status()['running'] == 0, 5, 'the end')
    same(len(m.read('slow/00999')), 6000, 'bytes')


main()
