"""How a mount ends (docs/semantics.md, "Stopping")."""
import errno
import os
import signal
import subprocess
import time

from harness import alive, check, eventually, fails_with, main, mounted, need_root, same, SLOW


def stream(i, n):
    return bytes((((i + k) * 2654435761) & 0xffffffff) >> 24 & 0xff for k in range(n))


def test_sigterm_with_readers(t):
    """The name space is free at once, open files are read to their end, then the daemon ends with 0."""
    for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
        m = t.fake(point=t.dir(f'mnt{number}'))
        fd = os.open(m.path('stream'), os.O_RDONLY)
        same(os.pread(fd, 4096, 0), stream(0, 4096), 'before')
        m.signal(number)
        eventually(lambda: not mounted(m.point), 3, 'the unmount')
        same(os.listdir(m.point), [], 'what is under it')
        same(os.pread(fd, 4096, 40 << 20), stream(40 << 20, 4096), 'after')
        check(m.process.poll() is None, 'still serves')
        os.close(fd)
        same(m.ended(5), 0, 'exit status')


def test_sigterm_with_nobody(t):
    m = t.fake()
    began = time.monotonic()
    m.signal(signal.SIGTERM)
    same(m.ended(5), 0, 'exit status')
    check(time.monotonic() - began < (5 if SLOW else 1), 'took', time.monotonic() - began)


def test_sigterm_with_a_shell_inside(t):
    """A working directory is no reader: the daemon ends, though the mount lingers."""
    m = t.fake()
    t.start('sleep', '60', cwd=m.path('slow'))
    m.signal(signal.SIGTERM)
    same(m.ended(5), 0, 'exit status')


def test_sigterm_with_computations(t):
    """Who waits is told; nobody hangs."""
    m = t.fake(fake_ms=60000)
    ps = [t.start('cat', m.path(f'slow/{i:05}'), stderr=subprocess.PIPE) for i in range(20)]
    eventually(lambda: m.status()['running'] == 20, 5, 'the computations')
    m.signal(signal.SIGTERM)
    for p in ps:
        _, said = p.communicate(timeout=5)
        check(b'canceled' in said, said)
    same(m.ended(5), 0, 'exit status')


def test_second_signal_ends_at_once(t):
    m = t.fake()
    fd = os.open(m.path('stream'), os.O_RDONLY)
    m.signal(signal.SIGTERM)
    eventually(lambda: not mounted(m.point), 3, 'the unmount')
    m.signal(signal.SIGTERM)
    same(m.ended(3), 0, 'exit status')
    fails_with(errno.ENOTCONN, os.pread, fd, 4096, 50 << 20)
    os.close(fd)


def test_sigkill_mid_open(t):
    """Who waits is freed, tarn says what is wrong with the mount point and how to clear it, and clears it."""
    m = t.fake(fake_ms=60000)
    p = t.start('cat', m.path('slow/00001'), stderr=subprocess.PIPE)
    eventually(lambda: m.status()['running'] == 1, 5, 'the computation')
    m.kill()
    p.communicate(timeout=5)
    check(p.returncode != 0, 'the reader was told')
    fails_with(errno.ENOTCONN, os.statvfs, m.point)
    _, said = t.run('mount', t.lake(), m.point, program=m.program, status=1)
    check('server has died' in said, said)
    command = said.strip().splitlines()[-1].partition('clear it first: ')[2]
    check(command, said)
    _, said = t.run('status', m.point, program=m.program, status=1)
    check('died' in said, said)
    subprocess.run(command, shell=True, check=True)
    check(not mounted(m.point), 'the command that was told clears it')
    n = t.fake()
    n.kill()
    t.run('umount', n.point, program=n.program)
    check(not mounted(n.point), 'tarn umount clears a dead mount')


def test_busy(t):
    m = t.fake()
    fd = os.open(m.path('stream'), os.O_RDONLY)
    _, said = t.run('umount', m.point, program=m.program, status=1)
    check('fuser' in said and 'in use' in said, said)
    t.run('umount', '--lazy', m.point, program=m.program)
    check(not mounted(m.point), 'lazily')
    same(os.pread(fd, 100, 0), stream(0, 100), 'still open')
    os.close(fd)
    same(m.ended(5), 0, 'exit status')


def test_a_mount_of_another_user(t):
    need_root()
    m = t.fake('allow_other')
    for more in [], ['--lazy']:
        r = subprocess.run([m.program, 'umount', *more, m.point], env=t.env, capture_output=True, text=True,
                           check=False, user=65534, group=65534, extra_groups=[])
        same(r.returncode, 1, 'exit status')
        check('a mount of the user root' in r.stderr and 'in use' not in r.stderr, r.stderr)
    check(mounted(m.point), 'it is still there')


def test_not_mounted(t):
    _, said = t.run('umount', t.dir('empty'), status=1)
    check('nothing mounted' in said, said)
    _, said = t.run('umount', '/proc', status=1)
    check('proc' in said and 'use umount' in said, said)
    t.run('umount', os.path.join(t.tmp, 'missing'), status=1)


def test_the_keeper(t):
    """user=NAME: the mount of an unprivileged daemon goes away on SIGTERM, and also on SIGKILL."""
    need_root()
    for number in signal.SIGTERM, signal.SIGKILL:
        m = t.fake('user=nobody', 'catalog=/dev/null', point=t.dir(f'mnt{number}'))
        same(os.stat(f'/proc/{m.process.pid}').st_uid, 65534, 'uid of the daemon')
        with open(f'/proc/{m.process.pid}/status') as f:
            lines = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        same(lines['Uid'].split(), ['65534'] * 4, 'all uids')
        same(lines['Gid'].split(), ['65534'] * 4, 'all gids')
        same(int(lines['CapPrm'], 16), 0, 'capabilities')
        same(lines['NoNewPrivs'].strip(), '1', 'no new privileges')
        m.signal(number)
        eventually(lambda: not mounted(m.point), 5, f'the unmount after signal {number}')
        check(m.process.wait(5) in (0, -9), m.process.returncode)
        eventually(lambda: not [p for p in keepers() if alive(p)], 5, 'the end of the keeper')


def keepers():
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{pid}/comm') as f:
                if f.read().strip() == 'tarn-unmount':
                    found.append(int(pid))
        except OSError:
            pass
    return found


main()
