"""How much faster does a policy act when it takes what it said of the last frame as a draft? Closed loop, the same tokens.

Three ways decide at every frame of the same trials, in turn: plain greedy `generate` of `transformers`; `predict` without a
draft; `predict` with the last frame's words as the draft. The robot does what the last one says. Where the tokens of plain
`generate` differ, the JSON tells by how much its choice led at the first difference.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from machine import report

from radlite.plain import generate
from radlite.policy import Policy, load_policy
from radlite.tabletop.env import TabletopEnv, draw_trial

WAYS = ("generate", "predict", "drafted")


def loop(policy: Policy, seeds: list[int], frames: int) -> dict:
    """Trials of these seeds side by side for so many frames; seconds of each way and how the tokens agree.

    A trial that ends is done again from its beginning, so that the batch stays whole.
    """
    envs, plans, said, told = [TabletopEnv() for _ in seeds], [None] * len(seeds), [None] * len(seeds), [""] * len(seeds)
    pictures = [None] * len(seeds)

    def begin(k: int) -> None:
        seen, info = envs[k].reset(options={"trial": draw_trial(seeds[k])})
        pictures[k], told[k], plans[k], said[k] = seen["image"], info["instruction"], None, None

    for k in range(len(seeds)):
        begin(k)
    seconds, tokens, same, margins = dict.fromkeys(WAYS, 0.0), 0, 0, []
    for frame in range(frames + 1):  # one more to warm up, which does not count
        out = {}
        for way in np.roll(WAYS, frame):  # each is first, second and last in turn
            began = time.perf_counter()
            if way == "generate":
                out[way] = generate(policy, np.stack(pictures), told, plans)
            else:
                drafts = said if way == "drafted" else None
                out[way] = policy.predict(np.stack(pictures), told, plans, decode="mode", drafts=drafts)
            seconds[way] += (time.perf_counter() - began) * (frame > 0)
        for plain, *fast in zip(*(out[way] for way in WAYS), strict=True):
            for one in fast:
                margin = plain.margin_where_it_differs(one.tokens)
                same += margin is None
                margins += [] if margin is None else [margin]
            tokens += len(plain.tokens) * (frame > 0)
        for k, one in enumerate(out["drafted"]):
            said[k] = one
            plans[k] = plans[k] or one.reasoning.memory
            seen, _, done, late, _ = envs[k].step(one.action)
            pictures[k] = seen["image"]
            if done or late:
                begin(k)
    steps = frames * len(seeds)
    return {
        **{f"{way}_steps_per_s": round(steps / seconds[way], 2) for way in WAYS},
        "times_as_fast": round(seconds["generate"] / seconds["drafted"], 2),
        "times_as_fast_without_draft": round(seconds["generate"] / seconds["predict"], 2),
        "tokens_per_step": round(tokens / steps, 1), "steps": steps,
        "same_tokens": f"{same} of {2 * len(seeds) * (frames + 1)}",
        "largest_margin_where_they_differ": max(margins, default=None),
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="radlite-tiny", help="a known name or a folder (default radlite-tiny)")
    parser.add_argument("--adapter", default="rad", help='"rad" (default), "ecot" or a folder')
    parser.add_argument("--device", default=None, help="cuda, mps or cpu; default the best there is")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--steps", type=int, default=60, help="decisions that count, of every batch (at least 3 frames)")
    args = parser.parse_args()
    policy = load_policy(args.model, args.adapter, device=args.device)
    policy.precision = "no"  # plain generate reads its prompts in the precision of the weights
    results = {str(b): loop(policy, list(range(b)), max(3, args.steps // b)) for b in args.batches}
    report("reuse", vars(args), results)


if __name__ == "__main__":
    main()
