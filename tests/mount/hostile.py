"""What a lake may hold that is no model: each is named and harmless, within bounded time and memory."""
import errno
import os
import pwd
import shutil
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time

from harness import check, eventually, llama_tensors, main, model, noise, read, safetensors, same, write

HUGE = 2 ** 63 - 1      # the largest file there can be


def small(path, seed=1):
    safetensors(path, llama_tensors(layers=1, hidden=32, vocab=64), noise(seed))


def rows(m, name):
    text = m.read('lake', name).decode('utf-8', 'surrogateescape')
    return [line.split('\t') for line in text.splitlines()[1:]]


def told(m, what):
    """The reasons that any table gives for files whose name begins so."""
    return [r[2:] for r in rows(m, 'problems.tsv') if r[1].startswith(what) or r[0].split('/')[-1].startswith(what)] + \
        [r[2:] for r in rows(m, 'unread.tsv') if os.path.basename(r[0]).startswith(what)]


def rss(m):
    with open(f'/proc/{m.process.pid}/status', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('VmHWM')) // 1024


def crawl(m):
    """Everything below models/ that is cheap is read, as grep -r would."""
    began = time.monotonic()
    subprocess.run(['grep', '-r', 'no such words', m.path('models')], check=False, capture_output=True, timeout=60)
    check(time.monotonic() - began < 30, 'grep -r took', time.monotonic() - began)


def test_special_files(t):
    """FIFOs, sockets, devices, links to nowhere and in circles: nobody waits, each has a reason, the rest is there."""
    lake = t.lake()
    model(lake, 'good', 1)
    odd = os.path.join(lake, 'odd')
    os.mkdir(odd)
    small(odd + '/real.safetensors')
    names = ['fifo.safetensors', 'socket.gguf', 'dangling.safetensors', 'circle.safetensors', 'hop1.safetensors']
    os.mkfifo(odd + '/fifo.safetensors')
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(odd + '/socket.gguf')
    os.symlink('nowhere', odd + '/dangling.safetensors')
    os.symlink('circle.safetensors', odd + '/circle.safetensors')
    os.symlink('hop2.safetensors', odd + '/hop1.safetensors')
    os.symlink('hop1.safetensors', odd + '/hop2.safetensors')
    os.symlink('..', odd + '/up')
    if os.geteuid() == 0:
        for name, major, minor in (('null.bin', 1, 3), ('zero.safetensors', 1, 5), ('tty.gguf', 5, 0)):
            os.mknod(f'{odd}/{name}', stat.S_IFCHR | 0o666, os.makedev(major, minor))
            names.append(name)
    m = t.mount(lake).settle()
    for name in names:
        check(told(m, name.split('.')[0]), name, 'is not told of', rows(m, 'unread.tsv'), rows(m, 'problems.tsv'))
    same(m.read('models/odd/metadata/format').strip(), b'safetensors', 'the file among them')
    crawl(m)
    same(m.read('models/good/metadata/format').strip(), b'safetensors', 'the other model')


def test_a_config_that_is_a_fifo(t):
    """Documents are opened like weights: without waiting."""
    lake = t.lake()
    model(lake, 'm', 1)
    for name in 'config.json', 'README.md', 'tokenizer_config.json':
        if os.path.exists(f'{lake}/m/{name}'):
            os.unlink(f'{lake}/m/{name}')
        os.mkfifo(f'{lake}/m/{name}')
    m = t.mount(lake).settle()
    same(m.read('models/m/metadata/format').strip(), b'safetensors', 'the weights')
    check(told(m, 'config.json') and told(m, 'README.md'), rows(m, 'problems.tsv'), rows(m, 'unread.tsv'))
    crawl(m)


def test_huge_sparse_files(t):
    """Sizes up to the last that there is, most of them where a header could claim them."""
    where = tempfile.mkdtemp(dir='/dev/shm') if os.path.isdir('/dev/shm') else t.lake()
    t.tidy.callback(shutil.rmtree, where, True)
    head = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}'
    whole = HUGE - 8 - 100
    text = (head % (whole, whole)).ljust(100)
    starts = {
        'true.safetensors': struct.pack('<Q', 100) + text,
        'long-header.safetensors': struct.pack('<Q', HUGE - 9) + b'{',
        'zeros.safetensors': b'',
        'gguf.gguf': b'GGUF' + struct.pack('<IQQ', 3, 2 ** 60, 2 ** 60),
        'gguf-string.gguf': b'GGUF' + struct.pack('<IQQQ', 3, 0, 1, 2 ** 62),
        'zip.pt': b'PK\3\4' + bytes(40),
        'pickle.pkl': b'\x80\2' + b'}' * 64,
        'long-bytes.pkl': b'\x80\4\x8e' + struct.pack('<Q', 2 ** 62),
        'array.npy': b"\x93NUMPY\1\0v\0{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % (HUGE - 128),
        'hdf5.h5': b'\x89HDF\r\n\x1a\n' + bytes(88),
        'onnx.onnx': b'\x08\x08\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f',
        'flax.msgpack': b'\xdf\xff\xff\xff\xff',
        'whisper.bin': b'lmgg' + bytes(100),
    }
    try:
        for name, start in starts.items():
            write(f'{where}/{name}', start)
            os.truncate(f'{where}/{name}', HUGE)
    except OSError as e:
        if e.errno not in (errno.EFBIG, errno.EINVAL):
            raise
        check(False, 'no file system here has files of 8 EiB')
    write(where + '/config.json', b'{}')
    os.truncate(where + '/config.json', HUGE)
    m = t.mount(where).settle()
    for name in starts:
        stem = name.split('.')[0]
        check(told(m, stem) or stem == 'true', name, 'is not told of')
    crawl(m)
    check(rss(m) < 400, 'memory', rss(m))


def test_odd_names(t):
    """Line breaks, invalid UTF-8, the longest names, two spellings of one: models like any other, one line a row."""
    lake = os.fsencode(t.lake())
    names = [b'new\nline', b'tab\there', b'\xff\xfe\x80', 'é'.encode(), 'e\u0301'.encode(), b'-rf', b'a' * 240,
             b'"quoted"', b'back\\slash', b'%s%n', b' ', b'\x1b[31mred']
    for i, name in enumerate(names):
        small(lake + b'/' + name + b'.safetensors', i + 1)
        os.mkdir(lake + b'/d-' + name[:200])
        small(lake + b'/d-' + name[:200] + b'/model.safetensors', i + 50)
    m = t.mount(t.lake()).settle()
    shown = os.listdir(os.fsencode(m.path('models')))
    same(len(shown), 2 * len(names), 'models')
    for name in shown:
        path = os.fsencode(m.path('models')) + b'/' + name + b'/metadata/format'
        same(read(path).strip(), b'safetensors', repr(name))
    same(len(rows(m, 'models.tsv')), 2 * len(names), 'rows')
    check(all(len(r) == len(rows(m, 'models.tsv')[0]) for r in rows(m, 'models.tsv')), 'columns')
    crawl(m)


def test_unreadable(t):
    """What the mount's user may not read is said to be so."""
    if os.geteuid() == 0:
        user = 'nobody'
        pwd.getpwnam(user)
    lake = t.lake()
    model(lake, 'good', 1)
    model(lake, 'locked', 2)
    model(lake, 'hidden/inner', 3)
    os.chmod(lake + '/locked/model.safetensors', 0)
    os.chmod(lake + '/hidden', 0)
    t.tidy.callback(os.chmod, lake + '/hidden', 0o755)
    os.chmod(t.env['XDG_CACHE_HOME'], 0o777)
    options = [f'user={user}', f'catalog={t.env["XDG_CACHE_HOME"]}/c.db'] if os.geteuid() == 0 else []
    m = t.mount(lake, *options).settle()
    check(['not readable'] == [r[0] for r in told(m, 'model.safetensors')], rows(m, 'problems.tsv'))
    check(told(m, 'hidden'), 'hidden', rows(m, 'unread.tsv'))
    same(m.read('models/good/metadata/format').strip(), b'safetensors', 'the rest')


def test_replaced_and_cut_while_read(t):
    """Cut short, replaced, unlinked while its export is read: an error or bytes; afterwards all is as it was."""
    lake = t.lake()
    model(lake, 'm', 1, layers=4, hidden=256, vocab=8192)
    path = lake + '/m/model.safetensors'
    whole = read(path)
    m = t.mount(lake).settle()
    stop = threading.Event()
    seen = []

    def reader():
        while not stop.is_set():
            try:
                with open(m.path('export/m/model.safetensors'), 'rb') as f:
                    seen.append(len(f.read()))
            except OSError as e:
                seen.append(errno.errorcode[e.errno])
    threads = [threading.Thread(target=reader) for _ in range(3)]
    for x in threads:
        x.start()
    for i in range(12):
        time.sleep(0.1)
        if i % 3 == 0:
            os.truncate(path, 1000 + i)
        elif i % 3 == 1:
            write(path + '.new', whole)
            os.rename(path + '.new', path)
        else:
            os.unlink(path)
            write(path, whole[:len(whole) // 2])
    write(path, whole)
    stop.set()
    for x in threads:
        x.join()
    said = {s for s in seen if isinstance(s, str)}
    check(said <= {'EIO', 'ESTALE', 'ENOENT', 'EINVAL', 'EAGAIN', 'ENOTSUP'}, said)
    eventually(lambda: m.settle() and not told(m, 'model.safetensors') and
               os.path.exists(m.path('export/m/model.safetensors')), 60, 'its being whole again')
    check(m.process.poll() is None, 'the daemon')
    check(len(m.read('export/m/model.safetensors')) > len(whole) * 0.9, 'the export')
    m.expect('truncated|malformed|cannot read|expected|changed|ends')


main()
