"""Measures the library side by side with what people would use or write instead: ``make benchmark``."""
