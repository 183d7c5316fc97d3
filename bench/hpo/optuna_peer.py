"""Asks an Optuna sampler for trials, in lines of JSON.

First line in: {"sampler": "GP|TPE|CMA-ES|Random", "seed": 1, "space": [hpo.Param as Go encodes it, ...]}.
Then, until the input ends, {"ask": true}, answered by {"values": {name: text}, "cpu": seconds so far},
or {"trial": number from 0, "objective": value}, which is not answered.
"""
import json
import sys
import time
import warnings

warnings.filterwarnings("ignore")
import optuna

optuna.logging.set_verbosity(optuna.logging.ERROR)


def distribution(p):
    if p["Kind"] == "Categorical":
        return optuna.distributions.CategoricalDistribution(p["Values"])
    log = p["Scaling"] == "Logarithmic" or (
        p["Scaling"] in ("", "Auto") and p["Min"] > 0 and p["Max"] / p["Min"] >= 100)
    if p["Kind"] == "Integer":
        return optuna.distributions.IntDistribution(int(p["Min"]), int(p["Max"]), log=log)
    if p["Scaling"] == "ReverseLogarithmic":  # Optuna has none: search 1 - x
        return optuna.distributions.FloatDistribution(1 - p["Max"], 1 - p["Min"], log=True)
    return optuna.distributions.FloatDistribution(p["Min"], p["Max"], log=log)


def text(p, v):
    return str(1 - v if p["Scaling"] == "ReverseLogarithmic" else v)


def sampler(name, seed):
    s = optuna.samplers
    return {"GP": s.GPSampler, "TPE": s.TPESampler, "CMA-ES": s.CmaEsSampler, "Random": s.RandomSampler}[name](seed=seed)


def main():
    job = json.loads(sys.stdin.readline())
    if job["sampler"] == "GP":
        import torch

        torch.set_num_threads(1)
    space = {p["Name"]: p for p in job["space"]}
    dists = {n: distribution(p) for n, p in space.items()}
    study = optuna.create_study(sampler=sampler(job["sampler"], job["seed"]))
    trials, cpu = [], 0.0
    for line in sys.stdin:
        message = json.loads(line)
        start = time.process_time()
        if "ask" in message:
            trials.append(study.ask(dists))
        else:
            study.tell(trials[message["trial"]], message["objective"])
        cpu += time.process_time() - start
        if "ask" in message:
            values = {n: text(space[n], v) for n, v in trials[-1].params.items()}
            print(json.dumps({"values": values, "cpu": cpu}), flush=True)


main()
