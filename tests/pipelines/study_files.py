"""A study small enough for tests: two ways of training a tiny network, one of which fails with one of its settings."""

SMALL_STUDY = """\
name: small
question: efficiency
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
tuning_seeds: [1000, 1001]
data:
  digits:
    dataset: {factory: digits}
    model: {factory: mlp, arguments: {hidden: [12, 8]}}
training: {batch_size: 256, schedule: constant}
options: {full_epochs: 2, target: 0.3}
tune: {learning_rate: [0.01, 0.02]}
reference: full
methods:
  full:
    stages: [{epochs: 2}]
  random:
    stages: [{epochs: 1}, {epochs: 3, select: {policy: random, budget: 0.5}}]
quick:
  seeds: [0, 1]
  tuning_seeds: [1000]
"""
