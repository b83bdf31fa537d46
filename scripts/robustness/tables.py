"""Scores by form and by group, for people and for programs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from .forms import GROUPS

HEAD = ("form", "films", "mean lost", "worst lost", "agreement", "refused", "flagged", "flags")
EARLIER = ("before: mean lost", "worst lost")


def summarize(scores: Sequence[dict]) -> dict:
    """Figures of each form, of each group, and of the forms that a file describes against those that it does not.

    Args:
        scores: rows with form, group, described, dice_plain, dice, lost, agreement, status and flags.

    Returns:
        "films", "dice_plain" (mean), "kinds", "groups" and "forms": name -> figures, see `figures`. In kinds and
        groups, "worst_mean" is the largest mean of a form.
    """
    shown = [row for row in scores if row["form"] != "plain"]
    forms = {name: {**figures(rows), "group": rows[0]["group"]} for name, rows in grouped(scores, "form").items()}

    def larger(key: Callable[[dict], str]) -> dict[str, dict]:
        parts: dict[str, list[dict]] = defaultdict(list)
        for row in shown:
            parts[key(row)].append(row)
        return {
            name: {**figures(rows), "worst_mean": max(forms[row["form"]]["lost_mean"] for row in rows)}
            for name, rows in parts.items()
        }

    plain = [row for row in scores if row["form"] == "plain"]
    return {
        "films": len(plain),
        "dice_plain": float(np.mean([row["dice_plain"] for row in plain])) if plain else None,
        "kinds": larger(lambda row: "described" if str(row["described"]) == "True" else "looking"),
        "groups": larger(lambda row: row["group"]),
        "forms": forms,
    }


def grouped(scores: Sequence[dict], key: str) -> dict[str, list[dict]]:
    """Rows of each value of a column, in the order in which the values come."""
    parts: dict[str, list[dict]] = defaultdict(list)
    for row in scores:
        parts[row[key]].append(row)
    return dict(parts)


def figures(rows: Sequence[dict]) -> dict:
    """Films, mean and worst Dice lost and the film that is worst, mean agreement with the plain film's mask, films
    without a mask ("refused"), films with any flag, and how often each flag is raised."""
    worst = max(rows, key=lambda row: row["lost"])
    flags = Counter(flag for row in rows for flag in row["flags"].split(";") if flag)
    return {
        "films": len(rows),
        "lost_mean": float(np.mean([row["lost"] for row in rows])),
        "lost_worst": float(worst["lost"]),
        "worst_film": worst["id"],
        "worst_detail": worst["detail"],
        "agreement": float(np.mean([row["agreement"] for row in rows])),
        "refused": sum(row["status"] != "done" for row in rows),
        "flagged": sum(bool(row["flags"]) for row in rows),
        "flags": dict(flags.most_common()),
    }


def markdown(summary: dict, earlier: dict | None = None) -> str:
    """The summary as tables, beside that of an `earlier` run over the same forms."""
    before = earlier or {"kinds": {}, "groups": {}, "forms": {}}
    lines = [f"{summary['films']} films, Dice of the plain film {summary['dice_plain']:.4f}.", ""]
    described = {"described": "the file describes it", "looking": "only looking can tell"}
    lines += table(
        {described[name]: row for name, row in summary["kinds"].items()},
        earlier and {described[name]: row for name, row in before["kinds"].items()},
    )
    for group in GROUPS:
        forms = {name: row for name, row in summary["forms"].items() if row["group"] == group and name != "plain"}
        if forms:
            old = earlier and {**before["forms"], "all": before["groups"].get(group)}
            lines += ["", f"**{group}**", "", *table({**forms, "all": summary["groups"][group]}, old)]
    return "\n".join(lines) + "\n"


def table(rows: dict[str, dict], earlier: dict[str, dict] | None = None) -> list[str]:
    """Lines of one table, with the figures of the `earlier` rows of the same names where there are any."""
    head = HEAD if earlier is None else (*HEAD[:2], *EARLIER, *HEAD[2:])
    lines = [f"| {' | '.join(head)} |", f"| {' | '.join('---' if name in HEAD[::7] else '---:' for name in head)} |"]
    for name, row in rows.items():
        before = (earlier or {}).get(name)
        old = [] if earlier is None else [f"{before[key]:.4f}" if before else "" for key in ("lost_mean", "lost_worst")]
        flags = ", ".join(f"{flag} {count}" for flag, count in row["flags"].items())
        numbers = (f"{row[key]:.4f}" for key in ("lost_mean", "lost_worst", "agreement"))
        cells = (name, str(row["films"]), *old, *numbers, str(row["refused"]), str(row["flagged"]), flags)
        lines.append(f"| {' | '.join(cells)} |")
    return lines
