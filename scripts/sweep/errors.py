"""How a sweep ends when it does not end well: exit codes as in sluice itself."""

USAGE = 2         # options or the experiment's file
DATA = 65         # results.jsonl is damaged
INPUT = 66        # a file cannot be read
INTERNAL = 70     # sluice did something it never should
LOCKED = 73       # another sweep works in the folder
OUTPUT = 74       # a file cannot be written
INTERRUPTED = 75  # stopped by a signal or --budget; the same command goes on
DIVERGED = 76     # of sluice train: the loss became infinite or no number


class SweepError(Exception):
    """One line for the user, and the exit code."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Interrupted(Exception):
    """A signal or the end of the budget, after what runs has been saved."""
