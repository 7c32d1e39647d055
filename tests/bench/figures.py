"""One figure of a benchmark as a JSON line: what was measured, how, what is asked of it, and whether it is reached."""

from __future__ import annotations

from collections.abc import Mapping

Line = dict[str, object]


def figure(
    what: str,
    measured: float,
    how: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    more: Mapping[str, object] | None = None,
) -> Line:
    """Return a line of a benchmark.

    Args:
        what: What was measured, with its unit.
        measured: The figure.
        how: On what, how many, which seed.
        at_least: The smallest figure that is good enough; `None` where there is none.
        at_most: The largest one.
        more: What else was seen.

    Returns:
        A JSON object; `reached` is missing where nothing is asked.
    """
    line: Line = {"what": what, "measured": float(f"{measured:.4g}"), "how": how}
    if at_least is not None:
        line |= {"at least": at_least, "reached": measured >= at_least}
    if at_most is not None:
        line |= {"at most": at_most, "reached": measured <= at_most and bool(line.get("reached", True))}
    return line | dict(more or {})
