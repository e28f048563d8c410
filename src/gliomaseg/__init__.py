"""Find the tumour in a brain MRI, and say how far to trust it.

Importing the package loads nothing heavy: neither torch nor ONNX Runtime.
Research software, not a medical device.
"""

__version__ = "0.1.0"
