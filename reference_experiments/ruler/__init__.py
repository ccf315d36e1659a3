"""What tells the image models apart on Fashion-MNIST: a classifier's features, and the gate that they have to pass."""
