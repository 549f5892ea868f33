"""Measures training steps of another library on request, one process per task and peer.

Speaks JSON, one object per line. After the model and its batch are built, and before any step:

    {"ready": true, "task": ..., "peer": ..., "parameters": n, "threads": n,
     "rss_before_bytes": n, "versions": {...}}

Then for each line `{"steps": k}` on standard input k complete steps are done and answered with

    {"cpu_s": [...], "wall_s": [...], "rss_bytes": n, "peak_rss_bytes": n, "parts": {"forward": [...], ...}}

with one value per step: process CPU time (all threads together), wall time, and the CPU time of each
part where the library has parts. `peak_rss_bytes` is the largest resident size since the first step
began, `rss_bytes` the resident size now. The worker makes no warm-up steps of its own. It quits at
the end of its input.

`--check` prints the parameter count, and loss and gradient norms at weights from a formula, and quits.
"""

import argparse
import json
import os
import platform
import sys
import time
import warnings

import tasks

PEERS = ("torch", "opacus-hooks", "opacus-ghost", "jax-privacy")


def status_bytes(field):
    """`VmRSS` or `VmHWM` of this process; None where there is no such file."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def peak_rss_bytes():
    """Largest resident size since `forget_peak`, or since the start where that is not possible."""
    peak = status_bytes("VmHWM")
    if peak is not None:
        return peak
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def rss_bytes():
    """Resident size now; the peak so far where the system does not say."""
    now = status_bytes("VmRSS")
    return peak_rss_bytes() if now is None else now


def forget_peak():
    """Lets `peak_rss_bytes` begin again, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def limit_threads(threads):
    """Tells every library its thread count; must run before they are imported."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"):
        os.environ[name] = str(threads)
    # These slow a current numpy down where an older one needed them.
    for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
        os.environ.pop(name, None)
    os.environ["JAX_PLATFORMS"] = "cpu"
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"


def peer_module(peer):
    """The module that measures `peer`."""
    if peer == "jax-privacy":
        import jax_peer

        return jax_peer
    import torch_peer

    return torch_peer


def answer(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def run_steps(peer, n):
    cpu_s, wall_s, parts = [], [], {}
    for _ in range(n):
        wall, cpu = time.perf_counter(), time.process_time()
        step_parts = peer.step()
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
        for name, seconds in step_parts.items():
            parts.setdefault(name, []).append(seconds)
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "rss_bytes": rss_bytes(),
        "peak_rss_bytes": peak_rss_bytes(),
        "parts": parts,
    }


def arguments():
    parser = argparse.ArgumentParser(description="Measures training steps of another library.")
    parser.add_argument("--task", choices=sorted(tasks.BATCH), required=True)
    parser.add_argument("--peer", choices=PEERS, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--optimizer", choices=("sgd", "adam"), default="sgd")
    parser.add_argument("--check", action="store_true")
    return parser.parse_args()


def main():
    options = arguments()
    limit_threads(options.threads)
    # Standard error is for the reason of a failure; the end of it is shown.
    warnings.simplefilter("ignore")
    module = peer_module(options.peer)
    about = {
        "task": options.task,
        "peer": options.peer,
        "parameters": tasks.n_parameters(options.task),
        "versions": {"python": platform.python_version(), **module.versions()},
    }
    if options.check:
        answer({**about, **module.check(options.task, options.peer)})
        return
    peer = module.Peer(options.task, options.peer, options.threads, options.optimizer)
    before = rss_bytes()
    forget_peak()
    answer({"ready": True, **about, "threads": options.threads, "rss_before_bytes": before})
    for line in sys.stdin:
        answer(run_steps(peer, int(json.loads(line)["steps"])))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
