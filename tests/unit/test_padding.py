"""Padding, masks, valid ratios."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_tutorial.padding import IMAGENET_MEAN, normalize_image, pad_images, resize_mask, valid_ratios

FEW = settings(deadline=None, derandomize=True, max_examples=40, database=None)
sizes = st.tuples(st.integers(1, 70), st.integers(1, 90))


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


@FEW
@given(st.lists(sizes, min_size=1, max_size=4))
def test_every_image_is_in_the_batch_unchanged_and_the_rest_is_zero(image_sizes):
    images = [picture(*size, seed=index) for index, size in enumerate(image_sizes)]
    batch = pad_images(images)
    height, width = max(h for h, _ in image_sizes), max(w for _, w in image_sizes)
    assert batch.pixels.shape == (len(images), 3, height, width)
    for image, pixels, mask in zip(images, batch.pixels, batch.mask, strict=True):
        _, h, w = image.shape
        assert torch.equal(pixels[:, :h, :w], image)
        assert torch.equal(pixels.masked_select(mask), torch.zeros(3 * int(mask.sum())))
        assert not mask[:h, :w].any()
        assert int((~mask).sum()) == h * w


def test_true_means_padding_as_in_the_papers_code():
    batch = pad_images([picture(4, 6), picture(5, 3)])
    assert batch.mask[0].tolist() == [[False] * 6] * 4 + [[True] * 6]  # below
    assert batch.mask[1].tolist() == [[False] * 3 + [True] * 3] * 5  # to the right


def test_the_image_that_is_not_the_highest_is_padded_in_height_and_the_other_in_width():
    mask = pad_images([torch.zeros(3, 765, 512), torch.zeros(3, 608, 911)]).mask
    assert mask.shape == (2, 765, 911)
    assert mask[0, :, 511:513].all(dim=0).tolist() == [False, True]
    assert mask[1, 607:609].all(dim=1).tolist() == [False, True]
    assert_close(valid_ratios([mask])[:, 0], torch.tensor([[512 / 911, 1.0], [1.0, 608 / 765]]))


def test_images_of_one_size_need_no_padding():
    assert not pad_images([picture(5, 7), picture(5, 7)]).mask.any()


def test_padding_keeps_dtype_and_lets_gradients_through():
    image = picture(3, 4).double().requires_grad_()
    batch = pad_images([image, torch.zeros(3, 5, 6, dtype=torch.float64)])
    assert batch.pixels.dtype == torch.float64
    batch.pixels.sum().backward()
    assert image.grad is not None
    assert_close(image.grad, torch.ones_like(image))


def test_padding_does_not_share_memory_with_the_images():
    image = picture(3, 4)
    pad_images([image]).pixels.fill_(7)
    assert image.max() <= 1


def test_the_mean_color_becomes_zero_so_that_padding_is_the_mean_color():
    image = torch.tensor(IMAGENET_MEAN)[:, None, None].expand(3, 2, 5)
    assert_close(normalize_image(image), torch.zeros(3, 2, 5))


def test_normalization_is_that_of_torchvision():
    from torchvision.transforms.v2.functional import normalize

    image = picture(4, 7)
    assert_close(normalize_image(image), normalize(image, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))


@FEW
@given(sizes, sizes, st.sampled_from([8, 16, 32, 64]))
def test_a_resized_mask_reads_floor_indices(first, second, stride):
    mask = pad_images([picture(*first), picture(*second)]).mask
    height, width = -(-mask.shape[1] // stride), -(-mask.shape[2] // stride)
    small = resize_mask(mask, (height, width))
    for i in range(height):
        for j in range(width):
            row, column = i * mask.shape[1] // height, j * mask.shape[2] // width
            assert torch.equal(small[:, i, j], mask[:, row, column])


@FEW
@given(st.integers(1, 40), st.integers(1, 40))
def test_one_valid_pixel_in_a_large_canvas_keeps_a_cell_on_every_level(height, width):
    mask = pad_images([picture(1, 1), picture(height + 88, width + 61)]).mask
    for divisor in (2, 8, 32, 64, 200):
        size = (-(-mask.shape[1] // divisor), -(-mask.shape[2] // divisor))
        small = resize_mask(mask, size)
        assert not small[:, 0, 0].any()
        assert (valid_ratios([small]) > 0).all()


def test_nearest_exact_would_lose_the_only_valid_pixel():
    mask = pad_images([picture(1, 1), picture(128, 128)]).mask
    exact = torch.nn.functional.interpolate(mask[:, None].float(), (4, 4), mode="nearest-exact").bool()
    assert exact[0].all()
    assert not resize_mask(mask, (4, 4))[0].all()


def test_a_mask_of_the_same_size_stays_as_it_is():
    mask = pad_images([picture(4, 6), picture(5, 3)]).mask
    assert torch.equal(resize_mask(mask, (5, 6)), mask)


def test_a_mask_keeps_its_axes_apart():
    mask = pad_images([picture(8, 4), picture(4, 12)]).mask  # 8 x 12
    assert resize_mask(mask, (2, 3)).tolist() == [
        [[False, True, True]] * 2,
        [[False, False, False], [True, True, True]],
    ]


@FEW
@given(sizes, sizes)
def test_valid_ratios_are_valid_width_then_valid_height(first, second):
    batch = pad_images([picture(*first), picture(*second)])
    _, height, width = batch.mask.shape
    expected = torch.tensor([[w / width, h / height] for h, w in (first, second)])
    assert_close(valid_ratios([batch.mask])[:, 0], expected)


def test_valid_ratios_differ_between_levels_through_rounding():
    mask = pad_images([torch.zeros(3, 128, 100), torch.zeros(3, 128, 128)]).mask
    masks = [resize_mask(mask, (side, side)) for side in (16, 8, 4, 2)]
    assert valid_ratios(masks)[0, :, 0].tolist() == [
        0.8125,
        0.875,
        1.0,
        1.0,
    ]  # the true one is 100 / 128 = 0.781


def test_valid_ratios_have_an_axis_for_images_and_one_for_levels():
    mask = pad_images([picture(8, 4), picture(4, 12)]).mask
    ratios = valid_ratios([mask, resize_mask(mask, (4, 6)), resize_mask(mask, (2, 3))])
    assert ratios.shape == (2, 3, 2)
    assert ratios.dtype == torch.float32


@pytest.mark.parametrize("height_first", [True, False])
def test_a_letterboxed_mask_is_refused(height_first):
    mask = torch.ones(1, 6, 8, dtype=torch.bool)
    mask[0, 1:5] = False  # bars above and below
    with pytest.raises(ValueError, match="right and bottom"):
        valid_ratios([mask if height_first else mask.transpose(1, 2)])
