"""The two embodiments: a parallel-jaw arm from the far left, a human hand from the near right.

Only geometry and posing; physics is in `world`. Every body hangs on the grasp point: between the pads for the robot,
between thumb tip and index tip for the hand (the paper's proxy for a gripper).
"""

from __future__ import annotations

import mujoco
import numpy as np

ARM_BASE = np.array([0.16, 0.52, 0.42])  # shoulder of the robot, out of the picture, metres
HAND_BASE = np.array([-0.42, -0.34, 0.26])  # elbow side of the human forearm
WRIST = np.array([0.0, 0.0, 0.135])  # robot wrist above the grasp point
PALM = np.array([-0.050, -0.048, 0.052])  # palm centre from the pinch point
HAND_GRASP_OFFSET = np.array([0.0, -0.01, 0.01])  # people pinch higher and nearer than a gripper grasps
HAND_ENTRY = np.array([-0.15, -0.19, 0.0])  # a hand comes in from the near right border of the picture
_PINCH_AXIS = np.array([0.55, 0.83, 0.0])  # thumb to index, seen from above
_THUMB_BASE, _INDEX_BASE = np.array([-0.004, 0.010, -0.010]), np.array([0.026, 0.020, 0.012])  # from the palm's centre
_KNUCKLES = np.array([[0.032, 0.002, 0.010], [0.030, -0.016, 0.005], [0.026, -0.034, 0.0]])  # middle, ring and little finger
_CURLED = np.array([[0.0, 0.0, 0.0], [0.008, 0.0, -0.012], [0.006, -0.002, -0.026], [-0.006, -0.004, -0.028]])  # from its knuckle
_DARK, _LIGHT = "0.16 0.17 0.19 1", "0.70 0.71 0.74 1"
_MARK = "0.95 0.20 0.62 1"  # the jaws' carriages on top of the palm: how far they are open is seen from above
_UNSEEN = 'contype="0" conaffinity="0"'


def robot_xml(start: tuple[float, float, float]) -> dict[str, str]:
    """MJCF of the robot: bodies and the weld, actuators and exclusions that belong to them."""
    at = " ".join(f"{v:.4f}" for v in start)
    jaw = (
        '<body name="{n}" pos="0 0 0"><joint name="{n}" type="slide" axis="0 {s} 0" range="0 0.042" damping="6" '
        'armature="0.02"/><geom name="pad_{side}" type="box" size="0.011 0.006 0.020" pos="0 {y} 0.006" rgba="{c}" '
        'friction="2 0.05 0.002" density="1500"/><geom type="box" size="0.008 0.005 0.022" pos="0 {y} 0.046" rgba="{mark}" '
        'density="300"/><body><geom type="box" size="0.013 0.011 0.014" pos="0 {ride} 0.105" rgba="{mark}" '
        'density="1" {unseen}/></body></body>'
    )  # the carriage has a body of its own: rays look for a body only where its colliding geoms are
    look = {"c": _DARK, "mark": _MARK, "unseen": _UNSEEN}
    jaws = jaw.format(n="jaw_left", s=1, side="left", y=0.006, ride=0.032, **look) + jaw.format(
        n="jaw_right", s=-1, side="right", y=-0.006, ride=-0.032, **look
    )
    bodies = f"""
<body name="anchor" mocap="true" pos="{at}"/>
<body name="gripper" pos="{at}" gravcomp="1"><freejoint name="gripper_free"/>
<inertial pos="0 0 0.05" mass="1" diaginertia="0.01 0.01 0.01"/>
<geom type="box" size="0.020 0.052 0.012" pos="0 0 0.078" rgba="{_LIGHT}" {_UNSEEN}/>
<geom type="cylinder" size="0.020 0.024" pos="0 0 0.112" rgba="{_DARK}" {_UNSEEN}/>{jaws}</body>
<body name="forearm" mocap="true"><geom type="capsule" size="0.020 0.45" pos="0 0 0.45" rgba="{_LIGHT}" {_UNSEEN}/>
<geom type="cylinder" size="0.0215 0.012" pos="0 0 0.09" rgba="0.90 0.45 0.10 1" {_UNSEEN}/></body>"""
    rest = """<equality><weld body1="anchor" body2="gripper" solref="0.008 1" solimp="0.95 0.99 0.001"/></equality>
<contact><exclude body1="jaw_left" body2="jaw_right"/></contact>
<actuator><position joint="jaw_left" kp="200" forcerange="-6 6" ctrlrange="-0.04 0.042"/>
<position joint="jaw_right" kp="200" forcerange="-6 6" ctrlrange="-0.04 0.042"/></actuator>"""
    return {"bodies": bodies, "rest": rest}


def hand_start(start: tuple[float, float, float]) -> tuple[float, float, float]:
    """Where a human clip begins, metres, given where a robot would begin in the same scene."""
    x, y, z = HAND_ENTRY + 0.2 * np.array([start[0], start[1], 0.0])
    return float(x), float(y), start[2]


def hand_xml(seed: int) -> dict[str, str]:
    """MJCF of the human hand: kinematic bodies without collisions; skin and sleeve depend on the seed."""
    rng = np.random.default_rng(seed)
    light, dark = np.array([0.93, 0.74, 0.62]), np.array([0.42, 0.27, 0.19])
    skin = " ".join(f"{c:.3f}" for c in dark + (light - dark) * rng.uniform(0, 1)) + " 1"
    sleeve = " ".join(f"{c:.3f}" for c in rng.uniform(0.15, 0.75, 3)) + " 1"

    def capsule(name: str, radius: float, half: float, colour: str) -> str:
        return (
            f'<body name="{name}" mocap="true"><geom type="capsule" size="{radius} {half}" pos="0 0 {half}" '
            f'rgba="{colour}" {_UNSEEN}/></body>'
        )

    palm = (
        f'<body name="palm" mocap="true"><geom type="ellipsoid" size="0.040 0.034 0.020" rgba="{skin}" {_UNSEEN}/>'
        f'<geom type="capsule" size="0.010 0.016" pos="-0.004 -0.034 -0.012" euler="0 90 0" rgba="{skin}" {_UNSEEN}/>'
        f'<geom type="capsule" size="0.010 0.016" pos="0.016 -0.022 -0.014" euler="0 90 0" rgba="{skin}" {_UNSEEN}/></body>'
    )
    bodies = palm + capsule("thumb", 0.0085, 0.036, skin) + capsule("index", 0.0080, 0.038, skin)
    return {
        "bodies": bodies + capsule("wrist", 0.024, 0.05, skin) + capsule("sleeve", 0.029, 0.30, sleeve),
        "rest": "",
    }


def pose_arm(model: mujoco.MjModel, data: mujoco.MjData, point: np.ndarray) -> None:
    """Lays the robot's forearm from its wrist towards the shoulder."""
    _stretch(model, data, "forearm", point + WRIST, ARM_BASE)


def pose_hand(model: mujoco.MjModel, data: mujoco.MjData, point: np.ndarray, jaw: float) -> None:
    """Poses the hand: finger tips `jaw` metres to both sides of the pinch point, palm behind, forearm to the elbow."""
    palm = point + PALM
    thumb, index = _tips(point, jaw)
    _stretch(model, data, "index", index, palm + _INDEX_BASE)
    _stretch(model, data, "thumb", thumb, palm + _THUMB_BASE)
    wrist = palm + 0.045 * (HAND_BASE - palm) / np.linalg.norm(HAND_BASE - palm)
    _stretch(model, data, "wrist", wrist, HAND_BASE)
    _stretch(
        model, data, "sleeve", palm + 0.12 * (HAND_BASE - palm) / np.linalg.norm(HAND_BASE - palm), HAND_BASE
    )
    body = model.body("palm")
    data.mocap_pos[int(body.mocapid[0])] = palm
    data.mocap_quat[int(body.mocapid[0])] = _turn_z_to(np.array([0.35, -0.2, 0.9]))


def hand_landmarks(point: np.ndarray, jaw: float) -> np.ndarray:
    """Where the 21 landmarks of MediaPipe's right hand are on the posed hand, (21, 3) metres in the world.

    The palm is 9 cm long, as a grown-up's; the fingers that do not pinch are curled.
    """
    palm = point + PALM
    wrist = palm + 0.06 * (HAND_BASE - palm) / np.linalg.norm(HAND_BASE - palm)
    thumb, index = _tips(point, jaw)
    pinching = [np.linspace(palm + _THUMB_BASE, thumb, 4), np.linspace(palm + _INDEX_BASE, index, 4)]
    return np.concatenate([wrist[None], *pinching, *(palm + knuckle + _CURLED for knuckle in _KNUCKLES)])


def _tips(point: np.ndarray, jaw: float) -> tuple[np.ndarray, np.ndarray]:
    """Thumb tip and index tip, each (3,)."""
    half = max(jaw, 0.006) * 0.8
    return point - _PINCH_AXIS * half + (0, 0, 0.002), point + _PINCH_AXIS * half + (0, 0, 0.004)


def _stretch(
    model: mujoco.MjModel, data: mujoco.MjData, name: str, tip: np.ndarray, towards: np.ndarray
) -> None:
    """Puts a capsule body's origin at `tip` with its z axis pointing at `towards`."""
    slot = int(model.body(name).mocapid[0])
    data.mocap_pos[slot] = tip
    data.mocap_quat[slot] = _turn_z_to(towards - tip)


def _turn_z_to(direction: np.ndarray) -> np.ndarray:
    quat = np.zeros(4)
    mujoco.mju_quatZ2Vec(quat, np.asarray(direction, float))
    return quat
