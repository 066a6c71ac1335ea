"""The public checks of the notebooks' exercises: each takes a function, tests properties of it, and says what is missing.

    radlite.check.loss_mask(loss_mask)

prints a line a property ("ok" or "not yet", with a hint) and ends "public checks passed (3 of 4)". Teachers have others.
"""

from radlite.check.faithful import faithfulness
from radlite.check.intervals import trials_needed, wilson_interval
from radlite.check.masks import loss_mask
from radlite.check.memory import training_bytes
from radlite.check.mixtures import mixture_sampler
from radlite.check.report import Result
from radlite.check.tables import fisher_test

__all__ = ["Result", "faithfulness", "fisher_test", "loss_mask", "mixture_sampler", "training_bytes", "trials_needed",
           "wilson_interval"]
