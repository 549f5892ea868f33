"""Times another library on sorted-L1 problems, one process per library and design.

Speaks JSON, one object per line. After the design is read and compiled code is warm:

    {"ready": true, "versions": {...}}

Then for each line `{"chains": [...], "tolerance": t, "repeats": r, "out": path}` on standard input all chains are
fitted r times, and answered with

    {"cpu_s": [...], "wall_s": [...], "rss_bytes": n, "peak_rss_bytes": n}

or with `{"error": "..."}` where the library cannot do it. A chain is `{"lambda1", "lambda2", "k", "alphas"}`: the
penalty alpha (lambda1 (sum of the k largest magnitudes) + lambda2 (sum of the others)) for falling alphas, with the
loss |y - X b|^2 / (2 n) and no intercept, centering or scaling. One alpha is fitted by the library's estimator, several
by its path function. The coefficients of the last time, fit after fit, go to the file `out` as little-endian doubles.

The design is in a folder: `design.json` with n, p and whether it is sparse; `x.f64` with the entries column after
column, of a sparse one with `rows.u64` and `starts.u64`; `y.f64`.
"""

import argparse
import importlib.metadata
import json
import os
import sys
import time
import warnings

import numpy as np
from scipy import sparse

PEERS = ("sortedl1", "celer", "skglm", "scikit-learn")
MOST_ITERATIONS = 1_000_000


def status_bytes(field):
    """`VmRSS` or `VmHWM` of this process; 0 where there is no such file."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def forget_peak():
    """Lets the highest resident size begin again, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass


def read_design(folder):
    def numbers(name, kind):
        return np.fromfile(os.path.join(folder, name), dtype=kind)

    with open(os.path.join(folder, "design.json"), encoding="utf-8") as file:
        header = json.load(file)
    shape = (header["n"], header["p"])
    values = numbers("x.f64", "<f8").astype(np.float64, copy=False)
    if header["sparse"]:
        rows = numbers("rows.u64", "<u8").astype(np.int32)
        starts = numbers("starts.u64", "<u8").astype(np.int32)
        x = sparse.csc_matrix((values, rows, starts), shape=shape)
    else:
        x = values.reshape(shape, order="F")
    return x, numbers("y.f64", "<f8").astype(np.float64, copy=False)


def lasso_levels(chain):
    """The levels of a chain that is a LASSO."""
    if chain["lambda1"] != chain["lambda2"]:
        raise ValueError("not a LASSO")
    return [alpha * chain["lambda1"] for alpha in chain["alphas"]]


def fit_sortedl1(x, y, chain, tolerance):
    from sortedl1 import Slope

    p = x.shape[1]
    lam = np.full(p, chain["lambda2"])
    lam[: chain["k"]] = chain["lambda1"]
    settings = {
        "lam": lam,
        "fit_intercept": False,
        "centering": "none",
        "scaling": "none",
        "tol": tolerance,
        "max_iter": MOST_ITERATIONS,
    }
    alphas = chain["alphas"]
    if len(alphas) == 1:
        model = Slope(alpha=alphas[0], **settings).fit(x, y)
        return [np.asarray(model.coef_).reshape(p)]
    path = Slope(**settings).path(
        x,
        y,
        alphas=np.asarray(alphas),
        tol_dev_change=0.0,
        tol_dev_ratio=1.0,
        max_clusters=10 * p,
    )
    if len(path.alphas) != len(alphas):
        raise ValueError(f"the path has {len(path.alphas)} points of {len(alphas)}")
    coefs = path.coefs
    return [np.asarray(coefs[:, :, i] if coefs.ndim == 3 else coefs[:, i]).reshape(p) for i in range(len(alphas))]


def fit_celer(x, y, chain, tolerance):
    from celer import Lasso, celer_path

    levels = lasso_levels(chain)
    if len(levels) == 1:
        model = Lasso(alpha=levels[0], fit_intercept=False, tol=tolerance, max_iter=1000).fit(x, y)
        return [model.coef_]
    _, coefs, _ = celer_path(x, y, "lasso", alphas=np.asarray(levels), tol=tolerance, max_iter=1000, prune=1)
    return list(coefs.T)


def fit_skglm(x, y, chain, tolerance):
    from skglm import Lasso

    levels = lasso_levels(chain)
    model = Lasso(alpha=levels[0], fit_intercept=False, tol=tolerance, max_iter=1000)
    if len(levels) == 1:
        return [model.fit(x, y).coef_]
    return list(model.path(x, y, np.asarray(levels))[1].T)


def fit_scikit_learn(x, y, chain, tolerance):
    from sklearn.linear_model import Lasso, lasso_path

    levels = lasso_levels(chain)
    if len(levels) == 1:
        model = Lasso(alpha=levels[0], fit_intercept=False, tol=tolerance, max_iter=MOST_ITERATIONS, copy_X=False)
        return [model.fit(x, y).coef_]
    _, coefs, _ = lasso_path(x, y, alphas=levels, tol=tolerance, max_iter=MOST_ITERATIONS, copy_X=False)
    return list(coefs.T)


FITS = {
    "sortedl1": fit_sortedl1,
    "celer": fit_celer,
    "skglm": fit_skglm,
    "scikit-learn": fit_scikit_learn,
}


def warm_up(fit, x):
    """Compiles what is compiled at the first call: fits a small design of the same layout."""
    rng = np.random.default_rng(0)
    small = rng.standard_normal((20, 30))
    y = small[:, 0] + 0.1 * rng.standard_normal(20)
    small = sparse.csc_matrix(small) if sparse.issparse(x) else np.asfortranarray(small)
    for alphas in ([0.1], [0.2, 0.1]):
        fit(small, y, {"lambda1": 1.0, "lambda2": 1.0, "k": 30, "alphas": alphas}, 1e-3)


def answer(fit, x, y, request):
    forget_peak()
    before = status_bytes("VmRSS")
    cpu_s, wall_s, coefficients = [], [], []
    for _ in range(request["repeats"]):
        coefficients = []
        wall, cpu = time.perf_counter(), time.process_time()
        for chain in request["chains"]:
            coefficients.extend(fit(x, y, chain, request["tolerance"]))
        cpu_s.append(time.process_time() - cpu)
        wall_s.append(time.perf_counter() - wall)
    peak = status_bytes("VmHWM")
    np.concatenate(coefficients).astype("<f8").tofile(request["out"])
    return {"cpu_s": cpu_s, "wall_s": wall_s, "rss_bytes": before, "peak_rss_bytes": peak}


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description="Times another library on sorted-L1 problems.")
    parser.add_argument("--peer", choices=PEERS, required=True)
    parser.add_argument("--design", required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    fit = FITS[options.peer]
    x, y = read_design(options.design)
    warm_up(fit, x)
    versions = {name: importlib.metadata.version(name) for name in (options.peer, "numpy")}
    say({"ready": True, "versions": versions})
    for line in sys.stdin:
        try:
            reply = answer(fit, x, y, json.loads(line))
        except Exception as error:  # Whatever it is, the next request may do.
            reply = {"error": f"{type(error).__name__}: {error}"}
        say(reply)


if __name__ == "__main__":
    main()
