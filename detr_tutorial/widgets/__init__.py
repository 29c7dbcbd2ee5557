"""Widgets that a reader moves by hand, in Jupyter and on a page without a kernel."""

from detr_tutorial.widgets.bilinear_explorer import BilinearExplorer
from detr_tutorial.widgets.box_loss_explorer import BoxLossExplorer
from detr_tutorial.widgets.cost_explorer import CostExplorer
from detr_tutorial.widgets.deformable_conv_explorer import DeformableConvExplorer
from detr_tutorial.widgets.matching_explorer import MatchingExplorer
from detr_tutorial.widgets.padding_explorer import PaddingExplorer
from detr_tutorial.widgets.position_explorer import PositionExplorer
from detr_tutorial.widgets.refinement_explorer import RefinementExplorer
from detr_tutorial.widgets.sampling_points_explorer import SamplingPointsExplorer
from detr_tutorial.widgets.token_explorer import TokenExplorer
from detr_tutorial.widgets.trained_points_explorer import TrainedPointsExplorer

__all__ = [
    "BilinearExplorer",
    "BoxLossExplorer",
    "CostExplorer",
    "DeformableConvExplorer",
    "MatchingExplorer",
    "PaddingExplorer",
    "PositionExplorer",
    "RefinementExplorer",
    "SamplingPointsExplorer",
    "TokenExplorer",
    "TrainedPointsExplorer",
]
