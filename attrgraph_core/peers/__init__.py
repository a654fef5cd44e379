"""What targeted training is held against: other ways of training a network, or of training less of it. One a file."""
