#!/usr/bin/env python3
"""Lineage: how right, how fast, how it grows, and the signature of a large model.

    scores of the given lake, and of those in $TARN_BENCH_LAKES (a ':' between them; each has lake/ and truth/)
    lineage from signatures                     at most 1 s on the given lake
    catalogs of 1,000, 10,000, 100,000 models   at most 120 s and 4 GiB for the last, exponent at most 1.2
    signature of 14 GB of bf16, in the cache    at most 2 s, 1 % of the bytes, 1.5 MB

Scores need the scorer: $TARN_SCORER, or ../shared/score/score_lineage.py. $TARN_BENCH_MODELS says other sizes of
catalogs. The large model is written to the local disk where 40 GB are free, and is a hole in its files elsewhere.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys

from mounts import SOURCE, Report, ms, temp, trained

TOOLS = os.environ.get('TARN_BENCH', '.')
SCORER = os.environ.get('TARN_SCORER', os.path.join(SOURCE, '../shared/score/score_lineage.py'))
GIVEN = trained()
report = Report(__doc__.splitlines()[0])


def tool(lake, *options):
    """What the lineage tool prints, and what it says of itself."""
    r = subprocess.run([TOOLS + '/lineage_tool', lake, *options], check=True, capture_output=True, text=True)
    return r.stdout, r.stderr


def number(pattern, text):
    m = re.search(pattern, text)
    return float(m.group(1)) if m else float('nan')


def score(d, lake, truth, given):
    """Limits as on a lake that was seen, or on one that was not."""
    os.makedirs(d)
    found, _ = tool(lake, '--sources', d)
    with open(d + '/lineage', 'w', encoding='utf-8') as f:
        f.write(found)
    ids = set(line.split('\t')[0] for line in found.splitlines()[1:])
    sources = [f'{i}={d}/{i.replace("/", "--")}.tsv' for i in ids if os.path.exists(f'{d}/{i.replace("/", "--")}.tsv')]
    said = subprocess.run([sys.executable, SCORER, truth, d + '/lineage', '--sources', *sources], check=True,
                          capture_output=True, text=True).stdout
    name = os.path.basename(os.path.dirname(lake))
    at = lambda pattern: number(pattern, said)
    for what, value, least in (('directed', at(r'directed precision.* F1 ([\d.]+)'), .98 if given else .95),
                               ('directed and typed', at(r'typed F1 ([\d.]+)'), .98 if given else .93)):
        report.line(f'{name}: {what}, F1', f'{value:.4f}', '', f'at least {least}', value >= least)
    error, most = at(r'largest error ([\d.]+)'), .001 if given else .02
    report.line(f'{name}: linear merge weights, largest error', f'{error:.4f}', '', f'at most {most}', error <= most)
    m = re.search(r'traced to their source: (\d+)/(\d+)', said)
    if m:
        report.line(f'{name}: stitched tensors traced', m.group(1), '', f'all {m.group(2)}', m.group(1) == m.group(2))


def scores(d):
    if not os.path.exists(SCORER):
        print('  scores: skipped, there is no scorer')
        return
    own = [p for p in os.environ.get('TARN_BENCH_LAKES', '').split(':') if p]
    for i, (lake, truth, given) in enumerate([(GIVEN, os.path.dirname(GIVEN) + '/truth', True)] +
                                             [(p + '/lake', p + '/truth', False) for p in own]):
        if os.path.exists(truth + '/edges.tsv'):
            score(f'{d}/{i}', os.path.realpath(lake), truth, given)


def speed():
    _, said = tool(GIVEN, '--repeat', '5')
    wall, cpu = number(r'lineage ([\d.]+) s', said), number(r'processor ([\d.]+) s', said)
    models = said.split(' models')[0].split()[-1]
    report.line(f'lineage of {models} models from signatures', ms(wall), f'processor {ms(cpu)}', 'at most 1 s',
                wall <= 1)


def growth():
    sizes = os.environ.get('TARN_BENCH_MODELS', '1000 10000 100000').split()
    r = subprocess.run([TOOLS + '/catalog_cost', *sizes], check=False, capture_output=True, text=True)
    for line in r.stdout.splitlines():
        m = re.match(r' *(\d+) models: lineage ([\d.]+) s, processor ([\d.]+) s.* peak ([\d.]+) GiB', line)
        if m:
            n, wall, cpu, peak = int(m.group(1)), *map(float, m.groups()[1:])
            report.line(f'lineage of a catalog of {n:,} models', ms(wall), f'processor {ms(cpu)}, {peak:.2f} GiB',
                        'at most 120 s, 4 GiB', wall <= 120 and peak <= 4)
        m = re.match(r' *exponent ([\d.]+)', line)
        if m:
            report.line('exponent', m.group(1), '', 'at most 1.2', float(m.group(1)) <= 1.2)


def shapes():
    yield 'model.embed_tokens.weight', (32000, 4096)
    for i in range(32):
        p = f'model.layers.{i}.'
        for n in 'q', 'k', 'v', 'o':
            yield f'{p}self_attn.{n}_proj.weight', (4096, 4096)
        for n in 'gate', 'up':
            yield f'{p}mlp.{n}_proj.weight', (11008, 4096)
        yield p + 'mlp.down_proj.weight', (4096, 11008)
        yield p + 'input_layernorm.weight', (4096,)
        yield p + 'post_attention_layernorm.weight', (4096,)
    yield 'model.norm.weight', (4096,)
    yield 'lm_head.weight', (32000, 4096)


def elements(shape):
    n = 1
    for k in shape:
        n *= k
    return n


def shard(path, tensors, fill):
    """fill: bytes to repeat, None for a hole. Prime to all row lengths, so that rows differ."""
    header, at = {}, 0
    for name, shape in tensors:
        size = 2 * elements(shape)
        header[name] = {'dtype': 'BF16', 'shape': shape, 'data_offsets': [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b' ' * (-len(text) % 8)
    with open(path, 'wb', buffering=0) as f:
        f.write(struct.pack('<Q', len(text)) + text)
        left = at
        while fill and left > 0:
            left -= f.write(fill[:left])
        f.truncate(8 + len(text) + at)
    return at


def large(d):
    """A Llama of 7B in three shards; its bytes."""
    disk = shutil.disk_usage(d).free > 40 << 30
    small = bytearray(os.urandom((32 << 20) + 2))
    small[1::2] = bytes(0x3c | b & 0x81 for b in small[1::2])    # values about 0.01, of both signs
    tensors, index, total = list(shapes()), {}, 0
    for i in range(3):
        name = f'model-{i + 1:05}-of-00003.safetensors'
        part = tensors[i * len(tensors) // 3:(i + 1) * len(tensors) // 3]
        total += shard(f'{d}/{name}', part, bytes(small) if disk else None)
        index.update((t, name) for t, _ in part)
    with open(d + '/model.safetensors.index.json', 'w', encoding='utf-8') as f:
        json.dump({'metadata': {'total_size': total}, 'weight_map': index}, f)
    with open(d + '/config.json', 'w', encoding='utf-8') as f:
        json.dump({'architectures': ['LlamaForCausalLM'], 'model_type': 'llama', 'hidden_size': 4096,
                   'num_hidden_layers': 32, 'num_attention_heads': 32, 'num_key_value_heads': 32,
                   'intermediate_size': 11008, 'vocab_size': 32000}, f)
    return total


def signature(d):
    os.makedirs(d)
    total = large(d)
    best = min((tool(d)[1] for _ in range(4)), key=lambda said: number(r'signatures ([\d.]+) s', said))
    seconds, kept = number(r'signatures ([\d.]+) s', best), number(r'([\d.]+) kB each', best)
    share = number(r'([\d.]+) MB read', best) * 1e6 / total
    report.line(f'signature of {total / 1e9:.1f} GB in 3 shards', ms(seconds), 'in the cache', 'at most 2 s',
                seconds <= 2)
    report.line('bytes read for it', f'{share * total / 1e6:.1f} MB', f'{100 * share:.2f} %', 'at most 1 %',
                share <= .01)
    report.line('its size', f'{kept / 1000:.2f} MB', '', 'at most 1.5 MB', kept <= 1500)


with temp() as work:
    scores(work + '/scores')
    speed()
    growth()
    signature(work + '/large')
report.end()
