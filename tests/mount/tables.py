"""Tables and their twins (docs/tree.md, "Formats")."""
import json
import os
import re
import struct
import subprocess
import zipfile

from harness import check, llama_tensors, main, model, noise, safetensors, same, small_lake

TRICKY = {'b.weight': ('F32', (8, 8)), '-': ('F32', (4,)), '.dot': ('F32', (4,)), 'a\tb': ('F32', (4,)),
          'A.weight': ('F32', (64, 4)), 'z' * 300: ('F32', (2,)), 'a': ('F32', (2, 2)), '': ('F32', (3,))}


def rows(data):
    head, *lines = data.split(b'\n')[:-1]
    return head.split(b'\t'), [line.split(b'\t') for line in lines]


def tables(m):
    """Every table that a walk finds, exact/ and diff/ too."""
    for top in ('models', 'families', 'exact', 'diff', 'lake'):
        for d, _, files in os.walk(m.path(top)):
            yield from (os.path.join(d, f) for f in files if f.endswith('.tsv'))


def printed(value):
    """A cell of text as a .tsv has it."""
    if value in (None, ''):
        return b'-'
    if value == '-':
        return b'\\-'
    return value.replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n').encode()


def test_sorted(t):
    """Rows are sorted by the cells as printed where there is no rank, twins alike."""
    lake = t.lake()
    card = '---\nbase_model:\n- org/zeta\n- org/alpha\n- "-"\n---\n'
    for name, seed, layers in (('a', 1, 1), ('b', 1, 1), ('c', 2, 4), ('d', 2, 4), ('e', 3, 11), ('f', 3, 11)):
        model(lake, name, seed, card, layers=layers)
    os.mkdir(os.path.join(lake, 'tricky'))
    safetensors(os.path.join(lake, 'tricky/model.safetensors'), TRICKY, noise(9))
    m = t.mount(lake).settle()
    seen = {}
    for path in tables(m):
        with open(path, 'rb') as f:
            head, body = rows(f.read())
        with open(path[:-4] + '.json', 'rb') as f:
            twin = json.load(f)
        name = path[len(m.point) + 1:]
        seen[os.path.basename(path)] = max(len(body), seen.get(os.path.basename(path), 0))
        same(len(twin), len(body), name, 'and its twin')
        if b'rank' in head:
            same([r[head.index(b'rank')] for r in body], [b'%d' % (i + 1) for i in range(len(body))], name)
        else:
            same(body, sorted(body), name)
        for key in ('name', 'model', 'tensor', 'base_model', 'path'):
            if head[0].decode() == key:
                same([printed(r[key]) for r in twin], [r[0] for r in body], name, 'as its twin')
    for name in ('tensors.tsv', 'duplicates.tsv', 'declared.tsv', 'models.tsv', 'statistics.tsv', 'audit.tsv'):
        check(seen.get(name, 0) > 2, name, 'has', seen.get(name), 'rows')


def test_ties_are_broken_by_id(t):
    """Neighbours whose distances are the same as shown stand in the order of their ids."""
    lake = t.lake()
    base, names = noise(1), ['base', 'd', 'a', 'f', 'c', 'e', 'b']

    def fill(own):
        def bytes_of(name, n):
            data = base(name, n)
            if 'layers.0.self_attn.q_proj' in name:
                values = (0.1 + k * 1e-6 + 0.5 * (k == own) for k in range(len(names)))
                data = struct.pack(f'<{len(names)}f', *values) + data[4 * len(names):]
            return data
        return bytes_of

    for k, name in enumerate(names):
        d = model(lake, name)
        safetensors(os.path.join(d, 'model.safetensors'), llama_tensors(), fill(k - 1))
    m = t.mount(lake).settle()
    body = rows(m.read('models/base/neighbours/weights.tsv'))[1]
    check(len({r[2] for r in body}) == 1, 'the distances are alike', body)
    same([r[1] for r in body], [b'a', b'b', b'c', b'd', b'e', b'f'], 'the order')


def test_fused_tensors_have_one_source(t):
    """A tensor that holds several parts stands once for each tensor it comes from."""
    lake = t.lake()
    tensors = {k.replace('q_proj', 'qkv_proj'): (d, (192, 64) if 'q_proj' in k else shape)
               for k, (d, shape) in llama_tensors().items() if not re.search('[kv]_proj', k)}
    for name, dtype in (('a', 'F32'), ('b', 'F32')):
        d = model(lake, name)
        safetensors(os.path.join(d, 'model.safetensors'), tensors, noise(1), {'of': name})
    m = t.mount(lake).settle()
    body = rows(m.read('models/b/lineage/sources.tsv'))[1]
    same(sorted(r[0].decode() for r in body), sorted(tensors), 'each tensor once')
    roles = [r[1] for r in rows(m.read('models/b/tensors.tsv'))[1] if b'qkv' in r[0]]
    check(roles and all(r.count(b',') == 2 for r in roles), 'they are fused', roles)


def test_values_that_are_no_numbers(t):
    """A model of NaN is a problem; a difference to it is not 0. Of equal models no table of zeros is drawn."""
    lake = small_lake(t.lake())
    d = model(lake, 'nan', 1)
    safetensors(os.path.join(d, 'model.safetensors'), llama_tensors(), lambda name, n: b'\0\0\xc0\x7f' * (n // 4))
    model(lake, 'copy', 1)
    m = t.mount(lake).settle()
    body = rows(m.read('models/nan/problems.tsv'))[1]
    same([(r[0], r[1]) for r in body], [(b'model.safetensors', b'non-finite values')], body)
    same(rows(m.read('models/alpha/problems.tsv'))[1], [], 'no problem')
    body = rows(m.read('diff/nan/alpha/tensors.tsv'))[1]
    check(len(body) > 10, body)
    for r in body:
        same(r[7:], [b'nan', b'nan', b'nan', b'1'], r[0])
    text = m.read('diff/nan/alpha/summary.txt').decode()
    check('by at most' not in text and 'Which' not in text and ' nan ' not in text and 'not finite' in text, text)
    check('no value sampled is a finite number' in text, text)
    text = m.read('diff/copy/alpha/summary.txt').decode()
    check('Which' not in text and 'are the same' in text and 'differ (' not in text, text)


def test_evidence_of_what_is_known(t):
    """`evidence`, why.txt and summary.txt hold no nan and no inf: what is not known is left out."""
    lake = os.path.join(os.environ.get('TARN_SOURCE', '.'), 'tests/data/lake')
    m = t.mount(lake).settle()
    edges = 0
    for model_ in os.listdir(m.path('all')):
        if not os.path.exists(m.path('all', model_, 'lineage')):
            continue
        for row in rows(m.read('all', model_, 'lineage/parents.tsv'))[1]:
            edges += 1
            check(not re.search(rb'\b(nan|inf)\b', row[8]), model_, row[8])
        check(not re.search(rb'\b(nan|inf)\b', m.read('all', model_, 'lineage/why.txt')), model_)
        for other in os.listdir(m.path('diff', model_)):
            text = m.read('diff', model_, other, 'summary.txt')
            check(not re.search(rb'\b(nan|inf)\b', text), model_, text.decode())
    check(edges > 10, edges)


def zipped(path, method):
    """An .npz with an array of floats."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (64, 64), }"
    head += b' ' * (-(len(head) + 11) % 64) + b'\n'
    with zipfile.ZipFile(path, 'w', method) as z:
        for name in 'one', 'two':
            z.writestr(name + '.npy', b'\x93NUMPY\1\0' + struct.pack('<H', len(head)) + head + noise(1)(name, 64 * 64 * 4))


def test_offsets(t):
    """`offset` leads to the tensor's bytes in its file; there is none where they are compressed."""
    lake = t.lake()
    for name, method in (('stored', zipfile.ZIP_STORED), ('deflated', zipfile.ZIP_DEFLATED)):
        zipped(os.path.join(lake, name + '.npz'), method)
    m = t.mount(lake).settle()
    same([r[-1] for r in rows(m.read('models/deflated/tensors.tsv'))[1]], [b'-', b'-'], 'deflated')
    check(b'"offset": null' in m.read('models/deflated/tensors.json'), 'the twin')
    with open(os.path.join(lake, 'stored.npz'), 'rb') as f:
        for row in rows(m.read('models/stored/tensors.tsv'))[1]:
            f.seek(int(row[-1]))
            same(f.read(16384), noise(1)(row[0].decode(), 16384), row[0])


def examples(m):
    """The command lines of the mount's README."""
    return re.findall(r'^    (\S.*?)\s*  # ', m.read('README').decode(), re.M)


def run_examples(m, least, *words):
    found = examples(m)
    check(len(found) >= least, *words, 'has', len(found), 'examples:', found)
    for line in found:
        r = subprocess.run(['bash', '-o', 'pipefail', '-ec', line], cwd=m.point, capture_output=True, check=False)
        check(r.returncode == 0 and not r.stderr, *words, line, r.stderr.decode())
    return found


def test_examples_work(t):
    """What README shows can be typed: whatever the models are called, whether or not there are licenses and merges."""
    odd = t.lake('odd')
    for name, seed in (('-n', 1), ('a new\nline', 2), ('it\'s', 3), ('sub/plain', 4)):
        model(odd, name, seed)
    hard = t.lake('hard')
    model(hard, 'it\'s $HOME', 1)
    lakes = {'an odd lake': (odd, 14), 'a lake without a plain name': (hard, 14), 'an empty lake': (t.lake('none'), 6),
             'a small lake': (small_lake(t.lake('small')), 14)}
    for what, (lake, least) in lakes.items():
        m = t.mount(lake).settle()
        found = run_examples(m, least, what)
        m.umount()
        if what == 'an odd lake':
            check('cat models/sub/plain/tensors.tsv' in found, found)
        t.run('index', lake)
        m = t.mount(lake, 'compute=cached')
        run_examples(m, least - 1, what, 'compute=cached')
        m.umount()
    m = t.mount(small_lake(t.lake('unknown')), 'compute=cached')
    run_examples(m, 3, 'an unknown lake, compute=cached')


main()
