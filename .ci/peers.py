"""Beside other kernels that are installed: python .ci/peers.py bayesrm python3 rust (evcxr). Needs jupyter_client and psutil."""
import statistics
import sys
import time

import psutil
from jupyter_client.manager import KernelManager

NEW_CELL = {"bayesrm": "v{0} := {0}\nv{0} * 2", "python3": "v{0} = {0}\nv{0} * 2", "rust": "let v{0} = {0};\nv{0} * 2"}


def run(client, code):
    began = time.perf_counter()
    client.execute_interactive(code, timeout=300, output_hook=lambda m: None)
    return time.perf_counter() - began


for name in sys.argv[1:]:
    began = time.perf_counter()
    manager = KernelManager(kernel_name=name)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=300)
    run(client, "1 + 1")
    first = time.perf_counter() - began
    cells = [run(client, NEW_CELL[name].format(i)) for i in range(40)]
    began = time.perf_counter()
    client.complete("v1", 2)
    client.get_shell_msg(timeout=60)
    completion = time.perf_counter() - began
    kernel = psutil.Process(manager.provisioner.process.pid)
    memory = sum(p.memory_info().rss for p in [kernel, *kernel.children(recursive=True)])
    print(f"{name}: first result {first:.2f} s, a cell never seen before {1000 * statistics.median(cells):.1f} ms, completion {1000 * completion:.1f} ms, {memory >> 20} MB", flush=True)
    client.stop_channels()
    manager.shutdown_kernel(now=True)
