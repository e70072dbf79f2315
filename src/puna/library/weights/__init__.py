"""Weights become other weights: quantized, converted, put together; natively in children."""
