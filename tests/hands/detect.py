"""Runs MediaPipeHands where mediapipe is: python detect.py PICTURES.npy OUT.json [--model FILE] [--still]."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("pictures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--still", action="store_true")
    args = parser.parse_args()
    from radlite.annotate.mediapipe_hands import MediaPipeHands

    before = sorted({name.split(".")[0] for name in sys.modules})
    detector = MediaPipeHands(args.model, tracking=not args.still)
    found = detector.detect(np.load(args.pictures))
    hands = [[{"side": h.side, "score": h.score, "landmarks": h.landmarks.tolist()} for h in each] for each in found]
    version = sys.modules["mediapipe"].__version__
    args.out.write_text(json.dumps({"backend": detector.backend, "version": version, "loaded": before, "hands": hands}))


if __name__ == "__main__":
    main()
