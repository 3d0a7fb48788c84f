"""Times onnxruntime on a model, in milliseconds: worker_onnxruntime.py MODEL.onnx.  Prints rows as JSON."""
import json
import sys
import time

import numpy
import onnxruntime


def main():
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    random = numpy.random.default_rng(1)
    feed = {i.name: random.uniform(-1, 1, i.shape).astype(numpy.float32) for i in session.get_inputs()}
    for _ in range(4):
        session.run(None, feed)
    times, start = [], time.perf_counter()
    while len(times) < 7 or time.perf_counter() - start < 1.5:
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(1e3 * (time.perf_counter() - begin))
    times.sort()
    print(json.dumps([{"name": "onnxruntime", "median_ms": times[len(times) // 2], "min_ms": times[0], "max_ms": times[-1]}]))


main()
