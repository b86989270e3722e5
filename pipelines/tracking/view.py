"""How MLflow's page shows the runs: columns of its table, and charts, kept as a view that an address names."""

from __future__ import annotations

import json
from typing import Any

from .runs import PHOTOGRAPHS
from .sender import Sender

VIEW = "hier-nodes"
WIDTH, NARROW, NAME = 155, 115, 275  # px of columns: their titles, and the names of runs, fit
COLUMNS = ("valid/accuracy", "cross_atoms/accuracy", "cross_noise/accuracy", "cross_photos/accuracy",
           "cross_outlines/accuracy", "valid/loss", "images", "seconds")  # fmt: skip
READ = f"tags.`{PHOTOGRAPHS}`"
RUN = ("params.`seed`", "params.`count`", "params.`backbone`")  # they tell runs apart, and stand in their names too
NAMED = "attributes.`Run Name`"
BARS = ("valid/accuracy", "cross_atoms/accuracy", "cross_noise/accuracy", "cross_photos/accuracy")  # of nodes
LINES = ("train/loss", "valid/loss", "valid/accuracy", "train/images_per_second")  # by epoch


def keep_view(sender: Sender) -> None:
    """Keep columns and charts as a view such as MLflow's own "Share" button makes: a tag of the experiment.

    Runs are ordered by name: the nodes of a tree follow each other, and one node in all trainings too. (Any order
    but the default shows runs inside a run at once, without a click.)
    """
    metrics = [f"metrics.`{name}`" for name in COLUMNS]
    columns = [metrics[0], READ, *metrics[1:], *RUN]
    state = {
        "selectedColumns": columns, "columnOrder": [NAMED, *columns],
        "columnWidths": {NAMED: NAME, **dict.fromkeys(columns, NARROW), **dict.fromkeys(metrics[1:5], WIDTH)},
        "orderByKey": "tags.`mlflow.runName`", "orderByAsc": True, "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunSections": [_section("nodes", "Accuracy by node"), _section("epochs", "By epoch")],
        "compareRunCharts": [*(_chart("BAR", name, "nodes") for name in BARS),
                             *(_chart("LINE", name, "epochs") for name in LINES)],
        "isAccordionReordered": True,
    }  # fmt: skip
    sender.client.set_experiment_tag(sender.experiment, f"mlflow.sharedViewState.{VIEW}", json.dumps(state))


def _section(identity: str, name: str) -> dict[str, Any]:
    return {"uuid": f"hier-{identity}", "name": name, "display": True, "isReordered": True, "deleted": False,
            "isGenerated": False}  # fmt: skip


def _chart(kind: str, metric: str, section: str) -> dict[str, Any]:
    """As MLflow's page keeps a chart; the class of that name in its `runs-charts.types.ts` has the same keys."""
    chart = {"type": kind, "uuid": f"hier-{section}-{metric}", "metricSectionId": f"hier-{section}",
             "metricKey": metric, "displayName": metric, "runsCountToCompare": 20, "deleted": False,
             "isGenerated": False}  # fmt: skip
    if kind == "LINE":
        chart |= {"lineSmoothness": 0, "xAxisKey": "step", "xAxisScaleType": "linear", "scaleType": "linear",
                  "range": {}, "selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": [],
                  "ignoreOutliers": False, "useGlobalXaxisKey": True, "useGlobalLineSmoothing": True}  # fmt: skip
    return chart
