"""Position encodings."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from detr_tutorial.padding import pad_images
from detr_tutorial.position import LearnedPositionEncoding, SinePositionEncoding

FEW = settings(deadline=None, derandomize=True, max_examples=25, database=None)


def mask_of(*sizes: tuple[int, int]) -> torch.Tensor:
    return pad_images([torch.zeros(3, height, width) for height, width in sizes]).mask


def by_hand(row: int, column: int, size: tuple[int, int], features: int, temperature=10000.0, offset=-0.5):
    """One cell, number by number: y first, sine and cosine in turns."""
    numbers = []
    for count, cells in ((row + 1, size[0]), (column + 1, size[1])):
        angle = (count + offset) / (cells + 1e-6) * 2 * math.pi
        for pair in range(features // 2):
            wavelength = temperature ** (2 * pair / features)
            numbers += [math.sin(angle / wavelength), math.cos(angle / wavelength)]
    return torch.tensor(numbers)


@FEW
@given(st.integers(1, 7), st.integers(1, 9), st.sampled_from([2, 6, 10]), st.sampled_from([-0.5, 0.0]))
def test_every_number_is_the_formula(height, width, features, offset):
    encoding = SinePositionEncoding(features, offset=offset)(mask_of((height, width)))
    assert encoding.shape == (1, 2 * features, height, width)
    for row in range(height):
        for column in range(width):
            expected = by_hand(row, column, (height, width), features, offset=offset)
            assert_close(encoding[0, :, row, column], expected, atol=2e-6, rtol=0)


def test_the_first_half_is_y_and_the_second_half_is_x():
    encoding = SinePositionEncoding(4)(mask_of((3, 5)))
    y, x = encoding[0, :4], encoding[0, 4:]
    assert_close(y, y[:, :, :1].expand_as(y))  # the same in every column
    assert_close(x, x[:, :1].expand_as(x))  # the same in every row
    assert (y[:, 0, 0] - y[:, 1, 0]).abs().max() > 0.1
    assert (x[:, 0, 0] - x[:, 0, 1]).abs().max() > 0.1


@FEW
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), st.integers(0, 5))
def test_padding_does_not_change_the_position_of_a_valid_cell(height, width, below, right):
    encode = SinePositionEncoding(6)
    alone = encode(mask_of((height, width)))
    padded = encode(mask_of((height, width), (height + below, width + right)))
    assert_close(padded[:1, :, :height, :width], alone)


def test_the_last_valid_column_is_half_a_cell_from_two_pi_whatever_the_padding():
    encode = SinePositionEncoding(2)  # one sine and one cosine of the angle itself
    for padded_width in (5, 8, 30):
        sine, cosine = encode(mask_of((2, 5), (2, padded_width)))[0, 2:, 0, 4]
        angle = math.atan2(sine.item(), cosine.item()) % (2 * math.pi)
        assert abs(angle - 4.5 / 5 * 2 * math.pi) < 1e-5


def test_without_the_offset_it_is_the_encoding_of_detr():
    angle = SinePositionEncoding(2, offset=0)(mask_of((2, 5)))[0, 2:, 0, 0]
    assert_close(
        angle, torch.tensor([math.sin(2 * math.pi / 5), math.cos(2 * math.pi / 5)]), atol=1e-5, rtol=0
    )


def test_without_normalization_positions_are_counts():
    encoding = SinePositionEncoding(2, normalize=False)(mask_of((2, 5)))
    assert_close(encoding[0, 2, 0], torch.arange(1.0, 6.0).sin())


def test_a_larger_temperature_gives_longer_waves():
    mask = mask_of((1, 9))
    slow = SinePositionEncoding(4, temperature=10000)(mask)[0, 6]  # the second sine of x
    fast = SinePositionEncoding(4, temperature=20)(mask)[0, 6]
    assert slow.abs().max() < fast.abs().max()


def test_padding_gets_numbers_that_do_not_depend_on_rounding():
    """Angles stay small: a change in their last bit does not change the sine."""
    encode = SinePositionEncoding(8)
    encoding = encode(mask_of((1, 1), (6, 7)))
    assert torch.isfinite(encoding).all()
    angle = -0.5 / (1 + 1e-6) * 2 * math.pi  # y where the whole column is padding
    expected = torch.tensor([math.sin(angle), math.cos(angle)])
    assert_close(encoding[0, :2, 3, 4], expected, atol=1e-6, rtol=0)


def test_the_sine_encoding_has_nothing_to_learn_and_none_of_its_cells_is_like_another():
    encode = SinePositionEncoding(8)
    assert not list(encode.parameters())
    cells = encode(mask_of((5, 7)))[0].flatten(1).T
    distances = torch.cdist(cells, cells) + 10 * torch.eye(35)
    assert distances.min() > 0.05


def test_the_learned_encoding_looks_up_the_column_first_then_the_row():
    encode = LearnedPositionEncoding(3, max_size=9)
    encoding = encode(mask_of((4, 6), (2, 5)))
    assert encoding.shape == (2, 6, 4, 6)
    assert torch.equal(encoding[1, :3, 2, 5], encode.column_embedding.weight[5])
    assert torch.equal(encoding[1, 3:, 2, 5], encode.row_embedding.weight[2])
    assert torch.equal(encoding[0], encoding[1])


def test_the_learned_encoding_starts_uniform_and_receives_gradients():
    torch.manual_seed(0)
    encode = LearnedPositionEncoding()
    for table in (encode.row_embedding.weight, encode.column_embedding.weight):
        assert table.shape == (50, 128)
        assert 0 <= table.min() < 0.01
        assert 0.99 < table.max() <= 1
    encode(mask_of((4, 6))).sum().backward()
    gradient = encode.row_embedding.weight.grad
    assert gradient is not None
    assert gradient[:4].eq(6).all()  # each row is read in 6 columns
    assert gradient[4:].eq(0).all()
