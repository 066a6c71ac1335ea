"""Pictures for the base, with what is true in them: where each thing is, where the gripper or the hand is, what it holds.

Half of the pictures put a limb anywhere over a fresh table; half are stills of somebody handling things, robot or hand.
Only base things and those for practice, tables that are not new, and pairs that are not reserved ever appear
(`draw_base_scene`; a test draws 10,000).
No action is stored: there is no column for one.
"""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from radlite.tabletop.camera import render
from radlite.tabletop.expert import Expert
from radlite.tabletop.narrate import box_of, pixel
from radlite.tabletop.scene import Scene, draw_base_look, draw_scene
from radlite.tabletop.tasks import FAMILIES, RESERVED_PAIRS, Task, draw_task, goal_of_move
from radlite.tabletop.things import BASE_THINGS, PLACES, PRACTICE_THINGS
from radlite.tabletop.world import JAW_OPEN, World

IMAGE_SIZE, GRID = 96, 16
CLASSES = ("table", "limb", *BASE_THINGS, *PRACTICE_THINGS, *PLACES)


@dataclass(frozen=True)
class View:
    """What is true in one picture; metres and pixels as in the reasoning fields."""

    names: tuple[str, ...]
    boxes: tuple[tuple[int, int, int, int], ...]
    grasps: tuple[tuple[float, float, float], ...]  # grasp point of a thing, surface centre of a place
    feet: tuple[float, ...]
    point: tuple[float, float, float]
    point_pixel: tuple[int, int]
    opening: float
    held: str | None
    embodiment: str


def draw_base_scene(rng: np.random.Generator, task: Task | None = None) -> Scene:
    """A scene that the base may see: no new table or lamp, base and practice things, and no reserved pair standing together."""
    places = [task.place] if task and task.place else []
    while len(places) < 2 and rng.random() < 0.65:
        places.append(str(rng.choice([p for p in PLACES if p not in places])))
    known = tuple(n for n in BASE_THINGS if not any((n, p) in RESERVED_PAIRS for p in places))
    free = known + tuple(map(str, rng.choice(PRACTICE_THINGS, len(known) // 2, replace=False)))
    if task and task.thing not in (*known, *PRACTICE_THINGS):
        return draw_base_scene(rng, task)
    scene = draw_scene(rng, [task.thing] if task else [str(rng.choice(free))], places, free, free)
    return replace(scene, look=draw_base_look(rng))


def _view(world: World) -> View:
    stands = [*world.scene.things, *world.scene.places]
    names = tuple(s.name for s in stands)
    return View(
        names,
        tuple(box_of(world, n).xyxy for n in names),
        tuple(tuple(round(float(v), 4) for v in world.position(n)) for n in names),
        tuple(round(world.foot(n), 4) if n not in PLACES else PLACES[n].top for n in names),
        tuple(round(float(v), 4) for v in world.point),
        pixel(world.point),
        round(world.opening, 3),
        world.held,
        world.embodiment,
    )


def _patch_classes(world: World, geoms: np.ndarray) -> np.ndarray:
    """The commonest class of each patch of a GRID x GRID raster, uint8; anything is preferred to the bare table."""
    lookup = np.array([CLASSES.index(o) if o in CLASSES else int(o != "world") for o in world.owners] + [0])
    cells = (
        lookup[geoms]
        .reshape(GRID, IMAGE_SIZE // GRID, GRID, -1)
        .transpose(0, 2, 1, 3)
        .reshape(GRID * GRID, -1)
    )
    counts = (cells[..., None] == np.arange(len(CLASSES))).sum(1).astype(float)
    counts[:, 0] *= 0.34  # a patch one third full of a thing is the thing's
    return counts.argmax(1).astype(np.uint8)


def _picture(world: World) -> tuple[np.ndarray, np.ndarray, View]:
    image, geoms = render(world.model, world.data, world.scene.look, IMAGE_SIZE)
    return image, _patch_classes(world, geoms), _view(world)


def _placed(rng: np.random.Generator) -> list[tuple]:
    """One picture with the limb put anywhere, one time in two near a thing."""
    scene = draw_base_scene(rng)
    world = World(scene, str(rng.choice(["robot", "human"])), int(rng.integers(1 << 30)))
    point = np.array([rng.uniform(-0.16, 0.16), rng.uniform(-0.2, 0.2), rng.uniform(0.015, 0.2)])
    if rng.random() < 0.5:
        near = world.position(scene.things[rng.integers(len(scene.things))].name)
        point = near + (*rng.normal(0, 0.018, 2), abs(rng.normal(0, 0.05)))
    jaw = JAW_OPEN * float(rng.choice([1.0, 1.0, rng.uniform(0, 1), 0.0]))
    world.place_limb(point, JAW_OPEN if _between_fingers(world, point) else jaw)
    world.refresh()
    return [_picture(world)]


def _between_fingers(world: World, point: np.ndarray) -> bool:
    """Whether jaws that close there would close on a thing: without physics that would look like a grasp and be none."""
    ways = [world.position(s.name) - point for s in world.scene.things]
    return any(np.hypot(*way[:2]) < 0.045 and abs(way[2]) < 0.04 for way in ways)


def _handled(rng: np.random.Generator) -> list[tuple]:
    """Every third frame of somebody handling a thing."""
    task = draw_task(rng, None, str(rng.choice(FAMILIES)))
    if rng.random() < 0.3:
        task = replace(task, thing=str(rng.choice(PRACTICE_THINGS)))
    scene = draw_base_scene(rng, task)
    if task.family == "move" and max(np.abs(goal_of_move(scene, task)) - (0.15, 0.185)) > 0:
        return _handled(rng)
    world = World(scene, str(rng.choice(["robot", "human"])), int(rng.integers(1 << 30)))
    expert, pictures = Expert(world, task), []
    skip = int(rng.integers(3))
    for step in range(40):
        intent = expert.intent()
        action = expert.action(intent)
        if step % 3 == skip:
            pictures.append(_picture(world))
        if intent.phase == "stop":
            break
        world.step(
            action[:3] + rng.normal(0, 0.006, 3) + (rng.random() < 0.1) * rng.uniform(-0.04, 0.04, 3),
            action[6],
        )
    return pictures


def _chunk(args: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    seed, count = args
    rng = np.random.default_rng([seed, 77])
    rows: list[tuple] = []
    while len(rows) < count:
        rows += _handled(rng) if rng.random() < 0.13 else _placed(rng)
    rows = rows[:count]
    return (
        np.stack([r[0] for r in rows]),
        np.stack([r[1] for r in rows]),
        [json.dumps(asdict(r[2])) for r in rows],
    )


def make_pictures(out: Path, count: int, seed: int = 0, workers: int = 2, chunk: int = 500) -> None:
    """Draws `count` pictures into `out`: images.npy, patches.npy, views.jsonl (arrays are memory-mapped when read)."""
    out.mkdir(parents=True, exist_ok=True)
    chunks = -(-count // chunk)
    total = chunks * chunk
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, (total, IMAGE_SIZE, IMAGE_SIZE, 3))
    patches = np.lib.format.open_memmap(out / "patches.npy", "w+", np.uint8, (total, GRID * GRID))
    with ProcessPoolExecutor(workers) as pool, (out / "views.jsonl").open("w") as lines:
        jobs = pool.map(_chunk, [(seed * 1_000_003 + i, chunk) for i in range(chunks)])
        for i, (pictures, classes, views) in enumerate(
            tqdm(jobs, total=chunks, desc="pictures", unit="chunk")
        ):
            images[i * chunk : (i + 1) * chunk], patches[i * chunk : (i + 1) * chunk] = pictures, classes
            lines.write("\n".join(views) + "\n")
    images.flush(), patches.flush()


def read_views(path: Path) -> list[View]:
    """The views of `make_pictures`, in order."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [View(**{k: _tuples(v) for k, v in row.items()}) for row in rows]


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
