"""Attribution graphs of PyTorch networks: compute, keep, query, train by them."""
