#!/usr/bin/env python3
"""cp of export/ID/model.safetensors, all in the page cache of the lake's disk.

    of a safetensors file, and of a PyTorch zip      at least 0.5 x the speed of cp of the file itself through files=serve
    of a Q4_K GGUF, to float16                       at least 300 MB/s of output a core (CPU time of the whole daemon)

Best of 5, a fresh mount each time. cp writes into memory (/dev/shm).
"""
import os
import struct
import subprocess
import zipfile

from harness import model
from mounts import Mounted, Report, need_fuse, temp, timed

need_fuse()
report = Report(__doc__.strip().splitlines()[0])
CHUNK = 1 << 20
BLOCK = bytes(range(256)) * (CHUNK // 256)


def fill(path):
    """Holes are no data."""
    size = os.path.getsize(path)
    with open(path, 'r+b') as f:
        head = struct.unpack('<Q', f.read(8))[0] + 8
        for at in range(head, size, CHUNK):
            f.seek(at)
            f.write(BLOCK[:size - at])


def pytorch(path, n=16, rows=4096, cols=2048):
    """What torch.save writes of n float32 tensors: data.pkl, and a stored entry for each."""
    def text(s):
        return b'X' + struct.pack('<I', len(s)) + s.encode()


    def number(i):
        return b'\x8a\x08' + struct.pack('<q', i)
    items = b''
    for i in range(n):
        items += (text(f'layers.{i}.weight') + b'ctorch._utils\n_rebuild_tensor_v2\n((' + text('storage') +
                  b'ctorch\nFloatStorage\n' + text(str(i)) + text('cpu') + number(rows * cols) + b'tQ' + number(0) +
                  number(rows) + number(cols) + b'\x86' + number(cols) + number(1) + b'\x86\x89ccollections\nOrderedDict\n)RtR')
    with zipfile.ZipFile(path, 'w') as z:
        z.writestr('archive/data.pkl', b'\x80\2}(' + items + b'u.')
        for i in range(n):
            z.writestr(f'archive/data/{i}', BLOCK * (rows * cols * 4 // CHUNK))


def gguf(path, layers=8, hidden=2048):
    """Matrices of Q4_K under the names of a Llama's."""
    def text(s):
        return struct.pack('<Q', len(s)) + s.encode()
    names = [f'blk.{i}.{n}.weight' for i in range(layers)
             for n in ('attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down')]
    size = hidden * hidden // 256 * 144
    keys = (text('general.architecture') + struct.pack('<I', 8) + text('llama') +
            text('llama.attention.head_count') + struct.pack('<II', 4, 16))
    infos = b''.join(text(n) + struct.pack('<IQQIQ', 2, hidden, hidden, 12, i * size) for i, n in enumerate(names))
    head = b'GGUF' + struct.pack('<IQQ', 3, len(names), 2) + keys + infos
    block = struct.pack('<ee', 0.01, 0.001) + bytes((37 * i + 11) % 256 for i in range(140))
    with open(path, 'wb') as f:
        f.write(head + bytes(-len(head) % 32))
        for _ in names:
            f.write(block * (size // 144))


def cp(source, target):
    subprocess.run(['cp', source, target], check=True)


def cpu(process):
    with open(f'/proc/{process.pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(tmp, lake, name, target, files=None):
    """Best seconds of cp of the export and of the file itself, and the least CPU of the daemon for the export."""
    export, own, core = [], [], []
    for _ in range(5):
        with Mounted(tmp + '/mnt', f'catalog={tmp}/c.db', 'files=serve', lake=lake) as m:
            m.settle()
            path = f'{m.point}/export/{name}/model.safetensors'
            before = cpu(m.process)
            export.append(timed(cp, path, target))
            core.append(cpu(m.process) - before)
            size = os.path.getsize(target)
            if size != os.path.getsize(path):
                raise SystemExit(f'{path}: {size} bytes copied')
            if files:
                own.append(timed(cp, f'{m.point}/models/{name}/files/{files}', target))
    return size, min(export), min(own) if own else 0, min(core)


def rate(seconds, size):
    return f'{size / seconds / 1e6:.0f} MB/s'


with temp() as tmp:
    lake = tmp + '/lake'
    model(lake, 'big', layers=4, hidden=2048, vocab=32768)
    fill(lake + '/big/model.safetensors')
    for d in 'torch', 'quant':
        os.makedirs(f'{lake}/{d}')
    pytorch(lake + '/torch/pytorch_model.bin')
    gguf(lake + '/quant/model-Q4_K.gguf')
    target = ('/dev/shm' if os.path.isdir('/dev/shm') else tmp) + f'/tarn-bench-export-{os.getpid()}'
    try:
        for name, file in (('big', 'model.safetensors'), ('torch', 'pytorch_model.bin')):
            size, ours, own, core = measure(tmp, lake, name, target, file)
            report.line(f'{size >> 20} MiB of {file} ({rate(core, size)} a core)', rate(ours, size),
                        f'the file: {rate(own, size)}', '0.5 x', ours <= own / 0.5)
        size, ours, _, core = measure(tmp, lake, 'quant', target)
        report.line(f'{size >> 20} MiB of Q4_K as float16 ({rate(ours, size)} by the clock)', rate(core, size) + ' a core',
                    '', '300 MB/s a core', size / core >= 300e6)
    finally:
        if os.path.exists(target):
            os.unlink(target)
report.end()
