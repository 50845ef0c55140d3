"""Fast paths for the arithmetic that the models spend their time on.

Each function has a plain-PyTorch reference beside it, which runs where Triton can't. Nothing here
knows a model: tensors in, tensors out.
"""
