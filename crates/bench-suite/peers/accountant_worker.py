"""Times another library's privacy accountant, one process per library.

Speaks JSON, one object per line. First

    {"ready": true, "versions": {...}}

Then for each line `{"q": q, "noise": s, "steps": T, "delta": d, "repeats": r}` on standard input the epsilon of T Gaussian releases
on Poisson samples is asked for r times, each time from a new accountant, and answered with

    {"cpu_s": [...], "wall_s": [...], "lower": x or null, "upper": y}

or with `{"error": "..."}`. With `"interval": D`, dp-accounting's distribution of the privacy loss has that interval instead of its
usual one. The two that bracket epsilon, `prv_accountant` and `opacus-prv`, are asked for a bracket of width 0.01: an `eps_error` of
0.005 to each side, and a `delta_error` of a thousandth of delta, as Opacus has it by itself.
"""

import argparse
import importlib.metadata
import json
import sys
import time
import warnings

EPS_ERROR = 0.005


def dp_accounting_pld(request):
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    step = dp_accounting.PoissonSampledDpEvent(request["q"], dp_accounting.GaussianDpEvent(request["noise"]))
    interval = request.get("interval")
    settings = {} if interval is None else {"value_discretization_interval": interval}
    accountant = PLDAccountant(**settings)
    accountant.compose(dp_accounting.SelfComposedDpEvent(step, request["steps"]))
    return None, accountant.get_epsilon(request["delta"])


def prv_accountant(request):
    import prv_accountant as prv

    step = prv.PoissonSubsampledGaussianMechanism(
        sampling_probability=request["q"], noise_multiplier=request["noise"]
    )
    accountant = prv.PRVAccountant(
        prvs=[step],
        max_self_compositions=[request["steps"]],
        eps_error=EPS_ERROR,
        delta_error=request["delta"] / 1000,
    )
    lower, _, upper = accountant.compute_epsilon(request["delta"], [request["steps"]])
    return lower, upper


def opacus_prv(request):
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(request["noise"], request["q"], request["steps"])]
    upper = accountant.get_epsilon(request["delta"], eps_error=EPS_ERROR)
    return upper - 2 * EPS_ERROR, upper


def opacus_rdp(request):
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(request["noise"], request["q"], request["steps"])]
    return None, accountant.get_epsilon(request["delta"])


PEERS = {
    "dp-accounting": (dp_accounting_pld, "dp-accounting"),
    "prv_accountant": (prv_accountant, "prv-accountant"),
    "opacus-prv": (opacus_prv, "opacus"),
    "opacus-rdp": (opacus_rdp, "opacus"),
}


def answer(ask, request):
    cpu_s, wall_s = [], []
    lower, upper = None, None
    for _ in range(request["repeats"]):
        wall, cpu = time.perf_counter(), time.process_time()
        lower, upper = ask(request)
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    return {
        "cpu_s": cpu_s,
        "wall_s": wall_s,
        "lower": None if lower is None else float(lower),
        "upper": float(upper),
    }


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description="Times another library's privacy accountant.")
    parser.add_argument("--peer", choices=sorted(PEERS), required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    ask, package = PEERS[options.peer]
    ask({"q": 0.1, "noise": 2.0, "steps": 10, "delta": 1e-5})  # imports and first calls
    versions = {name: importlib.metadata.version(name) for name in (package, "numpy", "scipy")}
    say({"ready": True, "versions": versions})
    for line in sys.stdin:
        try:
            reply = answer(ask, json.loads(line))
        except Exception as error:  # Whatever it is, the next request may do.
            reply = {"error": f"{type(error).__name__}: {error}"}
        say(reply)


if __name__ == "__main__":
    main()
