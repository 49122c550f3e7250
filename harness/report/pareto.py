# SPDX-License-Identifier: Apache-2.0
"""The picture of `buddy-harness pareto`: speed against loss, a line a method, with its 95 % band."""

import math

import matplotlib.pyplot as plt
import matplotlib.ticker

from results import number_at

OURS = "bounded"
MARKERS = "osD^vP*X<>hpd"


def points_of(rows):
    """method -> [(loss in bits, its standard error, tokens a second)], from slow to fast."""
    methods = {}
    for row in rows:
        loss = number_at(row, "quality", "kl_nats")
        error = number_at(row, "quality", "standard_error", "kl_nats")
        if loss is None or loss <= 0 or not isinstance(row.get("method"), str):
            continue
        bits = (loss / math.log(2), (error or 0) / math.log(2))
        methods.setdefault(row["method"], []).append((*bits, row["tokens_per_second"]))
    return {method: sorted(points, key=lambda point: point[2]) for method, points in methods.items()}


def speed_of(rows, method):
    speeds = [row["tokens_per_second"] for row in rows if row.get("method") == method]
    return speeds[0] if speeds else None


def draw_method(axis, method, points, one, style):
    colour = "#b5121b" if method == OURS else plt.get_cmap("tab10")((style + 4) % 10)
    loss = [point[0] for point in points]
    speed = [point[2] / one for point in points]
    low = [max(point[0] - 1.96 * point[1], point[0] / 20) for point in points]
    high = [point[0] + 1.96 * point[1] for point in points]
    axis.fill_betweenx(speed, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.plot(
        loss, speed, "-", marker=MARKERS[style % len(MARKERS)], color=colour, label=method,
        markersize=6 if method == OURS else 4.5, linewidth=2.4 if method == OURS else 1.2,
        zorder=3 if method == OURS else 2,
    )


def pareto(rows):
    """Up is fast, left is good. None when the rows are of another command."""
    methods = points_of(rows)
    one = speed_of(rows, "fetch")
    if not methods or one is None:
        return None
    figure, axis = plt.subplots(figsize=(8.6, 5.4))
    for style, (method, points) in enumerate(methods.items()):
        draw_method(axis, method, points, one, style)
    axis.axhline(1, color="0.35", linewidth=1, label="fetch every miss (exact)")
    resident = speed_of(rows, "all resident")
    if resident is not None:
        axis.axhline(resident / one, color="0.5", linestyle=":", linewidth=1, label="all resident (exact)")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}x"))
    axis.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.set_xlabel("loss: KL divergence from the exact model, bits per byte (measured; bands: 95 %)")
    axis.set_ylabel("speed against fetching every miss (modelled)")
    axis.grid(True, which="major", linewidth=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    figure.tight_layout()
    return figure
