"""compute=on|cached, the queue, and real computations (docs/semantics.md, "Computing")."""
import errno
import os
import signal
import subprocess
import threading
import time

from harness import check, eventually, fails_with, main, model, safetensors, same, SLOW, small_lake, write


def huge(lake, *names):
    """Models of 26 GB in six tensors that weigh nothing on disk: quickly sampled, and their statistics take as long as
    anybody waits."""
    for name in names:
        write(os.path.join(lake, name, 'config.json'), '{"model_type": "blob"}')
        safetensors(os.path.join(lake, name, 'model.safetensors'),
                    {f'blob.{i}.weight': ('F32', (1 << 18, 4096)) for i in range(6)})
    return lake


def names_below(path):
    return sorted(os.path.relpath(os.path.join(d, n), path) for d, ds, fs in os.walk(path) for n in ds + fs)


def test_cached_shows_what_is_known(t):
    """Of exact/ and diff/ what has not been computed is not listed, and ENODATA by name; nothing is done or read in the
    background."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    statistics = m.read('exact/alpha/statistics.tsv')
    twin = m.read('exact/alpha/statistics.json')
    m.umount()
    other = t.run('cat', lake, 'exact/alpha/statistics.json')[0]
    same(other, twin, 'the twin')
    m = t.mount(lake, 'compute=cached')
    same(m.read('exact/alpha/statistics.tsv'), statistics, 'what was computed')
    same(sorted(os.listdir(m.path('exact/alpha'))), ['statistics.json', 'statistics.tsv'], 'listed')
    same(os.listdir(m.path('exact/org--beta')), [], 'not listed')
    for name in ('exact/org--beta/statistics.tsv', 'exact/alpha/files.json', 'diff/alpha/org--beta/tensors.tsv'):
        fails_with(errno.ENODATA, os.stat, m.path(name))
        fails_with(errno.ENODATA, m.read, name)
    subprocess.run(['grep', '-r', 'x', m.path('exact'), m.path('diff')], capture_output=True, check=False)
    same(m.status()['computed'], 0, 'computations')
    same(m.status()['bytes read'], 0, 'bytes read')


def test_status_counts_what_failed(t):
    """Models whose weights cannot be read, and computations that came to nothing."""
    lake = small_lake(t.lake())
    write(os.path.join(lake, 'broken/config.json'), '{"model_type": "llama"}')
    write(os.path.join(lake, 'broken/model.safetensors'), 'x' * 100)
    m = t.mount(lake).settle()
    m.expect('alpha')
    same((m.status()['unreadable'], m.status()['failed']), (1, 0), 'before')
    os.remove(os.path.join(lake, 'alpha/model.safetensors'))
    try:
        m.read('exact/alpha/statistics.tsv')
    except OSError:
        pass
    same((m.status()['unreadable'], m.status()['failed']), (1, 1), 'a computation failed')


def test_cached_after_indexing(t):
    """After `tarn index` everything outside exact/ and diff/ is there, also exports; after --exact both twins of exact/.
    What nobody asked for is not done."""
    lake = small_lake(t.lake())
    cold = names_below(t.mount(lake, f'catalog={t.tmp}/other.db').settle().point)
    t.run('index', lake, '--exact')
    m = t.mount(lake, 'compute=cached', point=t.dir('mnt2'))
    found = names_below(m.point)
    same([n for n in cold if n not in found and not n.startswith('diff/')], [], 'missing with compute=cached')
    for name in found:
        path = m.path(name)
        if os.path.isfile(path) and not os.path.islink(path):
            check(os.stat(path).st_size >= len(m.read(name)), name)
    check('neighbours' in os.listdir(m.path('graph/alpha')), 'neighbours')
    os.listdir(m.path('graph/alpha/neighbours'))
    check(m.read('lake/models.tsv').count(b'\n') == 4, 'all models')
    fails_with(errno.ENODATA, m.read, 'diff/alpha/org--beta/summary.txt')
    check(m.read('export/alpha/delta/org--beta.safetensors'), 'a delta by name')
    check(m.read('export/alpha/tensors/lm_head.weight.npy').startswith(b'\x93NUMPY'), 'a tensor')


def test_cached_on_an_unknown_lake(t):
    """Names only, at once, and still no work."""
    m = t.mount(small_lake(t.lake()), 'compute=cached')
    same(sorted(os.listdir(m.path('models'))), ['alpha', 'org'], 'models')
    subprocess.run(['grep', '-r', 'x', m.point], capture_output=True, check=False)
    same(m.status()['computed'], 0, 'computations')


def busy(t, *options, n=4):
    lake = huge(t.lake(), *[f'h{i}' for i in range(n)])
    return t.mount(small_lake(lake), 'jobs=1', *options).settle(80)


def test_the_queue_is_full(t):
    """EBUSY beyond the cap, for what would have to be computed only; then room again."""
    m = busy(t, 'queue=2')
    ps = []
    for i in range(3):      # one runs, two wait
        ps.append(t.start('cat', m.path(f'exact/h{i}/statistics.tsv')))
        eventually(lambda n=i: m.status()['running'] + m.status()['queued'] == n + 1, 10, f'computation {i}')
    fails_with(errno.EBUSY, m.read, 'exact/h3/statistics.tsv')
    check(m.read('models/alpha/metadata/dtype').endswith(b'\n'), 'what is known')
    for p in ps:
        p.send_signal(signal.SIGINT)
        p.wait(10)
    eventually(lambda: m.status()['running'] == 0, 10, 'the end')
    check(len(m.read('exact/alpha/statistics.tsv')) > 100, 'room again')


def test_interrupting_a_real_computation(t):
    """The reader is free within 0.2 s, the pass over 26 GB ends within 2, and nothing of it is kept."""
    m = busy(t)
    path = m.path('exact/h0/statistics.tsv')
    estimate = os.stat(path).st_size
    for number in signal.SIGINT, signal.SIGKILL:
        before = m.status()['bytes read']
        p = t.start('cat', path)
        eventually(lambda b=before: m.status()['bytes read'] > b + 50e6, 20, 'the pass')
        began = time.monotonic()
        p.send_signal(number)
        p.wait(10)
        took = time.monotonic() - began
        check(took < (5 if SLOW else 0.2), f'free after {took:.3f} s')
        eventually(lambda: m.status()['running'] == 0, 20 if SLOW else 2, 'the end of the pass')
        same(os.stat(path).st_size, estimate, 'still an estimate')
    same(sorted(os.listdir(m.path('exact/h0'))), sorted(os.listdir(m.path('exact/alpha'))), 'listing')


def test_readers_are_not_delayed(t):
    """While whole weights are read, what is known is read at once."""
    m = busy(t)
    ps = [t.start('cat', m.path(f'exact/h{i}/statistics.tsv')) for i in range(4)]
    eventually(lambda: m.status()['running'] == 1, 10, 'the pass')
    m.read('models/alpha/metadata.json')
    times = []
    for _ in range(20):
        began = time.monotonic()
        m.read('models/alpha/metadata.json')
        os.listdir(m.path('models/org'))
        times.append(time.monotonic() - began)
    check(sorted(times)[10] < (1 if SLOW else 0.05), f'median {sorted(times)[10] * 1000:.1f} ms')
    for p in ps:
        p.kill()


def test_one_real_computation(t):
    lake = t.lake()
    model(lake, 'wide', layers=2, hidden=1024, vocab=32768)
    m = t.mount(lake).settle()
    before = m.status()['computed']
    read_before = m.status()['bytes read']
    got = []
    threads = [threading.Thread(target=lambda: got.append(m.read('exact/wide/statistics.tsv'))) for _ in range(100)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    same(len(set(got)), 1, 'contents')
    same(m.status()['computed'] - before, 1, 'computations')
    size = os.path.getsize(os.path.join(lake, 'wide/model.safetensors'))
    read_ = m.status()['bytes read'] - read_before
    # exact quantiles of 32-bit floats take a second reading
    check(read_ < size * 2.1 + 1e6, f'one computation over {size} bytes read {read_}')


def test_sigterm_in_a_computation(t):
    """SIGTERM to the daemon in the middle of a pass: it ends cleanly, and at once."""
    m = busy(t)
    p = t.start('cat', m.path('exact/h0/statistics.tsv'))
    before = m.status()['bytes read']
    eventually(lambda: m.status()['bytes read'] > before + 50e6, 20, 'the pass')
    began = time.monotonic()
    m.signal(signal.SIGTERM)
    same(m.ended(10), 0, 'exit status')
    check(time.monotonic() - began < (10 if SLOW else 3), 'ended after', time.monotonic() - began)
    check(p.wait(5) != 0, 'the reader was told')


def test_killed_in_a_computation(t):
    """SIGKILL in the middle of a pass: the catalog is whole, and the next mount computes it."""
    m = busy(t, n=1)
    before = m.status()['bytes read']
    p = t.start('cat', m.path('exact/h0/statistics.tsv'))
    eventually(lambda: m.status()['bytes read'] > before + 50e6, 20, 'the pass')
    m.kill()
    p.wait(5)
    t.run('umount', m.point)
    m = t.mount().settle()
    check(len(m.read('exact/alpha/statistics.tsv')) > 100, 'works')
    same(m.read('lake/problems.tsv').count(b'\n'), 1, 'no problems')


main()
