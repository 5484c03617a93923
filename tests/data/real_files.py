#!/usr/bin/env python3
"""Every file of the real ones, where ../shared has them, against readings that are not tarn's own.

    real_files.py TARN

Each row of INDEX.tsv: the file belongs to a model or stands among the unread; its format is the index's; what cannot be
read is told. Tensors: names, types and shapes of safetensors (json), GGUF and ONNX (a page of struct each), and NumPy's own
reading of its files, values and all, bit for bit, beside export/. Pickles: every global that pickletools lists and that is
none of torch's or numpy's own is told (nothing is ever unpickled).
"""
import csv
import io
import json
import os
import pickletools
import struct
import subprocess
import sys
import tempfile
import zipfile

import numpy

LAKE = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../shared/lakes/real'))
FORMAT = dict.fromkeys(('pickle', 'pytorch-legacy', 'pytorch-zip', 'torchscript-zip', 'zip'), 'pytorch')
PLAIN = ('torch', 'numpy', 'collections', '__torch__', '_codecs')
GGML = ['F32', 'F16', 'Q4_0', 'Q4_1', '', '', 'Q5_0', 'Q5_1', 'Q8_0', 'Q8_1', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K',
        'Q8_K']
ONNX = {1: 'F32', 2: 'U8', 3: 'I8', 4: 'U16', 5: 'I16', 6: 'I32', 7: 'I64', 9: 'BOOL', 10: 'F16', 11: 'F64', 12: 'U32',
        13: 'U64', 16: 'BF16'}


# --- other readings: {name: (type, shape)} ---

def safetensors(path):
    with open(path, 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
    return {n: (t['dtype'], t['shape']) for n, t in header.items() if n != '__metadata__'}


def gguf(path):
    with open(path, 'rb') as f:
        data = f.read()
    at = 4

    def number(code):
        nonlocal at
        v = struct.unpack_from('<' + code, data, at)[0]
        at += struct.calcsize('<' + code)
        return v

    def text():
        nonlocal at
        n = number(size)
        at += n
        return data[at - n:at].decode('utf-8', 'surrogateescape')

    def value(kind):
        if kind == 8:
            text()
        elif kind == 9:
            of = number('I')
            for _ in range(number(size)):
                value(of)
        else:
            number('BbHhIif?__QQd'[kind].replace('_', 'Q'))
    size = 'I' if number('I') == 1 else 'Q'
    tensors, keys = number(size), number(size)
    for _ in range(keys):
        text()
        value(number('I'))
    out = {}
    for _ in range(tensors):
        name, shape = text(), []
        for _ in range(number('I')):
            shape.insert(0, number(size))
        kind = number('I')
        number('Q')
        out[name] = (GGML[kind] if kind < len(GGML) else None, shape)
    return out


def fields(data):
    """(number, value) of a protobuf message."""
    at = 0

    def varint():
        nonlocal at
        v = shift = 0
        while True:
            b = data[at]
            at += 1
            v |= (b & 127) << shift
            shift += 7
            if b < 128:
                return v
    while at < len(data):
        tag = varint()
        wire = tag & 7
        n = {1: 8, 5: 4}.get(wire) or (varint() if wire == 2 else 0)
        yield tag >> 3, data[at:at + n] if wire else varint()
        at += n


def onnx(path):
    """Initializers of the graph and of those in its nodes, and constants of 16 floats or more."""
    out = {}

    def initializer(tensor, constant=''):
        name, kind, shape = '', None, []
        for n, v in fields(tensor):
            if n == 8:
                name = v.decode()
            elif n == 2:
                kind = v
            elif n == 1:
                shape += [v] if isinstance(v, int) else varints(v)
        if not constant or kind in (1, 10, 11, 16) and numpy.prod(shape, dtype=int) >= 16:
            out[constant or name] = (ONNX.get(kind), shape)

    def node(data):
        parts = list(fields(data))
        constant = (4, b'Constant') in parts
        for m, v in (f for n, attribute in parts if n == 5 for f in fields(attribute)):
            if m == 6:
                graph(v)
            elif m == 5 and constant:
                initializer(v, next(v.decode() for n, v in parts if n == 2))

    def graph(data):
        for n, v in fields(data):
            if n == 5:
                initializer(v)
            elif n == 1:
                node(v)
    with open(path, 'rb') as f:
        for n, v in fields(f.read()):
            if n == 7:
                graph(v)
    return out


def varints(data):
    out, v, shift = [], 0, 0
    for b in data:
        v |= (b & 127) << shift
        shift += 7
        if b < 128:
            out.append(v)
            v = shift = 0
    return out


def arrays(path):
    """{name: array} of what NumPy reads without unpickling."""
    loaded = numpy.load(path, allow_pickle=False)
    if isinstance(loaded, numpy.ndarray):
        return {'array': loaded}
    out = {}
    for name in loaded.files:
        try:
            out[name] = loaded[name]
        except ValueError:      # objects
            pass
    return out


def pickles(path):
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as z:
            for n in z.namelist():
                try:
                    data = z.read(n)
                except Exception:       # encrypted, or lying: other tests' business
                    continue
                if data[:1] == b'\x80' or n.endswith('.pkl'):
                    yield data
    else:
        with open(path, 'rb') as f:
            yield f.read()


def foreign_globals(path):
    found = set()
    for data in pickles(path):
        f, before = io.BytesIO(data), []
        try:
            while f.tell() < len(data):
                for op, arg, _ in pickletools.genops(f):
                    if op.name in ('GLOBAL', 'INST'):
                        found.add(arg.replace(' ', '.', 1))
                    elif op.name == 'STACK_GLOBAL' and all(isinstance(s, str) for s in before[-2:]):
                        found.add('.'.join(before[-2:]))    # both just before it; not out of the memo
                    if 'PUT' not in op.name and op.name != 'MEMOIZE':
                        before.append(arg if 'UNICODE' in op.name or 'STRING' in op.name else None)
        except Exception:       # what comes before it breaks counts
            pass
    return {g for g in found if not g.startswith(PLAIN)}


# --- tarn's ---

class Tarn:
    def __init__(self, tarn, catalog):
        self.command, self.catalog = tarn, catalog

    def run(self, what, *args, check=True):
        return subprocess.run([self.command, what, '--catalog', self.catalog, LAKE, *args], check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout

    def table(self, path, check=True):
        text = self.run('cat', path, check=check).decode('utf-8', 'surrogateescape')
        return list(csv.DictReader(text.splitlines(), delimiter='\t', quoting=csv.QUOTE_NONE))


class Check:
    def __init__(self, tarn):
        self.tarn = tarn
        self.wrong, self.read, self.told, self.values = [], 0, 0, 0
        self.models = {m['model']: m for m in tarn.table('lake/models.tsv')}
        self.problems, self.unread = {}, {r['path'] for r in tarn.table('lake/unread.tsv')}
        for p in tarn.table('lake/problems.tsv'):
            self.problems.setdefault(p['model'], []).append(p)

    def say(self, *what):
        self.wrong.append(': '.join(str(w) for w in what))

    def tensors(self, path, model, theirs):
        def shape(text):
            return [] if text in ('', '-', 'scalar') else [int(n) for n in text.split('x')]
        ours = {t['name']: (t['dtype'], shape(t['shape'])) for t in self.tarn.table(f'models/{model}/tensors.tsv', theirs)
                if t['file'] == os.path.basename(path)}
        if ours.keys() != theirs.keys():
            self.say(path, 'tensors', sorted(ours.keys() ^ theirs.keys())[:4])
        for n in ours.keys() & theirs.keys():
            if ours[n][1] != list(theirs[n][1]) or theirs[n][0] not in (ours[n][0], None):
                self.say(path, n, ours[n], theirs[n])
        self.read += 1

    def exported(self, path, model, theirs):
        flat = model.replace('/', '--')
        for name, array in theirs.items():
            try:
                ours = numpy.load(io.BytesIO(self.tarn.run('cat', f'export/{flat}/tensors/{name}.npy')))
            except (subprocess.CalledProcessError, ValueError) as e:
                self.say(path, name, 'no export', e)
                continue
            if ours.shape != array.shape or ours.dtype != array.dtype or ours.tobytes() != array.tobytes():
                self.say(path, name, 'differs', ours.dtype, ours.shape)
            self.values += 1

    def whole(self, path, model, kind):
        """A file that can be read, beside another reading of it."""
        full = f'{LAKE}/{path}'
        if kind in ('npy', 'npz'):
            theirs = arrays(full)
            self.exported(path, model, theirs)
            self.read += 1
        elif kind in ('safetensors', 'gguf', 'onnx'):
            self.tensors(path, model, {'safetensors': safetensors, 'gguf': gguf, 'onnx': onnx}[kind](full))

    def row(self, path, kind, model):
        told = [p for p in self.problems.get(model, []) if p['file'] in (os.path.basename(path), '')]
        said = ' '.join(p['detail'] for p in told)
        is_format = self.models[model]['format']
        fatal = {'malformed', 'truncated', 'not supported', 'missing', 'too large'} & {p['problem'] for p in told}
        if kind in FORMAT:
            for g in foreign_globals(f'{LAKE}/{path}'):
                if g not in said and not fatal - {'malformed'}:
                    self.say(path, 'not told', g)
        if fatal:
            self.told += 1
        elif is_format != FORMAT.get(kind, kind):
            self.say(path, 'format', is_format, kind)
        elif int(self.models[model]['parameters'].replace('-', '0')) or kind in ('gguf', 'safetensors', 'onnx'):
            self.whole(path, model, kind)


def main():
    if not os.path.isdir(LAKE):
        print('no real files here')
        return 77
    with tempfile.TemporaryDirectory() as scratch, open(LAKE + '/INDEX.tsv', encoding='utf-8', newline='') as index:
        tarn = Tarn(sys.argv[1], scratch + '/c')
        tarn.run('index', '--quiet')
        check = Check(tarn)
        rows = list(csv.DictReader(index, delimiter='\t', quoting=csv.QUOTE_NONE))
        paths = [LAKE + '/' + r['path'] for r in rows]
        where = dict(line.split('\t', 1) for line in tarn.run('which', *paths, check=False).decode().splitlines()
                     if '\t' in line)
        for r, full in zip(rows, paths):
            model = where.get(full, '').split('\t')[0]
            if model in check.models:
                if r['format'] != 'other':
                    check.row(r['path'], r['format'], model)
            elif r['path'] not in check.unread and r['format'] != 'other':
                check.say(r['path'], 'in no model, and not among the unread', r['format'])
    print('\n'.join(check.wrong))
    print(f'{len(rows)} files: {check.read} read as others read them, {check.values} arrays equal to NumPy\'s, '
          f'{check.told} refused with a reason, {len(check.wrong)} wrong')
    return len(check.wrong) > 0


if __name__ == '__main__':
    sys.exit(main())
