"""The tree's shape is its price list (docs/semantics.md, "Crawlers"): what recursive tools read, and that they end."""
import os
import subprocess

from harness import check, llama_tensors, main, model, noise, safetensors, same, small_lake


def big_lake(t):
    """Two models of 400 MB that weigh nothing on disk, and the small ones."""
    lake = small_lake(t.lake())
    for name in 'big-a', 'org/big-b':
        model(lake, name, layers=4, hidden=1024, vocab=32768)
    return lake


def lake_bytes(lake):
    return sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(lake) for f in fs)


def test_grep_reads_no_weights(t):
    """grep -r over models/ of a lake that nobody has looked at reads what indexing it reads: headers and samples. No
    pass over the weights, counted in bytes."""
    lake = big_lake(t)
    total = lake_bytes(lake)
    check(total > 400e6, total)
    m = t.mount(lake, f'catalog={t.tmp}/other.db').settle()
    cheap = m.status()['bytes read']
    m.umount()
    check(0 < cheap < total / 2, f'indexing read {cheap} of {total}')

    m = t.mount(lake, point=t.dir('mnt2'))
    r = subprocess.run(['grep', '-rac', '', m.path('models')], capture_output=True, check=False)
    same(r.returncode, 0, r.stderr.decode())
    check(len(r.stdout.splitlines()) > 50, r.stdout)
    m.settle()
    read_ = m.status()['bytes read']
    # what the background samples at the same moment may be sampled twice
    check(read_ < cheap * 2.1 + 1e6, f'grep -r read {read_}, indexing {cheap}')
    estimate = os.stat(m.path('exact/big-a/statistics.tsv')).st_size
    check(len(m.read('exact/big-a/statistics.tsv')) < estimate, 'exact/ was not computed')
    check(m.status()['bytes read'] - read_ > 100e6, 'exact/ does read the weights: the counter counts')


def test_duplicates_read_no_weights(t):
    """lake/duplicates.tsv finds large copies, under other names and in other files too, from signatures and blocks."""
    lake = small_lake(t.lake())
    shape = dict(layers=2, hidden=512, vocab=8192)
    big = model(lake, 'big-a', 7, **shape)
    model(lake, 'big-b', 7, **shape)
    for name, seed in (('big-c', 7), ('big-d', 8)):
        d = model(lake, name, seed, **shape)
        safetensors(os.path.join(d, 'model.safetensors'), llama_tensors(**shape), noise(seed), {'format': 'pt'})
    size = os.path.getsize(os.path.join(big, 'model.safetensors'))
    check(size > 40e6, size)
    m = t.mount(lake).settle()
    before = m.status()['bytes read']
    rows = [line.split('\t') for line in m.read('lake/duplicates.tsv').decode().splitlines()[1:]]
    same(sorted(r[1:] for r in rows), [['file', 'big-a', 'big-b'], ['tensors', 'big-a', 'big-c']], 'duplicates')
    read_ = m.status()['bytes read'] - before
    check(read_ < size / 2, f'read {read_} bytes, one file has {size}')


def ends(m, *command):
    r = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=m.point)
    return r.stdout.decode('utf-8', 'replace'), r.stderr.decode('utf-8', 'replace')


def test_tools_that_follow_links_end(t):
    m = t.mount(small_lake(t.lake())).settle()
    out, err = ends(m, 'find', '-L', '.')
    check('loop' not in err, err)
    check(len(out.splitlines()) > 200, len(out.splitlines()))
    _, err = ends(m, 'grep', '-R', 'nothing-has-this', '.')
    check('loop' not in err, err)
    out, err = ends(m, 'find', '-L', 'models', '-type', 'l')
    same((out, err), ('', ''), 'links that lead nowhere')
    same(ends(m, 'du', '-L', '-s', 'models')[1], '', 'du -L')


def test_nothing_below_models_links_to_another(t):
    m = t.mount(small_lake(t.lake())).settle()
    for d, dirs, files in os.walk(m.path('models')):
        for name in dirs + files:
            path = os.path.join(d, name)
            if os.path.islink(path):
                target = os.path.normpath(os.path.join(d, os.readlink(path)))
                check(not target.startswith(m.path('models') + '/') or name == 'README.md', path, '->', target)


def test_archives(t):
    """tar and rsync of a whole model's directory give what cat gives, without following its links."""
    m = t.mount(small_lake(t.lake())).settle()
    out = t.dir('out')
    subprocess.run(['tar', 'xf', '-', '-C', out], input=subprocess.run(
        ['tar', 'cf', '-', '-C', m.path('models'), 'alpha'], capture_output=True, check=True).stdout, check=True)
    subprocess.run(['rsync', '-a', '--no-o', '--no-g', m.path('models/alpha/'), os.path.join(out, 'again/')],
                   check=True)
    for root in 'alpha', 'again':
        r = subprocess.run(['diff', '-r', '--no-dereference', m.path('models/alpha'), os.path.join(out, root)],
                           capture_output=True, text=True, check=False)
        same((r.returncode, r.stdout), (0, ''), root)


def test_cachedir_tag(t):
    """Backup programs that honour it stay out."""
    m = t.mount(small_lake(t.lake()))
    check(m.read('CACHEDIR.TAG').startswith(b'Signature: 8a477f597d28d172789f06886806bc55'), 'CACHEDIR.TAG')
    out = subprocess.run(['tar', 'cf', '-', '--exclude-caches-all', '-C', m.point, '.'], capture_output=True,
                         check=False).stdout
    check(len(out) <= 10240, 'tar --exclude-caches-all', len(out))


main()
