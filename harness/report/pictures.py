# SPDX-License-Identifier: Apache-2.0
"""The pictures of report.py, as matplotlib figures."""

import matplotlib
import matplotlib.pyplot as plt
import matplotlib.ticker
import numpy

from pareto import pareto
from results import loss_percent, number_at

RESOLUTIONS = ("own", "buddy", "surrogate", "low_precision", "host", "fetch", "drop")
SHARE_COLOURS = ("#b8c4ce", "#4878a8", "#6aa98f", "#9bc27e", "#c9a24b", "#b5524a", "#5d4a66")
MARKERS = "osD^vP*X<>hpd"


def ratios_of(rows):
    """Cache ratios below one, falling."""
    return sorted({row["cache_ratio"] for row in rows if row["policy"] != "all_resident"}, reverse=True)


def rows_at(rows, ratio):
    return [row for row in rows if row["cache_ratio"] == ratio and row["policy"] != "all_resident"]


def speed_against_quality(rows):
    """One panel a cache ratio: up is fast, left is good."""
    ratios = ratios_of(rows)
    if not ratios or not any(loss_percent(row) is not None for row in rows):
        return None
    size = (4.2 * len(ratios), 3.9)
    figure, panels = plt.subplots(1, len(ratios), figsize=size, squeeze=False, sharex=True, sharey=True)
    handles = {}
    for axis, ratio in zip(panels[0], ratios):
        draw_ratio(axis, rows, ratio)
        handles.update((label, handle) for handle, label in zip(*axis.get_legend_handles_labels()))
    scale_axes(panels[0][0])
    columns = min(5, len(handles))
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=columns, frameon=False, fontsize=8)
    figure.tight_layout(rect=(0, 0.13, 1, 1))
    return figure


def draw_ratio(axis, rows, ratio):
    names = list(dict.fromkeys(row["policy"] for row in rows if row["policy"] != "all_resident"))
    for row in rows:
        if row["policy"] == "all_resident":
            axis.axhline(row["tokens_per_second"], color="0.5", linestyle=":", linewidth=1, label="all resident")
    for row in rows_at(rows, ratio):
        if loss_percent(row) is None:
            continue
        style = names.index(row["policy"])
        axis.plot(
            loss_percent(row),
            row["tokens_per_second"],
            MARKERS[style % len(MARKERS)],
            color=plt.get_cmap("tab10")(style % 10),
            markersize=7,
            alpha=0.8,
            label=row["policy"],
        )
    axis.set_title(f"cache ratio {ratio:g}")
    axis.set_xlabel("bits per byte lost, %")
    axis.grid(True, which="both", linewidth=0.3)


def scale_axes(axis):
    """Losses from nothing to everything, speeds by their ratios; plain numbers at the ticks."""
    ticks = (0, 0.3, 1, 3, 10, 30, 100)
    axis.set_xscale("symlog", linthresh=0.3)
    axis.set_xticks(ticks, [f"{x:g}" for x in ticks])
    axis.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    axis.set_xlim(min(-0.1, 1.3 * axis.dataLim.x0), max(100, 1.3 * axis.dataLim.x1))
    axis.set_ylabel("tokens/s (modelled)")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(matplotlib.ticker.StrMethodFormatter("{x:g}"))
    axis.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def share_bars(rows):
    drawn = [row for row in rows if isinstance(row.get("share"), dict)]
    if not drawn:
        return None
    figure, axis = plt.subplots(figsize=(8, 0.27 * len(drawn) + 1.2))
    left = [0.0] * len(drawn)
    for name, colour in zip(RESOLUTIONS, SHARE_COLOURS):
        widths = [100 * (number_at(row, "share", name) or 0.0) for row in drawn]
        if any(widths):
            axis.barh(range(len(drawn)), widths, left=left, color=colour, label=name)
        left = [a + b for a, b in zip(left, widths)]
    axis.set_yticks(range(len(drawn)))
    axis.set_yticklabels([f"{row['policy']} {row['cache_ratio']:g}" for row in drawn], fontsize=8)
    axis.set_ylim(len(drawn) - 0.4, -0.6)
    axis.set_xlim(0, 100)
    axis.set_xlabel("share of routed slots, %")
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=7, frameon=False, fontsize=8)
    figure.tight_layout()
    return figure


def heat_maps(tables, name, label, limit):
    """One picture a layer; `limit` maps the values that are drawn to the end of the colour scale."""
    layers = len(tables)
    columns = min(4, layers)
    lines = -(-layers // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(3.1 * columns, 3.1 * lines), squeeze=False)
    top = limit(tables)
    low = -top if tables.min() < 0 else 0
    colours = "RdBu_r" if low else "magma"
    for layer in range(lines * columns):
        axis = axes[layer // columns][layer % columns]
        if layer >= layers:
            axis.axis("off")
            continue
        image = axis.imshow(tables[layer], cmap=colours, vmin=low, vmax=top, interpolation="nearest", rasterized=True)
        axis.set_title(f"layer {layer}", fontsize=9)
        axis.tick_params(labelsize=7)
    figure.suptitle(name, fontsize=10)
    figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.8, label=label)
    return figure


def coactivation_maps(profile):
    counts = profile["coactivations"].astype(float)
    sums = counts.sum(axis=2, keepdims=True)
    shares = numpy.divide(counts, sums, out=numpy.zeros_like(counts), where=sums > 0)
    return heat_maps(
        shares, "Who is active together: share of the row expert's company", "q(j | i)",
        lambda x: max(numpy.percentile(x, 99.5), 1e-9),
    )


def router_maps(profile):
    if profile["router_cosine"] is None:
        return None
    cosines = profile["router_cosine"].astype(float)
    for layer in cosines:
        numpy.fill_diagonal(layer, 0)
    return heat_maps(
        cosines, "How alike the router's rows are", "cosine", lambda x: max(numpy.percentile(abs(x), 99.5), 1e-9)
    )


def popularity(profile):
    counts = profile["activations"].astype(float)
    figure, axis = plt.subplots(figsize=(6.4, 3.6))
    for layer, values in enumerate(counts):
        mean = values.mean() or 1.0
        axis.plot(numpy.sort(values)[::-1] / mean, label=f"layer {layer}", linewidth=1.2)
    axis.axhline(1, color="0.6", linestyle=":", linewidth=1)
    axis.set_xlabel("experts, most popular first")
    axis.set_ylabel("tokens, times the mean")
    axis.set_ylim(bottom=0)
    axis.legend(frameon=False, fontsize=8, ncol=2)
    figure.tight_layout()
    return figure


def draw(rows, profile):
    """(file name, heading, figure) of all that can be drawn."""
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "buddy"  # equal input, equal file
    pictures = [
        ("pareto", "Speed against loss, by method", pareto(rows)),
        ("speed-against-quality", "Speed against quality", speed_against_quality(rows)),
        ("shares", "How routed slots end", share_bars(rows)),
    ]
    if profile is not None:
        pictures += [
            ("coactivation", "Co-activation", coactivation_maps(profile)),
            ("router-similarity", "Router similarity", router_maps(profile)),
            ("popularity", "Popularity", popularity(profile)),
        ]
    return [picture for picture in pictures if picture[2] is not None]
