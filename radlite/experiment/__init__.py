"""The paper's tables in miniature: arms that differ in one thing, cells of many trials, intervals, and what it shows.

`arms` says what a policy is trained on, `cells` what is measured, `run` does what is not done yet, `tables` reads the results.
"""
