"""What every test gets: no network, few threads, and the same examples each time."""

from __future__ import annotations

import os
import socket

# Before anything imports torch or transformers, which read these once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("MKL_NUM_THREADS", "2")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

settings.register_profile("radlite", deadline=None, derandomize=True)
settings.load_profile("radlite")


class NetworkBlocked(RuntimeError):
    """A test reached for the network. No OSError, so that code which retries on those cannot swallow it."""


def _blocked(*args: object, **kwargs: object) -> None:
    raise NetworkBlocked(f"tests are offline, and this one asked for {args[:2]}")


def _local_only(name: str):
    original = getattr(socket.socket, name)

    def guarded(self: socket.socket, *args: object) -> object:
        if self.family != getattr(socket, "AF_UNIX", None):  # processes of one machine talk through AF_UNIX
            _blocked(*args)
        return original(self, *args)

    return guarded


# Methods rather than the class: every socket there is, TLS ones included, inherits them.
for _name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, _name, _local_only(_name))
for _name in ("getaddrinfo", "gethostbyname"):
    setattr(socket, _name, _blocked)


# ------------------------------------------------------------------------------ what several test files share
@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Folder of an untrained tiny base with the tokenizer of the real one."""
    import torch

    from radlite.base.facts import words
    from radlite.tiny import build_model, build_tokenizer

    torch.set_num_threads(1)
    folder, tokenizer = tmp_path_factory.mktemp("base"), build_tokenizer(words())
    build_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """Folders of four robot and three human demonstrations from the simulator: {"robot": ..., "human": ...}."""
    from radlite.tabletop.collect import collect

    folder = tmp_path_factory.mktemp("clips")
    for name, count in (("robot", 4), ("human", 3)):
        collect(folder / name, name, count, workers=1, progress=False)
    return {name: folder / name for name in ("robot", "human")}


@pytest.fixture(scope="session")
def robot(clips):
    """The robot demonstrations, pictures decoded."""
    from radlite.episodes import EpisodeDataset

    return EpisodeDataset(clips["robot"]).cache()


@pytest.fixture(scope="session")
def human(clips):
    """The human demonstrations, pictures decoded."""
    from radlite.episodes import EpisodeDataset

    return EpisodeDataset(clips["human"]).cache()


@pytest.fixture(scope="session")
def vlm(base):
    """The untrained base in memory. Tests only read it."""
    from radlite.bases import load_vlm

    return load_vlm(base)


LESSON = ("task", "move")  # a short chain, quick to learn


@pytest.fixture(scope="session")
def few(robot, tmp_path_factory):
    """A dataset of three robot frames, first of their episodes, with instructions of different length."""
    from radlite.episodes import Episode, EpisodeDataset, write_dataset

    folder = tmp_path_factory.mktemp("few") / "robot"
    whole = [robot[i] for i in range(3)]
    write_dataset(
        folder, [Episode(e.instruction, e.frames[:1], e.reasoning[:1], "robot", e.actions[:1]) for e in whole]
    )
    return EpisodeDataset(folder).cache()


@pytest.fixture(scope="session")
def taught(base, few, tmp_path_factory):
    """A run that has learnt three frames by heart: (folder of the run, the model as it is in memory)."""
    from radlite.bases import load_vlm
    from radlite.collate import CollateConfig
    from radlite.mixture import Mixture
    from radlite.train import TrainConfig, train

    folder, vlm = tmp_path_factory.mktemp("taught") / "run", load_vlm(base)
    lesson = CollateConfig(action_weight=2.0, fields=LESSON)
    config = TrainConfig(
        steps=60, rate=1e-3, warmup=5, lora_rank=0, log_every=8, precision="no", collate=lesson
    )
    train(vlm, Mixture(few, None, robot_per_batch=3), folder, config, progress=False)
    return folder, vlm
