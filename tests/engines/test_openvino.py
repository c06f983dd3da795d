"""What OpenVINO does in a process of many threads."""

from __future__ import annotations

import subprocess
import sys

# Threads spin until all are there, and look into OpenVINO's table of number types at once: before the table was made
# by the first session, a third of these processes never ended.
FIRST_LOOK = """
import os, sys, threading, time
import numpy as np
import openvino
from openvino import opset13
from trunkline.engines.openvino import OpenVinoSession

x = opset13.parameter([1, 4], np.float32, name="x")
session = OpenVinoSession(openvino.Model([opset13.relu(x)], [x], "relu"), "f32", streams=6)
tensors = [session._requests.get().get_output_tensor(0) for _ in range(6)]
sys.setswitchinterval(1e-6)
here, go = [], False

def look(tensor):
    here.append(1)
    while not go:
        pass
    tensor.data

threads = [threading.Thread(target=look, args=(tensor,), daemon=True) for tensor in tensors]
for thread in threads:
    thread.start()
while len(here) < len(threads):
    time.sleep(0.001)
go = True
for thread in threads:
    thread.join()
os._exit(0)
"""


def test_threads_may_compute_first_at_once() -> None:
    for _ in range(6):
        subprocess.run([sys.executable, "-c", FIRST_LOOK], check=True, timeout=60)
