"""What is printed: a line a figure, with the least, the middle and the greatest of all rounds."""

import statistics

MARGIN = "{:<9} {:<46} {:>10} {:>10} {:>10}  {}"


def head():
    """The head of the table."""
    print(MARGIN.format("load", "figure", "min", "median", "max", "goal"), flush=True)


def line(load, figure, values, goal=None, digits=2):
    """A line. `goal` is `("<=", 1.08)` or `(">=", 0.92)`, and is held against the median."""
    values = [value for value in values if value is not None]
    if not values:
        return
    median = statistics.median(values)
    shown = [f"{value:,.{digits}f}" for value in (min(values), median, max(values))]
    print(MARGIN.format(load, figure, *shown, verdict(median, goal)).rstrip(), flush=True)


def verdict(median, goal):
    """The goal, and whether it is met."""
    if goal is None:
        return ""
    sign, bound = goal
    met = median <= bound if sign == "<=" else median >= bound
    return f"{sign} {bound:g} {'met' if met else 'MISSED'}"


def note(text):
    """A line that is no figure."""
    print(f"# {text}", flush=True)
