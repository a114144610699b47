"""Many runs: which there are, their status on disk, and Hydra's sweepers and launchers that run them."""
