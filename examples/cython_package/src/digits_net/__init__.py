"""Handwritten digits, learnt by a network that Cython creates and trains by the C API of bpkern.

pip install .
python ../data/export_digits.py digits.csv
python -m digits_net digits.csv
"""

from ._net import train

__all__ = ["train"]
