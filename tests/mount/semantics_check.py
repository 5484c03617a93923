"""docs/semantics.md names tests that exist, and every mount test proves something it promises."""
import os
import re
import sys

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, '../../docs/semantics.md'), encoding='utf-8') as f:
    text = f.read()
named = set()
for row in re.findall(r'^\|.*\| (.*) \|$', text, re.M):
    for group in row.split('; '):
        name, colon, tests = group.partition(': ')
        if colon and os.path.exists(os.path.join(here, name + '.py')):
            named |= {(name, t) for t in tests.split(', ')}
there = set()
for file in os.listdir(here):
    if file.endswith('.py') and file not in ('harness.py', os.path.basename(__file__)):
        with open(os.path.join(here, file), encoding='utf-8') as f:
            there |= {(file[:-3], t) for t in re.findall(r'^def test_(\w+)', f.read(), re.M)}
for name, test in sorted(named - there):
    print(f'docs/semantics.md names {name}: {test}, which is no test')
for name, test in sorted(there - named):
    print(f'tests/mount/{name}.py: test_{test} proves nothing that docs/semantics.md promises')
sys.exit(1 if named ^ there else 0)
