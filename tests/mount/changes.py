"""The lake changes under a mount (docs/semantics.md, "Change"): the kernel is told, cookies stay good."""
import ctypes
import os
import threading

from harness import check, eventually, main, same


class Dirent(ctypes.Structure):
    _fields_ = [('ino', ctypes.c_uint64), ('off', ctypes.c_int64), ('reclen', ctypes.c_ushort), ('type',
                                                                                                 ctypes.c_ubyte),
                ('name', ctypes.c_char * 256)]


libc = ctypes.CDLL(None, use_errno=True)
libc.fdopendir.restype = ctypes.c_void_p
libc.fdopendir.argtypes = [ctypes.c_int]
libc.readdir64.restype = ctypes.POINTER(Dirent)
libc.readdir64.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.closedir.argtypes = [ctypes.c_void_p]


class Directory:
    def __init__(self, path):
        self.handle = libc.fdopendir(os.open(path, os.O_RDONLY | os.O_DIRECTORY))

    def next(self):
        d = libc.readdir64(self.handle)
        return d.contents.name.decode() if d else None

    def tell(self):
        return libc.telldir(self.handle)

    def seek(self, at):
        libc.seekdir(self.handle, at)

    def close(self):
        libc.closedir(self.handle)


def names(n, even=True):
    return [f'{i:05}' for i in range(n) if even or i % 2]


def tick(m):
    same(m.read('tick'), b'tock\n', 'tick')


def test_listing_and_names_follow(t):
    """Though both are kept for an hour."""
    m = t.fake(fake_many=3000)
    many = m.path('many')
    same(sorted(os.listdir(many)), names(3000), 'before')
    for _ in range(3):
        tick(m)
        eventually(lambda: sorted(os.listdir(many)) == names(3000, False), 5, 'the new listing')
        eventually(lambda: not os.path.exists(m.path('many/00010')), 5, 'the end of a name')
        check(os.path.exists(m.path('many/00011')), 'another name')
        tick(m)
        eventually(lambda: sorted(os.listdir(many)) == names(3000), 5, 'the old listing')
        eventually(lambda: os.path.exists(m.path('many/00010')), 5, 'the name again')


def test_cookies(t):
    """seekdir to any telldir gives what followed, and . and .. are there."""
    m = t.fake(fake_many=2000)
    d = Directory(m.path('many'))
    seen, at = [], []
    while True:
        at.append(d.tell())
        name = d.next()
        if name is None:
            break
        seen.append(name)
    same(seen, ['.', '..'] + names(2000), 'names in order')
    same(len(set(at)), len(at), 'distinct cookies')
    for i in (0, 1, 2, 3, 190, 191, 192, 1000, 1999, 2001, 500, 7):
        d.seek(at[i])
        same(d.next(), seen[i], f'after seekdir to {i}')
    d.close()


def test_cookies_across_a_change(t):
    """What was there before and after is seen exactly once, whatever else came or went."""
    m = t.fake(fake_many=4000)
    d = Directory(m.path('many'))
    seen = []
    for _ in range(1500):
        seen.append(d.next())
    at = d.tell()
    tick(m)
    eventually(lambda: not os.path.exists(m.path('many/03000')), 5, 'the change')
    d.seek(at)
    while (name := d.next()) is not None:
        seen.append(name)
    d.close()
    odd = [n for n in seen if n not in ('.', '..') and int(n) % 2]
    same(odd, names(4000, False), 'the names that stayed')


def test_inodes_are_stable(t):
    m = t.fake()
    before = {n: os.stat(m.path(n)).st_ino for n in ('fast', 'slow', 'slow/00001', 'many/00001')}
    same({n: e.inode() for e in os.scandir(m.point) for n in [e.name] if n in before}, {n: before[n] for n in ('fast',
                                                                                                               'slow')},
         'd_ino')
    m.read('slow/00001')
    tick(m)
    tick(m)
    same({n: os.stat(m.path(n)).st_ino for n in before}, before, 'inodes')
    m.umount()
    n = t.fake()
    same({k: os.stat(n.path(k)).st_ino for k in before}, before, 'inodes after a remount')


def test_changes_while_everybody_reads(t):
    """Notifications and requests in the same directories: no deadlock."""
    m = t.fake(fake_ms=5, fake_many=500)
    stop = threading.Event()

    def walk():
        while not stop.is_set():
            for n in os.listdir(m.path('many'))[:50]:
                try:
                    os.stat(m.path('many', n))
                except FileNotFoundError:
                    pass
            os.path.exists(m.path('computed/00001'))

    threads = [threading.Thread(target=walk) for _ in range(6)]
    for x in threads:
        x.start()
    for _ in range(60):
        tick(m)
    stop.set()
    for x in threads:
        x.join(20)
        check(not x.is_alive(), 'a walker hangs')
    same(len(os.listdir(m.path('many'))), 500, 'names')


main()
