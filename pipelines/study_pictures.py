"""Plots of a study: the tested figures by method as one PNG, all figures and the choice of settings as a page."""

import html
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from pipelines.study_cells import COMPLETE, StudyGrid

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from matplotlib.axes import Axes

Floats = np.ndarray[Any, np.dtype[np.float64]]

CELL_INCHES = (4.6, 0.27)  # a panel's width, a method's height
DOTS_PER_INCH = 90
FAR = 6  # interquartile ranges of the methods' means


def save_picture(grid: StudyGrid, cells: pd.DataFrame, path: Path) -> None:
    """A panel a data set and tested measure: a dot a seed, the mean and its 95 % interval. Whole or not at all."""
    from matplotlib.figure import Figure

    measures, data = grid.question.tested, list(grid.study.data)
    methods = list(grid.study.methods)
    size = (CELL_INCHES[0] * len(data) + 1.2, len(measures) * (CELL_INCHES[1] * len(methods) + 0.9))
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(measures), len(data), squeeze=False, sharey=True)
    for row, measure in enumerate(measures):
        for column, name in enumerate(data):
            panel = panels[row][column]
            for place, method in enumerate(methods):
                values = _figures(cells, name, method, measure.name)
                panel.plot(values, [place] * len(values), "o", color="#7f8c9a", alpha=0.5, markersize=4)
                if len(values):
                    mean, margin = values.mean(), _margin(values)
                    panel.errorbar(mean, place, xerr=margin, fmt="|", color="#1f4e79", capsize=3, markersize=9)
            _leave_out_the_far(panel, [_figures(cells, name, method, measure.name) for method in methods])
            panel.set_yticks(range(len(methods)), methods, fontsize=8)
            panel.set_title(f"{name}: {measure.name}", fontsize=9)
            panel.tick_params(axis="x", labelsize=8)
            panel.grid(axis="x", alpha=0.3)
        panels[row][0].set_ylim(len(methods) - 0.5, -0.5)  # the first at the top, and none cut by the frame
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _leave_out_the_far(panel: "Axes", values: list[Floats]) -> None:
    """Let a method that is far from all others not press these together: it is named at the border."""
    means = np.array([own.mean() if len(own) else np.nan for own in values])
    if np.isfinite(means).sum() < 4:
        return
    low, middle, high = np.nanpercentile(means, [25, 50, 75])
    is_far = np.abs(means - middle) > FAR * max(high - low, 1e-9)
    if not is_far.any():
        return
    near = np.concatenate([own for own, far in zip(values, is_far, strict=True) if not far])
    margin = 0.15 * max(float(near.max() - near.min()), 1e-9)
    panel.set_xlim(near.min() - margin, near.max() + margin)
    for place in np.flatnonzero(is_far):
        is_left = means[place] < middle
        text = f"← {means[place]:.3g}" if is_left else f"{means[place]:.3g} →"
        panel.text(
            0.01 if is_left else 0.99, float(place), text, transform=panel.get_yaxis_transform(), fontsize=8,
            va="center", ha="left" if is_left else "right",
        )  # fmt: skip


def page_of(
    grid: StudyGrid, title: str, words: list[str], tables: dict[str, pd.DataFrame], trials: pd.DataFrame
) -> str:
    """One HTML page that needs no network: words, plots that can be zoomed, and every table whole."""
    figures = [_strips(grid, tables["cells"], name) for name in grid.study.data]
    figures += _choices(grid, trials)
    plots = [
        figure.to_html(full_html=False, include_plotlyjs=place == 0, config={"displaylogo": False})
        for place, figure in enumerate(figures)
    ]
    body = [f"<h1>{html.escape(title)}</h1>", *(f"<p>{html.escape(text)}</p>" for text in words), *plots]
    for name, table in tables.items():
        if len(table):
            body += [f"<h2>{html.escape(name)}</h2>", table.to_html(index=False, float_format="%.5g", na_rep="")]
    style = (
        "body{font-family:sans-serif;margin:2em} table{border-collapse:collapse;font-size:13px} td,th{padding:2px 8px}"
    )
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{style}</style>'
    return f"<!doctype html><html><head>{head}</head><body>{''.join(body)}</body></html>"


def _strips(grid: StudyGrid, cells: pd.DataFrame, data: str) -> "go.Figure":
    """A dot a seed; a menu changes the measure. The run is under the pointer."""
    import plotly.graph_objects as go

    measures = [measure.name for measure in grid.question.measures]
    own = cells[(cells["data"] == data) & (cells["status"] == COMPLETE)]
    figure = go.Figure()
    for measure in measures:
        figure.add_trace(
            go.Box(
                x=own["method"], y=own[measure], text=own["run_id"], boxpoints="all", jitter=0.4, pointpos=0,
                name=measure, visible=measure == measures[0], line={"width": 1},
                hovertemplate="%{y:.5g}<br>%{text}<extra></extra>",
            )
        )  # fmt: skip
    buttons = [
        {"label": measure, "method": "update", "args": [{"visible": [other == measure for other in measures]}]}
        for measure in measures
    ]
    figure.update_layout(
        title=f"{data}: a dot a seed", showlegend=False, height=480,
        updatemenus=[{"buttons": buttons, "x": 1.0, "y": 1.15, "xanchor": "right"}],
    )  # fmt: skip
    return figure


def _choices(grid: StudyGrid, trials: pd.DataFrame) -> "list[go.Figure]":
    """Validation scores over the first setting that is a number, a line a method: how much depends on it."""
    import plotly.graph_objects as go

    if trials.empty or not grid.study.tune:
        return []
    setting = next(iter(grid.study.tune))
    figures = []
    for data, own in trials.groupby("data", sort=False):
        figure = go.Figure()
        for method, rows in own.groupby("method", sort=False):
            best = rows.groupby(setting)["score"].mean()
            figure.add_trace(go.Scatter(x=best.index, y=best, mode="lines+markers", name=str(method)))
        figure.update_layout(
            title=f"{data}: {grid.question.chosen_by.name} on validation over {setting}", height=420,
            xaxis={"type": "log" if setting == "learning_rate" else "-", "title": setting},
        )  # fmt: skip
        figures.append(figure)
    return figures


def _figures(cells: pd.DataFrame, data: str, method: str, measure: str) -> Floats:
    own = cells[(cells["data"] == data) & (cells["method"] == method)][measure]
    return own.dropna().to_numpy(dtype=float)


def _margin(values: Floats) -> float:
    """Half of the 95 % interval of the mean."""
    if len(values) < 2:
        return 0.0
    return float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
