"""`radlite data subset`: the same episodes from a folder and from a Hub, no file more than they lie in, whole or not at all."""

import hashlib
import json
import re
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import let_through

from radlite.cli import main
from radlite.episodes import Episode, EpisodeDataset, write_dataset
from radlite.errors import RadliteError
from radlite.formats import lerobot_writer
from radlite.formats.lerobot_part import LeRobotIndex
from radlite.reasoning import Reasoning
from radlite.subset import choose, fits, subset
from radlite.validate import examine

SHA = "0123456789abcdef0123456789abcdef01234567"
TASKS = ("put the can on the plate", "Pick up the ball", "move the [red] block left")
COUNT = 14
EPISODES = "meta/episodes/chunk-000/file-000.parquet"


def episode(seed, embodiment="robot"):
    rng, length = np.random.default_rng(seed), 2 + seed % 3
    frames = rng.integers(0, 256, (length, 6, 8, 3), np.uint8)
    actions = rng.uniform(0.01, 0.05, (length, 7)).astype(np.float32) if embodiment == "robot" else None
    chains = [Reasoning(task=f"chain {seed}", move="move up")] * length
    return Episode(TASKS[seed % 3], frames, chains, embodiment, actions, meta={"seed": seed})


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A robot dataset of 14 episodes in 5 data files of 3 episodes each."""
    folder = tmp_path_factory.mktemp("large") / "large"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lerobot_writer, "FILE_MB", 3 / 2**20 * 500)
        write_dataset(folder, map(episode, range(COUNT)), origin="made up", license="cc-by-4.0")
    assert len(list(folder.glob("data/*/*"))) == 5
    return folder


@pytest.fixture
def mine(large, tmp_path):
    """The same, to spoil."""
    return shutil.copytree(large, tmp_path / "large")


def seeds(path):
    return [e.meta["seed"] for e in EpisodeDataset(path)]


def same(a, b):
    assert (a.instruction, a.embodiment, a.fps, a.reasoning) == (b.instruction, b.embodiment, b.fps, b.reasoning)
    for name in ("frames", "actions", "states"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


# -------------------------------------------------------------------------------------------- which episodes
def test_episodes_come_over_as_they_are_and_say_where_from(large, tmp_path):
    info = subset(large, tmp_path / "out", episodes=5, embodiment="robot")
    assert info.num_episodes == 5 == len(set(seeds(info.path))) and seeds(info.path) == sorted(seeds(info.path))
    for e in EpisodeDataset(info.path):
        same(e, episode(e.meta["seed"]))
        assert e.meta == {"seed": e.meta["seed"], "source": "large", "source_episode": e.meta["seed"]}
    assert not examine(info.path).findings
    card = (info.path / "README.md").read_text()
    assert "5 of the 14 episodes of `large`, by `radlite data subset` with seed 0" in card
    assert "license: cc-by-4.0" in card and "made up" in card


def test_the_seed_decides_and_fewer_are_among_more(large, tmp_path):
    index = LeRobotIndex(large)
    assert choose(index, 6, (), 3) == choose(index, 6, (), 3)
    assert len({tuple(choose(index, 6, (), seed)) for seed in range(20)}) > 15
    assert set(choose(index, 4, ("put",), 3)) < set(choose(index, 5, ("put",), 3))
    assert choose(index, None, (), 3) == list(range(COUNT)) == choose(index, COUNT, (), 0)
    often = np.bincount([k for seed in range(300) for k in choose(index, 3, (), seed)], minlength=COUNT)
    assert often.min() > 35 and often.max() < 100  # 64 on average
    subset(large, tmp_path / "a", episodes=3, seed=1)
    subset(tmp_path / "a", tmp_path / "b", episodes=2, seed=1)  # the first source stays the source
    assert {e.meta["source"] for e in EpisodeDataset(tmp_path / "b")} == {"large"}


def test_files_bound_what_is_read(large):
    index = LeRobotIndex(large)
    for seed in range(9):
        chosen = choose(index, 4, (), seed, files=2)
        assert len({index.files[k] for k in chosen}) <= 2 and chosen == choose(index, 4, (), seed, files=2)
    assert len({tuple(sorted({index.files[k] for k in choose(index, 4, (), seed, files=2)})) for seed in range(30)}) > 5
    with pytest.raises(RadliteError, match="7 episodes in 2 data files"):
        choose(index, 7, (), 0, files=2)


@pytest.mark.parametrize("tasks, which", [
    (["put"], {0}), (["PICK UP"], {1}), (["put", "ball"], {0, 1}), (["put * plate"], {0}), (["* block *"], {2}),
    (["put *can"], set()),
    (["[red]"], {2}), (["[abc]"], set()), (["?ut the*"], {0}), (["the"], {0, 2, 1}), ([], {0, 1, 2}), (["*"], {0, 1, 2}),
])  # fmt: skip
def test_tasks_are_words_or_patterns(large, tasks, which):
    assert {k for k, text in enumerate(TASKS) if fits(text, tasks)} == which
    if which:
        assert {k % 3 for k in choose(LeRobotIndex(large), None, tasks, 0)} == which


@given(st.text(), st.lists(st.text(st.sampled_from("ab*?[]! "), min_size=1), max_size=3))
def test_no_pattern_fails(text, tasks):
    assert fits(text, tasks) in (True, False)
    assert fits(text, [text]) or set("*?") & set(text)


def test_a_pattern_of_many_stars_is_quick():
    assert not fits("a" * 5000, ["*a*a*a*a*a*a*a*a*b"])


def test_too_few_that_fit_is_an_error_with_examples(large, tmp_path):
    for options, found in (({"episodes": 15}, "14;"), ({"episodes": 6, "tasks": ["put"]}, "5;"), ({"tasks": ["fly"]}, "0;")):
        with pytest.raises(RadliteError, match=f"found {found} there is for example .*Pick up the ball"):
            subset(large, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_episodes_without_an_instruction_are_never_chosen(mine, tmp_path):
    table = pq.read_table(mine / EPISODES)
    column = pa.array([["  "] if k == 2 else [] if k == 5 else task for k, task in enumerate(table["tasks"].to_pylist())])
    pq.write_table(table.set_column(table.column_names.index("tasks"), "tasks", column), mine / EPISODES)
    assert set(range(COUNT)) - set(seeds(subset(mine, tmp_path / "out").path)) == {2, 5}


# -------------------------------------------------------------------------------------------------- bad input
def edit_info(path, **changes):
    info = json.loads((path / "meta/info.json").read_text())
    (path / "meta/info.json").write_text(json.dumps(info | changes))


def features(path):
    return json.loads((path / "meta/info.json").read_text())["features"]


@pytest.mark.parametrize("options, message", [
    ({"episodes": 0}, "at least one of episodes"), ({"files": -1}, "at least one of files"), ({"tasks": [" "]}, "words"),
    ({"embodiment": "human"}, "human episodes; found robot episodes"), ({"revision": "main"}, "on the Hub, for --revision"),
])  # fmt: skip
def test_options_that_make_no_sense_are_refused(large, tmp_path, options, message):
    with pytest.raises(RadliteError, match=message):
        subset(large, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


def test_a_place_that_is_taken_is_refused(large, tmp_path):
    (tmp_path / "out").write_text("mine")
    for out in (tmp_path / "out", large):
        with pytest.raises(RadliteError, match="nothing at"):
            subset(large, out)
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("damage", ["no meta", "old", "seven", "chain", "page", "no file", "number", "no column", "video"])
def test_a_dataset_that_cannot_be_cut_is_refused_and_nothing_is_left(mine, tmp_path, damage):
    first = mine / "data/chunk-000/file-000.parquet"
    if damage == "no meta":
        shutil.rmtree(mine / "meta")
    elif damage == "old":
        edit_info(mine, codebase_version="v2.1")
    elif damage == "seven":
        edit_info(mine, features=features(mine) | {"action": {"dtype": "float32", "shape": [6], "names": None}})
    elif damage == "video":
        edit_info(mine, features=features(mine) | {"observation.images.main": {"dtype": "video", "shape": [6, 8, 3]}})
    elif damage == "chain":
        table = pq.read_table(first)
        chains = pa.array(['{"task": 1}', *table["reasoning"].to_pylist()[1:]])
        pq.write_table(table.set_column(table.column_names.index("reasoning"), "reasoning", chains), first)
    elif damage == "page":
        data = bytearray(first.read_bytes())
        data[4:400] = bytes(396)
        first.write_bytes(data)
    elif damage == "no file":
        first.unlink()
    else:
        table = pq.read_table(mine / EPISODES)
        at = table.column_names.index("data/file_index")
        changed = table.remove_column(at) if damage == "no column" else None
        changed = changed or table.set_column(at, "data/file_index", pa.array([-1] * COUNT))
        pq.write_table(changed, mine / EPISODES)
    with pytest.raises(RadliteError):
        subset(mine, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["large"]


def test_damage_beside_the_chosen_ones_does_not_matter_and_theirs_is_named(mine, tmp_path):
    last = mine / "data/chunk-000/file-004.parquet"
    data = last.read_bytes()
    last.write_bytes(data[:4] + bytes(300) + data[304:])  # pages of episode 12
    index = LeRobotIndex(mine)
    seed = next(s for s in range(99) if max(choose(index, 4, (), s)) < 12)
    assert len(seeds(subset(mine, tmp_path / "out", episodes=4, seed=seed).path)) == 4
    with pytest.raises(RadliteError, match=r"large .episode 12.") as error:
        subset(mine, tmp_path / "all")
    assert "tmp" not in str(error.value) and "row group 0 of data/chunk-000/file-004.parquet" in error.value.found
    last.write_bytes(data[: len(data) // 2])  # no footer
    assert len(seeds(subset(mine, tmp_path / "again", episodes=4, seed=seed).path)) == 4
    with pytest.raises(RadliteError, match=r"parquet file at large/data/chunk-000/file-004.parquet") as error:
        subset(mine, tmp_path / "all")
    assert "tmp" not in str(error.value) and not (tmp_path / "all").exists()


def test_states_of_another_width_are_left_out(mine, tmp_path):
    edit_info(mine, features=features(mine) | {"observation.state": {"dtype": "float32", "shape": [8], "names": None}})
    for path in mine.glob("data/*/*"):
        table = pq.read_table(path)
        states = pa.array([[0.0] * 8] * len(table), pa.list_(pa.float32(), 8))
        pq.write_table(table.append_column("observation.state", states), path)
    assert EpisodeDataset(subset(mine, tmp_path / "out", episodes=4).path)[0].states is None


def test_a_stop_while_writing_leaves_nothing(large, tmp_path, monkeypatch):
    original, calls = lerobot_writer.LeRobotWriter.add, []

    def add(self, *args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        original(self, *args)

    monkeypatch.setattr(lerobot_writer.LeRobotWriter, "add", add)
    with pytest.raises(KeyboardInterrupt):
        subset(large, tmp_path / "out")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------- the Hub
class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as its client asks for when it fetches files; `log` holds what was asked for."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args, folder, log, refused):
        self.folder, self.log, self.refused = folder, log, refused
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        path = unquote(urlsplit(self.path).path)
        if re.fullmatch(rf"/api/datasets/team/large(/revision/(main|v2|{SHA}))?", path):
            return self._send(json.dumps({"id": "team/large", "sha": SHA, "siblings": []}).encode(), "application/json", body)
        if path == f"/api/datasets/team/large/tree/{SHA}":
            files = sorted(p for p in self.folder.rglob("*") if p.is_file())
            rows = [{"type": "file", "path": p.relative_to(self.folder).as_posix(), "size": p.stat().st_size,
                     "oid": hashlib.sha1(p.read_bytes()).hexdigest()} for p in files]  # fmt: skip
            return self._send(json.dumps(rows).encode(), "application/json", body)
        found = re.fullmatch(rf"/datasets/team/large/resolve/{SHA}/(.+)", path)
        if found and (self.folder / found[1]).is_file() and found[1] not in self.refused:
            if body:
                self.log.append(found[1])
            return self._send((self.folder / found[1]).read_bytes(), "application/octet-stream", body)
        code = 403 if found and found[1] in self.refused else 404
        self.send_response(code)
        self.send_header("X-Error-Code", "EntryNotFound" if found else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, data, kind, body):
        self.send_response(200)
        headers = {"Content-Type": kind, "Content-Length": len(data), "X-Repo-Commit": SHA}
        for name, value in (headers | {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'}).items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def hub(mine, tmp_path, monkeypatch):
    """A Hub with the dataset team/large: its folder, what it was asked for, and what it refuses."""
    log, refused = [], set()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    let_through(monkeypatch)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=mine, log=log, refused=refused))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(huggingface_hub.constants.ENDPOINT, address)
    for name, value in {"ENDPOINT": address, "HUGGINGFACE_CO_URL_TEMPLATE": template, "HF_HUB_OFFLINE": False,
                        "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": True}.items():  # fmt: skip
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    yield mine, log, refused
    server.shutdown()
    server.server_close()


def data(log):
    return sorted(name for name in log if name.startswith("data/"))


def test_the_hub_gives_the_episodes_of_the_folder_and_no_file_more(hub, tmp_path, capsys):
    folder, log, _ = hub
    assert main(["data", "subset", "team/large", "--episodes", "3", "--tasks", "put", "--seed", "4", str(tmp_path / "out")]) == 0
    index = LeRobotIndex(folder)
    wanted = choose(index, 3, ["put"], 4)
    assert seeds(tmp_path / "out") == wanted == seeds(subset(folder, tmp_path / "local", episodes=3, tasks=["put"], seed=4).path)
    assert data(log) == sorted({index.files[k] for k in wanted}) and len(data(log)) < 5
    assert "meta/stats.json" not in log
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"3 of 14 episodes of team/large@{SHA[:12]}, in {len(data(log))} of 5 data files"
    assert {e.meta["source"] for e in EpisodeDataset(tmp_path / "out")} == {f"team/large@{SHA[:12]}"}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "license: cc-by-4.0" in card and SHA[:12] in card and "made up" not in card


def test_a_run_that_was_stopped_goes_on_and_what_is_here_is_not_fetched_again(hub, tmp_path, monkeypatch):
    _, log, refused = hub
    refused.add("data/chunk-000/file-003.parquet")
    with pytest.raises(RadliteError, match="run it again"):
        subset("team/large", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    before = set(data(log))
    refused.clear()
    log.clear()
    assert seeds(subset("team/large", tmp_path / "out", revision="v2").path) == list(range(COUNT))
    assert data(log) == sorted({f"data/chunk-000/file-00{k}.parquet" for k in range(5)} - before)
    log.clear()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert seeds(subset("team/large", tmp_path / "again", episodes=3, revision=SHA).path) and not log


def test_what_the_hub_does_not_have_is_said(hub, tmp_path):
    folder, _, _ = hub
    for source, message in (("team/nothing", "the folder team/nothing, or the files"), ("no/such/thing", "check the path")):
        with pytest.raises(RadliteError, match=message):
            subset(source, tmp_path / "out")
    with pytest.raises(RadliteError, match="team/large"):
        subset("team/large", tmp_path / "out", revision="gone")
    (folder / "data/chunk-000/file-002.parquet").unlink()
    with pytest.raises(RadliteError, match="file-002.parquet in team/large"):
        subset("team/large", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_older_or_other_dataset_on_the_hub_is_refused_before_its_data_is_fetched(hub, tmp_path):
    folder, log, _ = hub
    edit_info(folder, codebase_version="v2.1")
    with pytest.raises(RadliteError, match=r"codebase_version 'v3.0'"):
        subset("team/large", tmp_path / "out")
    assert not data(log)


def test_a_dataset_on_the_hub_that_is_no_lerobot_dataset_is_refused(hub, tmp_path):
    folder, log, _ = hub
    shutil.rmtree(folder / "meta")
    with pytest.raises(RadliteError, match=r"meta/info.json in team/large"):
        subset("team/large", tmp_path / "out")
    assert not data(log)


def test_a_hub_that_cannot_be_reached_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RadliteError, match="check the name and the network"):  # offline, as all tests are
        subset("team/large", tmp_path / "out")
    assert not Path(tmp_path / "out").exists()
