"""How fast is the table: pictures per second at several sizes with and without shadows, and physics steps per second."""

from __future__ import annotations

import argparse
from itertools import cycle

import numpy as np
from machine import report, seconds_each

from radlite.tabletop.camera import render
from radlite.tabletop.env import POLICY_SIZE, TabletopEnv, draw_trial
from radlite.tabletop.world import SUBSTEPS, World


def frames(worlds: list[World], size: int, seconds: float) -> dict:
    """Frames/s of one size, both ways, over the same scenes."""
    rates = {}
    for key, shadows in (("with_shadows", True), ("without_shadows", False)):
        turn = cycle(worlds)

        def look(turn=turn, shadows=shadows) -> None:
            world = next(turn)
            render(world.model, world.data, world.scene.look, size, shadows)

        rates[key] = round(1 / seconds_each(look, seconds), 1)
    return rates


def physics(world: World, seconds: float) -> dict:
    """Physics and control steps/s of one embodiment that keeps moving, without pictures."""
    rng = np.random.default_rng(0)
    each = seconds_each(lambda: world.step(rng.uniform(-0.03, 0.03, 3), rng.random()), seconds)
    return {"physics_steps_per_s": round(SUBSTEPS / each), "control_steps_per_s": round(1 / each, 1)}


def whole(size: int, seconds: float) -> float:
    """Environment steps/s as a policy meets them: physics, judge and one picture with shadows."""
    env = TabletopEnv(size=size)
    env.reset(seed=0)
    action = np.array([0.005, 0, 0, 0, 0, 0, 1], np.float32)
    turn = cycle((action, action * [-1, 1, 1, 1, 1, 1, 1]))
    return round(1 / seconds_each(lambda: env.step(next(turn)), seconds), 1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128, 224], help="pixels a side")
    parser.add_argument("--scenes", type=int, default=8, help="random scenes, in turn")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each figure")
    args = parser.parse_args()
    drawn = [draw_trial(i) for i in range(args.scenes)]
    worlds = [World(t.scene, "robot", i) for i, t in enumerate(drawn)]
    results = {
        "geoms_mean": float(np.mean([w.model.ngeom for w in worlds])),
        "frames_per_s": {str(size): frames(worlds, size, args.seconds) for size in args.sizes},
        "physics": {e: physics(World(drawn[0].scene, e), args.seconds) for e in ("robot", "human")},
        "env_steps_per_s": {str(POLICY_SIZE): whole(POLICY_SIZE, args.seconds)},
    }
    report("simulator", vars(args), results)


if __name__ == "__main__":
    main()
