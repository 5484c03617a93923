"""Mounts for real, watches what the daemon says, and cleans up whatever happens. Standard library only.

A test file holds functions test_*(t) and ends with harness.main(). `t` gives a temporary directory and mounts; when a
test ends, every mount is taken away and every daemon must have ended well and said nothing suspicious. Exit status: 0,
1, or 77 where nothing can be mounted. Environment: TARN, TARN_FAKE (the program over tests/fs/fake_tree.c) and
TARN_MUTATE.
"""
import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SUSPICIOUS = re.compile(r'exception|error|warning|fatal|traceback|fault|crash|abort|uninitiali[sz]ed|sanitizer|leak|'
                        r'assert|corrupt|^==\d+==', re.I | re.M)
LIMIT = 90      # seconds a test may take
SLOW = os.environ.get('TARN_TEST_SLOW') or 'sanitize' in os.environ.get('TARN', '')     # times are not judged


class Failure(AssertionError):
    pass


class Skip(Exception):
    pass


def check(ok, *words):
    if not ok:
        raise Failure(' '.join(str(w) for w in words) or 'check failed')


def same(found, expected, *words):
    if found != expected:
        raise Failure(' '.join(str(w) for w in words) + f': expected {expected!r}, found {found!r}')


def fails_with(number, call, *args):
    """The call raises OSError with this errno."""
    try:
        call(*args)
    except OSError as e:
        same(errno.errorcode.get(e.errno), errno.errorcode[number], f'errno of {call.__name__}{args}')
        return
    raise Failure(f'{call.__name__}{args} succeeded; expected {errno.errorcode[number]}')


def eventually(condition, seconds=10, what='it'):
    end = time.monotonic() + seconds
    while True:
        try:
            value = condition()
        except OSError as e:
            if e.errno != errno.ESTALE:     # the lake changed twice while a path was walked
                raise
            value = False
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f'{what} did not happen within {seconds} s')
        time.sleep(0.01)


def read(path, mode='rb'):
    with open(path, mode) as f:
        return f.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb' if isinstance(data, bytes) else 'w') as f:
        f.write(data)
    return path


def alive(pid):
    """Running: zombies whose parent does not care have ended."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def mounted(path):
    """The (id, device, type) of what is on top at this real path, or None."""
    found = None
    with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as f:
        for line in f:
            left, _, right = line.partition(' - ')
            fields = left.split()
            if fields[4].replace('\\040', ' ') == path:
                found = (int(fields[0]), fields[2], right.split()[0])
    return found


# ---- lakes

DTYPES = {'F32': 4, 'F16': 2, 'BF16': 2, 'I64': 8, 'U8': 1}


def safetensors(path, tensors, fill=None, metadata=None):
    """{name: (dtype, shape)} as a file; without `fill` (a function of name and bytes) the data is a hole."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    header, at = {}, 0
    if metadata:
        header['__metadata__'] = metadata
    for name, (dtype, shape) in tensors.items():
        size = DTYPES[dtype]
        for n in shape:
            size *= n
        header[name] = {'dtype': dtype, 'shape': list(shape), 'data_offsets': [at, at + size]}
        at += size
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        base = f.tell()
        for name in tensors if fill else ():
            start, end = header[name]['data_offsets']
            f.seek(base + start)
            f.write(fill(name, end - start))
        f.truncate(base + at)
    return path


def noise(seed):
    """Reproducible weights-like float32 or bfloat16 bytes for safetensors()."""
    import random

    def fill(name, n):
        r = random.Random(f'{seed}/{name}')
        pool = struct.pack('<512f', *(r.gauss(0, 0.02) for _ in range(512)))
        return (pool * (n // len(pool) + 1))[:n]
    return fill


def llama_tensors(layers=2, hidden=64, vocab=256, dtype='F32'):
    t = {'model.embed_tokens.weight': (dtype, (vocab, hidden))}
    for i in range(layers):
        p = f'model.layers.{i}.'
        for name in 'q_proj', 'k_proj', 'v_proj', 'o_proj':
            t[f'{p}self_attn.{name}.weight'] = (dtype, (hidden, hidden))
        for name in 'gate_proj', 'up_proj':
            t[f'{p}mlp.{name}.weight'] = (dtype, (2 * hidden, hidden))
        t[p + 'mlp.down_proj.weight'] = (dtype, (hidden, 2 * hidden))
        t[p + 'input_layernorm.weight'] = (dtype, (hidden,))
        t[p + 'post_attention_layernorm.weight'] = (dtype, (hidden,))
    t['model.norm.weight'] = (dtype, (hidden,))
    t['lm_head.weight'] = (dtype, (vocab, hidden))
    return t


def llama_config(layers=2, hidden=64, vocab=256):
    return json.dumps({
        'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'hidden_size': hidden,
        'num_hidden_layers': layers,
        'num_attention_heads': 4, 'num_key_value_heads': 4, 'intermediate_size': 2 * hidden, 'vocab_size': vocab,
        'max_position_embeddings': 512, 'torch_dtype': 'float32'})


def model(lake, name, seed=None, card=None, **shape):
    """A model directory; without a seed its weights are holes."""
    d = os.path.join(lake, name)
    write(os.path.join(d, 'config.json'), llama_config(**{k: v for k, v in shape.items() if k != 'dtype'}))
    if card is not None:
        write(os.path.join(d, 'README.md'), card)
    safetensors(os.path.join(d, 'model.safetensors'), llama_tensors(**shape), noise(seed) if seed is not None else None)
    return d


def small_lake(path):
    """Three models: two with weights and cards, and a deeper one."""
    model(path, 'alpha', 1, '---\nlicense: mit\nlanguage: en\n---\n# Alpha\nA small model.\n')
    model(path, 'org/beta', 2, '---\nlicense: apache-2.0\n---\n# Beta\n')
    model(path, 'org/gamma', 3)
    return path


# ---- mounts

class Mount:
    def __init__(self, test, lakes, options=(), program=None, point=None, env=None, args=(), wait=True):
        self.test = test
        self.program = program or os.environ['TARN']
        self.point = os.path.realpath(point or test.dir('mnt'))
        self.log = os.path.join(test.tmp, f'log{len(test.mounts)}')
        self.expected = []
        self.env = dict(test.env, **(env or {}))
        lakes = [lakes] if isinstance(lakes, str) else list(lakes)
        self.command = [self.program, 'mount', *lakes, self.point, '-f', *args]
        for o in options:
            self.command += ['-o', o]
        with open(self.log, 'wb') as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.env,
                                            start_new_session=True)
        test.mounts.append(self)
        if wait:
            self.wait_up()

    def wait_up(self, seconds=20):
        def up():
            if self.process.poll() is not None:
                raise Failure(f'the daemon ended with {self.process.returncode} before it mounted:\n{self.output()}')
            return mounted(self.point)
        eventually(up, seconds, 'the mount')
        os.listdir(self.point)

    def path(self, *parts):
        return os.path.join(self.point, *parts)

    def read(self, *parts, mode='rb'):
        return read(self.path(*parts), mode)

    def output(self):
        return read(self.log).decode('utf-8', 'replace')

    def expect(self, pattern):
        """The daemon may say this."""
        self.expected.append(pattern)

    def status(self):
        """lake/status.txt, or the fake's counts, as {first words: number}."""
        name = 'counts' if self.program == os.environ.get('TARN_FAKE') else 'lake/status.txt'
        found = {}
        for line in self.read(name).decode().splitlines():
            m = re.match(r'\s*([a-z][a-z _]*[a-z])[\s:=\t]+(\d+)\b', line)
            if m:
                found[m[1]] = int(m[2])
        return found

    def settle(self, seconds=60):
        """Until everything cheap is known."""
        def idle():
            text = self.read('lake/status.txt').decode()
            return re.search(r'^now\s+idle$', text, re.M) and re.search(r'^lineage\s+known$', text, re.M)
        eventually(idle, seconds, 'the end of the background work')
        return self

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        """As the out-of-memory killer would."""
        self.process.kill()
        self.process.wait()

    def ended(self, seconds=30):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f'the daemon did not end within {seconds} s\n{self.stacks()}') from None

    def stacks(self):
        """Where its threads are, if gdb can tell."""
        if not shutil.which('gdb'):
            return ''
        r = subprocess.run(['gdb', '-batch', '-ex', 'thread apply all bt 12', '-p', str(self.process.pid)],
                           capture_output=True, text=True, check=False, timeout=60)
        return '\n'.join(x for x in r.stdout.splitlines() if x.startswith(('#', 'Thread')))

    def umount(self):
        r = subprocess.run([self.program, 'umount', self.point], env=self.env, capture_output=True, text=True,
                           check=False)
        same(r.returncode, 0, 'tarn umount: ' + r.stderr)
        same(self.ended(), 0, 'exit status of the daemon')

    def suspicious(self):
        text = self.output()
        for p in ['running as root', *self.expected]:
            text = re.sub(f'.*(?:{p}).*', '', text)
        return SUSPICIOUS.search(text) and text

    def clean(self):
        """Whatever the state: gone afterwards."""
        for _ in range(4):
            if not mounted(self.point):
                break
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.umount2(self.point.encode(), 2):
                subprocess.run(['fusermount3', '-uz', self.point], check=False, capture_output=True)
        if self.process.poll() is None:
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Test:
    def __init__(self, name):
        self.name = name
        self.tmp = os.path.realpath(tempfile.mkdtemp(prefix='tarn-test-', dir=os.environ.get('TARN_TEST_TMP')))
        os.chmod(self.tmp, 0o755)
        self.env = dict(os.environ, XDG_CACHE_HOME=self.dir('cache'), LC_ALL='C.UTF-8')
        self.mounts, self.children = [], []
        self.tidy = contextlib.ExitStack()

    def dir(self, name):
        path = os.path.join(self.tmp, name)
        os.makedirs(path, exist_ok=True)
        return path

    def lake(self, name='lake'):
        return self.dir(name)

    def mount(self, lakes=None, *options, **more):
        return Mount(self, lakes or self.lake(), options, **more)

    def fake(self, *options, **more):
        env = {k.upper(): str(v) for k, v in more.items() if k.startswith('fake_')}
        rest = {k: v for k, v in more.items() if not k.startswith('fake_')}
        return Mount(self, self.lake(), options, program=os.environ['TARN_FAKE'], env=env, **rest)

    def run(self, *command, program=None, status=0, env=None, cwd=None, stdin=subprocess.DEVNULL):
        """tarn COMMAND…: (stdout, stderr), after the exit status was checked."""
        r = subprocess.run([program or os.environ['TARN'], *command], env=dict(self.env, **(env or {})), stdin=stdin,
                           capture_output=True, cwd=cwd, check=False, timeout=LIMIT)
        err = r.stderr.decode('utf-8', 'replace')
        if status is not None:
            same(r.returncode, status, f'exit status of tarn {" ".join(command)}: {err}')
        return r.stdout, err

    def start(self, *command, **more):
        """A child that is killed with the test."""
        more.setdefault('stdout', subprocess.DEVNULL)
        more.setdefault('stderr', subprocess.DEVNULL)
        p = subprocess.Popen(command, **more)
        self.children.append(p)
        return p

    def finish(self, failed):
        problems = []
        for p in self.children:
            if p.poll() is None:
                p.kill()
            p.wait()
        for m in self.mounts:
            if not failed and m.process.poll() is None and mounted(m.point):
                try:
                    m.umount()
                except Failure as e:
                    problems.append(str(e))
        for m in self.mounts:
            m.clean()
            words = m.suspicious()
            if words:
                problems.append(f'the daemon said:\n{words}')
        self.tidy.close()
        # Tests that start daemons themselves may leave their mounts here.
        with open('/proc/self/mountinfo', encoding='utf-8', errors='surrogateescape') as f:
            left = [line.split()[4] for line in f if line.split()[4].startswith(self.tmp + '/')]
        for point in left:
            subprocess.run(['umount', '-l', point], check=False, capture_output=True)
        shutil.rmtree(self.tmp, ignore_errors=True)
        return problems


def on_alarm(number, frame):
    raise Failure(f'took longer than {LIMIT} s')


def run_one(name, function):
    t = Test(name)
    began = time.monotonic()
    failed, words = False, ''
    signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(LIMIT)
    try:
        function(t)
    except Skip as e:
        words = f'skipped: {e}'
    except BaseException as e:      # whatever it is, mounts must go
        failed = True
        words = str(e) if isinstance(e, Failure) else ''
        words += '\n' + traceback.format_exc()
        for m in t.mounts:
            words += f'\n-- {" ".join(m.command)}\n{m.output()[-3000:]}'
        if isinstance(e, KeyboardInterrupt):
            signal.alarm(0)
            t.finish(True)
            raise
    signal.alarm(LIMIT)
    try:
        problems = t.finish(failed)
    except Failure as e:
        problems = [str(e)]
    signal.alarm(0)
    failed = failed or bool(problems)
    took = time.monotonic() - began
    print(f'{"FAIL" if failed else "ok  "} {took:6.2f} s  {name}' + (f'  ({words})' if words and not failed else ''))
    if failed:
        print('    ' + '\n'.join([words, *problems]).strip().replace('\n', '\n    '))
    sys.stdout.flush()
    return not failed


def can_mount():
    if not os.access('/dev/fuse', os.R_OK | os.W_OK):
        return False
    return os.geteuid() == 0 or shutil.which('fusermount3')


def need_root():
    if os.geteuid():
        raise Skip('needs root')


def main():
    if not can_mount():
        print('nothing can be mounted here: /dev/fuse is missing or closed to us')
        sys.exit(77)
    tests = {k: v for k, v in sys.modules['__main__'].__dict__.items() if k.startswith('test_')}
    wanted = sys.argv[1:]
    good = True
    for name, function in tests.items():
        if not wanted or any(w in name for w in wanted):
            good &= run_one(name, function)
    sys.exit(0 if good else 1)
