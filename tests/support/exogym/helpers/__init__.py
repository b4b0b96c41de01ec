"""What ExoGym has in `exogym.aux`."""
