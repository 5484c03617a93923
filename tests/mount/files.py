"""files/: the model's own files, as links into the lake or as their bytes (docs/semantics.md, "Files")."""
import errno
import hashlib
import mmap
import os
import random
import subprocess

from harness import check, eventually, fails_with, llama_config, llama_tensors, main, model, need_root, noise, read, \
    safetensors, same, small_lake, write


def test_links(t):
    """Absolute, into the lake, and what they lead to is the file."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    for name in 'config.json', 'model.safetensors', 'README.md':
        path = m.path('models/alpha/files', name)
        same(os.readlink(path), os.path.join(lake, 'alpha', name), name)
        same(read(path), read(os.path.join(lake, 'alpha', name)), name)
        same(os.lstat(path).st_size, len(os.readlink(path)), 'size of the link')
    for link in 'models/alpha/README.md', 'models/org/beta/exact', 'models/org/beta/diff', 'all/org--beta':
        target = os.readlink(m.path(link))
        check(not target.startswith('/'), link, target)
        real = os.path.realpath(m.path(link))
        check(real.startswith((m.point + '/', lake + '/')), link, real)
        check(os.path.exists(real), real)
    same(os.path.realpath(m.path('all/org--beta')), m.path('models/org/beta'), 'all/')


def served(t, *options, name='model'):
    lake = t.lake()
    model(lake, name, 5, layers=3, hidden=128, vocab=4096)
    return lake, t.mount(lake, 'files=serve', *options).settle()


def test_served_bytes(t):
    """Exact size before any open; every way of reading gives the file's bytes."""
    lake, m = served(t)
    true = read(os.path.join(lake, 'model/model.safetensors'))
    path = m.path('models/model/files/model.safetensors')
    st = os.lstat(path)
    same(st.st_size, len(true), 'size')
    same(st.st_mtime_ns, os.stat(os.path.join(lake, 'model/model.safetensors')).st_mtime_ns, 'mtime')
    check(read(path) == true, 'read')
    same(subprocess.run(['md5sum', path], capture_output=True, check=True).stdout[:32].decode(),
         hashlib.md5(true).hexdigest(), 'md5sum')
    r = random.Random(1)
    fd = os.open(path, os.O_RDONLY)
    for _ in range(300):
        at, n = r.randrange(len(true) + 5000), r.choice((1, 100, 4096, 70000, 1 << 20))
        check(os.pread(fd, n, at) == true[at:at + n], f'pread of {n} at {at}')
    with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as mm:
        check(mm[:] == true, 'mmap')
    os.close(fd)
    same(read(m.path('models/model/files/config.json')), read(os.path.join(lake, 'model/config.json')), 'config.json')


def test_a_file_cut_short_while_it_is_read(t):
    """The mount lives; the reader gets what is there, or an error, not another file's bytes."""
    lake, m = served(t)
    source = os.path.join(lake, 'model/model.safetensors')
    path = m.path('models/model/files/model.safetensors')
    true = read(source)
    fd = os.open(path, os.O_RDONLY)
    same(os.pread(fd, 100, 0), true[:100], 'before')
    os.truncate(source, 1000)
    try:
        data = os.pread(fd, 4096, len(true) // 2 & ~4095)
        check(data in (b'', b'\0' * len(data)), data[:50])
    except OSError as e:
        same(e.errno, errno.EIO, 'errno')
    os.close(fd)
    eventually(lambda: os.path.exists(m.path('lake/status.txt')), 1)


def test_replaced_file(t):
    """An old handle keeps what it opened; the name gets another inode and the new bytes."""
    lake, m = served(t)
    source = os.path.join(lake, 'model/config.json')
    path = m.path('models/model/files/config.json')
    old, ino = read(path), os.stat(path).st_ino
    fd = os.open(path, os.O_RDONLY)
    write(source + '.new', old.decode().replace('512', '1024'))
    os.rename(source + '.new', source)
    eventually(lambda: os.path.exists(path) and read(path) == read(source), 15, 'the new content')
    same(os.pread(fd, 10000, 0), old, 'the old handle')
    check(os.stat(path).st_ino != ino, 'another inode')
    os.close(fd)


def outside(t):
    """A model whose weights are a link out of the lake."""
    lake, elsewhere = t.lake(), t.dir('elsewhere')
    weights = safetensors(os.path.join(elsewhere, 'w.safetensors'), llama_tensors(), noise(3))
    d = os.path.join(lake, 'linked')
    write(os.path.join(d, 'config.json'), llama_config())
    os.symlink(weights, os.path.join(d, 'model.safetensors'))
    model(lake, 'plain', 4)
    return lake, elsewhere, weights


def test_links_out_of_the_lake_are_followed(t):
    lake, _, weights = outside(t)
    m = t.mount(lake, 'files=serve').settle()
    same(read(m.path('models/linked/files/model.safetensors')), read(weights), 'bytes')
    check(len(m.read('models/linked/tensors.tsv').splitlines()) > 10, 'tensors')


def test_but_not_with_allow_other(t):
    """What others may see ends where the lake ends: neither bytes nor anything computed from them."""
    lake, elsewhere, weights = outside(t)
    m = t.mount(lake, 'files=serve', 'allow_other').settle()
    try:
        data = read(m.path('models/linked/files/model.safetensors'))
        check(False, f'{len(data)} bytes from outside of the lake')
    except OSError as e:
        check(e.errno in (errno.EXDEV, errno.ENOENT, errno.EACCES), e)
    check(not os.path.exists(m.path('models/linked/tensors.tsv')) or
          b'model.layers' not in m.read('models/linked/tensors.tsv'), 'tensors from outside')
    check(b'linked/model.safetensors\t' in m.read('lake/unread.tsv'), 'it is said', m.read('lake/unread.tsv'))
    check(len(m.read('models/plain/tensors.tsv').splitlines()) > 10, 'the other model')
    m.umount()
    m = t.mount(lake, 'files=serve', 'allow_other', f'allow={elsewhere}').settle()
    same(read(m.path('models/linked/files/model.safetensors')), read(weights), 'with allow=')
    m.umount()
    m = t.mount(lake, 'allow_other', 'share=all').settle()
    check(b'linked/model.safetensors' in m.read('lake/unread.tsv'), 'it is said', m.read('lake/unread.tsv'))


def tells_of(m, name):
    """What a model that everyone may read, or a view of the lake, says of another one."""
    found = []
    for top in 'all', 'by', 'graph', 'families', 'lake', 'models/alpha', 'models/org/beta':
        for base, dirs, files in os.walk(m.path(top)):
            found += [os.path.join(base, n) for n in dirs + files if name in n]
            for f in files:
                path = os.path.join(base, f)
                if not os.path.islink(path) and f not in ('status.txt', 'signature.npy') and name.encode() in read(path):
                    found.append(path)
    return found


def test_private_models(t):
    """With allow_other a view of the lake holds only what everyone may read, whoever looked at it before."""
    lake = small_lake(t.lake())
    for f in os.listdir(os.path.join(lake, 'org/gamma')):
        os.chmod(os.path.join(lake, 'org/gamma', f), 0o600)
    views = 'lake/models.tsv', 'lake/lineage.tsv', 'lake/problems.tsv', 'README'
    for options, seen in (([], True), (['allow_other'], False), (['allow_other', 'share=all'], True),
                          (['allow_other'], False)):
        m = t.mount(lake, *options, point=t.dir('mnt')).settle()
        same(b'org/gamma' in m.read('lake/models.tsv'), seen, f'{options}: in lake/models.tsv')
        if not seen:
            same([v for v in views if b'gamma' in m.read(v)], [], f'{options}: views that tell of it')
            same(tells_of(m, 'gamma'), [], f'{options}: files and names that tell of it')
            check(b'Models       2\n' in m.read('lake/summary.txt'), m.read('lake/summary.txt'))
            for pair in 'org--beta/org--gamma', 'org--gamma/org--beta':
                same(os.stat(m.path('diff', pair, 'summary.txt')).st_mode & 0o777, 0o400, pair)
            delta = 'export/org--beta/delta/org--gamma.safetensors'
            check(not os.path.exists(m.path(delta)) or os.stat(m.path(delta)).st_mode & 0o777 == 0o400, delta)
        same(os.stat(m.path('models/org/gamma/tensors.tsv')).st_mode & 0o777, 0o400, 'its mode')
        m.umount()


def as_nobody(*command):
    """Exit status and output of a command that another user runs."""
    r = subprocess.run(command, capture_output=True, check=False, user=65534, group=65534, extra_groups=[])
    return r.returncode, r.stdout


def test_private_directories(t):
    """Who may not search a directory of the lake reads nothing of what lies in it, not through a link either."""
    need_root()
    lake = small_lake(t.lake())
    model(lake, 'shut/model', 7)
    model(lake, 'theirs', 8)
    os.chmod(os.path.join(lake, 'org'), 0o700)
    os.chmod(os.path.join(lake, 'shut/model'), 0o710)
    os.makedirs(os.path.join(lake, 'thief'))
    for f in 'config.json', 'model.safetensors':
        os.symlink(os.path.join('../org/beta', f), os.path.join(lake, 'thief', f))
    safetensors(os.path.join(lake, 'thief/weights.safetensors'), llama_tensors(layers=1), noise(12))
    m = t.mount(lake, 'allow_other', 'files=serve').settle()
    for name, mode in (('alpha', 0o444), ('org/beta', 0o400), ('shut/model', 0o440), ('theirs', 0o444)):
        path = m.path('models', name, 'metadata.json')
        same(os.stat(path).st_mode & 0o777, mode, name)
        same(as_nobody('cat', path)[0] == 0, bool(mode & 4), f'{name} read by another user')
    for name in os.listdir(m.path('models')):
        code, out = as_nobody('sh', '-c', f'cat {m.path("models", name)}/files/model.safetensors')
        same(code == 0, name in ('alpha', 'theirs'), f'weights of {name}, {len(out)} bytes')
    check(as_nobody('cat', m.path('export/org--beta/model.safetensors'))[0], 'the export')
    same(sorted(x.split(b'\t')[0] for x in as_nobody('cat', m.path('lake/models.tsv'))[1].splitlines()[1:]),
         [b'alpha', b'theirs'], 'lake/models.tsv')
    generation = m.read('lake/generation')
    os.chmod(os.path.join(lake, 'org'), 0o755)
    eventually(lambda: m.read('lake/generation') != generation, 20, 'the change')
    eventually(lambda: as_nobody('cat', m.path('models/org/beta/metadata.json'))[0] == 0, 20, 'the opened directory')


def test_hub_cache(t):
    """models--org--name/snapshots/REV: read through its links to blobs, also where links may not leave the lake."""
    lake = t.lake()
    repo = os.path.join(lake, 'models--org--name')
    blob = safetensors(os.path.join(repo, 'blobs/abc123'), llama_tensors(), noise(9))
    write(os.path.join(repo, 'blobs/def456'), llama_config())
    write(os.path.join(repo, 'refs/main'), '0123456789abcdef0123456789abcdef01234567')
    snapshot = os.path.join(repo, 'snapshots/0123456789abcdef0123456789abcdef01234567')
    os.makedirs(snapshot)
    os.symlink('../../blobs/abc123', os.path.join(snapshot, 'model.safetensors'))
    os.symlink('../../blobs/def456', os.path.join(snapshot, 'config.json'))
    for options in ([], ['allow_other']):
        m = t.mount(lake, 'files=serve', *options, point=t.dir(f'mnt{len(options)}')).settle()
        same(os.listdir(m.path('models')), ['org'], 'models')
        same(read(m.path('models/org/name/files/model.safetensors')), read(blob), 'bytes')
        check(len(m.read('models/org/name/tensors.tsv').splitlines()) > 10, 'tensors')
        m.umount()


def test_permissions(t):
    """uid, gid and read bits are those of the model's files, all of them."""
    lake = small_lake(t.lake())
    os.chmod(os.path.join(lake, 'alpha/model.safetensors'), 0o640)
    os.chmod(os.path.join(lake, 'org/beta/model.safetensors'), 0o444)
    m = t.mount(lake).settle()
    same(os.stat(m.path('models/alpha/tensors.tsv')).st_mode & 0o777, 0o440, 'alpha')
    same(os.stat(m.path('models/alpha/metadata')).st_mode & 0o777, 0o550, 'a directory')
    same(os.stat(m.path('models/org/beta/tensors.tsv')).st_mode & 0o777, 0o444, 'beta')
    same(os.stat(m.path('models/alpha/tensors.tsv')).st_uid, os.stat(os.path.join(lake, 'alpha/config.json')).st_uid,
         'uid')


def test_sendfile(t):
    lake, m = served(t)
    true = read(os.path.join(lake, 'model/model.safetensors'))
    with open(m.path('models/model/files/model.safetensors'), 'rb') as f, open(os.path.join(t.tmp, 'out'), 'wb') as o:
        while os.sendfile(o.fileno(), f.fileno(), None, 1 << 30):
            pass
    check(read(os.path.join(t.tmp, 'out')) == true, 'sendfile')
    fails_with(errno.EROFS, os.open, m.path('models/model/files/model.safetensors'), os.O_RDWR)


main()
