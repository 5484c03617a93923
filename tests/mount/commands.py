"""The command line without a mount (docs/semantics.md, "Without a mount"): the same tree, the same bytes."""
import os
import pty
import re
import select
import signal
import subprocess
import time

from harness import check, llama_config, llama_tensors, main, model, noise, safetensors, same, small_lake, write


def test_the_same_tree(t):
    """Every name and every byte of it, but for what lives in lake/."""
    lake = small_lake(t.lake())
    m = t.mount(lake, f'catalog={t.tmp}/a.db').settle()
    other = ['--catalog', os.path.join(t.tmp, 'b.db')]
    for d, dirs, files in os.walk(m.point):
        at = os.path.relpath(d, m.point)
        at = '' if at == '.' else at
        out = t.run('ls', '-a', lake, at,
                    *other)[0].decode().splitlines() if len(at.split('/')) < 4 else sorted(dirs + files)
        same(out, sorted(dirs + files), f'names of {at or "the root"}')
    for name in ('README', 'models/alpha/tensors.tsv', 'models/alpha/tensors.json', 'models/org/beta/metadata.json',
                 'models/alpha/signature.npy', 'exact/alpha/statistics.tsv', 'lake/models.tsv', 'lake/lineage.tsv',
                 'models/alpha/lineage/parents.tsv', 'models/alpha/metadata/license'):
        same(t.run('cat', lake, name, *other)[0], m.read(name), name)


def test_links_are_followed(t):
    lake = small_lake(t.lake())
    tensors = t.run('cat', lake, 'models/org/beta/tensors.tsv')[0]
    for path in ('all/org--beta/tensors.tsv', '/models/org/beta/tensors.tsv', 'models//org/./beta/../beta/tensors.tsv'):
        same(t.run('cat', lake, path)[0], tensors, path)
    same(t.run('cat', lake, 'models/org/beta/exact/statistics.tsv')[0], t.run('cat', lake,
                                                                              'exact/org--beta/statistics.tsv')[0],
         'models/ID/exact')
    card = open(os.path.join(lake, 'alpha/README.md'), 'rb').read()
    same(t.run('cat', lake, 'models/alpha/README.md')[0], card, 'through files/ into the lake')
    same(t.run('cat', lake, 'models/alpha/files/config.json', 'models/alpha/README.md')[0],
         open(os.path.join(lake, 'alpha/config.json'), 'rb').read() + card, 'two')
    same(t.run('cat', lake, 'models/alpha/README.md', '--files=serve')[0], card, 'files=serve')
    same(t.run('ls', lake, 'all/alpha')[0], t.run('ls', lake, 'models/alpha')[0], 'ls through a link')


def test_ls(t):
    lake = small_lake(t.lake())
    same(t.run('ls', lake, 'models')[0], b'alpha\norg\n', 'one a line')
    out = t.run('ls', '-l', lake, 'models/alpha')[0].decode()
    line = re.search(r'^(\S+) +1 \S+ +\S+ +\d+ \d{4}-\d\d-\d\d \d\d:\d\d README\.md -> files/README\.md$', out, re.M)
    check(line and line[1] == 'lrwxrwxrwx', out)
    check(re.search(r'^d\S{9} .* metadata$', out, re.M), out)
    out = t.run('ls', '-R', lake, 'models/org')[0].decode()
    check(out.startswith('models/org:\nbeta\ngamma\n\nmodels/org/beta:\n'), out[:200])
    out = t.run('ls', lake, 'models', 'lake')[0].decode()
    check('models:\n' in out and '\nlake:\n' in out, out)
    same(t.run('ls', lake, 'README')[0], b'README\n', 'a file')
    same(t.run('ls', '-l', lake, 'all/alpha')[0].decode().rpartition(' all')[2], '/alpha -> ../models/alpha\n',
         'a link, with -l')
    for names in ([lake, 'nothing'], [lake, 'README/x'], [lake, 'models/alpha/tensors.tsv/']):
        out, said = t.run('ls', *names, status=1 if names[1] != 'models/alpha/tensors.tsv/' else None)
        check(said.startswith('tarn: cannot list') or out, names, said)


def test_errors(t):
    lake = small_lake(t.lake())
    for command, words in ((('cat', lake, 'models'), 'found a directory'), (('cat', lake, 'nothing'), 'No such file'),
                           (('cat', os.path.join(t.tmp, 'none'), 'README'), 'cannot open the lake'),
                           (('ls', os.path.join(lake, 'alpha/config.json')), 'expected a directory'),
                           (('status', os.path.join(t.tmp, 'none')), 'cannot open'),
                           (('which', lake, '/etc/passwd'), 'belongs to no model'),
                           (('which', lake, os.path.join(lake, 'nothing')), 'cannot find')):
        out, said = t.run(*command, status=1)
        check(words in said and said.startswith('tarn: '), command, said)
        same(out, b'', command)
    for command in (('cat',), ('cat', lake), ('ls',), ('which', lake), ('index',), ('status',), ('umount',)):
        _, said = t.run(*command, status=2)
        check('usage: tarn' in said and 'expected' in said, said)
    for command in ('mount', 'umount', 'index', 'ls', 'cat', 'which', 'status'):
        check(b'usage: tarn ' + command.encode() in t.run(command, '--help')[0], command)
    for command in f'ls {lake}', '--help', '--version', 'help mount':
        same(subprocess.run(f'{os.environ["TARN"]} {command} > /dev/full', shell=True, env=t.env, capture_output=True,
                            check=False).returncode, 1, f'a full disk: {command}')
    same(t.run('ls', lake, 'nothing', status=1)[1], "tarn: cannot list 'nothing': No such file or directory\n", 'once')
    same(t.run('help', 'mount')[0], t.run('mount', '--help')[0], 'help mount')
    same(t.run('mount', '--version')[0], t.run('--version')[0], '--version')
    check('to 1024' in t.run('ls', lake, '--jobs=100000', status=2)[1], 'jobs')
    said = t.run('ls', lake, '--allow=/nonexistent', status=1)[1]
    same(said, "tarn: allow=/nonexistent: cannot open the directory '/nonexistent': No such file or directory\n",
         'allow')
    _, said = t.run('mount', lake, os.path.join(lake, 'new'), status=1)
    check('lies in the lake' in said and 'mkdir' not in said, said)


def test_patterns(t):
    """ls and cat know a shell's patterns, through links too; what matches nothing is said."""
    lake = small_lake(t.lake())
    same(t.run('ls', lake, 'models/a*')[0], t.run('ls', lake, 'models/alpha')[0], 'one')
    check(t.run('ls', lake, 'models/*')[0].startswith(b'models/alpha:\n'), 'two')
    same(t.run('cat', lake, 'all/*/metadata/license')[0], b'mit\napache-2.0\n', 'those that have one')
    same(t.run('cat', lake, 'models/*/[a-b]e?a/metadata/license')[0], b'apache-2.0\n', 'deeper')
    same(t.run('ls', lake, 'models/alpha/metadata/lic*', 'models/[!a]*/gamma/tensors.tsv')[0],
         b'models/alpha/metadata/license\nmodels/org/gamma/tensors.tsv\n', 'files')
    for pattern in 'models/x*', 'models/*/nothing', 'README/*', 'n[':
        _, said = t.run('cat', lake, pattern, status=1)
        check(pattern in said and ('No such file' in said or 'Not a directory' in said), said)
    model(lake, 'odd[1]*', 9)
    same(t.run('cat', lake, 'models/odd[1]*/metadata/path')[0], b'odd[1]*\n', 'a name like a pattern is itself')


def test_what_is_not_computed(t):
    lake = small_lake(t.lake())
    t.run('index', lake)
    for command in 'cat', 'ls':
        _, said = t.run(command, lake, 'exact/alpha/statistics.tsv', '--compute', 'cached', status=1)
        check('has not been computed' in said and 'tarn index' in said, said)


def test_which(t):
    lake = small_lake(t.lake())
    repo = os.path.join(lake, 'models--hub--name')
    blob = safetensors(os.path.join(repo, 'blobs/abc'), llama_tensors(), noise(9))
    snapshot = os.path.join(repo, 'snapshots/0123456789abcdef0123456789abcdef01234567')
    write(os.path.join(snapshot, 'config.json'), llama_config())
    write(os.path.join(repo, 'refs/main'), '0123456789abcdef0123456789abcdef01234567')
    os.symlink('../../blobs/abc', os.path.join(snapshot, 'model.safetensors'))
    for file, model_ in ((os.path.join(lake, 'org/beta/model.safetensors'), b'org/beta\n'),
                         (os.path.join(lake, 'alpha/README.md'), b'alpha\n'), (os.path.join(lake, 'org/beta'),
                                                                               b'org/beta\n'),
                         (os.path.join(snapshot, 'model.safetensors'), b'hub/name\n'), (blob, b'hub/name\n')):
        same(t.run('which', lake, file)[0], model_, file)
    same(t.run('which', '.', 'org/../alpha/config.json', cwd=lake)[0], b'alpha\n', 'relative')
    link = os.path.join(t.tmp, 'link')
    os.symlink(os.path.join(lake, 'org/gamma/config.json'), link)
    same(t.run('which', lake, link)[0], b'org/gamma\n', 'a link from outside')
    both = t.run('which', lake, link, os.path.join(lake, 'alpha/config.json'))[0].decode().splitlines()
    same([b.split('\t')[1] for b in both], ['org/gamma', 'alpha'], 'two')
    m = t.mount(lake).settle()
    same(t.run('which', lake, m.path('models/alpha/files/config.json'))[0], b'alpha\n', 'through a mount')


def test_status(t):
    lake = small_lake(t.lake())
    for what in lake, t.dir('mnt'):
        _, said = t.run('status', what, status=1)
        check('nothing is mounted' in said and 'tarn index' in said, said)
        same(os.listdir(t.dir('cache')), [], 'asking makes nothing')
    check('nothing' in t.run('status', lake, '--catalog', os.path.join(t.tmp, 'no.db'), status=1)[1], '--catalog')
    check(not os.path.exists(os.path.join(t.tmp, 'no.db')), 'no catalog made')
    t.run('index', lake)
    out = t.run('status', lake)[0].decode()
    check(re.search(r'^models\s+3$', out, re.M) and re.search(r'^signatures\s+3$', out, re.M), out)
    m = t.mount(lake).settle()
    m.read('exact/alpha/statistics.tsv')
    out = t.run('status', m.point)[0].decode()
    check(re.search(r'^computed\s+[1-9]', out, re.M), 'that of the mount:', out)


def test_several_lakes(t):
    a, b = t.dir('a'), t.dir('b')
    model(a, 'one', 1)
    model(b, 'two', 2)
    same(t.run('ls', f'{a}:{b}', 'models')[0], b'one\ntwo\n', 'A:B')
    t.run('index', a, b)
    same(t.run('which', f'{b}:{a}', os.path.join(b, 'two/config.json'))[0], b'two\n', 'which')
    _, said = t.run('ls', f'{a}:{a}', status=1)
    check(a in said, 'twice the same:', said)


def test_index_is_quiet(t):
    lake = small_lake(t.lake())
    same(t.run('index', lake), (b'', ''), 'not a terminal')
    same(t.run('index', lake, '--exact', '--jobs=2'), (b'', ''), '--exact')
    check(int(t.run('cat', lake, 'exact/alpha/statistics.tsv')[0].count(b'\n')) > 10, 'computed')


def on_terminal(t, *command, until=None):
    """What it writes on a terminal of 100 columns; killed with SIGINT when `until` appears."""
    pid, fd = pty.fork()
    if not pid:
        os.environ.update(t.env, COLUMNS='100')
        os.execv(os.environ['TARN'], [os.environ['TARN'], *command])
    out, end = b'', time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
        if until and re.search(until, out):
            os.kill(pid, signal.SIGINT)
            until = None
    _, status = os.waitpid(pid, 0)
    os.close(fd)
    return out, os.waitstatus_to_exitcode(status)


def test_progress_on_a_terminal(t):
    """A bar with rate, bytes and time left; ^C stops it, and keeps what was done."""
    lake = small_lake(t.lake())
    write(os.path.join(lake, 'huge/config.json'), '{"model_type": "blob"}')
    safetensors(os.path.join(lake, 'huge/model.safetensors'), {f'blob.{i}.weight': ('F32', (1 << 18,
                                                                                            4096)) for i in range(6)})
    out, status = on_terminal(t, 'index', '--exact', lake, until=rb'exact .*huge')
    check(re.search(rb'\rexact +\[[#.]{20}\] \d+/4  .*[kMG]?B/s.*huge', out), out[-400:])
    same(status, 1, 'exit status')
    check(b'what was done is kept' in out, out[-200:])
    out, status = on_terminal(t, 'ls', lake, 'models')
    same(status, 0, 'exit status')
    same(out.replace(b'\r', b'').split(), [b'alpha', b'huge', b'org'], 'columns')
    same(out.count(b'\n'), 1, 'in one row')


def test_completion(t):
    """bash: commands, options, their values, mounted names and names of the tree."""
    lake = small_lake(t.lake())
    t.run('index', lake)
    script = os.path.join(os.environ.get('TARN_SOURCE', '.'), 'fs/completion/tarn')
    bin_ = t.dir('bin')
    os.symlink(os.environ['TARN'], os.path.join(bin_, 'tarn'))

    def complete(*words):
        """Candidates for the last word, cut up at '=' and ':' as readline does."""
        cut = [p for w in words for p in (re.findall('[=:]+|[^=:]+', w) or [''])]
        if words[-1][-1:] == '=':
            cut[-1:] = ['=']
        quoted = ' '.join(f"'{w}'" for w in cut)
        command = (f'compopt() {{ :; }}; source {script}; COMP_WORDS=(tarn {quoted}); COMP_CWORD={len(cut)}; _tarn; '
                   'printf "%s\\n" "${COMPREPLY[@]}"')
        r = subprocess.run(['bash', '-c', command], env=dict(t.env, PATH=f'{bin_}:{t.env["PATH"]}'), cwd=t.tmp,
                           capture_output=True, text=True, check=False)
        same(r.stderr, '', words)
        return r.stdout.split('\n')[:-1]

    same(complete('mo'), ['mount'], 'commands')
    check('--allow-other' in complete('mount', '--al'), 'options')
    same(complete('mount', '--files', ''), ['link', 'serve'], 'values')
    same(complete('mount', '-o', 'wait,fi'), ['wait,files=link', 'wait,files=serve'], '-o')
    os.mkdir(os.path.join(t.tmp, 's'))
    for words, found in ((('-o', 'files=se'), ['serve']), (('-o', 'files=serve,compute=c'), ['cached']),
                         (('-o', 'files=serve,com'), ['serve,compute=on', 'serve,compute=cached']),
                         (('--files=s',), ['serve']), (('--files=',), ['link', 'serve']),
                         (('--files', 's'), ['serve'])):
        same(complete('mount', *words), found, words)
    for words in ([lake], ['-l', lake], ['--files', 'serve', lake], ['-a', '--compute=cached', lake]):
        same(complete('ls', *words, 'models/al'), ['models/alpha/'], words)
        same(complete('cat', *words, 'models/alpha/metadata/lic'), ['models/alpha/metadata/license'], words)
    same(complete('ls', '-l', lake[:-1]), [lake], 'the lake')
    same(complete('ls', f'{lake}:{lake[:-1]}'), [lake], 'the second lake')
    m = t.mount(lake)
    check(m.point in complete('umount', ''), 'mounted')


main()
