"""The parts of scripts/sweep.py: the experiment's file, the binary, results, runs, table, plot."""
