"""What is refused, what is said, and what mount(8) and fstab may pass (docs/semantics.md, "Mounting")."""
import os
import shutil
import signal
import subprocess
import sys
import time

from harness import alive, check, eventually, main, mounted, need_root, read, same, SLOW, write


def fake(t, *args, status=1, env=None, program=None):
    _, said = t.run('mount', *args, program=program or os.environ['TARN_FAKE'], status=status, env=env)
    return said


def unmount(t, point):
    t.run('umount', point, program=os.environ['TARN_FAKE'])


def test_refused_mount_points(t):
    lake = t.lake()
    full = t.dir('full')
    write(os.path.join(full, 'x'), 'x')
    inside = t.dir('lake/inside')
    check('not' not in fake(t, lake, t.dir('fine'), status=0).replace('note', ''), 'a fine one')
    check('already mounted' in fake(t, lake, t.dir('fine')), 'twice')
    unmount(t, t.dir('fine'))
    for point, words in ((os.path.join(t.tmp, 'missing'), 'mkdir -p'), (os.path.join(full, 'x'),
                                                                        'expected a directory'),
                         (full, 'nonempty'), (inside, 'lies in the lake'), (lake, 'lies in the lake'), (t.tmp, '')):
        said = fake(t, lake, point)
        check(words in said and said.startswith('tarn: ') or 'running as root' in said and words in said, point, said)
    check('hidden' in fake(t, lake, t.tmp, '-o', 'nonempty'), 'the lake in the mount point')
    link = os.path.join(t.tmp, 'link')
    os.symlink(inside, link)
    check('lies in the lake' in fake(t, lake, link), 'through a link')
    fake(t, lake, full, '-o', 'nonempty', status=0)
    check('x' not in os.listdir(full), 'hidden')
    unmount(t, full)
    same(os.listdir(full), ['x'], 'back')
    same([m for m in (full, inside, lake, t.tmp) if mounted(m)], [], 'left behind')


def test_refused_lakes(t):
    point = t.dir('mnt')
    check('No such file' in fake(t, os.path.join(t.tmp, 'nolake'), point), 'missing')
    f = write(os.path.join(t.tmp, 'file'), 'x')
    check('expected a directory' in fake(t, f, point), 'a file')


def test_usage(t):
    point, lake = t.dir('mnt'), t.lake()
    for args, words in ((['-o', 'bogus'], "unknown option 'bogus'"), (['--bogus'], "unknown option '--bogus'"),
                        (['-o', 'files=both'], 'expected link|serve'), (['-o', 'files'], 'needs a value'),
                        (['-o', 'compute='], 'needs a value'), (['-o', 'wait=yes'], 'takes no value'),
                        (['--queue', 'many'], 'expected a number'), (['--queue=0'], 'expected a number'),
                        (['-o', 'remount'], 'cannot remount'), (['-x'], "unknown option '-x'"), (['-o'],
                                                                                                 'needs a value'),
                        (['-o', 'help'], 'unknown option')):
        check(words in fake(t, lake, point, *args, status=2), args)
    check('found neither' in fake(t, status=2), 'nothing')
    check('only one' in fake(t, lake, status=2), 'no mount point')
    check('user=nosuch' in fake(t, lake, point, '-o', 'user=nosuch'), 'unknown user')
    same(t.run('frobnicate', status=2)[0], b'', 'unknown command')
    same(t.run(status=2)[0], b'', 'no command')
    check(b'tarn mount' in t.run('--help')[0], 'help')
    check(t.run('--version')[0].startswith(b'tarn '), 'version')


def test_failures_of_the_daemon_are_reported(t):
    point, lake = t.dir('mnt'), t.lake()
    said = fake(t, lake, point, env={'FAKE_FAIL': 'the catalog is damaged; delete it: rm x'})
    check('the catalog is damaged; delete it: rm x' in said, said)
    check(not mounted(point), 'nothing is mounted')
    said = fake(t, lake, point, env={'FAKE_CRASH': '1', 'ASAN_OPTIONS': 'handle_abort=0', 'TSAN_OPTIONS':
                                     'handle_abort=0'})
    check('signal 6' in said, said)
    said = fake(t, lake, point, '-o', 'log=/nonexistent/log')
    check('cannot open the log' in said, said)
    said = fake(t, lake, point, env={'FAKE_WARNING': 'the cache is on a network'}, status=0)
    check('the cache is on a network' in said, said)
    unmount(t, point)


def test_background(t):
    """The command returns when the mount answers, holding nothing open; --wait when everything cheap is known."""
    point, lake, log = t.dir('mnt'), t.lake(), os.path.join(t.tmp, 'log')
    began = time.monotonic()
    fake(t, lake, point, '--log', log, status=0)     # run() waits for the pipes to close: the daemon holds none
    took = time.monotonic() - began
    check(took < (5 if SLOW else 0.4), f'took {took:.2f} s')
    same(read(os.path.join(point, 'fast')), b'fast\n', 'at once')
    unmount(t, point)
    began = time.monotonic()
    fake(t, lake, point, '--wait', status=0)
    check(time.monotonic() - began > 0.4, '--wait waits')
    unmount(t, point)
    fake(t, lake, point, '-o', f'wait,log={log},fsname=a\\,b', status=0)
    with open('/proc/self/mountinfo') as f:
        check(any(' a,b ' in line for line in f), 'fsname with a comma')
    pid = subprocess.run(['fuser', '-m', point], capture_output=True, text=True, check=False)
    unmount(t, point)
    same(pid.stdout.strip(), '', 'users of the mount')


def test_relative_paths(t):
    t.lake()
    t.dir('mnt')
    fake_ = os.environ['TARN_FAKE']
    t.run('mount', 'lake', 'mnt', '--log', 'log', program=fake_, cwd=t.tmp)
    same(read(os.path.join(t.tmp, 'mnt/fast')), b'fast\n', 'content')
    check(os.path.exists(os.path.join(t.tmp, 'log')), 'the log is where it was asked for')
    t.run('umount', 'mnt/', program=fake_, cwd=t.tmp)


def test_several_lakes(t):
    a, b, point = t.dir('a'), t.dir('b:c'), t.dir('mnt')
    for args in ([f'{a}:{t.dir("d")}'], [a, b], [f'{b}'], [f'{a}:']):
        fake(t, *args, point, status=0)
        unmount(t, point)
    check('No such' in fake(t, f'{a}:{t.tmp}/none', point), 'one is missing')


def test_helper(t):
    """mount.fuse.tarn SRC DIR as mount(8) runs it, with what fstab may say."""
    lake, point = t.lake(), t.dir('mnt')
    helper = os.path.join(t.tmp, 'mount.fuse.tarn')
    os.symlink(os.environ['TARN_FAKE'], helper)

    def run(*args, status=0):
        r = subprocess.run([helper, *args], env=t.env, capture_output=True, text=True, check=False, timeout=30)
        same(r.returncode, status, ' '.join(args) + r.stderr)
        return r.stderr

    for options in ('rw', 'ro,nosuid,nodev,noexec,relatime,user,noauto,_netdev,nofail,x-systemd.automount,x-gvfs-show',
                    'defaults', 'rw,files=serve,compute=cached,queue=3,comment=a', 'ro,allow_other'):
        said = run(lake, point, '-n', '-v', '-o', options)
        check('rror' not in said, said)
        check(mounted(point), options)
        with open('/proc/self/mountinfo') as f:
            line = [x for x in f if point in x][-1]
        check(' ro,nosuid,nodev,' in line and 'fuse.tarn' in line, line)
        unmount(t, point)
    run(lake, point, '-f', '-o', 'ro')
    check(not mounted(point), '-f is fake')
    run(lake, point, '-o', 'bogus', status=2)
    run(lake, point, '-s', '-o', 'bogus')
    unmount(t, point)
    r = subprocess.run([os.environ['TARN_FAKE'], lake, point, '-o', 'rw,nosuid'], env=t.env, capture_output=True,
                       check=False)
    same(r.returncode, 0, 'tarn LAKE DIR -o …, as mount.fuse3 runs it')
    unmount(t, point)


def test_mount_and_fstab(t):
    """The real mount(8), where the helper is or can be put where it looks."""
    need_root()
    helper = '/sbin/mount.fuse.tarn'
    ours = not os.path.lexists(helper)
    if ours:
        os.symlink(os.environ['TARN_FAKE'], helper)
        t.tidy.callback(os.unlink, helper)
    elif os.path.realpath(helper) != os.path.realpath(os.environ['TARN_FAKE']):
        return      # somebody's own tarn is installed there
    lake, point = t.lake(), t.dir('mnt')
    env = dict(t.env, PATH='/usr/sbin:/usr/bin:/sbin:/bin')
    subprocess.run(['mount', '-t', 'fuse.tarn', lake, point, '-o', 'files=serve'], env=env, check=True, timeout=30)
    check(mounted(point), 'mount -t fuse.tarn')
    subprocess.run(['umount', point], env=env, check=True, timeout=30)
    fstab = write(os.path.join(t.tmp, 'fstab'),
                  f'{lake}:{t.dir("other")} {point} fuse.tarn noauto,nofail,allow_other 0 0\n')
    subprocess.run(['mount', '-T', fstab, point], env=env, check=True, timeout=30)
    check(mounted(point), 'from fstab')
    subprocess.run(['umount', point], env=env, check=True, timeout=30)


def test_unprivileged(t):
    """A user's own mount, through fusermount3, with umount, and a clean stop."""
    need_root()
    if not shutil.which('fusermount3'):
        return
    if not os.stat('/dev/fuse').st_mode & 0o006:    # once more, where everybody may open it
        if 'TARN_UNSHARED' not in os.environ and shutil.which('unshare'):
            node = os.path.join(t.tmp, 'fuse')
            command = (f'mknod {node} c 10 229 && chmod 666 {node} && mount --bind {node} /dev/fuse && '
                       f'exec {sys.executable} {os.path.abspath(__file__)} {t.name}')
            r = subprocess.run(['unshare', '-m', 'sh', '-c', command], env=dict(os.environ, TARN_UNSHARED='1'),
                               capture_output=True, text=True, check=False)
            same(r.returncode, 0, r.stdout + r.stderr)
        return
    lake, point = t.lake(), t.dir('mnt')
    os.chown(point, 65534, 65534)
    as_user = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    env = dict(t.env, HOME='/nonexistent', XDG_CACHE_HOME=t.tmp)
    fake_ = os.environ['TARN_FAKE']
    subprocess.run([*as_user, fake_, 'mount', lake, point], env=env, check=True, timeout=30)
    same(subprocess.run([*as_user, 'cat', f'{point}/fast'], capture_output=True, check=True).stdout, b'fast\n', 'read')
    subprocess.run([*as_user, fake_, 'umount', point], env=env, check=True, timeout=30)
    check(not mounted(point), 'umount')
    said = subprocess.run([*as_user, fake_, 'mount', lake, point, '-o', 'user=daemon'], env=env, capture_output=True,
                          text=True, check=False)
    check(said.returncode == 1 and 'only root' in said.stderr, said.stderr)
    said = subprocess.run([*as_user, fake_, 'mount', lake, point, '-o', 'allow_other'], env=env, capture_output=True,
                          text=True, check=False)
    check(said.returncode == 0 or 'user_allow_other' in said.stderr, said.stderr)
    if said.returncode == 0:
        subprocess.run([*as_user, fake_, 'umount', point], check=True)
    log = open(os.path.join(t.tmp, 'user-log'), 'wb')
    p = subprocess.Popen([*as_user, fake_, 'mount', lake, point, '-f'], env=env, stdout=log, stderr=log)
    eventually(lambda: mounted(point), 5, 'the mount')
    time.sleep(0.2)
    p.send_signal(signal.SIGTERM)
    same(p.wait(5), 0, 'exit status after SIGTERM')
    check(not mounted(point), 'SIGTERM takes it away')


def test_without_dev_fuse(t):
    """A container that was not given the device: it is said, with the way out."""
    need_root()
    unshare = shutil.which('unshare')
    if not unshare:
        return
    command = ('mount -t tmpfs none /dev && mknod /dev/null c 1 3 && '
               f'"{os.environ["TARN_FAKE"]}" mount "{t.lake()}" "{t.dir("mnt")}"')
    r = subprocess.run([unshare, '-m', 'sh', '-c', command], env=t.env, capture_output=True, text=True, check=False)
    check(r.returncode == 1 and '/dev/fuse' in r.stderr and 'tarn ls' in r.stderr, r.stderr)


def test_interrupting_the_wait(t):
    """^C while the command waits ends the daemon, too, and leaves no mount."""
    point = t.dir('mnt')
    p = t.start(os.environ['TARN_FAKE'], 'mount', t.lake(), point, '--wait', env=t.env)
    eventually(lambda: mounted(point), 5, 'the mount')
    p.send_signal(signal.SIGINT)
    p.wait(10)
    eventually(lambda: not mounted(point), 5, 'the end of the mount')
    check(not alive(p.pid), 'gone')


main()
