#!/usr/bin/env python3
"""Run a notebook with nbclient in the installed kernel and compare its outputs with those of an executed copy.

compare.py NOTEBOOK EXECUTED: both must be valid under the official schema, and every text, table and picture equal.
"""
import sys
import nbformat
from nbclient import NotebookClient


def outputs(nb):
    rows = []
    for cell in nb.cells:
        if cell.cell_type != "code":
            continue
        row, stdout = [], ""
        for o in cell.outputs:
            if o.output_type == "stream":
                stdout += o.text
            elif o.get("metadata", {}).get("bayesrm", {}).get("progress"):
                continue
            else:
                row.append({k: "".join(v) if isinstance(v, list) else v for k, v in o.get("data", {}).items()})
        rows.append((stdout, row))
    return rows


source, executed = sys.argv[1:3]
done = nbformat.read(executed, as_version=4)
nbformat.validate(done)
nb = nbformat.read(source, as_version=4)
nbformat.validate(nb)
NotebookClient(nb, timeout=600, kernel_name="bayesrm", resources={"metadata": {"path": "notebooks"}}).execute()
a, b = outputs(nb), outputs(done)
different = [i for i, (x, y) in enumerate(zip(a, b)) if x != y]
if len(a) != len(b) or different:
    sys.exit(f"{len(a)} and {len(b)} code cells; different outputs in {different}: {[ (a[i], b[i]) for i in different[:1] ]}"[:2000])
print(f"{len(a)} code cells, {sum(len(r) for _, r in a)} outputs: nbclient and the headless run agree")
