"""The report's prose: what one sees in each part, and what it does not show. Our own words only, no data."""

TITLE = "A robot does what it has only seen a hand do"

INTRO = """ECoT learns from robot demonstrations only. RAD learns from the same robot demonstrations plus
human ones that carry reasoning but no actions. All trials are closed-loop rollouts in the tabletop
simulator; nothing here was measured on a real robot."""

SUCCESS = """Share of scenes solved, both arms on the same scenes. Left: the robot's own tasks. Right: tasks
that no robot demonstration showed, only human hands."""
SUCCESS_LIMITS = """Whiskers are 95% Wilson intervals: they cover the luck of which scenes were drawn, not
the luck of one training run (another seed trains another policy)."""

CONTROLS = """What success would be without skill: a robot that does nothing, one that moves at random, and
RAD told to do another task. All should stay at or below 5%; a higher bar means that the tasks can be solved
by accident, or that the policy ignores its instruction."""

ROLLOUTS = """Boxes, names and text are what the policy predicted from that frame; the plan is kept from the first.
The dotted path is where it sees the gripper now and expects it at the next four steps (filled dot: now, X: last). The arrow
is its action on the table's plane, the corner badge its vertical part and the jaws."""
ROLLOUTS_LIMITS = """The first scene of each kind, whatever came of it; the rates above come from all of them. A chain
that reads well does not prove that the action followed from it."""

TRAINING = """Loss (nats per token, mean over tokens that carry loss) of each part of the chain; lower is
better; every line up is ten times as much. Only robot samples have an action, so that panel never sees the human data. Panels
called blind are of robot samples that were read without their picture."""
TRAINING_LIMITS = """Measured on training batches with the true text before each token. A low loss is
therefore no promise of success: when acting, the policy stands on its own words, mistakes included."""

SECONDS = "Seconds are wall-clock time on the machine that ran this and will differ on yours."
