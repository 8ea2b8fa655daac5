#!/usr/bin/env python3
"""Golden numbers of the controlled world: prompts, answers and the parts of their gold, from the Python prototype.

Usage: python3 make_gold.py FOLDER_OF_THE_PROTOTYPE   (needs numpy; written with numpy 2.x, Python 3.11)
Writes gold.json (300 prompt-answer pairs) here and kb.json (vocabulary, knowledge base, importances) one folder up.
"""
import json, os, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from world import *
here = os.path.dirname(os.path.abspath(__file__))
U = dict(describe=4, attr=3, yesno=3, bigger=3, list=2, steps=2, advice=3, sort=2, odd=3, need=3)
W4 = dict(task=.4, facts=.6, false=.6, rep=2, bad=2, court=2, length=3, cov=1.5)

def cov(d, w):
    cl, cur = set(), []
    for t in w:
        if t == '.': cl.add(tuple(c for c in cur if c not in ('sure', ','))); cur = []
        else: cur.append(t)
    return max(-2., 1 - ((len(cl) - U[d['fam']]) / U[d['fam']]) ** 2)

def clean(o):
    if isinstance(o, dict): return {str(k): clean(v) for k, v in o.items()}
    if isinstance(o, (list, tuple)): return [clean(v) for v in o]
    if isinstance(o, (np.floating, float)): return float(o)
    if isinstance(o, (np.integer, int)): return int(o)
    return str(o)

r = np.random.default_rng(5)
rows = []
for i in range(300):
    d = prompt(r); a = demo(r, d)
    if i % 3 == 1:    # a shuffled stretch
        j = int(r.integers(len(a))); k = int(r.integers(len(a))); a[j], a[k] = a[k], a[j]
    if i % 3 == 2 and r.random() < .5:    # another prompt's answer, or one that is cut
        a = demo(r, prompt(r)) if r.random() < .5 else a[:max(1, len(a) // 2)]
    t, p = gold(d, a); p['cov'] = cov(d, a)
    v = sum(W4.get(q, 1.) * x for q, x in p.items()) if any(p.values()) else t
    rows.append(dict(prompt=d['text'], family=d['fam'], answer=' '.join(a), parts=p, gold=v))
json.dump(clean(dict(source='prototypes/world/world.py, relabel.py', rows=rows)), open(os.path.join(here, 'gold.json'), 'w'), indent=0)
kinds = {k: [dict(name=n, predicate=p, values=v, importance=IMP[k][n]) for n, (p, v) in REL[k].items()] for k in REL}
json.dump(clean(dict(vocabulary=VOC, numbers=NUM, sizes=SIZ, steps=STEP, moods=MOOD, relations=kinds,
    entities=[dict(name=e, kind=ENT[e], facts=KB[e], steps=STEPS.get(e, [])) for e in ENTS])), open(os.path.join(here, '..', 'kb.json'), 'w'), indent=1)
