"""Bogenlager, a small product that people log in to with Zaikio: the demo of zaikio_oauth."""
