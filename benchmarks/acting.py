"""How many steps per second does a policy decide, at batch 1, 16 and 48, with and without reasoning and drafts?

Four ways in one run, on the second picture of every scene: the whole chain is written; the plan of the first frame is given
back; what was said of the first picture is the draft as well, as in every rollout; no reasoning at all. A base without an
adapter has not learnt to end its chain and writes up to the limit, so tokens per step are told beside the steps.
"""

from __future__ import annotations

import argparse

import numpy as np
from machine import report, seconds_each

from radlite.actions import BRIDGE_STATS
from radlite.policy import Policy, load_policy
from radlite.tabletop.env import TabletopEnv, draw_trial
from radlite.tabletop.narrate import reason

WAYS = ("whole_chain", "plan_given", "drafted", "no_reasoning")


def scenes(policy: Policy, count: int) -> tuple[np.ndarray, list[str], list, list]:
    """Second pictures, instructions and plans of `count` trials, and what the policy said of the first pictures."""
    envs, begun, plans = [TabletopEnv() for _ in range(count)], [], []
    for seed, env in enumerate(envs):
        begun.append(env.reset(options={"trial": draw_trial(seed)}))
        plans.append(reason(env.expert, env.expert.intent()).before("bboxes"))
    instructions = [info["instruction"] for _, info in begun]
    said = policy.predict([seen["image"] for seen, _ in begun], instructions, plans)
    pictures = [env.step(p.action)[0]["image"] for env, p in zip(envs, said, strict=True)]
    return np.stack(pictures), instructions, plans, said


def speed(policy: Policy, seen: tuple, way: str, seconds: float) -> dict:
    """Steps/s of one batch, from `scenes`, and one way."""
    pictures, instructions, plans, said = seen
    batch, drafts = len(pictures), said if way == "drafted" else None
    chains = {"whole_chain": None, "no_reasoning": False}.get(way, plans)
    tokens = []

    def decide() -> None:
        told = policy.predict(pictures, instructions, chains, drafts=drafts)
        tokens.append(np.mean([len(p.tokens) for p in told]))

    each = seconds_each(decide, seconds, least=1)
    written = float(np.mean(tokens))
    return {"steps_per_s": round(batch / each, 2), "seconds_per_batch": round(each, 3), "tokens_per_step": round(written, 1),
            "tokens_per_s": round(batch * written / each, 1)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="radlite-tiny", help="a known name or a folder (default radlite-tiny)")
    parser.add_argument("--adapter", default=None, help='"rad", "ecot" or a folder; default the bare base')
    parser.add_argument("--device", default=None, help="cuda, mps or cpu; default the best there is")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 48])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    args = parser.parse_args()
    policy = load_policy(args.model, args.adapter, device=args.device)
    policy.stats = policy.stats or BRIDGE_STATS  # a bare base knows no units; the time does not depend on them
    results = {}
    for batch in args.batches:
        seen = scenes(policy, batch)
        results[str(batch)] = {way: speed(policy, seen, way, args.seconds) for way in args.ways}
    report("acting", vars(args), results)


if __name__ == "__main__":
    main()
