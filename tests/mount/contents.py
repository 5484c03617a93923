"""Files whose content is computed when they are opened (docs/semantics.md, "Sizes" and "Every tool")."""
import hashlib
import json
import mmap
import os
import shutil
import subprocess
import sys

from harness import check, main, model, noise, safetensors, same, write


def reference(t, lake, paths):
    """What the files hold, from another catalog, so that the mount's own has computed nothing."""
    other = os.path.join(t.tmp, 'other.db')
    return {p: t.run('cat', lake, p, '--catalog', other)[0] for p in paths}


def lake_of(t, n):
    lake = t.lake()
    for i in range(n):
        model(lake, f'm{i:02}', i, layers=1 + i % 3)
    return lake


# Each is run on a file that nobody has opened or computed before; PATH stands for it, OUT for another. Expected on
# stdout (or in OUT): what the function makes of the true content.
def whole(data):
    return data


def lines(data):
    return b'%d\n' % data.count(b'\n')


TOOLS = {
    'cat': ('cat PATH', whole),
    'cp': ('cp PATH OUT && cat OUT', whole),
    'cp --sparse': ('cp --sparse=always PATH OUT && cat OUT', whole),
    'dd': ('dd if=PATH bs=1000 status=none', whole),
    'install': ('install -m 644 PATH OUT && cat OUT', whole),
    'wc -c': ('wc -c < PATH', lambda d: b'%d\n' % len(d)),
    'wc -c NAME': ('wc -c PATH | cut -d" " -f1', lambda d: b'%d\n' % len(d)),
    'wc -l': ('wc -l < PATH', lines),
    'tail -n1': ('tail -n1 PATH', lambda d: d.splitlines(True)[-1]),
    'tail -c 60': ('tail -c 60 PATH', lambda d: d[-60:]),
    'head -c -10': ('head -c -10 PATH', lambda d: d[:-10]),
    'tac': ('tac PATH | tac', whole),
    'md5sum': ('md5sum < PATH', lambda d: hashlib.md5(d).hexdigest().encode() + b'  -\n'),
    'grep -c': ('grep -c "" PATH', lines),
    'grep -r': ('cd "$(dirname PATH)" && grep -rh "" tensors.tsv', whole),
    'sed': ('sed "" PATH', whole),
    'awk': ('awk 1 PATH', whole),
    'sort': ('sort PATH', lambda d: b''.join(sorted(d.splitlines(True)))),
    'gzip': ('gzip -c PATH | gzip -dc', whole),
    'xxd': ('od -An -v -tx1 PATH | tr -d " \\n"', lambda d: d.hex().encode()),
    'cmp': ('cat PATH > OUT; cmp PATH OUT && echo same', lambda d: b'same\n'),
    'rsync': ('rsync PATH OUT && cat OUT', whole),
    'tar': ('tar cf OUT -C "$(dirname PATH)" tensors.tsv && tar xOf OUT', whole),
    'git': ('git hash-object --no-filters PATH', lambda d: hashlib.sha1(b'blob %d\0' % len(d) +
                                                                        d).hexdigest().encode() + b'\n'),
    'curl': ('curl -s file://PATH', whole),
    'python': (f'{sys.executable} -c "import sys; sys.stdout.buffer.write(open(\'PATH\', \'rb\').read())"', whole),
}


def shell(command, path, out):
    for word, value in (('PATH', path), ('OUT', out)):
        command = command.replace(word, value)
    return subprocess.run(['bash', '-c', command], capture_output=True, check=False)


def test_tools(t):
    """Every tool gives the whole content the first time."""
    tools = {name: how for name, how in TOOLS.items() if shutil.which(how[0].split()[0]) or name in ('grep -r',)}
    check(len(tools) > 20, 'tools found:', *tools)
    lake = lake_of(t, len(tools))
    paths = [f'models/m{i:02}/tensors.tsv' for i in range(len(tools))]
    truth = reference(t, lake, paths)
    m = t.mount(lake).settle()
    wrong = []
    for i, (name, (command, expected)) in enumerate(tools.items()):
        data = truth[paths[i]]
        check(len(data) > 500, name, len(data))
        r = shell(command, m.path(paths[i]), os.path.join(t.tmp, f'out{i}'))
        if r.returncode or r.stdout != expected(data):
            wrong.append(f'{name}: status {r.returncode}, {len(r.stdout)} bytes, expected {len(expected(data))}; '
                         f'{r.stderr.decode()}')
    check(not wrong, '\n'.join(wrong))


def by_sendfile(path, out):
    with open(path, 'rb') as f, open(out, 'wb') as o:
        size = os.fstat(f.fileno()).st_size
        while os.sendfile(o.fileno(), f.fileno(), None, size):
            pass
    return open(out, 'rb').read()


def by_mmap(path, access):
    with open(path, 'rb') as f, mmap.mmap(f.fileno(), 0, access=access) as m:
        return bytes(m)


def by_pread(path, _):
    fd = os.open(path, os.O_RDONLY)
    n = os.fstat(fd).st_size
    data = b''.join(os.pread(fd, 777, at) for at in range(0, n, 777))
    beyond = os.pread(fd, 10, n)
    os.close(fd)
    return data if not beyond else b'bytes beyond the end'


def by_copy_file_range(path, out):
    with open(path, 'rb') as f, open(out, 'wb') as o:
        size = os.fstat(f.fileno()).st_size
        try:
            while os.copy_file_range(f.fileno(), o.fileno(), size):
                pass
        except OSError:         # another file system: tools fall back
            return f.read()
    return open(out, 'rb').read()


def by_seek(path, _):
    with open(path, 'rb') as f:
        n = f.seek(0, os.SEEK_END)
        f.seek(0)
        return f.read(n)


CALLS = {
    'sendfile': by_sendfile, 'pread': by_pread, 'copy_file_range': by_copy_file_range, 'lseek': by_seek,
    'mmap shared': lambda p, o: by_mmap(p, mmap.ACCESS_READ), 'mmap private': lambda p, o: by_mmap(p, mmap.ACCESS_COPY),
}


def test_calls(t):
    lake = lake_of(t, len(CALLS))
    paths = [f'models/m{i:02}/tensors.tsv' for i in range(len(CALLS))]
    truth = reference(t, lake, paths)
    m = t.mount(lake).settle()
    for i, (name, call) in enumerate(CALLS.items()):
        check(call(m.path(paths[i]), os.path.join(t.tmp, f'out{i}')) == truth[paths[i]], name)


FILES = ['models/m00/tensors.tsv', 'models/m00/tensors.json', 'models/m00/signature.npy', 'models/m00/metadata.json',
         'models/m00/lineage/parents.tsv', 'models/m00/neighbours/weights.tsv', 'exact/m00/statistics.tsv',
         'exact/m00/files.tsv', 'lake/models.tsv', 'lake/lineage.tsv', 'lake/generation', 'README']


def test_sizes(t):
    """An estimate that is not too small before, the exact size from the open on; after a remount before any open."""
    lake = lake_of(t, 3)
    m = t.mount(lake).settle()
    sizes = {}
    for name in FILES:
        path = m.path(name)
        before = os.stat(path)
        with open(path, 'rb') as f:
            data = f.read()
            opened = os.fstat(f.fileno()).st_size
        after = os.stat(path)
        check(before.st_size >= len(data), f'{name}: estimate {before.st_size}, size {len(data)}')
        check(before.st_size > 0 and before.st_blocks > 0, name, 'is not empty')
        same(opened, len(data), f'{name}: fstat while open')
        same(after.st_size, len(data), f'{name}: stat afterwards')
        same(after.st_blocks, (len(data) + 511) // 512, f'{name}: blocks')
        same((after.st_ino, after.st_mtime_ns), (before.st_ino, before.st_mtime_ns), f'{name}: inode and time')
        sizes[name] = len(data)
    m.umount()
    m = t.mount(lake).settle()
    kept = [n for n in FILES if n.startswith(('models/m00/tensors', 'models/m00/signature', 'exact'))]
    same({n: os.stat(m.path(n)).st_size for n in kept}, {n: sizes[n] for n in kept}, 'sizes after a remount')
    same(m.status()['computed'], 0, 'computed after the remount')
    for name in kept:
        same(len(m.read(name)), sizes[name], name)
    same(m.status()['computed'], 0, 'computed by reading what was kept')


def estimates(m, *directories):
    """Files that are too small before they are opened, and what all show before."""
    small, total = [], 0
    for name in directories:
        for d, _, files in os.walk(m.path(name)):
            for path in (os.path.join(d, f) for f in files):
                if os.path.islink(path) or path.endswith('.npy') and '/tensors/' in path:   # exact always
                    continue
                before = os.stat(path).st_size
                size = 0
                with open(path, 'rb') as f:
                    while chunk := f.read(1 << 20):
                        size += len(chunk)
                total += before
                if before < size:
                    small.append(f'{path[len(m.point):]}: estimate {before}, size {size}')
    return small, total


def test_estimates(t):
    """Not too small for models with thousands of tensors, long names, large documents; nor huge for small ones."""
    lake = t.lake()
    words = json.dumps({f'word {i} "\u00e9\\': i for i in range(20000)})
    for k, name in enumerate(('wide', 'other')):
        d = os.path.join(lake, name)
        tensors = {f'block.{i}.{"long" * 50}\t\u00e9': ('F32', (2, 2, 2, 2)) for i in range(3000)}
        if k:
            tensors['one more'] = ('F32', (5,))
        safetensors(os.path.join(d, 'model.safetensors'), tensors, noise(k))
        write(os.path.join(d, 'config.json'), json.dumps({f'key {i}': [k, i] for i in range(5000)}))
        write(os.path.join(d, 'tokenizer.json'), words.replace('word', f'word{k}'))
        results = ''.join(f'      - type: m{i}\n        value: {i}\n' for i in range(1000))
        write(os.path.join(d, 'README.md'), f'---\nmodel-index:\n- name: {name}\n  results:\n  - task: {{type: a}}\n'
                                            f'    dataset: {{name: b, type: b}}\n    metrics:\n{results}---\n' + f'{k}\n' * 20000)
    m = t.mount(lake).settle()
    small, _ = estimates(m, 'models', 'lake', 'exact', 'export/wide', 'diff/wide/other', 'diff/other/wide')
    check(not small, '\n'.join(small))
    check(len(m.read('models/wide/evaluation/declared.tsv').splitlines()) == 1001, 'evaluations')
    m.umount()
    small_one = t.lake('small')
    for i in range(3):
        model(small_one, f'm{i}', i)
    m = t.mount(small_one).settle()
    small, total = estimates(m, 'models', 'exact', 'export')
    check(not small, '\n'.join(small))
    check(total < 8e6, f'three models of half a megabyte look like {total} bytes')


def test_sizes_of_exports(t):
    """What is exported has its exact size before any open: models and tensors by their headers, what is more than a
    parent by both."""
    m = t.mount(os.path.join(os.environ.get('TARN_SOURCE', '.'), 'tests/data/lake')).settle()
    seen = 0
    for d, _, files in os.walk(m.path('export')):
        for path in (os.path.join(d, f) for f in files if f.endswith('.safetensors') or '/tensors' in d):
            if os.path.islink(path):
                continue
            before = os.stat(path).st_size
            same(before, len(m.read(path)), path)
            seen += '/delta/' in path
    check(seen > 10, seen, 'deltas')


def test_one_value_files(t):
    """metadata/KEY: the exact size at once, the value and a newline."""
    m = t.mount(lake_of(t, 1)).settle()
    keys = os.listdir(m.path('models/m00/metadata'))
    check('parameters' in keys and 'dtype' in keys, keys)
    for key in keys:
        size = os.stat(m.path('models/m00/metadata', key)).st_size
        data = m.read('models/m00/metadata', key)
        same(size, len(data), key)
        check(data.endswith(b'\n'), key)


def test_names_as_they_are(t):
    """A path and a file's name are those of the lake: escaped, and nothing lost."""
    lake = t.lake()
    model(lake, ' lead', 1)
    model(lake, 'new\nline\tand tab ', 2)
    write(os.path.join(lake, 'x/bad\nna\tme.safetensors'), b'\x08\0\0\0\0\0\0\0{}nojson')
    m = t.mount(lake).settle()
    same(m.read('models/ lead/metadata/path'), b' lead\n', 'metadata/path')
    same(m.read('models/new\nline\tand tab /metadata/path'), b'new\\x0Aline\\x09and tab \n', 'metadata/path')
    rows = [r.split(b'\t')[:2] for r in m.read('lake/models.tsv').splitlines()[1:]]
    same(rows, [[b' lead'] * 2, [b'new\\nline\\tand tab '] * 2, [b'x', b'x']], 'lake/models.tsv')
    same(m.read('lake/problems.tsv').splitlines()[1].split(b'\t')[1], b'bad\\nna\\tme.safetensors', 'lake/problems.tsv')
    same(json.loads(m.read('models/ lead/metadata.json'))['path'], ' lead', 'metadata.json')


def test_bytes_that_are_no_text(t):
    """From a card into what is generated: escaped everywhere, and told apart."""
    lake = t.lake()
    model(lake, 'esc', 1, '---\nlicense: "a\\x1bb\\x85c"\n---\n')
    model(lake, 'raw', 2)
    write(os.path.join(lake, 'raw/README.md'), b'---\nlicense: m\xffit\n---\n')
    m = t.mount(lake).settle()
    same(m.read('models/esc/metadata/license'), b'a\\x1Bb\\xC2\\x85c\n', 'metadata')
    same(m.read('models/raw/metadata/license'), b'm\\xFFit\n', 'no UTF-8')
    names = sorted(os.listdir(m.path('by/license').encode()))
    same([n for n in names if n != b'_none'], [b'a\\x1Bb\\xC2\\x85c', b'm\\xFFit'], 'by/license')
    for n in names[:2]:
        same(len(os.listdir(m.path('by/license').encode() + b'/' + n)), 1, n)


def test_many_handles(t):
    """Old handles keep what they opened, at their own places."""
    lake = lake_of(t, 1)
    truth = reference(t, lake, ['models/m00/tensors.tsv'])['models/m00/tensors.tsv']
    m = t.mount(lake).settle()
    fds = [os.open(m.path('models/m00/tensors.tsv'), os.O_RDONLY) for _ in range(50)]
    for i, fd in enumerate(fds):
        same(os.pread(fd, 10, i), truth[i:i + 10], f'handle {i}')
    for fd in fds:
        os.close(fd)


main()
