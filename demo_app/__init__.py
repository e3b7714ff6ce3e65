"""The demo of zaikio_oauth: Bogenlager, a small product that people log in to with Zaikio."""
