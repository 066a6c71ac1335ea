"""The tabletop as a Gymnasium environment: small pictures and Bridge actions at 5 Hz.

One `Trial` is one task in one scene; `trials(axis, count, seed)` draws the same list for every policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from radlite.errors import RadliteError
from radlite.tabletop.camera import render
from radlite.tabletop.expert import Expert
from radlite.tabletop.judge import Judge
from radlite.tabletop.scene import Scene
from radlite.tabletop.tasks import Task, draw_task, draw_task_scene
from radlite.tabletop.world import World

POLICY_SIZE = 96  # pixels a side of what the policy sees
VIEW_SIZE = 256  # and of what people see
MAX_STEPS = 50  # of 0.2 s: ten seconds; the disturbed expert needs six on average
MAX_DELTA = 0.07  # metres an action may ask for along one axis; more is clipped


@dataclass(frozen=True)
class Trial:
    """One task in one scene.

    Attributes:
        task: what success is judged by.
        scene: where.
        axis: None for the robot's own tasks.
        seed: it was drawn with.
        told: what is asked for instead of the task, as a control.
    """

    task: Task
    scene: Scene
    axis: str | None
    seed: int
    told: str | None = None

    @property
    def instruction(self) -> str:
        """What is asked for."""
        return self.task.instruction if self.told is None else self.told


def draw_trial(seed: int, axis: str | None = None, family: str | None = None, purpose: int = 0) -> Trial:
    """A trial from a seed; `purpose` keeps training (0), evaluation (1) and held-out clips (2) apart."""
    code = sum(map(ord, axis or ""))
    rng = np.random.default_rng([seed, purpose, code])
    task = draw_task(rng, axis, family)
    while True:
        scene = draw_task_scene(rng, task, axis)
        if scene is not None:
            return Trial(task, scene, axis, seed)
        task = draw_task(rng, axis, family)


def trials(axis: str | None, count: int, seed: int = 0) -> list[Trial]:
    """`count` evaluation trials; the rule knows the axis and the seed, and no policy."""
    return [draw_trial(seed * 100_003 + i, axis, None, purpose=1) for i in range(count)]


class TabletopEnv(gymnasium.Env):
    """Gymnasium environment of the table.

    observation: {"image": uint8 (size, size, 3), "state": float32 (7,) grasp point m, rpy rad, opening}
    action: float32 (7,) dx, dy, dz m, droll, dpitch, dyaw rad (not used by these families), gripper 1 open / 0 closed
    reward: 1.0 on the step at which the task is done, else 0.0; the episode terminates there.
    info: {"instruction", "success", "axis"}

    Args:
        embodiment: "robot" or "human".
        size: pixels a side of the observation.
        max_steps: steps until truncation.
        render_mode: "rgb_array" or None; `render()` gives a `VIEW_SIZE` picture.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 5}

    def __init__(
        self,
        embodiment: str = "robot",
        size: int = POLICY_SIZE,
        max_steps: int = MAX_STEPS,
        render_mode: str | None = None,
    ) -> None:
        self.embodiment, self.size, self.max_steps, self.render_mode = (
            embodiment,
            size,
            max_steps,
            render_mode,
        )
        limit = np.array([MAX_DELTA] * 3 + [np.pi] * 3 + [1.0], np.float32)
        low = np.append(-limit[:6], 0.0).astype(np.float32)
        self.action_space = gymnasium.spaces.Box(low, limit, dtype=np.float32)
        self.observation_space = gymnasium.spaces.Dict(
            {
                "image": gymnasium.spaces.Box(0, 255, (size, size, 3), np.uint8),
                "state": gymnasium.spaces.Box(-np.inf, np.inf, (7,), np.float32),
            }
        )
        self.trial: Trial | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict, dict]:
        """Starts a trial: `options["trial"]`, or one drawn from the seed, `options["axis"]` and `options["family"]`."""
        super().reset(seed=seed)
        options = options or {}
        self.trial = options.get("trial") or draw_trial(
            int(self.np_random.integers(1 << 31)), options.get("axis"), options.get("family"), purpose=1
        )
        self.world = World(self.trial.scene, self.embodiment, self.trial.seed)
        self.judge = Judge(self.world, self.trial.task)
        self.expert = Expert(self.world, self.trial.task)
        self.steps = 0
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
        """One control step of 0.2 s.

        Raises:
            RadliteError: not seven finite numbers, or `reset` was not called.
        """
        if self.trial is None:
            raise RadliteError("a trial to act in", "step() before reset()", "call reset() first")
        action = np.asarray(action, float)
        if action.shape != (7,) or not np.isfinite(action).all():
            raise RadliteError(
                "an action of 7 finite numbers", f"shape {action.shape}: {action}", "see action_space"
            )
        before = self.judge.success
        self.world.step(np.clip(action[:3], -MAX_DELTA, MAX_DELTA), action[6])
        self.steps += 1
        done = self.judge.update()
        truncated = not done and self.steps >= self.max_steps
        return self._observe(), float(done and not before), done, truncated, self._info()

    def render(self, size: int = VIEW_SIZE) -> np.ndarray:
        """The same scene for people, uint8 (size, size, 3)."""
        return render(self.world.model, self.world.data, self.trial.scene.look, size)[0]

    def state(self) -> np.ndarray:
        """float32 (7,) grasp point, rotation (always zero), opening."""
        return np.array([*self.world.point, 0, 0, 0, self.world.opening], np.float32)

    def _observe(self) -> dict[str, np.ndarray]:
        return {"image": self.render(self.size), "state": self.state()}

    def _info(self) -> dict[str, Any]:
        return {
            "instruction": self.trial.instruction,
            "success": self.judge.success,
            "axis": self.trial.axis,
        }
