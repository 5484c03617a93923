"""What the mount's benchmarks share: synthetic lakes, mounts of tarn and of the yardstick, and how times are told."""
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

TARN = os.environ.get('TARN', 'tarn')
SOURCE = os.path.realpath(os.environ.get('TARN_SOURCE', os.path.join(os.path.dirname(__file__), '../..')))
BARE = os.path.join(os.environ.get('TARN_BENCH', '.'), 'bare_fuse')


def temp():
    """A directory on the local disk (not tmpfs: that is memory), gone at the end."""
    d = tempfile.TemporaryDirectory(prefix='tarn-bench-', dir=os.environ.get('TARN_BENCH_TMP', '/var/tmp'))
    os.chmod(d.name, 0o755)
    return d


def trained():
    for lake in (os.environ.get('TARN_BENCH_LAKE'), os.path.join(SOURCE, '../shared/lakes/trained/lake'),
                 os.path.join(SOURCE, 'tests/data/lake')):
        if lake and os.path.isdir(lake):
            return os.path.realpath(lake)
    sys.exit('no lake to mount')


def header(layers=2, hidden=64, vocab=512):
    """The header of a small Llama, whose weights are a hole."""
    tensors, at = {}, 0

    def add(name, *shape):
        nonlocal at
        size = 2
        for n in shape:
            size *= n
        tensors[name] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [at, at + size]}
        at += size
    add('model.embed_tokens.weight', vocab, hidden)
    for i in range(layers):
        p = f'model.layers.{i}.'
        for n in 'q_proj', 'k_proj', 'v_proj', 'o_proj':
            add(f'{p}self_attn.{n}.weight', hidden, hidden)
        for n in 'gate_proj', 'up_proj':
            add(f'{p}mlp.{n}.weight', 2 * hidden, hidden)
        add(p + 'mlp.down_proj.weight', hidden, 2 * hidden)
        add(p + 'input_layernorm.weight', hidden)
        add(p + 'post_attention_layernorm.weight', hidden)
    add('model.norm.weight', hidden)
    text = json.dumps(tensors, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    return struct.pack('<Q', len(text)) + text, at


CONFIG = json.dumps({'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'hidden_size': 64,
                     'num_hidden_layers': 2,
                     'num_attention_heads': 4, 'intermediate_size': 128, 'vocab_size': 512}).encode()


def synthetic(root, n):
    """n models, org-NNN/model-NNNNNN, each with a config and sparse weights under a real header."""
    head, weights = header()
    for i in range(n):
        d = f'{root}/org-{i // 100:04}/model-{i:06}'
        os.makedirs(d)
        with open(d + '/config.json', 'wb') as f:
            f.write(CONFIG)
        fd = os.open(d + '/model.safetensors', os.O_WRONLY | os.O_CREAT, 0o644)
        os.write(fd, head)
        os.ftruncate(fd, len(head) + weights)
        os.close(fd)
    return root


class Mounted:
    """A mount of tarn (lake given) or of the yardstick (list given), up when made."""

    def __init__(self, point, *options, lake=None, listing=None, env=None):
        self.point = point
        os.makedirs(point, exist_ok=True)
        self.tarn = lake is not None
        command = [TARN, 'mount', lake, point, '-f'] if self.tarn else [BARE, listing, point]
        for o in options:
            command += ['-o', o]
        self.process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        while not os.path.ismount(point):
            if self.process.poll() is not None:
                sys.exit(f'{" ".join(command)} ended with {self.process.returncode}')
            time.sleep(0.001)

    def settle(self):
        while True:
            with open(self.point + '/lake/status.txt', encoding='utf-8') as f:
                lines = dict(line.split(None, 1) for line in f if len(line.split(None, 1)) == 2)
            if lines.get('now', '').strip() == 'idle':
                return self
            time.sleep(0.1)

    def rss(self):
        """MiB: now, and at most."""
        with open(f'/proc/{self.process.pid}/status', encoding='ascii') as f:
            v = dict(line.split(':', 1) for line in f)
        return int(v['VmRSS'].split()[0]) / 1024, int(v['VmHWM'].split()[0]) / 1024

    def close(self):
        subprocess.run(['umount', self.point] if os.geteuid() == 0 else ['fusermount3', '-u', self.point], check=True)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if os.path.ismount(self.point):
            subprocess.run(['umount', '-l', self.point] if os.geteuid() == 0 else ['fusermount3', '-uz', self.point],
                           check=False)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def timed(call, *args):
    began = time.perf_counter()
    call(*args)
    return time.perf_counter() - began


def run(*command):
    """Fails with what the command said; that root should be somebody else is no failure."""
    r = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if r.returncode:
        sys.exit(f'{" ".join(command)}: {r.stderr}')


class Report:
    """Lines of: what, ours, yardstick, limit; and whether all limits were kept."""

    def __init__(self, title):
        self.good = True
        print(title)

    def line(self, what, ours, yardstick, limit, good):
        self.good &= good
        print(f'  {what:58} {ours:>12}   {yardstick:>24}   {limit:>16}   {"ok" if good else "MISSED"}')
        sys.stdout.flush()

    def end(self):
        sys.exit(0 if self.good else 1)


def ms(seconds):
    return f'{seconds * 1000:.1f} ms' if seconds < 1 else f'{seconds:.2f} s'


def need_fuse():
    if not os.access('/dev/fuse', os.R_OK | os.W_OK):
        print('skipped: nothing can be mounted here')
        sys.exit(0)


def free(path):
    shutil.rmtree(path, ignore_errors=True)
