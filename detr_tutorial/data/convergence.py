"""What `benchmarks/convergence.py` measured: how fast dense and deformable detectors learn.

Taught in notebooks/06_cost_of_dense_attention.ipynb and notebooks/18_training.ipynb.
"""

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "convergence.json"


def load_convergence() -> dict[str, Any]:
    """Read the convergence study that comes with the package.

    Returns:
        "settings" and "machine" of the study, and "runs": one a model and seed, with "model", "seed",
        "parameters" and "points". A point has "step", "cpu_minutes", and "AP", "AP50", "AP75", "APs", "APm",
        "APl" in [0, 1] on held-out images.
    Source: ours, by `python benchmarks/convergence.py`; taught in
    notebooks/06_cost_of_dense_attention.ipynb and notebooks/18_training.ipynb.
    """
    return json.loads(PATH.read_text(encoding="utf-8"))
