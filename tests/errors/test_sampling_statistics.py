"""Bad arguments of `detr_tutorial.data.sampling_statistics`, named in one line."""

import pytest
import torch

from detr_tutorial.data import sampling_statistics as measures


@pytest.mark.parametrize(
    ("function", "areas"),
    [
        (measures.inside_masks, torch.zeros(2, 3, 4, dtype=torch.bool)),
        (measures.inside_boxes, torch.zeros(2, 4)),
    ],
)
@pytest.mark.parametrize("shape", [(3, 5, 2), (2, 5, 3), (2,)])
def test_points_that_do_not_fit_the_rows_are_named(function, areas, shape):
    with pytest.raises(ValueError, match=r"points must have shape \(2, \.\.\., 2\)"):
        function(areas, torch.zeros(shape))


def test_areas_of_another_rank_are_named():
    with pytest.raises(ValueError, match="masks must have 3 axes"):
        measures.inside_masks(torch.zeros(3, 4, dtype=torch.bool), torch.zeros(3, 5, 2))
    with pytest.raises(TypeError, match="weights must"):
        measures.effective_points(torch.ones(4, 4, dtype=torch.int64))
