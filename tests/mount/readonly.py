"""A write gets EROFS (docs/semantics.md, "Read-only"): every call that changes a file system, also after somebody has
remounted it read-write, when the kernel asks us instead of answering itself."""
import ctypes
import errno
import os
import subprocess

from harness import check, fails_with, main, need_root, same

# What never reaches a file system: the descriptor is not open for writing.
OTHER = {'write': 'EBADF', 'ftruncate': 'EINVAL', 'fallocate': 'EBADF', 'copy_file_range': 'EBADF'}


def mutate(m, expected):
    r = subprocess.run([os.environ['TARN_MUTATE'], m.path('slow'), m.path('fast'), m.path('new')], capture_output=True,
                       text=True, check=False)
    told = dict(line.split() for line in r.stdout.splitlines())
    check(len(told) > 35, r.stdout)
    wrong = {c: e for c, e in told.items() if e not in expected.get(c, 'EROFS').split()}
    same(wrong, {}, 'not EROFS')
    same(sorted(os.listdir(m.point))[0], 'bad', 'still there')


def test_every_call(t):
    mutate(t.fake(), OTHER)


def test_every_call_after_a_remount(t):
    need_root()
    m = t.fake()
    libc = ctypes.CDLL(None, use_errno=True)
    ms_remount, ms_bind = 32, 4096
    for flags in (ms_remount, ms_remount | ms_bind):
        r = libc.mount(b'none', m.point.encode(), None, ctypes.c_ulong(flags), None)
        same(r, 0, f'remount {flags}')
    # The kernel's own answers, before it asks: permissions, and what it does not support at all.
    mutate(m, dict(OTHER, **{'open-tmpfile': 'EOPNOTSUPP', 'ioctl-setflags': 'EROFS ENOTTY EOPNOTSUPP',
                             'access-write': 'EROFS succeeded', 'access-write-dir': 'EROFS succeeded'}))


def test_no_extended_attributes(t):
    """Said once, so that ls -l does not ask for each entry."""
    m = t.fake()
    fails_with(errno.EOPNOTSUPP, os.getxattr, m.path('fast'), 'user.x')
    fails_with(errno.EOPNOTSUPP, os.listxattr, m.path('fast'))


main()
