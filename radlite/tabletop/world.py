"""The physics of the table: MuJoCo moves and holds the things for the robot; the human hand is kinematic.

Robot: a hand welded to a mocap body, two sliding jaws with position actuators that need about half a second to close.
Human: thumb and index finger pinch from the near right, a thing sticks to them once they have closed on it.
Both embodiments give the same reading: the grasp point between the fingers, how far they are open, what they hold.
"""

from __future__ import annotations

import mujoco
import numpy as np

from radlite.errors import RadliteError
from radlite.tabletop.embodiment import HAND_GRASP_OFFSET, hand_xml, pose_arm, pose_hand, robot_xml
from radlite.tabletop.scene import Scene
from radlite.tabletop.shape import hull
from radlite.tabletop.things import PLACES, THINGS, Part

CONTROL_DT, SUBSTEPS = 0.2, 50  # 5 Hz control, 4 ms physics
JAW_OPEN = 0.040  # metres from the middle to one open jaw
JAW_RATE = 0.014  # metres one jaw moves in a control step: three steps from open to closed
LIMITS = np.array([[-0.19, -0.23, 0.013], [0.19, 0.23, 0.24]])  # where the grasp point may go, metres


def _geom(part: Part, extra: str) -> str:
    size, at = " ".join(map(str, part.size)), " ".join(map(str, part.at))
    rgb, euler = " ".join(f"{c:.3f}" for c in part.rgb), " ".join(map(str, part.euler))
    return f'<geom type="{part.kind}" size="{size}" pos="{at}" euler="{euler}" rgba="{rgb} 1" {extra}/>'


def _scene_xml(scene: Scene, embodiment: str, seed: int) -> str:
    bodies = []
    for stand in scene.places:
        geoms = "".join(_geom(p, 'friction="1.2 0.02 0.001"') for p in PLACES[stand.name].parts)
        bodies.append(f'<body name="{stand.name}" pos="{stand.x} {stand.y} 0">{geoms}</body>')
    for stand in scene.things:
        geoms = "".join(_geom(p, 'density="350" friction="1.2 0.02 0.001"') for p in THINGS[stand.name].parts)
        bodies.append(
            f'<body name="{stand.name}" pos="{stand.x} {stand.y} 0.001" euler="0 0 {np.degrees(stand.yaw)}">'
            f'<joint type="free" damping="0.001"/>{geoms}</body>'
        )
    limb = robot_xml(scene.start) if embodiment == "robot" else hand_xml(seed)
    return f"""<mujoco>
<compiler angle="degree"/>
<option timestep="{CONTROL_DT / SUBSTEPS}" cone="elliptic" impratio="10" integrator="implicitfast"/>
<default><geom condim="4" solref="0.01 1"/></default>
<worldbody><geom name="table" type="plane" size="3 3 0.1" friction="1.0 0.02 0.001"/>{"".join(bodies)}{limb["bodies"]}</worldbody>
{limb["rest"]}</mujoco>"""


class World:
    """One scene with one embodiment, compiled and ready to step.

    Args:
        scene: what stands where.
        embodiment: "robot" or "human".
        seed: skin and sleeve of the human hand.

    Attributes:
        point: (3,) grasp point between the fingers, metres.
        opening: 0 closed to 1 open.
    """

    def __init__(self, scene: Scene, embodiment: str = "robot", seed: int = 0) -> None:
        if embodiment not in ("robot", "human"):
            raise RadliteError("embodiment 'robot' or 'human'", repr(embodiment), "pass one of the two")
        self.scene, self.embodiment = scene, embodiment
        self.model = mujoco.MjModel.from_xml_string(_scene_xml(scene, embodiment, seed))
        self.data = mujoco.MjData(self.model)
        self.command = np.array(scene.start, float)
        self.jaw = JAW_OPEN  # commanded half opening
        self._stuck: tuple[str, np.ndarray, np.ndarray] | None = (
            None  # human: thing, offset and turn at the grasp
        )
        self._body = {s.name: self.model.body(s.name).id for s in (*scene.things, *scene.places)}
        self._qpos = {s.name: int(self.model.body(s.name).jntadr[0]) for s in scene.things}
        self._fingers = self._finger_geoms()
        self._owner = self._geom_owners()
        self.reset()

    def reset(self) -> None:
        """Settles the things for a fifth of a second, the gripper open at the scene's start."""
        self._pose_limb()
        if self.embodiment == "robot":
            self.data.ctrl[:] = JAW_OPEN
            for name in ("jaw_left", "jaw_right"):
                self.data.joint(name).qpos[0] = JAW_OPEN
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_step(self.model, self.data, SUBSTEPS)

    # -- reading ---------------------------------------------------------------------------------------------------
    @property
    def point(self) -> np.ndarray:
        if self.embodiment == "human":
            return self.command.copy()
        return self.data.body("gripper").xpos.copy()

    @property
    def opening(self) -> float:
        if self.embodiment == "human":
            return float(self.jaw / JAW_OPEN)
        both = self.data.joint("jaw_left").qpos[0] + self.data.joint("jaw_right").qpos[0]
        return float(np.clip(both / (2 * JAW_OPEN), 0, 1))

    @property
    def held(self) -> str | None:
        """The thing between both closed jaws (contact on both sides), or in the pinch; None when there is none."""
        if self.embodiment == "human":
            return self._stuck[0] if self._stuck else None
        if (
            self.opening * JAW_OPEN - self.jaw < 0.004
        ):  # the jaws still follow their command: nothing stops them
            return None
        touching = [set(), set()]
        for contact in self.data.contact[: self.data.ncon]:
            for mine, other in ((contact.geom[0], contact.geom[1]), (contact.geom[1], contact.geom[0])):
                for side in (0, 1):
                    if mine == self._fingers[side]:
                        touching[side].add(self._owner[other])
        both = (touching[0] & touching[1]) & set(self._qpos)
        return next(iter(both), None)

    def position(self, name: str) -> np.ndarray:
        """(3,) grasp point of a thing, or centre of a place's surface, metres."""
        body = self.data.body(name)
        if name in PLACES:
            return body.xpos + np.array([0, 0, PLACES[name].top])
        return body.xpos + body.xmat.reshape(3, 3)[:, 2] * THINGS[name].grasp  # it may have tipped or rolled

    def foot(self, name: str) -> float:
        """Height of a thing's lowest point over the table, metres, however it lies."""
        body = self.data.body(name)
        return float(body.xpos[2] + (hull(name) @ body.xmat.reshape(3, 3)[2]).min())

    def speed(self, name: str) -> float:
        """Linear speed of a thing, m/s."""
        return float(np.linalg.norm(self.data.body(name).cvel[3:]))

    # -- moving ----------------------------------------------------------------------------------------------------
    def step(self, delta: np.ndarray, grip: float) -> None:
        """One control step: moves the grasp point by `delta` (3,) metres; `grip` above 0.5 opens, else closes."""
        start = self.command.copy()
        self.command = np.clip(start + delta, *LIMITS)
        goal = float(np.clip(self.jaw + (JAW_RATE if grip > 0.5 else -JAW_RATE), 0.0, JAW_OPEN))
        (self._step_robot if self.embodiment == "robot" else self._step_human)(start, goal)

    def _step_robot(self, start: np.ndarray, goal: float) -> None:
        jaw = self.jaw
        for i in range(10):  # the command runs evenly over the step, as a real servo interpolates
            part = (i + 1) / 10
            self.data.mocap_pos[self._mocap("anchor")] = start + part * (self.command - start)
            self.data.ctrl[:] = jaw + part * (goal - jaw)
            mujoco.mj_step(self.model, self.data, SUBSTEPS // 10)
        self.jaw = goal
        pose_arm(self.model, self.data, self.point)
        mujoco.mj_kinematics(self.model, self.data)

    def _step_human(self, start: np.ndarray, goal: float) -> None:
        goal = self._pinch(goal)
        jaw = self.jaw
        for i in range(10):
            part = (i + 1) / 10
            self.jaw = jaw + part * (goal - jaw)
            if self._stuck:
                self._carry(start + part * (self.command - start))
            mujoco.mj_step(self.model, self.data, SUBSTEPS // 10)
        if self._stuck:
            self._carry(self.command)
        self._pose_limb()
        mujoco.mj_kinematics(self.model, self.data)

    def _pinch(self, goal: float) -> float:
        """Fingers stop at the width of the thing between them and take it; opening lets it go."""
        if goal > self.jaw:
            self._stuck = None
            return goal
        width = 0.018
        near = [
            n
            for n in self._qpos
            if np.linalg.norm(self.command - HAND_GRASP_OFFSET - self.position(n)) < 0.028
        ]
        if near and goal <= width and not self._stuck:
            name = min(near, key=lambda n: float(np.linalg.norm(self.command - self.position(n))))
            body = self.data.body(name)
            self._stuck = (name, body.xpos - self.command, body.xquat.copy())
        return max(goal, width) if near or self._stuck else goal

    def _carry(self, point: np.ndarray) -> None:
        name, offset, turn = self._stuck
        joint = self.data.joint(self._qpos[name])
        joint.qpos[:3], joint.qpos[3:], joint.qvel[:] = point + offset, turn, 0.0

    def nudge(self, name: str, velocity: np.ndarray) -> None:
        """Shoves a thing: sets its horizontal velocity (2,) m/s."""
        self.data.joint(self._qpos[name]).qvel[:2] += velocity

    # -- placing by hand (for pictures without physics) ---------------------------------------------------------------
    def place_limb(self, point: np.ndarray, jaw: float) -> None:
        """Puts the open or closed gripper or hand anywhere at once; call `refresh` afterwards."""
        self.command, self.jaw = np.array(point, float), float(jaw)
        if self.embodiment == "robot":
            joint = self.data.joint("gripper_free")
            joint.qpos[:3], joint.qpos[3:] = self.command, (1, 0, 0, 0)
            for name in ("jaw_left", "jaw_right"):
                self.data.joint(name).qpos[0] = jaw
        self._pose_limb()

    def place_thing(self, name: str, foot: np.ndarray, yaw: float) -> None:
        """Puts a thing's foot at (3,) metres with a yaw in radians; call `refresh` afterwards."""
        joint = self.data.joint(self._qpos[name])
        joint.qpos[:] = (*foot, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2))

    def refresh(self) -> None:
        """Brings all positions up to date without moving time."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)

    # -- inside ----------------------------------------------------------------------------------------------------
    def _mocap(self, name: str) -> int:
        return int(self.model.body(name).mocapid[0])

    def _pose_limb(self) -> None:
        if self.embodiment == "human":
            pose_hand(self.model, self.data, self.command, self.jaw)
        else:
            self.data.mocap_pos[self._mocap("anchor")] = self.command
            pose_arm(self.model, self.data, self.command)

    def _finger_geoms(self) -> tuple[int, int]:
        if self.embodiment == "human":
            return (-1, -1)
        return (self.model.geom("pad_left").id, self.model.geom("pad_right").id)

    def _geom_owners(self) -> list[str]:
        """Name of the root body of every geom ("world" for the table)."""
        roots = self.model.body_rootid[self.model.geom_bodyid]
        return [self.model.body(int(b)).name for b in roots]

    @property
    def owners(self) -> list[str]:
        """For each geom id the name of the thing, place or limb it belongs to."""
        return self._owner
