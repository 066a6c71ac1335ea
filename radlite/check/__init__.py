"""The public checks of the notebooks' exercises: each takes a function, tests properties of it, and says what is missing.

    radlite.check.loss_mask(loss_mask)

prints a line a property ("ok" or "not yet", with a hint) and ends "public checks passed (3 of 4)". Teachers have others.
"""

from radlite.check.faithful import faithfulness
from radlite.check.frames import bad_frames
from radlite.check.grips import hand_as_gripper
from radlite.check.intervals import trials_needed, wilson_interval
from radlite.check.masks import loss_mask
from radlite.check.memory import training_bytes
from radlite.check.mixtures import mixture_sampler
from radlite.check.normal import normalised
from radlite.check.report import Result
from radlite.check.tables import fisher_test
from radlite.check.ways import movement_primitives

__all__ = ["Result", "bad_frames", "faithfulness", "fisher_test", "hand_as_gripper", "loss_mask", "mixture_sampler",
           "movement_primitives", "normalised", "training_bytes", "trials_needed", "wilson_interval"]
