"""Makes docs/picture.png: a hand shows a task, the robot does it, with what the policy thinks. Run: python docs/picture.py

The robot's row is the first evaluation trial with a new object that the shipped RAD policy finishes, or, if it finishes none,
the first one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from radlite.policy import load_policy
from radlite.rollouts import PolicyAgent, rollout
from radlite.show import draw_prediction
from radlite.tabletop.env import TabletopEnv, draw_trial, trials
from radlite.tabletop.narrate import reason

SIZE, MOMENTS = 300, (0.0, 0.4, 0.75)


def hand_row(thing: str) -> list[np.ndarray]:
    """Three frames of a human demonstration with the same thing, with the true chain."""
    trial = next(t for t in (draw_trial(i, "new_object", "put") for i in range(500)) if t.task.thing == thing)
    env = TabletopEnv("human", max_steps=60)
    env.reset(options={"trial": trial})
    shown = []
    for _ in range(40):
        intent = env.expert.intent()
        shown.append(draw_prediction(env.render(), reason(env.expert, intent), None, size=SIZE))
        if intent.phase == "stop":
            break
        env.step(env.expert.action(intent))
    return [shown[int(m * (len(shown) - 1))] for m in MOMENTS]


def main() -> None:
    """Writes the picture."""
    candidates = [t for t in trials("new_object", 24) if t.task.family == "put"]
    outcomes = rollout(PolicyAgent(load_policy(adapter="rad")), candidates, keep=range(len(candidates)))
    done = next((o for o in outcomes if o.success), outcomes[0])
    robot = [draw_prediction(f, t.reasoning, a, size=SIZE)
             for f, t, a in zip(done.frames, done.thoughts, done.actions, strict=False)]  # fmt: skip
    rows = [hand_row(done.trial.task.thing), [robot[int(m * (len(robot) - 1))] for m in MOMENTS]]
    picture = np.concatenate([np.concatenate(row, 1) for row in rows], 0)
    Image.fromarray(picture).save(Path(__file__).parent / "picture.png", optimize=True)


if __name__ == "__main__":
    main()
