"""What training does to samples and to spectrograms, each drawn from a seed of its own."""
