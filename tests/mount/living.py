"""The lake changes under a mount (docs/semantics.md, "Change"): seen within seconds, and nothing else moves."""
import os
import shutil
import time

from harness import check, eventually, main, model, same, small_lake, write

SOON = 20


def test_a_model_arrives_and_goes(t):
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    same(sorted(os.listdir(m.path('models/org'))), ['beta', 'gamma'], 'before')
    check(not os.path.exists(m.path('models/org/delta')), 'not yet')
    generation = m.read('lake/generation')
    inodes = {n: os.stat(m.path(n)).st_ino for n in ('models/alpha', 'models/org/beta', 'models/org/beta/tensors.tsv')}
    model(lake, 'org/delta', 7)
    eventually(lambda: os.path.exists(m.path('models/org/delta/tensors.tsv')), SOON, 'the new model')
    check('delta' in os.listdir(m.path('models/org')), 'listed')
    check('org--delta' in os.listdir(m.path('all')), 'in all/')
    check(m.read('lake/generation') != generation, 'another generation')
    m.settle()
    eventually(lambda: b'org/delta' in m.read('lake/models.tsv'), SOON, 'in lake/models.tsv')
    shutil.rmtree(os.path.join(lake, 'org/delta'))
    eventually(lambda: 'delta' not in os.listdir(m.path('models/org')), SOON, 'its end')
    eventually(lambda: not os.path.exists(m.path('models/org/delta/tensors.tsv')), SOON, 'its end, by name')
    check('org--delta' not in os.listdir(m.path('all')), 'not in all/')
    same({n: os.stat(m.path(n)).st_ino for n in inodes}, inodes, 'the others')


def test_a_model_changes(t):
    """Another content, another inode; who has it open keeps what he opened."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    path = m.path('models/alpha/tensors.tsv')
    before, ino = open(path, 'rb').read(), os.stat(path).st_ino
    fd = os.open(path, os.O_RDONLY)
    time.sleep(0.01)
    model(lake, 'alpha', 11, layers=3)
    eventually(lambda: os.path.exists(path) and open(path, 'rb').read() != before, SOON, 'the new content')
    check(os.stat(path).st_ino != ino, 'another inode')
    same(os.pread(fd, 1 << 20, 0), before, 'the old handle')
    os.close(fd)


def fact(m, *parts):
    """A fact that is not known has no file; the headers of what changed are read soon, not at once."""
    try:
        return m.read(*parts)
    except FileNotFoundError:
        return None


def test_a_card_changes(t):
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    same(m.read('models/alpha/metadata/license'), b'mit\n', 'before')
    write(os.path.join(lake, 'alpha/README.md'), '---\nlicense: gpl-3.0\n---\nchanged\n')
    eventually(lambda: fact(m, 'models/alpha/metadata/license') == b'gpl-3.0\n', SOON, 'the new fact')
    eventually(lambda: os.path.exists(m.path('by/license/gpl-3.0/alpha')), SOON, 'by/')
    eventually(lambda: not os.path.exists(m.path('by/license/mit/alpha')), SOON, 'the old value')


def test_readers_of_what_changes(t):
    """Who reads while a model changes reads all of the old or of the new."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    table, before = m.read('models/alpha/tensors.tsv'), {None, b'mit\n'}
    for n in range(25):
        now = b'free-%d\n' % n
        new = write(os.path.join(t.tmp, 'README.md'), f'---\nlicense: free-{n}\n---\n')
        os.rename(new, os.path.join(lake, 'alpha/README.md'))
        end = time.monotonic() + SOON
        while (found := fact(m, 'models/alpha/metadata/license')) != now:
            check(found in before, 'what was written before:', found)
            same(m.read('models/alpha/tensors.tsv'), table, 'the tensors')
            check(time.monotonic() < end, 'the change arrives')
        before.add(now)


def test_changes_while_it_was_away(t):
    lake = small_lake(t.lake())
    m = t.mount(lake, f'catalog={t.tmp}/c.db').settle()
    m.umount()
    shutil.rmtree(os.path.join(lake, 'org/beta'))
    model(lake, 'epsilon', 8)
    m = t.mount(lake, f'catalog={t.tmp}/c.db')
    eventually(lambda: os.path.exists(m.path('models/epsilon/tensors.tsv')), SOON, 'what came')
    eventually(lambda: not os.path.exists(m.path('models/org/beta')), SOON, 'what went')
    eventually(lambda: os.listdir(m.path('models/org')) == ['gamma'], SOON, 'the listing')


def test_the_lake_vanishes(t):
    """Unplugged, and back: the mount lives."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    m.expect('lake')
    tensors = m.read('models/alpha/tensors.tsv')
    os.rename(lake, lake + '-away')
    check(len(m.read('lake/status.txt')) > 10, 'status')
    same(m.read('models/alpha/tensors.tsv'), tensors, 'what was computed')
    os.rename(lake + '-away', lake)
    eventually(lambda: os.path.exists(m.path('models/alpha/metadata.json')) and
               len(m.read('models/alpha/metadata.json')) > 10, SOON, 'the model again')


def test_a_mount_in_a_lake(t):
    """Another lake's tree that is mounted in a lake is none of its models; a cache that only has a tag is."""
    lake, other = small_lake(t.lake()), t.lake('other')
    model(other, 'far', 21)
    model(lake, 'hub/near', 22)
    write(os.path.join(lake, 'hub/CACHEDIR.TAG'), 'Signature: 8a477f597d28d172789f06886806bc55\n# by another\n')
    os.makedirs(os.path.join(lake, 'views/far'))
    inner = t.mount(other, point=os.path.join(lake, 'views/far')).settle()
    m = t.mount(lake).settle()
    same(sorted(os.listdir(m.path('all'))), ['alpha', 'hub--near', 'org--beta', 'org--gamma'], 'models')
    check(b'views/far\t' in m.read('lake/unread.tsv'), 'it is said', m.read('lake/unread.tsv'))
    same(t.run('ls', lake, 'models')[0].split(), [b'alpha', b'hub', b'org'], 'tarn ls')
    inner.umount()


def test_another_directory_under_the_name(t):
    """The path counts: another directory that takes its place is the lake, and is watched; the old one is not."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    m.expect('is gone')
    for n in range(2):
        os.rename(lake, f'{lake}-{n}')
        os.mkdir(lake)
        model(lake, f'new{n}', 30 + n)
        eventually(lambda: sorted(os.listdir(m.path('models'))) == [f'new{n}'], SOON, 'the new directory')
        model(f'{lake}-{n}', 'late', 40)
        model(lake, 'later', 41)
        eventually(lambda: sorted(os.listdir(m.path('models'))) == ['later', f'new{n}'], SOON, 'what came there')
    m.settle()
    check(len(m.read('models/later/tensors.tsv').splitlines()) > 10, 'it is read')


def test_a_file_is_cut_short(t):
    """truncate(2) opens and closes nothing."""
    lake = small_lake(t.lake())
    m = t.mount(lake).settle()
    check(b'alpha' not in m.read('lake/problems.tsv'), 'no problem')
    os.truncate(os.path.join(lake, 'alpha/model.safetensors'), 5000)
    eventually(lambda: b'alpha' in m.read('lake/problems.tsv'), SOON, 'the problem')


def test_what_is_shown_nowhere(t):
    """unread.tsv is whole from the first read on, and follows the lake where no model changes."""
    lake = small_lake(t.lake())
    for i in range(300):
        write(os.path.join(lake, 'archives/%d.7z' % i), '7z\xbc')
    m = t.mount(lake)
    same(m.read('lake/unread.tsv').count(b'\tan archive is not unpacked\n'), 300, 'at once')
    m.settle()
    write(os.path.join(lake, 'more.7z'), '7z\xbc')
    eventually(lambda: b'more.7z\t' in m.read('lake/unread.tsv'), SOON, 'another')
    os.unlink(os.path.join(lake, 'more.7z'))
    eventually(lambda: b'more.7z\t' not in m.read('lake/unread.tsv'), SOON, 'gone again')


def test_a_new_lake_at_once(t):
    """What tells of the whole lake waits for it: the first to look sees what all see later."""
    lake = t.lake()
    for i in range(100):
        model(lake, 'many/m%d' % i, i)
    os.rename(os.path.join(lake, 'many/m7/model.safetensors'), os.path.join(lake, 'many/m7/weights'))   # known by content alone
    paths = ('lake/problems.tsv', 'lake/models.json', 'lake/models.tsv', 'lake/graph.json', 'lake/summary.txt')
    for path in paths:
        m = t.mount(lake, 'catalog=' + os.path.join(t.dir('catalogs'), path.replace('/', '-')))
        first = m.read(path)
        m.settle()
        same(first, m.read(path), path)
        m.umount()


def test_an_empty_lake(t):
    m = t.mount(t.lake()).settle()
    same(os.listdir(m.path('models')), [], 'models')
    check(b'0' in m.read('lake/status.txt'), 'status')
    check(len(m.read('README')) > 100, 'README')
    model(t.lake(), 'first', 1)
    eventually(lambda: os.path.exists(m.path('models/first/tensors.tsv')), SOON, 'the first model')


def test_an_empty_lake_that_is_filled(t):
    """Nothing that was told of an empty lake is told of it again."""
    m = t.mount(t.lake()).settle()
    same(m.read('lake/models.tsv').count(b'\n'), 1, 'none')
    m.umount()
    for i in range(200):    # so many that the first look takes longer than getting there
        model(t.lake(), 'm%d' % i, i)
    m = t.mount(t.lake())
    same(m.read('lake/models.tsv').count(b'\n'), 201, 'all')


main()
