"""The command line, from collecting to the report, on a base that knows nothing."""

import json
import re
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from radlite import demo as demo_module
from radlite import policy as acting
from radlite.cli import build_parser, main
from radlite.demo import DemoConfig, demo
from radlite.episodes import EpisodeDataset, write_dataset
from radlite.errors import RadliteError
from radlite.policy import load_policy
from radlite.show import read_video, write_mp4

COMMANDS = ("demo", "collect", "train", "evaluate", "predict", "report", "data", "setup", "doctor")


@pytest.fixture(autouse=True)
def terse(monkeypatch):
    """An untrained base would write its 220 tokens in every frame."""
    monkeypatch.setattr(acting, "MAX_REASONING", 4)


def said(capsys):
    return capsys.readouterr()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    text = said(capsys).out
    assert stop.value.code == 0 and f"radlite {command}" in text and "-h, --help" in text


def test_help_names_every_command_and_no_command_is_refused():
    text = build_parser().format_help()
    assert all(re.search(rf"^ +{c} ", text, re.M) for c in COMMANDS)
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2


# ------------------------------------------------------------------------------------------- one stage a command
def test_collect(tmp_path, capsys):
    out = tmp_path / "human"
    argv = ["collect", "--out", str(out), "--embodiment", "human", "--episodes", "2", "--workers", "1",
            "--axes", "new_scene", "--size", "48", "--image-format", "webp"]  # fmt: skip
    assert main(argv) == 0
    dataset = EpisodeDataset(out)
    assert said(capsys).out == f"2 human episodes, {dataset.num_frames} frames in {out}\n"
    assert {e.meta["axis"] for e in dataset} == {"new_scene"} and dataset.image_shape == (48, 48, 3)
    assert main(argv) == 2  # there already
    assert "overwrite" in said(capsys).err
    assert main([*argv, "--overwrite"]) == 0


def train_argv(base, clips, out):
    return ["train", "--robot", str(clips["robot"]), "--human", str(clips["human"]), "--model", str(base), "--out", str(out),
            "--steps", "2", "--robot-per-batch", "2", "--ratio", "0.5", "--blind-per-batch", "3", "--lora-rank", "4"]  # fmt: skip


def test_train_and_again(base, clips, tmp_path, capsys):
    argv = train_argv(base, clips, tmp_path / "run")
    assert main(argv) == 0
    assert said(capsys).out.startswith("2 of 2 steps") and load_policy(base, tmp_path / "run").stats
    about = json.loads((tmp_path / "run" / "adapter" / "radlite.json").read_text())
    sizes = {"robot_per_batch": 2, "ratio": 0.5, "seed": 0, "blind_per_batch": 3, "human_first": 0}
    assert about["train"]["mixture"] == sizes
    assert main(argv) == 0
    assert main([*argv, "--rate", "0.1"]) == 2
    assert "another config" in said(capsys).err


def test_robot_data_without_reasoning_teaches_actions_only(base, few, tmp_path, capsys):
    """As many samples as otherwise, all of them seen; the policy then acts at once instead of saying what nobody taught it."""
    write_dataset(tmp_path / "mute", [replace(e, reasoning=[None]) for e in few])
    argv = ["train", "--robot", str(tmp_path / "mute"), "--model", str(base), "--steps", "1", "--lora-rank", "2", "--out"]
    for given, counts in (([], (34, 0)), (["--robot-per-batch", "2"], (2, 0)), (["--blind-per-batch", "1"], (10, 1))):
        out = tmp_path / f"run{len(given) + counts[1]}"
        assert main([*argv, str(out), *given]) == 0
        assert (f"no reasoning in {tmp_path / 'mute'}" in said(capsys).out) == (not counts[1])
        mixture = json.loads((out / "adapter" / "radlite.json").read_text())["train"]["mixture"]
        assert (mixture["robot_per_batch"], mixture["blind_per_batch"]) == counts
    policy = load_policy(base, out)
    [prediction] = policy.predict([few.frame(0).image], "go")
    assert policy.longest_chain == 0 and prediction.text == "ACTION:" and prediction.action.shape == (7,)


def test_evaluate(base, taught, tmp_path, capsys):
    out = tmp_path / "deep" / "result.json"
    assert main(["evaluate", "--model", str(base), "--adapter", str(taught[0]), "--trials", "2", "--no-reasoning",
                 "--out", str(out)]) == 0  # fmt: skip
    result = json.loads(said(capsys).out)
    assert result == json.loads(out.read_text())
    assert result["trials"] == 2 and len(result["interval"]) == 2
    assert len(result["by_axis"]) == 2  # trials are spread over the axes as evenly as they go


@pytest.fixture
def picture(few, tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(few.frame(0).image.repeat(2, 0).repeat(2, 1)).save(path)
    return path


def predict_argv(base, taught, source, out, few):
    return ["predict", str(source), "--instruction", few.frame(0).instruction, "--model", str(base),
            "--adapter", str(taught[0]), "--out", str(out)]  # fmt: skip


def test_predict_a_picture(base, taught, few, picture, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(acting, "MAX_REASONING", 60)  # this scene it knows
    out = tmp_path / "new" / "overlay.png"
    assert main(predict_argv(base, taught, picture, out, few)) == 0
    row = json.loads(said(capsys).out)
    assert row["frame"] == 0 and len(row["action"]) == 7 and np.isfinite(row["action"]).all()
    assert few.frame(0).reasoning.move in row["text"]
    with Image.open(out) as overlay:
        assert overlay.width > overlay.height >= 256  # the frame, and the chain beside it
    assert main([*predict_argv(base, taught, picture, out, few), "--reasoning", "MOVE: move up"]) == 0
    assert json.loads(said(capsys).out)["text"].startswith("MOVE: move up ")


def test_predict_a_video(base, taught, few, robot, tmp_path, capsys):
    write_mp4(tmp_path / "clip.mp4", list(robot[0].frames[:5]), 5.0)
    out = tmp_path / "overlay.mp4"
    argv = [*predict_argv(base, taught, tmp_path / "clip.mp4", out, few), "--max-frames", "3"]
    assert main(argv) == 0
    rows = [json.loads(line) for line in said(capsys).out.splitlines()]
    assert [r["frame"] for r in rows] == [0, 1, 2]
    assert len(read_video(out, 10)[0]) == 3


def test_an_overlay_that_cannot_be_written_is_told_before_the_work(base, taught, few, picture, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("radlite.policy.load_policy", lambda *_: pytest.fail("the policy was loaded"))
    (tmp_path / "file").write_text("")
    assert main(predict_argv(base, taught, picture, tmp_path / "file" / "overlay.png", few)) == 2
    assert "to write" in said(capsys).err


def test_doctor(capsys):
    assert main(["doctor"]) == 0
    assert "python" in said(capsys).out
    assert main(["doctor", "--json"]) == 0
    assert {"status", "checks"} <= set(json.loads(said(capsys).out))


# ---------------------------------------------------------------------------------------------------- bad input
def unreadable(folder):
    path = folder / "no.png"
    path.write_text("this is no picture")
    return path


BAD = {
    "unknown model": lambda t, b, c: ["train", "--robot", c["robot"], "--model", "radlite-huge", "--out", t / "o"],
    "human data as robot": lambda t, b, c: ["train", "--robot", c["human"], "--model", b, "--out", t / "o"],
    "no dataset": lambda t, b, c: ["train", "--robot", t, "--model", b, "--out", t / "o"],
    "ratio": lambda t, b, c: ["train", "--robot", c["robot"], "--model", b, "--out", t / "o", "--ratio", "-1"],
    "unknown adapter": lambda t, b, c: ["evaluate", "--model", b, "--adapter", "best"],
    "no input": lambda t, b, c: ["predict", t / "none.png", "--instruction", "x", "--model", b],
    "no picture": lambda t, b, c: ["predict", unreadable(t), "--instruction", "x", "--model", b],
    "no demo": lambda t, b, c: ["report", t],
    "fresh elsewhere": lambda t, b, c: ["demo", "--smoke", "--model", b, "--fresh", "--out", unreadable(t).parent],
    "unwritable": lambda t, b, c: ["collect", "--embodiment", "robot", "--episodes", "1", "--out", unreadable(t) / "x"],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_code_two(name, tmp_path, base, clips, capsys):
    assert main([str(part) for part in BAD[name](tmp_path, base, clips)]) == 2
    error = [line for line in said(capsys).err.splitlines() if not line.startswith("Loading weights")]
    assert len(error) == 1 and re.fullmatch(r"radlite: expected .+; found .+; .+", error[0]), error
    assert {p.name for p in tmp_path.iterdir()} <= {"no.png", "o"} and not list(tmp_path.glob("o/*"))


def test_a_chain_that_cannot_be_read_is_bad_input(base, taught, few, picture, capsys):
    argv = predict_argv(base, taught, picture, picture.with_name("x.png"), few)
    assert main([*argv, "--reasoning", "move up"]) == 2 and "TASK:" in said(capsys).err


def test_an_overlay_has_a_known_kind(base, taught, few, picture, capsys):
    out = picture.with_name("overlay")
    assert main(predict_argv(base, taught, picture, out, few)) == 2 and not out.exists()
    printed = said(capsys)
    assert ".png" in printed.err and not printed.out  # refused before the work, not after it


@pytest.mark.parametrize("option", [["--seed", "-1"], ["--trials", "0"], ["--trials", "many"]])
def test_numbers_are_checked_by_the_parser(option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *option])
    assert stop.value.code == 2 and option[0] in said(capsys).err


def test_module_and_script_are_the_same():
    import subprocess

    done = subprocess.run([sys.executable, "-m", "radlite", "--help"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.startswith("usage: radlite")


# --------------------------------------------------------------------------------------------------------- demo
@pytest.fixture(scope="module")
def ran(base, tmp_path_factory):
    """`radlite demo --smoke`, smaller still: (its folder, the sizes)."""
    out, size = tmp_path_factory.mktemp("demo") / "run", DemoConfig(2, 3, 2, 2, 1.0, 1, 3, 1, 3, base=str(base), matched=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acting, "MAX_REASONING", 2)
        patch.setattr(demo_module, "SMOKE", size)
        assert main(["demo", "--smoke", "--model", str(base), "--out", str(out)]) == 0
    return out, size


def test_the_demo_leaves_what_it_promises(ran, base):
    out, size = ran
    results = json.loads((out / "results.json").read_text())
    assert {"arms", "controls", "steps", "datasets", "seconds", "seed", "versions"} <= set(results)
    for arm in ("ecot", "rad"):
        for split, count in (("robot_tasks", 1), ("human_only_tasks", 3)):
            cell = results["arms"][arm][split]
            assert cell["trials"] == count and 0 <= cell["successes"] <= count
        assert load_policy(base, out / arm).stats is not None
    assert results["datasets"]["robot"]["episodes"] == 2 and results["datasets"]["human"]["episodes"] == 3
    assert set(results["seconds"]) == {"collect", "train", "evaluate", "total"}
    assert set(results["seconds"]["train"]) >= {"ecot", "rad"}
    assert {"do_nothing", "random_actions", "rad_wrong_instruction", "ecot_matched"} <= set(results["controls"])
    robot = {arm: s["robot_samples"] for arm, s in results["steps"].items()}
    assert robot["ecot"] == robot["rad"] and results["steps"]["rad"]["samples"] == results["steps"]["ecot_matched"]["samples"]
    html = (out / "report.html").read_text()
    page = re.sub(r"<script.*?</script>", "", html, flags=re.S)  # plotly's own code names its site
    assert "<html" in page and not re.search(r'(src|href)="https?:', page)
    assert len(read_video(out / "rollout.mp4", 500)[0]) > 3


def forbid(patch, *names):
    for name in names:
        patch.setattr(demo_module, name, lambda *_, name=name, **__: pytest.fail(f"{name} was called again"))


def test_a_second_run_reuses_what_is_finished(ran, monkeypatch):
    out, size = ran
    before = json.loads((out / "results.json").read_text())
    forbid(monkeypatch, "collect", "train", "rollout")
    assert demo(out, size, progress=False) == before


def test_a_stage_whose_files_are_gone_is_done_again(ran, monkeypatch):
    out, size = ran
    (out / "clips" / "rad_0.npz").unlink()
    forbid(monkeypatch, "collect", "train")
    monkeypatch.setattr(acting, "MAX_REASONING", 2)
    demo(out, size, progress=False)
    assert (out / "clips" / "rad_0.npz").exists()


def test_a_stage_file_that_was_cut_off_is_done_again(ran, monkeypatch, capsys):
    out, size = ran
    stage = out / "stages" / "act_ecot.json"
    was = stage.read_text()
    stage.write_text(was[: len(was) // 2])
    forbid(monkeypatch, "collect", "train")
    monkeypatch.setattr(acting, "MAX_REASONING", 2)
    demo(out, size, progress=False)
    assert json.loads(stage.read_text())["key"] == json.loads(was)["key"] and "done again" in said(capsys).err


def test_another_demo_in_the_same_folder_is_refused_before_anything_is_touched(ran, monkeypatch):
    from dataclasses import replace

    out, size = ran
    forbid(monkeypatch, "collect", "train", "rollout")
    with pytest.raises(RadliteError, match="another seed.*--fresh"):
        demo(out, replace(size, seed=1), progress=False)


def test_the_report_can_be_written_again(ran, capsys):
    out, _ = ran
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert said(capsys).out.strip() == str(out / "report.html") and (out / "report.html").exists()
