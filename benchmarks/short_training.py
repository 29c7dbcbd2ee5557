"""What a notebook can train: from a random start, so many seconds on this machine.

    python benchmarks/short_training.py [--seconds 150] [--seed 0]

Prints AP on 200 held-out images of the shapes, the steps done, and the part of the time spent waiting for
data. The model is the small one with fewer layers and points, which makes a step twice as fast.
"""

import argparse
import os

import torch

from detr_tutorial.deformable_detr import DeformableDETRConfig
from detr_tutorial.training import APS, TrainingConfig, train

BAR = 0.40  # AP50 after 150 seconds on two cores


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))

    config = TrainingConfig(
        model=DeformableDETRConfig.shapes(encoder_layers=1, decoder_layers=2, num_points=2),
        steps=None,
        max_seconds=options.seconds,
        batch_size=8,
        learning_rate=2e-3,
        schedule="cosine",
        warmup_steps=50,
        seed=options.seed,
        workers=0,
    )
    metrics = train(config).metrics
    print(", ".join(f"{name} {metrics[name]:.3f}" for name in APS))
    print(
        f"{metrics['steps']} steps in {metrics['seconds']:.0f} s, {metrics['parameters']:,} parameters",
        end=", ",
    )
    print(f"{metrics['data_wait']:.1%} of the time preparing data")
    print(f"AP50 at least {BAR:.2f}: {'met' if metrics['AP50'] >= BAR else 'MISSED'}")


if __name__ == "__main__":
    main()
