"""A loopback Hub that the real Hugging Face clients talk to, and the tests of pushing to it and loading from it."""
