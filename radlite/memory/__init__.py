"""How much memory a training step takes, told before anything is fetched or loaded: `radlite.memory.plan.memory`."""
