"""What is known is kept (docs/semantics.md, "The catalog"): over remounts, crashes and damage, or it is said."""
import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time

from harness import check, eventually, main, model, mounted, need_root, same, small_lake, write


def catalog_of(t):
    found = [os.path.join(d, f) for d, _, fs in os.walk(t.dir('cache')) for f in fs if f.endswith('.db')]
    same(len(found), 1, f'catalogs: {found}')
    return found[0]


def catalog(t, name='catalog.db'):
    return os.path.join(t.tmp, name)


def refused(t, lake, *options):
    """What tarn mount says, in the background and the foreground."""
    said = []
    for more in ([], ['-f']):
        command = ['mount', lake, t.dir('mnt'), *more]
        for o in options:
            command += ['-o', o]
        said.append(t.run(*command, status=1)[1])
        check(not mounted(t.dir('mnt')), 'nothing is mounted')
    return said[0]


def test_a_remount_keeps_what_was_computed(t):
    lake = small_lake(t.lake())
    db = f'catalog={catalog(t)}'
    m = t.mount(lake, db).settle()
    statistics = m.read('exact/alpha/statistics.tsv')
    generation = m.read('lake/generation')
    check(m.status()['computed'] > 0, 'computed')
    m.umount()
    m = t.mount(lake, db).settle()
    same(os.stat(m.path('exact/alpha/statistics.tsv')).st_size, len(statistics), 'size before any open')
    same(m.read('exact/alpha/statistics.tsv'), statistics, 'content')
    same(m.status()['computed'], 0, 'computations')
    same(m.status()['bytes read'], 0, 'bytes read')
    same(m.read('lake/generation'), generation, 'generation: nothing has changed')


def test_a_crash_keeps_it_too(t):
    lake = small_lake(t.lake())
    db = f'catalog={catalog(t)}'
    m = t.mount(lake, db).settle()
    statistics = m.read('exact/alpha/statistics.tsv')
    m.kill()
    t.run('umount', m.point)
    m = t.mount(lake, db).settle()
    same(m.read('exact/alpha/statistics.tsv'), statistics, 'content')
    same(m.status()['bytes read'], 0, 'bytes read')


def test_deleting_it_loses_only_time(t):
    lake = small_lake(t.lake())
    db = f'catalog={catalog(t)}'
    m = t.mount(lake, db).settle()
    tensors = m.read('models/alpha/tensors.tsv')
    m.umount()
    for f in os.listdir(t.tmp):
        if f.startswith('catalog.db'):
            os.unlink(os.path.join(t.tmp, f))
    m = t.mount(lake, db).settle()
    same(m.read('models/alpha/tensors.tsv'), tensors, 'content')
    check(m.status()['bytes read'] > 0, 'read again')


def test_deleted_while_mounted(t):
    """The mount lives, and goes on answering."""
    lake = small_lake(t.lake())
    m = t.mount(lake, f'catalog={catalog(t)}').settle()
    m.expect('catalog')
    m.read('models/alpha/tensors.tsv')
    for f in os.listdir(t.tmp):
        if f.startswith('catalog.db'):
            os.unlink(os.path.join(t.tmp, f))
    check(len(m.read('models/alpha/tensors.tsv')) > 100, 'what was computed')
    check(len(m.read('models/org/gamma/tensors.tsv')) > 100, 'what was not')
    check(len(m.read('exact/org--gamma/statistics.tsv')) > 100, 'exact')
    m.umount()
    m = t.mount(lake, f'catalog={catalog(t)}').settle()
    check(len(m.read('models/alpha/tensors.tsv')) > 100, 'afterwards')


def test_damage_is_said(t):
    """Which file, what is wrong with it, what to do; and doing it helps."""
    lake = small_lake(t.lake())
    db = catalog(t)
    t.run('index', lake, '--catalog', db)
    whole = open(db, 'rb').read()
    cases = {'garbage': os.urandom(len(whole)), 'text': b'not a database at all\n' * 50,
             'first page': os.urandom(4096) + whole[4096:], 'cut': whole[:5000]}
    for name, data in cases.items():
        for f in os.listdir(t.tmp):
            if f.startswith('catalog.db'):
                os.unlink(os.path.join(t.tmp, f))
        write(db, data)
        said = refused(t, lake, f'catalog={db}')
        check(db in said and re.search(r'damaged|not a (catalog|database)|malformed', said), name, said)
        check('delete' in said or 'remove' in said or 'rm ' in said, name, 'what to do:', said)
        same(t.run('cat', lake, 'README', '--catalog', db, status=1)[0], b'', 'tarn cat')
    os.unlink(db)
    t.run('mount', lake, t.dir('mnt'), '--catalog', db)
    t.run('umount', t.dir('mnt'))


def test_a_newer_version_is_refused(t):
    lake = small_lake(t.lake())
    db = catalog(t)
    t.run('index', lake, '--catalog', db)
    with sqlite3.connect(db) as c:
        version = c.execute('PRAGMA user_version').fetchone()[0]
        c.execute(f'PRAGMA user_version = {version + 1000}')
    c.close()
    said = refused(t, lake, f'catalog={db}')
    check('newer' in said and db in said, said)


def test_places_where_it_cannot_be(t):
    lake = small_lake(t.lake())
    said = refused(t, lake, 'catalog=/nonexistent/dir/catalog.db')
    check('/nonexistent/dir' in said, said)
    check('directory' in said and 'No such' in said, said)
    said = refused(t, lake, f'catalog={t.dir("adir")}')
    check('adir' in said and 'found a directory' in said, said)
    text = write(os.path.join(t.tmp, 'notes.txt'), 'what to buy: bread')
    said = refused(t, lake, f'catalog={text}')
    check('notes.txt is not a catalog of tarn' in said and 'another place' in said, said)
    same(open(text).read(), 'what to buy: bread', 'the text')
    said = refused(t, lake, f'catalog={t.dir("mnt")}/catalog.db')
    check('below the mount point' in said, said)
    same(os.listdir(t.dir('mnt')), [], 'nothing was made in the mount point')
    said = refused(t, lake, f'catalog={lake}/catalog.db')
    check('lake' in said, 'nothing is written into the lake:', said)
    same([f for f in os.listdir(lake) if 'catalog' in f], [], 'nothing was')


def test_a_read_only_place(t):
    need_root()
    lake, small = small_lake(t.lake()), t.dir('small')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=9m', 'none', small], check=True)
    t.tidy.callback(subprocess.run, ['umount', '-l', small], check=False)
    for full in False, True:
        if full:
            subprocess.run(['mount', '-o', 'remount,rw', small], check=True)
            t.run('index', lake, '--catalog', f'{small}/c.db')
        subprocess.run(['mount', '-o', 'remount,ro', small], check=True)
        said = refused(t, lake, f'catalog={small}/c.db')
        check('Read-only' in said and 'another place' in said, said)


def test_a_full_disk(t):
    """The catalog cannot grow: what is known is still answered, what cannot be kept is ENOSPC at worst, and with room
    again all is well."""
    need_root()
    lake = small_lake(t.lake())
    small = t.dir('small')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=300k', 'none', small], check=True)
    t.tidy.callback(subprocess.run, ['umount', '-l', small], check=False)
    m = t.mount(lake, f'catalog={small}/c.db')
    m.expect('catalog|space|full')
    eventually(lambda: os.path.exists(m.path('models/alpha')), 10, 'the models')
    names = 'models/alpha/tensors.tsv', 'models/org/gamma/tensors.json', 'exact/org--beta/statistics.tsv'
    for name in names:
        try:
            check(len(m.read(name)) > 100, name)
        except OSError as e:
            same(e.errno, errno.ENOSPC, name)
    check(len(m.read('lake/status.txt')) > 100, 'status')
    subprocess.run(['mount', '-o', 'remount,size=30m', small], check=True)
    for name in names:
        check(len(m.read(name)) > 100, f'{name} with room again')
    m.umount()


def test_a_full_disk_is_said_once(t):
    """What cannot be kept is not read again and again: each time later, and at once when there is room."""
    need_root()
    lake = t.lake()
    for n in range(4):
        model(lake, f'm{n}', n, hidden=128, vocab=2048)
    small = t.dir('small')
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=300k', 'none', small], check=True)
    t.tidy.callback(subprocess.run, ['umount', '-l', small], check=False)
    m = t.mount(lake, f'catalog={small}/c.db')
    m.expect('space')
    eventually(lambda: b'last error' in m.read('lake/status.txt'), 20, 'the error')
    before = m.status()['bytes read']
    write(os.path.join(lake, 'm0/README.md'), '# changed\n')
    time.sleep(4)
    same(m.status()['bytes read'], before, 'bytes read while the disk is full')
    same(m.output().count('no space left'), 1, 'it is said once')
    subprocess.run(['mount', '-o', 'remount,size=30m', small], check=True)
    m.settle(10)
    check(b'last error' not in m.read('lake/status.txt'), 'it is past')


def test_two_mounts_of_one_lake(t):
    """They share the catalog: what one has computed the other need not."""
    lake = small_lake(t.lake())
    db = f'catalog={catalog(t)}'
    a = t.mount(lake, db).settle()
    b = t.mount(lake, db, point=t.dir('mnt2')).settle()
    statistics = a.read('exact/alpha/statistics.tsv')
    same(b.read('exact/alpha/statistics.tsv'), statistics, 'content')
    same(b.status()['bytes read'], 0, 'bytes read by the other')
    same(t.run('cat', lake, 'exact/alpha/statistics.tsv', '--catalog', catalog(t))[0], statistics,
         'tarn cat beside them')
    same({n: os.stat(a.path(n)).st_ino for n in ('models/alpha', 'all')},
         {n: os.stat(b.path(n)).st_ino for n in ('models/alpha', 'all')}, 'inodes')


def test_a_command_beside_a_mount(t):
    """It ends, and the mount's log stays: what is computed after it is kept, and the file is sound."""
    lake, file = small_lake(t.lake()), catalog(t)
    m = t.mount(lake, f'catalog={file}').settle()
    for _ in range(3):
        t.run('ls', lake, '--catalog', file)
        check(os.path.exists(file + '-wal'), 'the log is there')
    before = m.read('exact/alpha/statistics.tsv')
    m.umount()
    with sqlite3.connect(file) as db:
        same(db.execute('PRAGMA integrity_check').fetchone()[0], 'ok', 'the file')
    m = t.mount(lake, f'catalog={file}').settle()
    same(os.stat(m.path('exact/alpha/statistics.tsv')).st_size, len(before), 'what was computed')


def test_stopped_while_signatures_are_read(t):
    """A model that was not signed is signed the next time; it never stands there as one that cannot be."""
    lake = os.path.join(os.environ['TARN_SOURCE'], 'tests/data/lake')
    for n in range(6):
        option = 'catalog=' + os.path.join(t.tmp, f'{n}.db')
        m = t.mount(lake, option)
        time.sleep(0.015 * n)
        m.umount()
        m = t.mount(lake, option).settle()
        check(b'no signature' not in m.read('lake/problems.tsv'), n, m.read('lake/problems.tsv'))
        m.umount()


def test_where_it_is(t):
    """$XDG_CACHE_HOME/tarn for users, one for each set of directories whatever their order; nothing in the lake."""
    need_root()
    a, b = small_lake(t.dir('a')), small_lake(t.dir('b'))
    if not shutil.which('setpriv'):
        return
    before = sorted(os.path.join(d, f) for d, _, fs in os.walk(a) for f in fs)
    cache = t.dir('cache')
    os.chown(cache, 65534, 65534)
    as_user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', os.environ['TARN']]
    for lakes in ([a, b], [b, a], [f'{a}:{b}'], [os.path.join(a, '..', 'a'), b]):
        subprocess.run([*as_user, 'index', *lakes], env=dict(t.env, HOME='/nonexistent'), check=True, timeout=60)
        check('/tarn/' in catalog_of(t), catalog_of(t))
    same(sorted(os.path.join(d, f) for d, _, fs in os.walk(a) for f in fs), before, 'the lake')


def test_another_user(t):
    """user=NAME: all that is read is read as NAME; what NAME may not read is said, not shown."""
    need_root()
    lake = small_lake(t.lake())
    os.chmod(os.path.join(lake, 'alpha/model.safetensors'), 0o600)
    m = t.mount(lake, 'user=nobody', f'catalog={t.dir("nobody")}/c.db', wait=False)
    eventually(lambda: m.process.poll() is not None, 10, 'the refusal')
    check('c.db' in m.output() or 'nobody' in m.output(), m.output())
    m.expect('cannot|unable|denied')
    eventually(lambda: not mounted(m.point), 10, 'a free mount point')
    os.chown(t.dir('nobody'), 65534, 65534)
    m = t.mount(lake, 'user=nobody', f'catalog={t.dir("nobody")}/c.db').settle()
    same(os.stat(f'/proc/{m.process.pid}').st_uid, 65534, 'uid')
    same(os.stat(catalog(t, 'nobody/c.db')).st_uid, 65534, 'owner of the catalog')
    check(len(m.read('models/org/beta/tensors.tsv')) > 100, 'readable')
    check(not os.path.exists(m.path('models/alpha/tensors.tsv')) or
          b'model.layers' not in m.read('models/alpha/tensors.tsv'), 'not readable')
    check(b'alpha' in m.read('lake/problems.tsv'), m.read('lake/problems.tsv'))
    m.signal(signal.SIGTERM)
    same(m.ended(), 0, 'exit status')
    eventually(lambda: not mounted(m.point), 5, 'the unmount')


main()
