"""What is said against back-propagation, measured: vanishing gradients, touchy learning rates, updates that wait."""
